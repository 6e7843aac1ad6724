"""The chain runner: one step after the other, each decided by a race, committed, journaled, and carried forward.

Steps are opened by number in the run's state and committed strictly in order; nothing here assumes that only
one is open at a time except `run_chain` itself, which opens the next one after it committed the last.
"""

import asyncio

from unerring.core.entries import Committed, Finished, Paused, digest_of
from unerring.core.process import Chain, Subtask
from unerring.core.race import Continue, Undecided, Won
from unerring.core.replay import OpenStep, RunState
from unerring.core.vote import Json, canonical, parsed
from unerring.errors import Interrupted, JournalError, StepLimit, StepUndecided, Stopped
from unerring.runtime.limits import Surroundings
from unerring.runtime.ports import Journal, Sampler
from unerring.runtime.sampling import Ledger, Sampling


async def run_chain(
    chain: Chain, sampler: Sampler, journal: Journal, folded: RunState, at: Json, around: Surroundings
) -> Json:
    """Run a chain from the state `at`, where the journal folded so far stands, to its end.

    Returns the chain's last state. Raises `Stopped` where the run stops short, with everything decided so far in
    the journal; whatever a user's own code raises is passed on, after the journal is made safe.
    """
    runner = _Runner(chain, sampler, Ledger(folded, journal), around)
    try:
        return await runner.run(at)
    except JournalError:
        raise
    except BaseException as error:
        runner.pause(error)
        await journal.commit()
        raise


class _Runner:
    def __init__(self, chain: Chain, sampler: Sampler, ledger: Ledger, around: Surroundings) -> None:
        self._chain = chain
        self._ledger = ledger
        self._around = around
        self._sampling = Sampling(chain, sampler, ledger, around)

    async def run(self, at: Json) -> Json:
        folded = self._ledger.state
        first = folded.committed
        while (subtask := self._chain.subtask(at)) is not None:
            if self._around.max_steps is not None and folded.committed - first >= self._around.max_steps:
                raise StepLimit(f"did the {self._around.max_steps} steps it was asked to")
            if not isinstance(subtask, Subtask):
                raise TypeError(f"subtask() returns a Subtask, or None at the end, not {subtask!r}")
            step = folded.step(folded.committed)
            choice = await self.decide(step, subtask, at)
            at = self.commit(step.step, at, choice)
            await asyncio.sleep(0)  # instant samplers never wait, and the loop has signals to hear
        self._ledger.record(Finished(folded.committed, self._around.clock.time()))
        await self._ledger.journal.commit()
        return at

    async def decide(self, step: OpenStep, subtask: Subtask, state: Json) -> Json:
        """Draw samples until the step is won; raises `StepUndecided` at its caps."""
        while True:
            match step.verdict:
                case Won(candidate):
                    return parsed(step.choice(candidate))
                case Undecided(votes):
                    raise StepUndecided(_undecided(step, votes))
                case Continue():
                    if self._around.stop.reason is not None:
                        raise Interrupted(self._around.stop.reason)
                    await self._sampling.draw(step, subtask, state)

    def commit(self, step: int, state: Json, choice: Json) -> Json:
        """Make the step's verdict part of the chain; returns the state it leads to."""
        after = self._chain.advance(state, choice)
        decided = self._ledger.record(Committed(step, digest_of(canonical(after))))
        if self._around.observer is not None and decided is not None:
            self._around.observer.decided(decided, self._ledger.state)
        return after

    def pause(self, error: BaseException) -> None:
        """Note in the journal why the run stops."""
        if self._ledger.state.finished is not None:
            return
        if isinstance(error, asyncio.CancelledError | KeyboardInterrupt):
            kind, reason = Interrupted.kind, "cancelled"
        elif isinstance(error, Stopped):
            kind, reason = error.kind, str(error)
        else:
            kind, reason = "error", f"{type(error).__name__}: {error}"
        self._ledger.record(Paused(kind, reason, self._around.clock.time()))


def _undecided(step: OpenStep, votes: int) -> str:
    tally = "-".join(str(count) for count in sorted(step.race.tally.values(), reverse=True)) or "none"
    return f"step {step.step} is undecided after {votes} votes ({tally}) and {step.flags} flagged samples"
