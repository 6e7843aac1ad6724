"""Read from the headers of an error how many seconds a provider asks to wait.

Providers write a number of seconds or milliseconds, a duration (`1m30s`), a date (RFC 9110 or RFC 3339) or a time
since 1970 into the same headers. A number that is too large for a wait is a time: seconds since 1970 have ten digits,
milliseconds thirteen.
"""

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

MAX_WAIT_SECONDS = 86_400.0  # longer waits are shortened to a day
MAX_HEADER_CHARS = 64  # of a header's value that are read, and quoted in messages
MIN_EPOCH_SECONDS = 1e9  # numbers from here on are seconds since 1970 (that of 2001) ...
MIN_EPOCH_MILLISECONDS = 1e11  # ... and from here on milliseconds
MIN_DATED_SECONDS = 43_200.0  # times so far away are shown with their date

_DECIMAL = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?|\.[0-9]{1,18}")
_DURATION = re.compile(r"(?:([0-9.]+)d)?(?:([0-9.]+)h)?(?:([0-9.]+)m(?!s))?(?:([0-9.]+)s)?(?:([0-9.]+)ms)?")
_DURATION_UNITS = 86_400.0, 3_600.0, 60.0, 1.0, 0.001
_RFC3339 = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:.]{5,18}([Zz]|[+-][0-9]{2}:?[0-9]{2})?")
# x-ratelimit-reset-tokens (OpenAI, Groq), x-ratelimit-reset (OpenRouter), ratelimit-reset (IETF draft, Mistral),
# x-ratelimit-reset-tokens-minute (Cerebras), anthropic-ratelimit-input-tokens-reset
_RESET = re.compile(r"(x-)?ratelimit[a-z]*-reset(-[a-z-]+)?|anthropic-ratelimit-[a-z-]+-reset")
_STRUCTURED = re.compile(r"(?:^|[;,\s])(r|remaining|t|reset)\s*=\s*([0-9]{1,12})(?=[;,\s]|$)")  # RateLimit, IETF draft


class RetryAfter(NamedTuple):
    """A wait that a provider asks for.

    seconds: its length, a day at most.
    reading: the header that it was read from, and how.
    """

    seconds: float
    reading: str


def requested_wait(
    headers: Mapping[str, str], now: float, delay: str | None = None, limited: bool = False
) -> RetryAfter | None:
    """The wait that the provider asks for, if it does. `now` is seconds since 1970.

    Pass headers in lower case, or in a mapping that ignores case. In order of precedence: retry-after-ms, retry-after
    (RFC 9110 section 10.2.3), the `delay` in the error's body, and the latest reset of the exhausted limits.
    `limited` means that the error is a rate limit (429): then a limit without a remainder counts as exhausted too,
    unless another one is.
    """
    clock = _server_time(headers, now)
    if (number := _decimal(headers.get("retry-after-ms"))) is not None:
        value = headers["retry-after-ms"]
        if number >= MIN_EPOCH_MILLISECONDS:
            return _until("retry-after-ms", value, number / 1000, clock)
        return _wait("retry-after-ms", value, number / 1000)
    for name, text in (("retry-after", headers.get("retry-after")), ("the error", delay)):
        if text is not None and (wait := _read(name, text, clock)) is not None:
            return wait
    exhausted: list[RetryAfter] = []
    unclear: list[RetryAfter] = []
    for name, text, remaining in _resets(headers):
        wait = _read(name, text, clock, past=False)
        if wait is not None and (remaining is None or remaining <= 0):
            (unclear if remaining is None else exhausted).append(wait)
    return max(exhausted or (unclear if limited else []), default=None)


def _resets(headers: Mapping[str, str]) -> Iterator[tuple[str, str, float | None]]:
    """Each limit: header name, time of its reset as written, and what remains of it, where that is given."""
    for name in headers:
        lowered = name.lower()
        if "ratelimit" not in lowered:
            continue
        if lowered == "ratelimit":
            values = dict(_STRUCTURED.findall(headers[name][:200].lower()))
            reset, left = values.get("t", values.get("reset")), values.get("r", values.get("remaining"))
            if reset is not None:
                yield lowered, reset, _decimal(left)
        elif _RESET.fullmatch(lowered):
            left = headers.get(lowered.replace("-reset", "-remaining"))
            yield lowered, headers[name], None if left is None else _signed(left)


def _read(name: str, text: str, now: float, past: bool = True) -> RetryAfter | None:
    """A wait in any of its forms. A time that has passed is a wait of 0 s, or None where `past` is false."""
    text = text.strip()[:MAX_HEADER_CHARS]
    number = _decimal(text)
    if number is None and (duration := _duration(text)) is not None:
        return _wait(name, text, duration)
    if number is not None and number < MIN_EPOCH_SECONDS:
        return _wait(name, text, number)
    if number is not None:
        when: float | None = number / 1000 if number >= MIN_EPOCH_MILLISECONDS else number
    else:
        when = _date(text)
    if when is None or (when < now and not past):
        return None
    return _until(name, text, when, now)


def _wait(name: str, text: str, seconds: float) -> RetryAfter | None:
    if not math.isfinite(seconds) or seconds < 0:
        return None
    return RetryAfter(min(seconds, MAX_WAIT_SECONDS), f"{name}: {text} read as {seconds:g} s")


def _until(name: str, text: str, when: float, now: float) -> RetryAfter:
    away = max(0.0, when - now)
    try:
        pattern = "%H:%M:%S UTC" if away < MIN_DATED_SECONDS else "%Y-%m-%d %H:%M:%S UTC"
        time = datetime.fromtimestamp(when, UTC).strftime(pattern)
    except (ValueError, OverflowError, OSError):
        time = "beyond all calendars"
    return RetryAfter(min(away, MAX_WAIT_SECONDS), f"{name}: {text} read as the time {time}, {away:.0f} s from now")


def _server_time(headers: Mapping[str, str], now: float) -> float:
    """The time by the server's clock, where it is given, since ours may be wrong."""
    sent = _date(headers.get("date", ""))
    return now if sent is None else sent


def _decimal(text: str | None) -> float | None:
    # float() itself takes nan, inf, 1_0 and digits of other scripts
    return float(text) if text is not None and _DECIMAL.fullmatch(text.strip()) else None


def _signed(text: str) -> float | None:
    """What remains of a limit, -1 for any negative number."""
    return -1.0 if text.strip().startswith("-") else _decimal(text)


def _date(text: str) -> float | None:
    text = text[:MAX_HEADER_CHARS].strip()
    try:
        when = datetime.fromisoformat(text.upper()) if _RFC3339.fullmatch(text) else parsedate_to_datetime(text)
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _duration(text: str) -> float | None:
    """The seconds of a duration such as 1s, 6m0s, 250ms, 1h2m3.5s."""
    parts = _DURATION.fullmatch(text.strip()[:40])
    if parts is None or not any(parts.groups()):
        return None
    values = [_decimal(part) if part else 0.0 for part in parts.groups()]
    if any(value is None for value in values):
        return None
    return sum(value * unit for value, unit in zip(values, _DURATION_UNITS, strict=True) if value)
