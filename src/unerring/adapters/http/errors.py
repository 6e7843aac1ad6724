"""What a provider's refusal means: from a status, headers and an error's body to a failure by its kind. Pure.

`RATE_LIMITED`, `OVERLOADED` and `TRANSIENT` say that nothing was computed. What may have been computed is `UNKNOWN`,
since it may be billed.
"""

import json
import re
from collections.abc import Mapping
from typing import TypeAlias, TypeGuard

from unerring.adapters.http.retry_after import requested_wait
from unerring.adapters.http.spec import Secret
from unerring.errors import FailureKind, ProviderBusy, ProviderDown

Failure: TypeAlias = ProviderBusy | ProviderDown
MAX_MESSAGE_CHARS = 300  # characters
MAX_ERROR_BYTES = 1 << 16  # bytes of an error's body that are looked at
MAX_PAGE_CHARS = 1 << 12  # characters of one that is no JSON
MAX_CODE_CHARS = 200  # characters of a code

_QUOTA = re.compile(r"insufficient_(quota|credits|balance|funds)|billing|payment_required|quota_exceeded_for_plan")
_NO_CREDIT = re.compile(r"credit balance is too low|insufficient (credit|balance|fund)", re.IGNORECASE)
_FILTERED = re.compile(r"content_?filter|content_policy|responsible_?ai_?policy|invalid_prompt|flagged", re.IGNORECASE)
_TOO_LONG = re.compile(
    r"context_(length|window)|context_size|string_above_max_length|too_long|too_large|max_tokens_exceeded|token_limit"
)
_TOO_LONG_WORDS = re.compile(
    r"maximum context length|context (length|window|size)|(prompt|input|messages?|text|request|question) (is|are) too "
    r"(long|large)|input token count|too many (input )?tokens|reduce the length|too large for model",
    re.IGNORECASE,
)
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
    413: FailureKind.REFUSED,
    425: FailureKind.TRANSIENT,
    429: FailureKind.RATE_LIMITED,
    501: FailureKind.INVALID,
    503: FailureKind.OVERLOADED,
    505: FailureKind.INVALID,
    529: FailureKind.OVERLOADED,
}
_LASTING = {FailureKind.QUOTA, FailureKind.DENIED, FailureKind.INVALID, FailureKind.REFUSED}
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
    "content_policy": 400,
    "invalid_prompt": 400,
    "context_length": 400,
    "server_error": 500,
    "internal_error": 500,
    "api_error": 500,
}


class ErrorBody:
    """What an error's body says: its message, and the words that tell errors apart, where they are."""

    __slots__ = ("codes", "limits", "message", "param", "retry_delay", "status")

    def __init__(self, message: str = "", codes: str = "", param: str = "") -> None:
        self.message = message
        self.codes = codes
        self.param = param
        self.retry_delay: str | None = None
        self.limits: dict[str, str] = {}  # headers about limits, by their names in lower case
        self.status: int | None = None

    @property
    def filtered(self) -> bool:
        """Whether it was the question's content that was objected to."""
        return _FILTERED.search(self.codes) is not None

    @property
    def too_long(self) -> bool:
        """Whether the question was too long, by the error's code or its message."""
        return bool(_TOO_LONG.search(self.codes) or _TOO_LONG_WORDS.search(self.message[:1000]))


def error_from_json(value: object) -> ErrorBody:
    """Read an error as it came in JSON, in any of the shapes there are; never raises."""
    for key in ("error", "errors", "message", "detail"):
        value = _first(value)  # Gemini puts its error into a list, FastAPI its details
        if isinstance(value, dict) and isinstance(value.get(key), dict | list):
            value = value[key]
    value = _first(value)
    if isinstance(value, str):
        return ErrorBody(value)
    if not isinstance(value, dict):
        return ErrorBody()
    codes = [value.get("code"), value.get("type"), value.get("status")]
    metadata, inner = value.get("metadata"), value.get("innererror")
    if isinstance(inner, dict):  # Azure
        codes.append(inner.get("code"))
    if isinstance(metadata, dict) and "flagged_input" in metadata:  # OpenRouter
        codes.append("flagged")
    words = " ".join(str(code)[:MAX_CODE_CHARS] for code in codes if isinstance(code, str | int)).lower()
    messages = (value.get(key) for key in ("message", "msg", "error", "detail"))
    where = value.get("param", value.get("loc"))  # loc is FastAPI's: a list that ends in the field
    param = where[-1] if isinstance(where, list) and where else where
    said = ErrorBody(next(filter(_is_text, messages), ""), words, param if isinstance(param, str) else "")
    said.retry_delay = _retry_delay(value.get("details"))
    said.limits = _limits(metadata.get("headers")) if isinstance(metadata, dict) else {}
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


def _limits(headers: object) -> dict[str, str]:
    """Headers that OpenRouter puts into an error: those of the provider that it asked."""
    pairs = list(headers.items())[:50] if isinstance(headers, dict) else []
    return {str(name)[:MAX_CODE_CHARS].lower(): str(value) for name, value in pairs if isinstance(value, str | int)}


def _status_in(code: object, codes: str) -> int | None:
    if isinstance(code, str) and code.isascii() and code.isdigit() and len(code) == 3:
        code = int(code)
    if isinstance(code, int) and 300 <= code <= 599:
        return code
    return next((status for word, status in _BY_WORD.items() if word in codes), None)


def read_error(body: bytes) -> ErrorBody:
    """Read the body of an error: JSON, a page or plain words; never raises."""
    text = body[:MAX_ERROR_BYTES].decode("utf-8", "replace")
    try:
        said = error_from_json(json.loads(text))
    except (ValueError, RecursionError):
        said = ErrorBody()
    if not said.message:  # in no place that is known: the body itself, or a page's title
        page = text[:MAX_PAGE_CHARS]
        title = _TITLE.search(page)
        said.message = title[1] if title else _TAGS.sub(" ", page)
    return said


def failure(
    status: int, said: ErrorBody, headers: Mapping[str, str], where: str, secret: Secret, now: float
) -> Failure:
    """The failure that a status means, with what the server said. `now` is seconds since 1970."""
    kind = _kind(status, said)
    if 300 <= status <= 399:
        words = f"{where} answered {status}: redirects are not followed; give the address that it leads to"
        return ProviderDown(one_line(words, secret), kind)
    words = one_line(f"{where} answered {status}: {secret.scrubbed(said.message)[: 8 * MAX_MESSAGE_CHARS]}", secret)
    if kind in _LASTING:
        return ProviderDown(words.rstrip(": "), kind, status)
    limited = status == 429
    wait = requested_wait(headers, now, said.retry_delay, limited) or requested_wait(said.limits, now, None, limited)
    busy = ProviderBusy(words.rstrip(": "), None, kind)
    if wait is not None:
        busy.retry_after, busy.reading = wait.seconds, one_line(wait.reading, secret)
    return busy


def _kind(status: int, said: ErrorBody) -> FailureKind:
    if status in {400, 403, 429} and (_QUOTA.search(said.codes) or _NO_CREDIT.search(said.message[:1000])):
        return FailureKind.QUOTA
    if (status in {400, 403, 422} and said.filtered) or (status in {400, 422} and said.too_long):
        return FailureKind.REFUSED
    known = _BY_STATUS.get(status)
    if known is not None:
        return known
    return FailureKind.TRANSIENT if 500 <= status <= 599 else FailureKind.INVALID


def one_line(text: str, secret: Secret) -> str:
    """The text as one line of 300 characters at most: no control characters, no key."""
    # the key is taken out once more at the end, lest what was dropped in between had hidden it
    shortened = secret.scrubbed(text)[: 8 * MAX_MESSAGE_CHARS]
    line = secret.scrubbed(" ".join("".join(c if c.isprintable() else " " for c in shortened).split()))
    return line if len(line) <= MAX_MESSAGE_CHARS else line[: MAX_MESSAGE_CHARS - 1] + "…"


def retry_after(headers: Mapping[str, str], now: float, told: str | None = None) -> float | None:
    """How many seconds the provider asks to wait, a day at most; None if it does not say."""
    wait = requested_wait(headers, now, told)
    return None if wait is None else wait.seconds
