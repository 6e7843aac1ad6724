"""Convert an error of a provider into a failure by its kind: from the status, the headers and the body. No I/O.

`RATE_LIMITED`, `OVERLOADED` and `TRANSIENT` mean that nothing was computed. A call that may have been computed, and so
billed, is `UNKNOWN`.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from unerring.adapters.http.retry_after import requested_wait
from unerring.adapters.http.spec import Secret
from unerring.errors import FailureKind, ProviderBusy, ProviderDown

Failure: TypeAlias = ProviderBusy | ProviderDown
MAX_MESSAGE_CHARS = 300
MAX_ERROR_BYTES = 1 << 16  # of an error's body that are read
MAX_PAGE_CHARS = 1 << 12  # of a body that is not JSON
MAX_CODE_CHARS = 200

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

# Kinds by status. Of those not listed, 5xx are transient and all others are invalid.
_KIND_BY_STATUS = {
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
_LASTING_KINDS = {FailureKind.QUOTA, FailureKind.DENIED, FailureKind.INVALID, FailureKind.REFUSED}
# Statuses of words in an error's codes, for an error that comes without a status.
_STATUS_BY_WORD = {
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


@dataclass(slots=True)
class ErrorBody:
    """The body of an error.

    message: the text for people.
    codes: the codes that tell errors apart, in lower case, with spaces between them.
    param: the parameter that was refused.
    retry_delay: the wait that Gemini asks for, as text.
    limits: headers about limits, by their names in lower case.
    status: the HTTP status that its codes stand for.
    """

    message: str = ""
    codes: str = ""
    param: str = ""
    retry_delay: str | None = None
    limits: dict[str, str] = field(default_factory=dict)
    status: int | None = None

    @property
    def filtered(self) -> bool:
        """Whether the content of the question was refused."""
        return _FILTERED.search(self.codes) is not None

    @property
    def too_long(self) -> bool:
        """Whether the question was too long, by the error's code or its message."""
        return bool(_TOO_LONG.search(self.codes) or _TOO_LONG_WORDS.search(self.message[:1000]))


def error_from_json(value: object) -> ErrorBody:
    """Read a JSON error, in any of the shapes that providers use; never raises."""
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
    param = value.get("param", value.get("loc"))  # loc is FastAPI's: a list that ends in the field
    param = param[-1] if isinstance(param, list) and param else param
    return ErrorBody(
        message=next((text for text in messages if isinstance(text, str)), ""),
        codes=words,
        param=param if isinstance(param, str) else "",
        retry_delay=_retry_delay(value.get("details")),
        limits=_limits(metadata.get("headers")) if isinstance(metadata, dict) else {},
        status=_status_in(value.get("code"), words),
    )


def _first(value: object) -> object:
    return value[0] if isinstance(value, list) and value else value


def _retry_delay(details: object) -> str | None:
    """The delay in Gemini's RetryInfo."""
    for detail in details[:20] if isinstance(details, list) else ():
        if isinstance(detail, dict) and isinstance(delay := detail.get("retryDelay"), str):
            return delay
    return None


def _limits(headers: object) -> dict[str, str]:
    """Headers that OpenRouter copies into an error from the provider that it asked."""
    pairs = list(headers.items())[:50] if isinstance(headers, dict) else []
    return {str(name)[:MAX_CODE_CHARS].lower(): str(value) for name, value in pairs if isinstance(value, str | int)}


def _status_in(code: object, codes: str) -> int | None:
    if isinstance(code, str) and code.isascii() and code.isdigit() and len(code) == 3:
        code = int(code)
    if isinstance(code, int) and 300 <= code <= 599:
        return code
    return next((status for word, status in _STATUS_BY_WORD.items() if word in codes), None)


def read_error(body: bytes) -> ErrorBody:
    """Read the body of an error: JSON, an HTML page or plain text; never raises."""
    text = body[:MAX_ERROR_BYTES].decode("utf-8", "replace")
    try:
        error = error_from_json(json.loads(text))
    except (ValueError, RecursionError):
        error = ErrorBody()
    if not error.message:  # then the page's title, or the whole text
        page = text[:MAX_PAGE_CHARS]
        title = _TITLE.search(page)
        error.message = title[1] if title else _TAGS.sub(" ", page)
    return error


def failure(
    status: int, error: ErrorBody, headers: Mapping[str, str], place: str, secret: Secret, now: float
) -> Failure:
    """The failure of a status, with the server's message. `place` names the server; `now` is seconds since 1970."""
    kind = _kind(status, error)
    if 300 <= status <= 399:
        words = f"{place} answered {status}: redirects are not followed; give the address that it leads to"
        return ProviderDown(one_line(words, secret), kind)
    words = one_line(f"{place} answered {status}: {secret.scrubbed(error.message)[: 8 * MAX_MESSAGE_CHARS]}", secret)
    if kind in _LASTING_KINDS:
        return ProviderDown(words.rstrip(": "), kind, status)
    limited = status == 429
    wait = requested_wait(headers, now, error.retry_delay, limited) or requested_wait(error.limits, now, None, limited)
    busy = ProviderBusy(words.rstrip(": "), None, kind)
    if wait is not None:
        busy.retry_after, busy.reading = wait.seconds, one_line(wait.reading, secret)
    return busy


def _kind(status: int, error: ErrorBody) -> FailureKind:
    if status in {400, 403, 429} and (_QUOTA.search(error.codes) or _NO_CREDIT.search(error.message[:1000])):
        return FailureKind.QUOTA
    if (status in {400, 403, 422} and error.filtered) or (status in {400, 422} and error.too_long):
        return FailureKind.REFUSED
    known = _KIND_BY_STATUS.get(status)
    if known is not None:
        return known
    return FailureKind.TRANSIENT if 500 <= status <= 599 else FailureKind.INVALID


def one_line(text: str, secret: Secret) -> str:
    """The text as one line of `MAX_MESSAGE_CHARS` at most, without control characters and the key."""
    # the key is removed twice: dropped characters may have split it
    shortened = secret.scrubbed(text)[: 8 * MAX_MESSAGE_CHARS]
    line = secret.scrubbed(" ".join("".join(c if c.isprintable() else " " for c in shortened).split()))
    return line if len(line) <= MAX_MESSAGE_CHARS else line[: MAX_MESSAGE_CHARS - 1] + "…"
