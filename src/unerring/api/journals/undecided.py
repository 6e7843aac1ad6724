"""Read the undecided step that a run stopped at: candidates, samples and question.

The chain is made again from the journal only to try a choice, and to show what was asked where the journal has no text
of it. Where it cannot be made, all else works without it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from unerring.api.journals.compared_run import ComparedRun
from unerring.api.journals.trust import permission_for
from unerring.api.models import sampler_for
from unerring.core import user_code
from unerring.core.checked_chain import CheckedChain, GivenChain
from unerring.core.journal.decided_step import DecidedStep, votes_by_voter
from unerring.core.journal.entries import Entry, Opened
from unerring.core.journal.review_entries import Accepted
from unerring.core.voting.canonical import Json, parsed
from unerring.core.voting.race import LogOdds
from unerring.core.voting.sample import Message
from unerring.core.voting.step import OpenStep
from unerring.errors import UnerringError
from unerring.runtime.ensemble import wording_of


@dataclass(frozen=True, slots=True)
class Candidate:
    """A choice of an undecided step that had votes.

    number: its number among the rival choices, from 1.
    choice: the choice, as canonical JSON.
    votes: its votes.
    voters: its votes by voter.
    score: the sum of its votes' weights in nats, where votes are weighed.
    """

    number: int
    choice: str
    votes: int
    voters: dict[str, int]
    score: float | None = None


@dataclass(frozen=True, slots=True)
class ParkedSample:
    """A sample of an undecided step.

    number: its number within the step, from 0.
    voter: the name of the model that gave it.
    text: the model's text, in full.
    candidate: the number of the choice that it voted for; None where it was flagged.
    flag: why it was flagged, such as `malformed`; None for a vote.
    finish: why the model stopped writing.
    input_tokens: tokens read.
    output_tokens: tokens written.
    logprob: mean log-probability of its tokens in nats; None where the model does not say.
    reason: the red flag's own sentence; None for a vote, and in journals from before reasons were kept.
    """

    number: int
    voter: str
    text: str
    candidate: int | None
    flag: str | None
    finish: str
    input_tokens: int
    output_tokens: int
    logprob: float | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Parked:
    """A step that votes left undecided, or that the provider refused to answer.

    step: its number, from 0.
    rule: the name of the voting rule.
    votes: votes in all.
    flags: samples that were flagged.
    rounds: rounds of voting that it took.
    candidates: the rival choices, most votes first; they are numbered from 1.
    samples: its samples, votes and flagged ones, by number.
    prompts: what was asked, by the number of the wording: as journaled, else as the chain asks it; empty where
        unknown.
    set_aside: the number of samples that a person set aside to have others drawn.
    ruled: the choice that a person has made since, as canonical JSON; it takes effect once the run is resumed.
    prompts_now: what the chain asks today, by the number of the wording, where it differs.
    messages: the messages before the question, each with `role` and `content`: as journaled, else as the chain gives
        them; only the run's own where neither is known.
    refused: why the provider refused to answer, where it did; None where votes left the step undecided.
    messages_now: the messages before the question that the chain gives today, where they differ.
    """

    step: int
    rule: str
    votes: int
    flags: int
    rounds: int
    candidates: tuple[Candidate, ...]
    samples: tuple[ParkedSample, ...]
    prompts: dict[int, str]
    set_aside: int = 0
    ruled: str | None = None
    prompts_now: dict[int, str] = field(default_factory=dict)
    messages: tuple[dict[str, str], ...] = ()
    refused: str | None = None
    messages_now: tuple[dict[str, str], ...] | None = None


class UndecidedRun(ComparedRun):
    """A run at the step that it stopped at. Its chain is there only where it can be made and advanced so far.

    problem: why there is no chain; None where there is one.
    """

    def __init__(self, path: Path, entries: Iterable[Entry], given: GivenChain, trust: bool = False) -> None:
        super().__init__(path, given, trust)
        self.read(entries)
        if self.made is not None and self.changes:
            if given is not None:
                self.require_same()
            self._fail(f"{self.opened.process} has changed: {self.changes[0]}")

    def clear(self) -> None:
        """Forget the entries that were read."""
        super().clear()
        self.problem: str | None = None

    @property
    def step(self) -> OpenStep | None:
        """The voting on the next step to commit, if there is any."""
        return None if self.state.finished is not None else self.state.frontier

    def begin(self, opened: Opened) -> None:
        """Make the chain; where the journal's own cannot be made, continue without it."""
        try:
            super().begin(opened)
        except Exception as error:
            if self.given is not None:
                raise
            self._fail(error_text(error))

    def commit(self, decided: DecidedStep, choice: Json) -> None:
        """Advance the chain, and continue without it where its own code fails."""
        try:
            super().commit(decided, choice)
        except Exception as error:  # the user's own code
            self._fail(error_text(error))

    def accept(self, accepted: Accepted) -> None:
        """Compare the chain with an accepted change, and continue without it where its own code fails."""
        try:
            super().accept(accepted)
        except Exception as error:  # the user's own code
            self._fail(error_text(error))

    def _fail(self, why: str) -> None:
        self.made, self.at, self.problem = None, None, why


def error_text(error: Exception) -> str:
    """An error in a few words."""
    return str(error) if isinstance(error, UnerringError) else user_code.error_line(error)


def refusal_of(chain: CheckedChain, state: Json, choice: str, step: int) -> str | None:
    """Why a chain cannot continue with a choice; None where it can."""
    value = parsed(choice)
    try:
        subtask = chain.subtask(state, step)
    except Exception as error:  # the user's own code
        return f"the process cannot ask the step: {error_text(error)}"
    if value is None and subtask is not None and not subtask.nullable:
        return "null is no answer to this step; where it is one, say Subtask(nullable=True)"
    try:
        flag = None if chain.check is None else chain.check(state, value, step)
    except Exception as error:  # the user's own code
        return f"the process's check failed: {error_text(error)}"
    if flag is not None:
        return f"the process's check rejects it: {flag}"
    try:
        chain.digest(chain.advance(state, parsed(choice), step), step + 1)
    except Exception as error:  # the user's own code
        return f"the process cannot advance with it: {error_text(error)}"
    return None


def step_to_decide(run: UndecidedRun) -> OpenStep | None:
    """The step that a person may decide, whether or not it is decided yet.

    It is one that votes left undecided, or that the provider refused.
    """
    step = run.step
    return step if step is not None and (step.ruled is not None or step.parked) else None


def why_nothing_is_undecided(run: UndecidedRun) -> str:
    """Why there is no step to decide."""
    state, step = run.state, run.step
    if state.finished is not None:
        return f"no step of {run.path} is undecided: the run is finished"
    if step is not None and step.reviewed:
        by = "" if step.model is None else f" by {step.model}"
        return f"no step of {run.path} is undecided: step {step.step} is to be answered again{by}"
    still = "it stopped for another reason" if state.paused is not None else "it is running, or was killed"
    return f"no step of {run.path} is undecided: {still}, at step {state.committed}"


def undecided_step_of(run: UndecidedRun) -> Parked | None:
    """The undecided step with its candidates, samples and question; None where there is none."""
    step = step_to_decide(run)
    if step is None:
        return None
    samples = step.kept
    names = {number: voter.name for number, voter in run.state.voters.items()}
    candidates = candidates_of(run, step)
    numbers = {step.choices[one.choice]: one.number for one in candidates}
    asked = _question_texts(run, step, {names[reply.voter] for reply in samples})
    return Parked(
        step=step.step,
        rule=run.state.policy.rule.name,
        votes=step.race.votes,
        flags=step.flags,
        rounds=step.rounds,
        candidates=candidates,
        samples=tuple(
            ParkedSample(
                number=reply.slot,
                voter=names[reply.voter],
                text=step.text(reply.slot),
                candidate=None if reply.candidate is None else numbers[reply.candidate],
                flag=None if reply.flag is None else reply.flag.value,
                finish=reply.finish.value,
                input_tokens=reply.usage.input_tokens,
                output_tokens=reply.usage.output_tokens,
                logprob=reply.logprob,
                reason=reply.reason,
            )
            for reply in samples
        ),
        prompts=asked.prompts,
        set_aside=sum(slot < step.first for slot in step.replies),
        ruled=step.ruled,
        prompts_now=asked.now,
        messages=tuple(one._asdict() for one in asked.messages),
        messages_now=None if asked.messages_now is None else tuple(one._asdict() for one in asked.messages_now),
        refused=step.refused,
    )


def candidates_of(run: UndecidedRun, step: OpenStep) -> tuple[Candidate, ...]:
    """The choices that had votes, most votes first; of equal ones the one whose first vote was earlier."""
    weighed = isinstance(step.race.rule, LogOdds)
    return tuple(
        Candidate(
            number,
            step.choice(candidate),
            by_voter.total(),
            dict(by_voter.most_common()),
            step.race.scores[candidate] / 1000 if weighed else None,
        )
        for number, (candidate, by_voter) in enumerate(votes_by_voter(step.kept, run.state.voters).items(), 1)
    )


class _QuestionTexts(NamedTuple):
    """The question of a step.

    prompts: what was asked, by the number of the wording.
    now: what is asked today, where it differs.
    messages: the messages before the question.
    messages_now: the messages of today, where they differ.
    """

    prompts: dict[int, str]
    now: dict[int, str]
    messages: tuple[Message, ...]
    messages_now: tuple[Message, ...] | None = None


def _question_texts(run: UndecidedRun, step: OpenStep, voters: Iterable[str]) -> _QuestionTexts:
    """The question in the wordings that these voters were asked, in all wordings where there are no voters."""
    numbers = set(map(wording_of, voters))

    def numbered(wordings: tuple[str, ...]) -> dict[int, str]:
        return {number: text for number, text in enumerate(wordings, 1) if not numbers or number in numbers}

    kept, with_system = step.wordings, run.state.request.with_system_message
    before = with_system(step.messages or ())
    try:
        subtask = None if run.made is None else run.made.subtask(run.at, step.step)
        if run.made is None or subtask is None:
            return _QuestionTexts(numbered(kept or ()), {}, before)
        compact = _wants_compact(run, run.made, step.model)
        wordings = subtask.wordings(compact)
        own = subtask.messages_before(compact)
    except Exception as error:  # the user's own code
        run.problem = error_text(error)
        return _QuestionTexts(numbered(kept or ()), {}, before)
    same = kept is None or kept in {subtask.wordings(True), subtask.wordings(False)}
    unchanged = step.messages in {None, subtask.messages_before(True), subtask.messages_before(False)}
    messages = with_system(own if step.messages is None else step.messages)
    now = None if unchanged else with_system(own)
    return _QuestionTexts(numbered(kept or wordings), {} if same else numbered(wordings), messages, now)


def _wants_compact(run: UndecidedRun, chain: CheckedChain, model: str | None) -> bool:
    """Whether a model is asked in the fewest words; None is the run's own. False where it cannot be made again."""
    opened = run.opened
    permission = permission_for(run.path, opened, run.trust, model)
    try:
        with sampler_for(model or opened.model, chain, opened.seed, permission) as sampler:
            return sampler.compact
    except UnerringError:
        return False
