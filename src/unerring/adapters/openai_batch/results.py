"""The files of a batch that has ended, held against what was asked: one outcome for each request, exactly one.

Nothing is taken on trust: lines come in any order, some twice, some never, some cut short, some for requests that
nobody made. Pure: lines in, outcomes out.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import Enum

import msgspec

EXPIRED = "batch_expired"  # codes of OpenAI's error file
CANCELLED = "batch_cancelled"
UNREADABLE = msgspec.DecodeError, UnicodeDecodeError, RecursionError  # raised by bytes that are not the JSON expected
_MAX_REASON_CHARS = 300  # characters


class OutcomeKind(Enum):
    """What became of one request of a batch."""

    ANSWERED = "answered"
    REFUSED = "refused"  # with a status, and what a provider says in place of an answer
    UNDONE = "undone"  # never carried out, so not billed
    UNKNOWN = "unknown"  # it may have been carried out and billed


@dataclass(frozen=True, slots=True)
class RequestOutcome:
    """What became of one request. `status` and `body` are those of its HTTP reply, where it had one."""

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


class _CustomId(msgspec.Struct):
    custom_id: str


_lines = msgspec.json.Decoder(_ResultLine)
_names = msgspec.json.Decoder(_CustomId)
_NAMED = re.compile(rb'"custom_id"\s*:\s*"([^"\\]{1,512})"')


def reconcile(
    requested: Collection[str] | None,
    output: Iterable[bytes],
    errors: Iterable[bytes],
    completed: int | None,
    ended: str = "completed",
) -> dict[str, RequestOutcome]:
    """The outcome of each request, by its custom_id.

    `requested` are the requests of the batch; None takes whichever the files name. `output` and `errors` are the lines
    of its two files, `completed` is how many requests the provider says it carried out, `ended` its last status.
    Of several lines for one request the first that holds an answer counts, else the first. A request with no line was
    not carried out if the provider's own count has no place for it; else nobody can say.
    """
    wanted = None if requested is None else frozenset(requested)
    outcomes: dict[str, RequestOutcome] = {}
    nameless = False
    for line in _each(output, errors):
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


def _each(output: Iterable[bytes], errors: Iterable[bytes]) -> Iterable[bytes]:
    for file in (output, errors):
        for line in file:
            if line.strip():
                yield line


def _read(line: bytes) -> tuple[str | None, RequestOutcome]:
    """A line's request, None where that is unknown, and what the line says of it."""
    try:
        read = _lines.decode(line)
    except UNREADABLE:
        return _name(line), RequestOutcome(
            OutcomeKind.UNKNOWN, reason="its line in the batch's results cannot be read"
        )
    error, response = read.error, read.response
    code = error.code if error is not None else None
    said = (error.message or error.code or "")[:_MAX_REASON_CHARS] if error is not None else ""
    if response is not None and 200 <= response.status_code < 300:
        return read.custom_id, RequestOutcome(OutcomeKind.ANSWERED, response.status_code, bytes(response.body))
    if code in {EXPIRED, CANCELLED}:
        return read.custom_id, RequestOutcome(OutcomeKind.UNDONE, reason=said)
    if response is None and error is None:
        return read.custom_id, RequestOutcome(
            OutcomeKind.UNKNOWN, reason="its line in the batch's results says nothing"
        )
    status, body = (response.status_code, bytes(response.body)) if response is not None else (0, b"")
    if body in {b"", b"null"}:
        body = msgspec.json.encode({"error": {"code": code, "message": said}})
    return read.custom_id, RequestOutcome(OutcomeKind.REFUSED, status, body, said)


def _name(line: bytes) -> str | None:
    """The request that an unreadable line is about, where at least that stands there."""
    try:
        return _names.decode(line).custom_id
    except UNREADABLE:
        found = _NAMED.search(line)
        return found[1].decode("utf-8", "replace") if found else None


def _gap(nameless: bool, undone: bool, ended: str) -> RequestOutcome:
    """What is said of a request that no line names."""
    if nameless:
        return RequestOutcome(
            OutcomeKind.UNKNOWN, reason="it is missing from the batch's results, of which a part cannot be read"
        )
    if undone:
        return RequestOutcome(
            OutcomeKind.UNDONE, reason=f"it is missing from the results of the batch, which is {ended}"
        )
    return RequestOutcome(
        OutcomeKind.UNKNOWN,
        reason=f"it is missing from the results of the batch, which is {ended} and counts it as done",
    )
