"""Names of the faults of a request, and the error replies among them.

A fault is one of three things: a rejection (an error reply; nothing is computed), a distortion (a computed reply with
odd contents, `distortions.py`) or a breakage (bytes that are not a valid HTTP reply, `breakages.py`).
"""

import time
from dataclasses import dataclass, replace
from email.utils import formatdate
from enum import Enum, auto
from math import ceil


class Fault(Enum):
    """The fault of one request."""

    # rejections: not computed, not billed
    RATE_LIMITED = auto()  # 429 without Retry-After
    RATE_LIMITED_1 = auto()  # 429, Retry-After: 1
    RATE_LIMITED_61 = auto()
    RATE_LIMITED_DATE = auto()  # an HTTP date, about 2 seconds ahead
    RATE_LIMITED_NEGATIVE = auto()
    RATE_LIMITED_NAN = auto()
    RATE_LIMITED_GARBAGE = auto()
    QUOTA = auto()  # 429 insufficient_quota
    PAYMENT = auto()  # 402
    UNAUTHORIZED = auto()  # 401
    FORBIDDEN = auto()  # 403
    NO_SUCH_MODEL = auto()  # 404
    TOO_LONG = auto()  # 400 context_length_exceeded
    CONTENT_FILTER = auto()  # 400 content_filter
    ERROR_500 = auto()
    BAD_GATEWAY = auto()  # 502 with an HTML body
    UNAVAILABLE = auto()  # 503
    OVERLOADED = auto()  # 529
    ECHO_401 = auto()  # error bodies with the request's headers in them, Authorization too
    ECHO_500 = auto()
    N_REFUSED = auto()  # 400 where n is more than 1

    # breakages; ORPHAN and those below it are computed and billed
    RESET = auto()  # connection reset before anything is computed
    HANG = auto()  # nothing is computed and nothing is said
    SPACES = auto()  # headers, then a space every `pace` seconds, for ever
    ORPHAN = auto()  # connection reset before the reply
    ORPHAN_HANG = auto()  # computed, and then nothing is said
    SILENCE = auto()  # headers, and then nothing
    RESET_MID_BODY = auto()
    DRIP = auto()  # one byte every `pace` seconds
    CUT_SHORT = auto()  # half of the JSON, and a content-length that says so
    CUT_OFF = auto()  # half of the JSON under the content-length of the whole, then the end of the connection
    GZIP_BOMB = auto()  # gzip that was not asked for, `huge` bytes when unpacked
    HUGE = auto()  # a content of `huge` letters

    # distortions: computed, billed and sent whole, but for DUPLICATE and STRAY, which are sent and not computed
    EMPTY_CHOICES = auto()
    NULL_CONTENT = auto()
    NO_CHOICES = auto()  # no field `choices`
    GARBAGE = auto()  # not JSON
    REFUSAL = auto()
    FILTERED = auto()  # finish_reason content_filter, no content
    LENGTH = auto()  # finish_reason length, though the text is whole and parses
    CUT_AT_FIELD = auto()  # finish_reason length; the text ends before its last field, JSON closed properly
    HTML_TYPE = auto()  # the right JSON as text/html
    HTML_PAGE = auto()  # a page of HTML with status 200
    DUPLICATE = auto()  # the reply delivered before on this connection (else: on any), with its id
    STRAY = auto()  # any one of the latest replies, whether or not it was delivered, with its id
    N_IGNORED = auto()  # one choice, whatever n
    N_EQUAL = auto()  # n choices of one text
    N_EQUAL_INDEX = auto()  # n choices, all of index 0
    SWAPPED = auto()  # another model and fingerprint than asked for
    NO_USAGE = auto()
    ZERO_USAGE = auto()
    TINY_USAGE = auto()  # one token read, one written
    USAGE_WITHOUT_INPUT = auto()  # none read
    USAGE_WITHOUT_OUTPUT = auto()  # none written
    USAGE_OF_ONE = auto()  # what the first of n choices has


@dataclass(frozen=True, slots=True)
class Rejection:
    """An error reply in the shape of the API. A script may use its own in the place of a `Fault`."""

    status: int
    code: str
    message: str = "The server said no, as its script says."
    kind: str = "invalid_request_error"
    headers: tuple[tuple[str, str], ...] = ()
    date_ahead: float | None = None
    html: bool = False
    echo: bool = False
    name: str = ""

    def extra_headers(self) -> dict[str, str]:
        """Its headers; a date is that many seconds from now, rounded up."""
        headers = dict(self.headers)
        if self.date_ahead is not None:
            headers["Retry-After"] = formatdate(ceil(time.time() + self.date_ahead), usegmt=True)
        return headers


def rate_limited(retry_after: str | None = None, date_ahead: float | None = None) -> Rejection:
    """A 429 that asks to wait: with any Retry-After, or a date in some seconds, or neither."""
    headers = () if retry_after is None else (("Retry-After", retry_after),)
    message = "Rate limit reached for requests."
    name = f"RATE_LIMITED {retry_after or date_ahead or ''}".rstrip()
    return Rejection(429, "rate_limit_exceeded", message, "requests", headers, date_ahead, name=name)


def redirected(location: str, status: int = 307) -> Rejection:
    """A redirect to another address."""
    return Rejection(status, "redirected", headers=(("Location", location),), name="REDIRECTED")


def _server_error(status: int, code: str, message: str) -> Rejection:
    return Rejection(status, code, message, "server_error")


REJECTIONS = {
    Fault.RATE_LIMITED: rate_limited(),
    Fault.RATE_LIMITED_1: rate_limited("1"),
    Fault.RATE_LIMITED_61: rate_limited("61"),
    Fault.RATE_LIMITED_DATE: rate_limited(date_ahead=2.0),
    Fault.RATE_LIMITED_NEGATIVE: rate_limited("-5"),
    Fault.RATE_LIMITED_NAN: rate_limited("NaN"),
    Fault.RATE_LIMITED_GARBAGE: rate_limited("soon, ☃".encode().decode("latin-1")),
    Fault.QUOTA: Rejection(
        429,
        "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing details.",
        "insufficient_quota",
    ),
    Fault.PAYMENT: Rejection(402, "insufficient_credits", "This account has no credits left.", "billing_error"),
    Fault.UNAUTHORIZED: Rejection(401, "invalid_api_key", "Incorrect API key provided."),
    Fault.FORBIDDEN: Rejection(403, "unsupported_country_region_territory", "Not from here.", "request_forbidden"),
    Fault.NO_SUCH_MODEL: Rejection(
        404, "model_not_found", "The model does not exist or you do not have access to it."
    ),
    Fault.TOO_LONG: Rejection(
        400, "context_length_exceeded", "This model's maximum context length is 8192 tokens; your messages have more."
    ),
    Fault.CONTENT_FILTER: Rejection(
        400, "content_filter", "The response was filtered: the prompt triggered a policy."
    ),
    Fault.ERROR_500: _server_error(500, "server_error", "The server had an error while processing your request."),
    Fault.BAD_GATEWAY: replace(_server_error(502, "bad_gateway", "502 Bad Gateway"), html=True),
    Fault.UNAVAILABLE: _server_error(503, "unavailable", "The server is temporarily unavailable."),
    Fault.OVERLOADED: Rejection(529, "overloaded", "Overloaded", "overloaded_error"),
    Fault.ECHO_401: replace(Rejection(401, "invalid_api_key", "Incorrect API key."), echo=True),
    Fault.ECHO_500: replace(_server_error(500, "server_error", "Unhandled request."), echo=True),
    Fault.N_REFUSED: Rejection(
        400, "unsupported_value", "Unsupported value: 'n' does not support other values than 1."
    ),
}
REJECTIONS = {fault: replace(rejection, name=fault.name) for fault, rejection in REJECTIONS.items()}
