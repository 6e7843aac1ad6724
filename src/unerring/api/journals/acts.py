"""Settle a side effect of which it is not known whether it happened: a person says so, and the run can continue."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unerring.adapters.sqlite.writer import reopened
from unerring.api.journals.history import applied
from unerring.core.arguments import require_flag
from unerring.core.functions.points import Given, GivenKind, Point, undecided_outcome
from unerring.core.journal.decided_step import DecidedStep
from unerring.core.journal.entries import Entry, digest_of
from unerring.core.journal.function_entries import ActEnded, ActErred
from unerring.core.journal.state import RunState
from unerring.core.voting.canonical import NotJson, canonical
from unerring.errors import InputError
from unerring.runtime.config import SYSTEM_CLOCK

DID_NOT_HAPPEN = "a person says that it did not happen"


@dataclass(frozen=True, slots=True)
class PendingAct:
    """A side effect that was begun, and of which no end is known.

    step: the number of the step before which it stands.
    name: the name of its function.
    key: its idempotency key.
    once: whether it must not be run twice: then the run waits until a person says whether it happened.
    time: when it was begun, seconds since 1970.
    """

    step: int
    name: str
    key: str
    once: bool
    time: float


def pending_act(state: RunState) -> PendingAct | None:
    """The side effect of which no end is known; None where there is none."""
    begun = state.acts.pending
    return None if begun is None else PendingAct(begun.step, begun.name, begun.key, begun.once, begun.time)


def settle(journal: str | Path, happened: bool, result: Any = None) -> PendingAct:
    """Record whether the side effect that a run waits for happened; `resume` continues from there.

    One that may be repeated is run again by itself; saying what happened is of use where its code has changed.

    happened: whether it did; if not, it is run when the run continues, if its code still runs it.
    result: its result, JSON data, which the function is given if it did.

    Returns the side effect. Raises `InputError` where the run waits for none, and `JournalBusy` where a runner has the
    journal. Nothing is written then.
    """
    require_flag("happened", happened)
    if not happened and result is not None:
        raise InputError("a result is that of a side effect that happened")
    try:
        text = canonical(result)
    except NotJson as error:
        raise InputError(f"the result is not JSON data: {error}") from None
    path, now = Path(journal), SYSTEM_CLOCK.time()
    with reopened(path) as (writer, entries):
        state, point = _followed(path, entries)
        pending = pending_act(state)
        if pending is None:
            raise InputError(f"{path} waits for no side effect of which a person could say whether it happened")
        entry: Entry = ActErred(pending.step, DID_NOT_HAPPEN, now, by_person=True)
        if happened:
            after = point.after(Given(GivenKind.RESULT, text))
            entry = ActEnded(pending.step, text, digest_of(canonical(after.place)), now, by_person=True)
        state.apply(entry)
        writer.append(entry)
    return pending


def _followed(path: Path, entries: Iterable[Entry]) -> tuple[RunState, Point]:
    """The state of a run, and the point that its function is at, computed from the entries without its code."""
    state, point = RunState(), Point()
    for entry, decided, _ in applied(path, entries, state):
        outcome = _outcome_of(entry, decided)
        if outcome is not None:
            point = point.after(outcome)
    return state, point


def _outcome_of(entry: Entry, decided: DecidedStep | None) -> Given | None:
    """What the function was given by an entry; None for most entries."""
    if decided is not None:
        if decided.undecided is not None:
            return undecided_outcome(decided.step, decided.undecided, decided.tally)
        return Given(GivenKind.CHOICE, decided.choice)
    match entry:
        case ActEnded(result=result):
            return Given(GivenKind.RESULT, result)
        case ActErred(reason=reason, state=str()):
            return Given(GivenKind.FAILED, canonical(reason))
    return None
