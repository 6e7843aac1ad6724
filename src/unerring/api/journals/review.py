"""Looking at the step that a run stopped at undecided, and deciding it: a choice, or other votes.

What a person decides is an entry of the journal like any other, and `resume` goes on from it. The chain is made again
only to show what was asked and to try the choice; where it cannot be made, all else works without it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unerring.adapters.sqlite.reader import JournalReader
from unerring.adapters.sqlite.writer import SqliteJournal
from unerring.api.budget import Budget, PriceTable, allowed
from unerring.api.journals.trust import note_begun
from unerring.api.journals.undecided import (
    Candidate,
    Parked,
    ParkedSample,
    UndecidedRun,
    candidates_of,
    error_text,
    nothing_parked,
    parked_step,
    undecided,
)
from unerring.api.resolve import sampler_for
from unerring.core.chain import Chain, advanced, check_of, flag_of
from unerring.core.journal.entries import Allowed, Entry
from unerring.core.journal.review_entries import Redrawn, Ruled
from unerring.core.reporting.report import status_of
from unerring.core.voting.canonical import Json, NotJson, canonical, parsed
from unerring.core.voting.step import OpenStep
from unerring.errors import InputError
from unerring.runtime.config import SystemClock
from unerring.runtime.ensemble import require_weighed, reserves_of, samplers_of

__all__ = ["Candidate", "Parked", "ParkedSample", "Recorded", "Review", "decide", "review"]


@dataclass(frozen=True, slots=True)
class Review:
    """The step that a run waits at for a person, if any.

    process: the name of the process.
    parameters: the process's parameters, as JSON data.
    status: whether the run is finished, or why it stopped, as in its report.
    steps: the number of decided steps.
    parked: the undecided step; None where there is none.
    note: what else there is to know, in one line.
    """

    process: str
    parameters: dict[str, Json]
    status: str
    steps: int
    parked: Parked | None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """A person's decision as it was put into the journal.

    step: the number of the step.
    choice: the choice made for it, as canonical JSON; None where its samples are to be drawn again.
    model: the model that draws them; None for the run's own.
    note: what could not be checked, in one line.
    """

    step: int
    choice: str | None = None
    model: str | None = None
    note: str | None = None


def review(journal: str | Path, chain: Chain | str | None = None, trust: bool = False) -> Review:
    """Look at the step that the run in a journal stopped at.

    The chain is made again from the journal; pass one that it cannot know, or the name of one. Of a journal that this
    user did not begin here, code that it names is imported with `trust` only. Raises as `unerring.report` does.
    """
    path = Path(journal)
    found = UndecidedRun(path, JournalReader(path).entries(), chain, trust)
    parked = parked_step(found)
    return Review(
        process=found.opened.process,
        parameters=found.opened.parameters,
        status=status_of(found.state),
        steps=found.state.committed,
        parked=parked,
        note=nothing_parked(found) if parked is None else found.problem,
    )


def decide(  # noqa: PLR0913, PLR0917  (what is decided, and how the chain is made again)
    journal: str | Path,
    choose: int | None = None,
    resample: bool = False,
    model: str | None = None,
    prices: PriceTable = None,
    chain: Chain | str | None = None,
    trust: bool = False,
    answer: Any = ...,
) -> Recorded:
    """Record what a person decided about the step that a run stopped at; `resume` goes on from there.

    Either `choose` is the number of the candidate that is taken; or `answer` is the choice itself, as JSON data; or
    with `resample` the samples are set aside and others drawn, from `model` if a specification is given, which is
    enough. `prices` are for a model that the budget of the run in dollars needs the price of. A choice is tried on
    the chain first, as far as that can be made again, and can be changed until the run goes on. A model can be changed
    also after it failed. `chain` and `trust` are those of `review`.

    Raises `InputError` where no step is undecided or the decision cannot be carried out, and `JournalBusy` where a
    runner has the journal. Nothing is written then.
    """
    if (choose is not None) + (answer is not ...) + (resample or model is not None) != 1:
        raise InputError(
            "decide one thing: take a candidate, give the answer, or have the samples drawn again, from another model "
            "or not"
        )
    path, now = Path(journal), SystemClock().time()
    writer, entries = SqliteJournal.reopen(path)
    try:
        found = UndecidedRun(path, entries, chain, trust)
        new: list[Entry]
        if choose is not None or answer is not ...:
            recorded = _ruling(found, choose) if choose is not None else _answering(found, answer)
            new = [Ruled(recorded.step, recorded.choice or "", now)]
        else:
            recorded = Recorded(_redrawable(found).step, model=model)
            paid = [] if model is None else _paying(found, model, prices)
            new = [Redrawn(recorded.step, now, model), *paid]
            if model is not None:
                note_begun(found.opened, model)
        for entry in new:
            found.state.apply(entry)
            writer.append(entry)
    finally:
        entries.close()
        writer.close()
    return recorded


def _ruling(found: UndecidedRun, choose: int) -> Recorded:
    """What is recorded where a candidate is taken."""
    step = undecided(found)
    if step is None:
        raise InputError(nothing_parked(found))
    candidates = {one.number: one.choice for one in candidates_of(found, step)}
    if choose not in candidates:
        have = f"has the candidates 1 to {len(candidates)}" if len(candidates) > 1 else "has one candidate, 1"
        raise InputError(f"step {step.step} {have if candidates else 'has no candidate'}; {choose} is none of them")
    choice = candidates[choose]
    try:
        parsed(choice)
    except (ValueError, RecursionError):
        raise InputError(
            f"candidate {choose} of step {step.step} is not JSON: a person has tampered with it"
        ) from None
    return _tried(found, step, choice, f"candidate {choose} of")


def _answering(found: UndecidedRun, answer: Any) -> Recorded:
    """What is recorded where a person gives the choice itself."""
    step = undecided(found)
    if step is None:
        raise InputError(nothing_parked(found))
    try:
        choice = canonical(answer)
    except NotJson as error:
        raise InputError(f"the answer is not JSON data: {error}") from None
    return _tried(found, step, choice, "the answer to")


def _tried(found: UndecidedRun, step: OpenStep, choice: str, what: str) -> Recorded:
    """A choice that the chain can go on with; raises `InputError` for another, named as `what` step."""
    if found.made is None:
        return Recorded(step.step, choice, note=f"the choice was not tried: {found.problem}")
    if (refusal := _refusal(found.made, found.at, choice, step.step)) is not None:
        raise InputError(f"{what} step {step.step} cannot be taken: {refusal}")
    return Recorded(step.step, choice)


def _refusal(chain: Chain, state: Json, choice: str, step: int) -> str | None:
    """Why a chain cannot go on with a choice; None where it can."""
    check = check_of(chain)
    try:
        flag = None if check is None else flag_of(check, state, parsed(choice), step)
    except Exception as error:  # the user's own code
        return f"the process's check failed: {error_text(error)}"
    if flag is not None:
        return f"the process's check rejects it: {flag}"
    try:
        canonical(advanced(chain, state, parsed(choice), step))
    except Exception as error:  # the user's own code
        return f"the process cannot advance with it: {error_text(error)}"
    return None


def _redrawable(found: UndecidedRun) -> OpenStep:
    """The step whose samples a person may have drawn again."""
    step = found.step
    if step is None or not (step.reviewed or step.parked):
        raise InputError(nothing_parked(found))
    return step


def _paying(found: UndecidedRun, model: str, prices: PriceTable) -> list[Entry]:
    """Look a substitute up; returns the entry with its prices, where the run needs to know these.

    Raises `InputError` where it could not answer in this run.
    """
    chain: Any = found.made  # without it all is known of a model that there is to be known here
    with sampler_for(model, chain, found.opened.seed) as sampler:
        every, account = samplers_of(sampler), found.state.account
        if reserves_of(sampler):
            raise InputError(f"{model} escalates hard steps further; name the model that is to answer this one")
        require_weighed(found.state.policy.rule, every)
        if not any(one.paid for one in every):
            return []
        entry = allowed(sampler, Budget(), prices, Allowed(account.limits, account.tariffs))
        return [] if entry is None else [entry]
