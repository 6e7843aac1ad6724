"""Review the undecided step that a run stopped at, and record a person's decision: a choice, or other samples.

A decision is an entry of the journal, and `resume` continues from it. The chain is made again only to show what was
asked and to try the choice; where it cannot be made, all else works without it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unerring.adapters.sqlite.reader import JournalReader
from unerring.adapters.sqlite.writer import reopened
from unerring.api.budget import Budget, PriceTable, allowance
from unerring.api.journals.acts import PendingAct, pending_act
from unerring.api.journals.trust import note_begun
from unerring.api.journals.undecided import (
    Candidate,
    Parked,
    ParkedSample,
    UndecidedRun,
    candidates_of,
    refusal_of,
    step_to_decide,
    undecided_step_of,
    why_nothing_is_undecided,
)
from unerring.api.models import sampler_for
from unerring.core.arguments import require_path
from unerring.core.functions.function_chain import GivenProcess
from unerring.core.journal.entries import Allowed, Entry
from unerring.core.journal.review_entries import Redrawn, Ruled
from unerring.core.reporting.report import status_of
from unerring.core.voting.canonical import Json, NotJson, canonical, parsed
from unerring.core.voting.step import OpenStep
from unerring.errors import InputError
from unerring.runtime.config import SYSTEM_CLOCK
from unerring.runtime.ensemble import require_weighed, reserves_of, samplers_of
from unerring.runtime.protocols import Clock

__all__ = ["Candidate", "Parked", "ParkedSample", "Recorded", "Review", "decide", "review"]


@dataclass(frozen=True, slots=True)
class Review:
    """The state of a run, and the undecided step that it waits at, if any.

    process: the name of the process.
    parameters: the process's parameters, as JSON data.
    status: whether the run is finished, or why it stopped, as in its report.
    steps: the number of decided steps.
    parked: the undecided step; None where there is none.
    note: why there is no undecided step, or no chain to try a choice with; one line.
    act: the side effect of which no end is known; None where there is none.
    """

    process: str
    parameters: dict[str, Json]
    status: str
    steps: int
    parked: Parked | None
    note: str | None = None
    act: PendingAct | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """A person's decision as the journal has it.

    step: the number of the step.
    choice: the choice made for it, as canonical JSON; None where its samples are to be drawn again.
    model: the model that draws them; None for the run's own.
    note: what could not be checked, in one line.
    """

    step: int
    choice: str | None = None
    model: str | None = None
    note: str | None = None


def review(journal: str | Path, chain: GivenProcess = None, trust: bool = False) -> Review:
    """Show the undecided step that the run in a journal stopped at.

    The chain is made again from the journal; pass a chain, or its name, where that cannot be. Code that a journal of
    another person names is imported only with `trust`. Raises like `unerring.report`.
    """
    require_path("journal", journal)
    path = Path(journal)
    run = UndecidedRun(path, JournalReader(path).entries(), chain, trust)
    parked = undecided_step_of(run)
    return Review(
        process=run.opened.process,
        parameters=run.state.parameters,
        status=status_of(run.state),
        steps=run.state.committed,
        parked=parked,
        note=why_nothing_is_undecided(run) if parked is None else run.problem,
        act=pending_act(run.state),
    )


def decide(  # noqa: PLR0913, PLR0917  (what is decided, and how the chain is made again)
    journal: str | Path,
    choose: int | None = None,
    resample: bool = False,
    model: str | None = None,
    prices: PriceTable = None,
    chain: GivenProcess = None,
    trust: bool = False,
    answer: Any = ...,
    clock: Clock = SYSTEM_CLOCK,
) -> Recorded:
    """Record a person's decision about the undecided step of a run; `resume` continues from there.

    choose: the number of the candidate that is taken.
    resample: whether the samples are set aside and others drawn.
    model: the specification of the model that draws them; it implies `resample`, and can be changed after it failed.
    prices: of that model, where the run's budget is in dollars.
    chain: as for `review`. A choice is tried on it first, where it can be made.
    trust: as for `review`.
    answer: the choice itself, as JSON data.
    clock: tells when it was decided.

    Give one of `choose`, `answer`, and `resample` or `model`. A choice can be changed until the run continues.

    Raises `InputError` where no step is undecided or the decision cannot be carried out, and `JournalBusy` where a
    runner has the journal. Nothing is written then.
    """
    if (choose is not None) + (answer is not ...) + (resample or model is not None) != 1:
        raise InputError("give one of: a candidate to choose, an answer, or resample (with or without another model)")
    require_path("journal", journal)
    path, now = Path(journal), clock.time()
    with reopened(path) as (writer, entries):
        run = UndecidedRun(path, entries, chain, trust)
        new: list[Entry]
        if choose is not None or answer is not ...:
            if (step := step_to_decide(run)) is None:
                raise InputError(why_nothing_is_undecided(run))
            recorded = _candidate_taken(run, step, choose) if choose is not None else _answer_given(run, step, answer)
            new = [Ruled(recorded.step, recorded.choice or "", now)]
        else:
            if (step := run.step) is None or not (step.reviewed or step.parked):
                raise InputError(why_nothing_is_undecided(run))
            recorded = Recorded(step.step, model=model)
            paid = [] if model is None else _prices_of_substitute(run, model, prices)
            new = [Redrawn(recorded.step, now, model), *paid]
            if model is not None:
                note_begun(run.opened, model)
        for entry in new:
            run.state.apply(entry)
            writer.append(entry)
    return recorded


def _candidate_taken(run: UndecidedRun, step: OpenStep, choose: int) -> Recorded:
    """The decision for a candidate."""
    candidates = {one.number: one.choice for one in candidates_of(run, step)}
    if choose not in candidates:
        have = f"has the candidates 1 to {len(candidates)}" if len(candidates) > 1 else "has one candidate, 1"
        raise InputError(f"step {step.step} {have if candidates else 'has no candidate'}; {choose} is none of them")
    choice = candidates[choose]
    try:
        parsed(choice)
    except (ValueError, RecursionError):
        raise InputError(
            f"candidate {choose} of step {step.step} is not JSON: the journal was changed by hand"
        ) from None
    return _checked_choice(run, step, choice, f"candidate {choose} of")


def _answer_given(run: UndecidedRun, step: OpenStep, answer: Any) -> Recorded:
    """The decision for a choice that a person gives."""
    try:
        choice = canonical(answer)
    except NotJson as error:
        raise InputError(f"the answer is not JSON data: {error}") from None
    return _checked_choice(run, step, choice, "the answer to")


def _checked_choice(run: UndecidedRun, step: OpenStep, choice: str, what: str) -> Recorded:
    """The decision for a choice that the chain accepts; raises `InputError`, naming `what` step, for others."""
    if run.made is None:
        return Recorded(step.step, choice, note=f"the choice was not tried, and is tried on resuming: {run.problem}")
    if (refusal := refusal_of(run.made, run.at, choice, step.step)) is not None:
        raise InputError(f"{what} step {step.step} cannot be taken: {refusal}")
    return Recorded(step.step, choice)


def _prices_of_substitute(run: UndecidedRun, model: str, prices: PriceTable) -> list[Allowed]:
    """The entry with the prices of a substitute model, where the run needs them.

    Raises `InputError` where the model could not answer in this run.
    """
    with sampler_for(model, run.made, run.opened.seed) as sampler:
        every, account = samplers_of(sampler), run.state.account
        if reserves_of(sampler):
            raise InputError(f"{model} escalates hard steps further; name the model that is to answer this step")
        require_weighed(run.state.policy.rule, every)
        if not any(one.paid for one in every):
            return []
        return allowance(sampler, Budget(), prices, Allowed(account.limits, account.tariffs))
