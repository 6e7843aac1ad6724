"""Match the files of a batch that has ended with its requests: exactly one outcome for each request. No I/O.

Nothing is assumed about the files: lines may come in any order, twice, never, cut short, or for requests that were not
made.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import Enum
from itertools import chain

import msgspec

from unerring.adapters.openai_batch.request_id import decode_custom_id

EXPIRED = "batch_expired"  # codes of OpenAI's error file
CANCELLED = "batch_cancelled"
UNREADABLE = msgspec.DecodeError, UnicodeDecodeError, RecursionError  # raised by bytes that are not the JSON expected
_MAX_REASON_CHARS = 300


class OutcomeKind(Enum):
    """The kinds of outcomes of a request."""

    ANSWERED = "answered"
    REFUSED = "refused"  # an error instead of an answer
    UNDONE = "undone"  # not carried out, so not billed
    UNKNOWN = "unknown"  # it may have been carried out and billed


@dataclass(frozen=True, slots=True)
class RequestOutcome:
    """The outcome of one request.

    kind: its kind.
    status: the HTTP status of its reply; 0 where it has none.
    body: the body of its reply; empty where it has none.
    reason: the provider's or unerring's reason, where there is no answer.
    """

    kind: OutcomeKind
    status: int = 0
    body: bytes = b""
    reason: str = ""


class _Response(msgspec.Struct):
    status_code: int = 0
    body: msgspec.Raw = msgspec.Raw(b"null")


class _ResultError(msgspec.Struct):
    code: str | None = None
    message: str | None = None


class _ResultLine(msgspec.Struct):
    custom_id: str
    response: _Response | None = None
    error: _ResultError | None = None


_lines = msgspec.json.Decoder(_ResultLine)
_CUSTOM_ID = re.compile(rb'"custom_id"\s*:\s*"([^"\\]{1,512})"')


def reconcile(
    requested: Collection[str] | None,
    output: Iterable[bytes],
    errors: Iterable[bytes],
    completed: int | None,
    ended: str = "completed",
) -> dict[str, RequestOutcome]:
    """The outcome of each request, by its custom_id.

    `requested` are the batch's requests; None accepts all that the files name. `output` and `errors` are the lines of
    its two files, `completed` is how many requests the provider says it carried out, `ended` its last status. Of
    several lines for one request the first with an answer counts, else the first. A request without a line was not
    carried out if the files hold as many answers as the provider counts; else its outcome is unknown.
    """
    wanted = None if requested is None else frozenset(requested)
    outcomes: dict[str, RequestOutcome] = {}
    nameless = False
    for line in filter(bytes.strip, chain(output, errors)):
        name, outcome = _read(line)
        if name is None:
            nameless = True
        elif wanted is None or name in wanted:
            known = outcomes.get(name)
            if known is None or (outcome.kind is OutcomeKind.ANSWERED and known.kind is not OutcomeKind.ANSWERED):
                outcomes[name] = outcome
    if wanted is not None and len(outcomes) < len(wanted):
        answered = sum(outcome.kind is OutcomeKind.ANSWERED for outcome in outcomes.values())
        gap = _gap(nameless, completed is not None and completed <= answered, ended)
        for name in wanted - outcomes.keys():
            outcomes[name] = gap
    return outcomes


def _read(line: bytes) -> tuple[str | None, RequestOutcome]:
    """A line's custom_id, None where it cannot be read, and its outcome."""
    try:
        read = _lines.decode(line)
    except UNREADABLE:
        return _name(line), RequestOutcome(
            OutcomeKind.UNKNOWN, reason="its line in the batch's results cannot be read"
        )
    error, response = read.error, read.response
    code = error.code if error is not None else None
    reason = (error.message or error.code or "")[:_MAX_REASON_CHARS] if error is not None else ""
    if response is not None and 200 <= response.status_code < 300:
        return read.custom_id, RequestOutcome(OutcomeKind.ANSWERED, response.status_code, bytes(response.body))
    if code in {EXPIRED, CANCELLED}:
        return read.custom_id, RequestOutcome(OutcomeKind.UNDONE, reason=reason)
    if response is None and error is None:
        return read.custom_id, RequestOutcome(
            OutcomeKind.UNKNOWN, reason="its line in the batch's results has neither an answer nor an error"
        )
    status, body = (response.status_code, bytes(response.body)) if response is not None else (0, b"")
    if body in {b"", b"null"}:
        body = msgspec.json.encode({"error": {"code": code, "message": reason}})
    return read.custom_id, RequestOutcome(OutcomeKind.REFUSED, status, body, reason)


def _name(line: bytes) -> str | None:
    """The custom_id in an unreadable line, where it has one."""
    try:
        return decode_custom_id(line).custom_id
    except UNREADABLE:
        match = _CUSTOM_ID.search(line)
        return match[1].decode("utf-8", "replace") if match else None


def _gap(nameless: bool, undone: bool, ended: str) -> RequestOutcome:
    """The outcome of a request that no line names."""
    missing = f"it is missing from the results of the batch, which is {ended}"
    if undone and not nameless:
        return RequestOutcome(OutcomeKind.UNDONE, reason=missing)
    unread = "it is missing from the batch's results, a part of which cannot be read"
    return RequestOutcome(OutcomeKind.UNKNOWN, reason=unread if nameless else f"{missing} and counts it as done")
