"""What a provider's refusal means: from a status, headers and an error's body to a failure by its kind. Pure.

`RATE_LIMITED`, `OVERLOADED` and `TRANSIENT` say that nothing was computed. What may have been computed is `UNKNOWN`,
since it may be billed.
"""

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TypeAlias, TypeGuard

from unerring.adapters.openai_spec import Secret
from unerring.errors import FailureKind, ProviderBusy, ProviderDown

Failure: TypeAlias = ProviderBusy | ProviderDown
LONGEST_MESSAGE = 300  # characters
LONGEST_WAIT = 86_400.0  # seconds: what says more is taken for a day
LARGEST_ERROR = 1 << 16  # bytes of an error's body that are looked at
LARGEST_PAGE = 1 << 12  # characters of one that is no JSON
LONGEST_WORD = 200  # characters of a code

_QUOTA = re.compile(r"insufficient_(quota|credits|balance|funds)|billing|payment_required|quota_exceeded_for_plan")
_NO_CREDIT = re.compile(r"credit balance is too low|insufficient (credit|balance|fund)", re.IGNORECASE)
_FILTERED = re.compile(r"content_?filter|content_policy|responsible_?ai_?policy|invalid_prompt|flagged", re.IGNORECASE)
_DECIMAL = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?|\.[0-9]{1,18}")
_DURATION = re.compile(r"(?:([0-9.]+)d)?(?:([0-9.]+)h)?(?:([0-9.]+)m(?!s))?(?:([0-9.]+)s)?(?:([0-9.]+)ms)?")
_DURATION_UNITS = 86_400.0, 3_600.0, 60.0, 1.0, 0.001
_TITLE = re.compile(r"<title[^<>]{0,80}>([^<]+)", re.IGNORECASE)
_TAGS = re.compile(r"<[^<>]*>")

# Kinds by status; of those not named, 5xx pass and the rest does not.
_BY_STATUS = {
    401: FailureKind.DENIED,
    402: FailureKind.QUOTA,
    403: FailureKind.DENIED,
    407: FailureKind.DENIED,
    408: FailureKind.TRANSIENT,
    409: FailureKind.TRANSIENT,
    425: FailureKind.TRANSIENT,
    429: FailureKind.RATE_LIMITED,
    501: FailureKind.INVALID,
    503: FailureKind.OVERLOADED,
    505: FailureKind.INVALID,
    529: FailureKind.OVERLOADED,
}
_LASTING = {FailureKind.QUOTA, FailureKind.DENIED, FailureKind.INVALID}
# What stands for a status where an error comes without one.
_BY_WORD = {
    "rate_limit": 429,
    "too_many_requests": 429,
    "insufficient_quota": 429,
    "overloaded": 529,
    "unavailable": 503,
    "timeout": 408,
    "authentication": 401,
    "invalid_api_key": 401,
    "permission": 403,
    "not_found": 404,
    "invalid_request": 400,
    "content_filter": 400,
    "server_error": 500,
    "internal_error": 500,
    "api_error": 500,
}


class Said:
    """What an error's body says: its message, and the words that tell errors apart, where they are."""

    __slots__ = ("codes", "message", "param", "retry_delay", "status")

    def __init__(self, message: str = "", codes: str = "", param: str = "") -> None:
        self.message = message
        self.codes = codes
        self.param = param
        self.retry_delay: str | None = None
        self.status: int | None = None

    @property
    def filtered(self) -> bool:
        """Whether it was the question's content that was objected to: a refusal to answer, not a failure."""
        return _FILTERED.search(self.codes) is not None


def said_by(value: object) -> Said:
    """Read an error as it came in JSON, in any of the shapes there are; never raises."""
    for key in ("error", "errors", "message", "detail"):
        value = _first(value)  # Gemini puts its error into a list, FastAPI its details
        if isinstance(value, dict) and isinstance(value.get(key), dict | list):
            value = value[key]
    value = _first(value)
    if isinstance(value, str):
        return Said(value)
    if not isinstance(value, dict):
        return Said()
    codes = [value.get("code"), value.get("type"), value.get("status")]
    metadata, inner = value.get("metadata"), value.get("innererror")
    if isinstance(inner, dict):  # Azure
        codes.append(inner.get("code"))
    if isinstance(metadata, dict) and "flagged_input" in metadata:  # OpenRouter
        codes.append("flagged")
    words = " ".join(str(code)[:LONGEST_WORD] for code in codes if isinstance(code, str | int)).lower()
    messages = (value.get(key) for key in ("message", "msg", "error", "detail"))
    where = value.get("param", value.get("loc"))  # loc is FastAPI's: a list that ends in the field
    param = where[-1] if isinstance(where, list) and where else where
    said = Said(next(filter(_is_text, messages), ""), words, param if isinstance(param, str) else "")
    said.retry_delay = _retry_delay(value.get("details"))
    said.status = _status_in(value.get("code"), said.codes)
    return said


def _first(value: object) -> object:
    return value[0] if isinstance(value, list) and value else value


def _is_text(value: object) -> TypeGuard[str]:
    return isinstance(value, str)


def _retry_delay(details: object) -> str | None:
    """Gemini's RetryInfo."""
    for detail in details[:20] if isinstance(details, list) else ():
        if isinstance(detail, dict) and isinstance(delay := detail.get("retryDelay"), str):
            return delay
    return None


def _status_in(code: object, codes: str) -> int | None:
    if isinstance(code, str) and code.isascii() and code.isdigit() and len(code) == 3:
        code = int(code)
    if isinstance(code, int) and 300 <= code <= 599:
        return code
    return next((status for word, status in _BY_WORD.items() if word in codes), None)


def read_error(body: bytes) -> Said:
    """Read the body of an error: JSON, a page or plain words; never raises."""
    text = body[:LARGEST_ERROR].decode("utf-8", "replace")
    try:
        said = said_by(json.loads(text))
    except (ValueError, RecursionError):
        said = Said()
    if not said.message:  # in no place that is known: the body itself, or a page's title
        page = text[:LARGEST_PAGE]
        title = _TITLE.search(page)
        said.message = title[1] if title else _TAGS.sub(" ", page)
    return said


def failure(status: int, said: Said, headers: Mapping[str, str], where: str, secret: Secret, now: float) -> Failure:
    """The failure that a status means, with what the server said. `now` is seconds since 1970."""
    kind = _kind(status, said)
    if 300 <= status <= 399:
        words = f"{where} answered {status}: redirects are not followed; give the address that it leads to"
        return ProviderDown(one_line(words, secret), kind)
    words = one_line(f"{where} answered {status}: {secret.scrubbed(said.message)[: 8 * LONGEST_MESSAGE]}", secret)
    if kind in _LASTING:
        return ProviderDown(words.rstrip(": "), kind)
    return ProviderBusy(words.rstrip(": "), retry_after(headers, now, said.retry_delay), kind)


def _kind(status: int, said: Said) -> FailureKind:
    if status in {400, 403, 429} and (_QUOTA.search(said.codes) or _NO_CREDIT.search(said.message[:1000])):
        return FailureKind.QUOTA
    known = _BY_STATUS.get(status)
    if known is not None:
        return known
    return FailureKind.TRANSIENT if 500 <= status <= 599 else FailureKind.INVALID


def one_line(text: str, secret: Secret) -> str:
    """The text as one line of 300 characters at most: no control characters, no key."""
    # the key is taken out once more at the end, lest what was dropped in between had hidden it
    shortened = secret.scrubbed(text)[: 8 * LONGEST_MESSAGE]
    line = secret.scrubbed(" ".join("".join(c if c.isprintable() else " " for c in shortened).split()))
    return line if len(line) <= LONGEST_MESSAGE else line[: LONGEST_MESSAGE - 1] + "…"


def retry_after(headers: Mapping[str, str], now: float, told: str | None = None) -> float | None:
    """How many seconds the provider wants to be left alone, a day at most; None if it does not say so.

    Header names are looked up as they are written here: pass a mapping that knows no case, or lower case. In their
    order: retry-after-ms, retry-after (seconds or a date, RFC 9110 section 10.2.3), what the error itself says
    (`told`), and the x-ratelimit-reset-* of a limit that is used up.
    """
    if (wait := _decimal(headers.get("retry-after-ms"))) is not None:
        return _capped(wait / 1000)
    if (text := headers.get("retry-after")) is not None:
        return _capped(_seconds_or_date(text, headers, now))
    if told is not None:
        return _capped(_duration(told))
    resets = [
        _until(headers[f"x-ratelimit-reset{what}"], now)
        for what in ("-requests", "-tokens", "")
        if headers.get(f"x-ratelimit-remaining{what}") == "0" and f"x-ratelimit-reset{what}" in headers
    ]
    return _capped(max((wait for wait in resets if wait is not None), default=None))


def _capped(wait: float | None) -> float | None:
    return None if wait is None or not math.isfinite(wait) or wait < 0 else min(wait, LONGEST_WAIT)


def _decimal(text: str | None) -> float | None:
    # float() itself takes nan, inf, 1_0 and digits of other scripts
    return float(text) if text is not None and _DECIMAL.fullmatch(text.strip()) else None


def _seconds_or_date(text: str, headers: Mapping[str, str], now: float) -> float | None:
    if (seconds := _decimal(text)) is not None:
        return seconds
    if (seconds := _duration(text)) is not None:
        return seconds
    if (when := _date(text)) is None:
        return None
    # by the server's own clock where it tells the time: ours may be wrong
    sent = _date(headers.get("date", ""))
    return max(0.0, when - (now if sent is None else sent))


def _date(text: str) -> float | None:
    try:
        when = parsedate_to_datetime(text[:64])
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _duration(text: str) -> float | None:
    """Seconds of 1s, 6m0s, 250ms, 1h2m3.5s."""
    parts = _DURATION.fullmatch(text.strip()[:40])
    if parts is None or not any(parts.groups()):
        return None
    values = [_decimal(part) if part else 0.0 for part in parts.groups()]
    if any(value is None for value in values):
        return None
    return sum(value * unit for value, unit in zip(values, _DURATION_UNITS, strict=True) if value)


def _until(text: str, now: float) -> float | None:
    """A duration, a number of seconds, or a moment as seconds or milliseconds since 1970."""
    number = _decimal(text)
    if number is None:
        return _duration(text)
    if number > 1e11:
        return number / 1000 - now
    return number - now if number > 1e9 else number
