"""What stops a run from outside: a request to stop, a cancellation, a provider's lasting failure."""

import asyncio

import pytest

from chain_runs import K2, K3, Answers, Words, arun, resume, run
from unerring.core.journal.entries import Cancelled, Committed
from unerring.core.voting.policy import Policy
from unerring.core.voting.race import AheadBy
from unerring.errors import Interrupted, ProviderBusy, ProviderDown, ProviderGone
from unerring.runtime.config import StopRequest
from unerring.testing import FakeClock, ScriptedSampler


def test_a_stop_request_receives_the_samples_in_flight():
    """After a request to stop, samples in flight are recorded, the run pauses, and raises Interrupted."""
    stop = StopRequest()

    async def answer(slot, n):
        stop.ask("stopped by SIGINT")
        return ["a" if slot == 0 else "b"] * n

    sampler = Answers(answer)
    outcome = run(Words(3), sampler, K3, stop=stop)
    assert isinstance(outcome.error, Interrupted)
    assert outcome.votes == [(0, 0), (0, 1), (0, 2)]
    assert (outcome.paused.kind, outcome.paused.reason) == ("interrupted", "stopped by SIGINT")
    assert len(sampler.calls) == 2


def test_a_step_that_is_won_while_stopping_is_committed():
    """Samples recorded after a stop request count: the step they decide is committed."""
    stop = StopRequest()

    async def answer(slot, n):
        stop.ask("enough")
        return ["a"] * n

    outcome = run(Words(3), Answers(answer), K2, stop=stop)
    assert isinstance(outcome.error, Interrupted)
    assert [entry.step for entry in outcome.of(Committed)] == [0]


def test_a_stop_in_the_last_step_finishes_the_run():
    """If the samples in flight decide the last step, the run is finished."""
    stop = StopRequest()

    async def answer(slot, n):
        stop.ask("enough")
        return ["a"] * n

    assert run(Words(1), Answers(answer), K2, stop=stop).at == ["a"]


def test_a_stop_request_ends_the_wait_for_a_provider():
    """A run that is to stop while its provider is away sends no further call, and says that it was interrupted."""
    stop = StopRequest()

    async def answer(slot, n):
        stop.ask("stopped by SIGINT")
        raise ProviderBusy("overloaded")

    sampler = Answers(answer, paid=True)
    outcome = run(Words(1), sampler, Policy(rule=AheadBy(1)), stop=stop)
    assert isinstance(outcome.error, Interrupted)
    assert len(sampler.calls) == 1


def test_a_stop_request_ends_a_wait_in_progress():
    """A run that is to stop during a long wait does not wait for its end."""
    stop = StopRequest()

    class Endless(FakeClock):
        async def sleep(self, seconds):
            stop.ask("stopped by SIGTERM")
            await asyncio.Event().wait()

    async def answer(slot, n):
        raise ProviderBusy("overloaded")

    async def bounded():
        async with asyncio.timeout(10):
            return await arun(Words(1), Answers(answer), K2, clock=Endless(), stop=stop)

    said = str(asyncio.run(bounded()).error)
    assert said == "stopped by SIGTERM; the last failure: answers: overloaded"


def test_a_stop_request_during_a_failure_receives_the_other_call():
    """If one call of a round waits for its provider, a stop request still records the samples of the other."""
    stop = StopRequest()

    async def answer(slot, n):
        if slot == 0:
            stop.ask("enough")
            raise ProviderBusy("overloaded")
        for _ in range(5):
            await asyncio.sleep(0)
        return ["a"] * n

    outcome = run(Words(1), Answers(answer, paid=True), K3, stop=stop)
    assert isinstance(outcome.error, Interrupted)
    assert outcome.votes == [(0, 1), (0, 2)]


def test_the_first_reason_to_stop_is_kept():
    """A second request does not replace the reason of the first."""
    stop = StopRequest()
    stop.ask("first")
    stop.ask("second")
    assert str(run(Words(1), ScriptedSampler([]), stop=stop).error) == "first"


@pytest.mark.parametrize("paid", [True, False])
def test_cancelling_leaves_a_journal_that_can_be_resumed(paid):
    """A cancelled run notes it, passes the cancellation on, and can be resumed."""

    async def cancelled():
        asked = asyncio.Event()

        async def answer(slot, n):
            if len(sampler.calls) > 2:
                asked.set()
                await asyncio.Event().wait()
            return ["a"] * n

        sampler = Answers(answer, paid)
        task = asyncio.create_task(arun(Words(3), sampler, K2))
        await asked.wait()
        task.cancel()
        return await task

    outcome = asyncio.run(cancelled())
    assert isinstance(outcome.error, asyncio.CancelledError)
    assert outcome.paused.kind == "interrupted"
    assert outcome.state.committed == 1
    assert len(outcome.of(Cancelled)) == (2 if paid else 0)
    rest = resume(Words(3), ScriptedSampler(["a", "a"], paid), outcome.entries)
    assert rest.at == ["a", "a", "a"]
    assert rest.state.calls.unknown == (2 if paid else 0)


def test_a_lasting_failure_of_the_provider_keeps_the_state():
    """ProviderDown ends the run as ProviderGone with the reason, and decided steps are kept."""
    script = {0: ["a", "a"], 1: [ProviderDown("no quota left")]}
    outcome = run(Words(2), ScriptedSampler(script))
    assert isinstance(outcome.error, ProviderGone)
    assert "no quota left" in str(outcome.error)
    assert outcome.paused.kind == "provider"
    assert resume(Words(2), ScriptedSampler(["b", "b"]), outcome.entries).at == ["a", "b"]
