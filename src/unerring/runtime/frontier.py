"""The frontier: the end of the committed chain, the question there, and the commit of its verdict."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from unerring.core.checked_chain import CheckedChain
from unerring.core.journal.entries import Committed, Finished, Paused, Shortlisted
from unerring.core.journal.function_entries import ActBegun, ActEnded, ActErred, Conceded
from unerring.core.journal.state import RunState
from unerring.core.reporting.summary import counted
from unerring.core.user_code import error_line
from unerring.core.voting.canonical import Json, parsed
from unerring.core.voting.flag_limit import FlaggedSample, explanation_of
from unerring.core.voting.race import LogOdds, Undecided, Won
from unerring.core.voting.redflag import FLAGS_OF_TEXT
from unerring.core.voting.step import OpenStep
from unerring.errors import BEYOND_LENGTH, Interrupted, JournalError, StepLimit, StepUndecided, Stopped
from unerring.runtime.calls.failure_notices import name_last_failure
from unerring.runtime.calls.ledger import Ledger
from unerring.runtime.config import RunConfig
from unerring.runtime.question import Question, question_of
from unerring.runtime.sampling import Sampling

MAX_UNCHANGED_STEPS = 100  # in a row that leave the state as it was, before a warning

log = logging.getLogger("unerring")


class Frontier:
    """The end of the committed chain. Only `commit` moves it, one step at a time and in order."""

    def __init__(self, chain: CheckedChain, ledger: Ledger, at: Json, config: RunConfig) -> None:
        self.chain = chain
        self.at = at
        self.config = config
        self._ledger = ledger
        first, most = ledger.state.committed, config.max_steps
        self._asked_end = None if most is None else first + most
        self._length = length = chain.length()
        if length is None:
            self._end = self._asked_end
        elif first < length:
            self._end = length if self._asked_end is None else min(self._asked_end, length)
        else:  # beyond its length a chain takes only as many steps as `max_steps` asks for
            self._end = first if self._asked_end is None else self._asked_end
        self._unchanged = 0

    @property
    def run_state(self) -> RunState:
        return self._ledger.state

    @property
    def left(self) -> int | None:
        """Steps that this session may still commit; None for no limit."""
        return None if self._end is None else self._end - self.run_state.committed

    def question(self) -> Question | None:
        """The question of the next step; None at the chain's end.

        Raises `StepLimit`, and `WrongReturn` where the chain ends before `length()` steps.
        """
        question = question_of(
            self.chain, self.run_state, self.run_state.committed, self.at, self.run_state.last_digest
        )
        if question is None:
            self.chain.require_end(self.run_state.committed, self._length)
        elif self.left == 0:
            if self.run_state.committed == self._asked_end:
                steps = counted(self.config.max_steps or 0, "step")
                raise StepLimit(f"stopped after {steps}, as `max_steps` asks")
            raise self._beyond_length()
        return question

    def _beyond_length(self) -> StepLimit:
        """The error of a run that is not at its end after `length()` steps."""
        done, length = self.run_state.committed, self._length
        error = StepLimit(
            f"did {done:,} steps, and is not at its end after the {length:,} that its process says it has: a step was "
            "decided wrongly, or its length() is too small"
        )
        error.kind = BEYOND_LENGTH
        return error

    def commit(self, step: OpenStep, choice: str) -> None:
        """Commit a step's choice: it becomes part of the chain."""
        self.commit_to(step, *state_after(self.chain, self.at, choice, step.step))

    def commit_to(self, step: OpenStep, state: Json, digest: str) -> None:
        """Commit a step whose next state is known already."""
        self._watch_for_change(state, digest)
        self._move(Committed(step.step, digest), state)

    def _move(self, entry: Committed | Conceded, state: Json) -> None:
        """Record the end of a step, and move on to the state that it leads to."""
        decided = self._ledger.record(entry)
        self.at = state
        if self.config.observer is not None and decided is not None:
            self.config.observer.decided(decided, self.run_state)

    def _watch_for_change(self, state: Json, digest: str) -> None:
        """Warn once MAX_UNCHANGED_STEPS in a row left the state as it was: such a chain never ends."""
        if digest != self.run_state.last_digest or state != self.at:
            self._unchanged = 0
            return
        self._unchanged += 1
        if self._unchanged == MAX_UNCHANGED_STEPS:
            show = self.config.notice or log.warning
            show(f"the state has not changed for {MAX_UNCHANGED_STEPS} steps: does advance() return the new one?")

    def conceded(self, step: OpenStep, error: StepUndecided) -> bool:
        """Whether a function process continues after an undecided step; records that, and moves on."""
        function = self.chain.function
        state = None if function is None else function.undecided(self.at, error)
        if state is None:
            return False
        digest = self.chain.digest(state, step.step + 1)
        self._move(Conceded(step.step, error.reason, digest), state)
        return True

    async def record_act(self, entry: ActBegun | ActEnded | ActErred) -> None:
        """Record the beginning or the end of a side effect; returns once that is durable."""
        self._ledger.record(entry)
        await self._ledger.journal.commit()

    def shortlist(self, question: Question) -> bool:
        """Whether an open step is given a shortlist of its choices now; records that. See `Subtask.shortlist`."""
        step, after_votes = question.step, question.subtask.shortlist
        if after_votes is None or isinstance(step.verdict, Won) or len(step.race.tally) < 2:
            return False
        if step.race.votes < after_votes and not isinstance(step.verdict, Undecided):
            return False
        self._ledger.record(Shortlisted(step.step))
        return True

    def finish(self, latency: float | None) -> None:
        """Record that the chain is at its end."""
        self._ledger.record(Finished(self.run_state.committed, self.config.clock.time(), latency))


@asynccontextmanager
async def pausing(ledger: Ledger, config: RunConfig, sampling: Sampling) -> AsyncIterator[None]:
    """Record why a session stops where an error ends it, and pass the error on once the journal is durable."""
    try:
        yield
    except JournalError:
        raise
    except BaseException as error:
        name_last_failure(error, config.stop)
        if ledger.state.finished is None:
            ledger.record(_paused_by(error, config, sampling.latency))
        await ledger.journal.commit()
        raise


def _paused_by(error: BaseException, config: RunConfig, latency: float | None) -> Paused:
    time = config.clock.time()
    if isinstance(error, asyncio.CancelledError | KeyboardInterrupt):
        return Paused(Interrupted.kind, config.stop.reason or "cancelled", time, latency)
    if isinstance(error, Stopped):
        return Paused(error.kind, str(error), time, latency)
    return Paused("error", error_line(error), time, latency)


def state_after(chain: CheckedChain, state: Json, choice: str, step: int) -> tuple[Json, str]:
    """The state that a choice leads to, and the digest of the step after it."""
    following = chain.advance(state, parsed(choice), step)
    return following, chain.digest(following, step + 1)


def undecided_error(step: OpenStep) -> StepUndecided:
    """The error that stops a run at a step that met a cap."""
    race = step.race
    counts = tuple(sorted(race.tally.values(), reverse=True))
    tally = "-".join(map(str, counts)) or "none"
    if isinstance(race.rule, LogOdds):  # with weights, votes alone do not show how far it was from a win
        tally += f", a lead of {race.margin / 1000:g} nats where {race.rule.name} wins"
    message = f"step {step.step} is undecided after {race.votes} votes ({tally}) and {step.flags} flagged samples"
    if not race.votes:
        why = explanation_of(_flagged(step), step.policy.flags.max_output_tokens)
        message += f": {why}" if why else ""
    error = StepUndecided(message, step.step, counts)
    error.unread = not race.votes and all(one.kind in FLAGS_OF_TEXT for one in _flagged(step))
    by_votes, policy = isinstance(race.verdict, Undecided), step.policy
    if by_votes:
        error.larger = "vote_cap", 2 * policy.vote_cap
    elif not error.unread:  # a parser that refused all answers so far would refuse twice as many
        error.larger = "flag_cap", 2 * policy.flag_cap
    return error


def _flagged(step: OpenStep) -> Iterator[FlaggedSample]:
    """The flagged samples of a step, with their reasons."""
    for slot, reply in step.replies.items():
        if slot >= step.first and reply.flag is not None:
            yield FlaggedSample(reply.flag, reply.reason or reply.flag.value, step.text(slot))
