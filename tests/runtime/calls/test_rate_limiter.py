"""The rate limiter of an account: turns in order, pauses of all calls, and no lost turn when a call stops waiting."""

import asyncio
import re
from statistics import mean

import pytest

from metered import Bill, Metered
from unerring.core.voting.sample import Sample, Settings, Usage
from unerring.errors import FailureKind, Interrupted, ProviderBusy, ProviderDown, ProviderGone
from unerring.runtime.calls.patience import Patience
from unerring.runtime.calls.rate_limiter import RateLimiter
from unerring.runtime.calls.retry import Caller, CallRequest
from unerring.runtime.config import RunConfig, StopRequest
from virtual_time import LoopClock, NoAccounting, virtually

SETTINGS = Settings(1.0, 40, 1, 0, 0)


class Scripted(Metered):
    """An endpoint with a function of time that returns the error to raise, or None to answer."""

    def __init__(self, error_at, latency=0.1):
        super().__init__(Bill(), 0, 0.0, latency)
        self._error_at = error_at

    async def sample(self, prompt, settings, n):
        now = asyncio.get_running_loop().time()
        self.bill.times.append(now)
        failure = self._error_at(now)
        await asyncio.sleep(0.1)
        if failure is not None:
            raise failure
        return [Sample("a", Usage(1, 1), voter=self.name)] * n


def called(endpoint, calls, patience=None):
    """Outcomes of so many calls at once."""

    async def main():
        caller = Caller(RunConfig(clock=LoopClock(), patience=patience or Patience()))
        asked = CallRequest(endpoint, "?", SETTINGS, 1)
        each = (caller.call(asked, NoAccounting()) for _ in range(calls))
        return await asyncio.gather(*each, return_exceptions=True)

    return virtually(main())


@pytest.mark.parametrize("wait", [1.0, 61.0, 121.0, 700.0])
def test_nothing_is_sent_before_the_provider_allows_it(wait):
    """One refusal with Retry-After holds back all calls of the account, which are then spread over a fifth of it."""
    first = []

    def error_at(now):
        if first:
            return None
        first.append(now)
        return ProviderBusy("429", wait, FailureKind.RATE_LIMITED)

    endpoint = Scripted(error_at)
    outcomes = called(endpoint, 64)
    assert all(isinstance(outcome, list) for outcome in outcomes)
    early = [at for at in endpoint.bill.times if at <= 0.1]  # those that were in flight when it came
    later = [at for at in endpoint.bill.times if at > 0.1]
    assert len(early) <= 8
    assert min(later) >= 0.1 + wait
    assert max(later) - min(later) >= 0.1 * wait


def test_a_wait_beyond_all_patience_stops_with_the_reason():
    """With a patience of a quarter of an hour, a requested wait of an hour stops the run."""
    (outcome,) = called(Scripted(lambda now: ProviderBusy("429", 3600.0, FailureKind.RATE_LIMITED)), 1)
    assert isinstance(outcome, ProviderGone)
    assert "asks for 1 h more" in str(outcome)


def test_a_long_failure_is_shown_with_its_length():
    """A provider that failed for a minute is said to have failed so long."""
    said = str(called(Scripted(lambda now: ProviderBusy("503", None)), 1, Patience(total=60.0))[0])
    assert re.match(r"the provider failed for \d\d s without a break and the next wait is ", said)


def test_odd_waits_read_well():
    """An invalid wait asks for nothing; endless waits and short patience are shown in readable units."""
    shown = {
        wait: str(called(Scripted(lambda now, wait=wait: ProviderBusy("429", wait)), 1, Patience(total=0.5))[0])
        for wait in (-5.0, float("nan"), 1e300, float("inf"), 30)
    }
    wrong = {wait: said for wait, said in shown.items() if "beyond the run's patience of 0.5 s" not in said}
    wrong |= {wait: said for wait, said in shown.items() if ("asks for" in said) != (wait > 0)}
    wrong |= {wait: said for wait, said in shown.items() if wait > 0 and "provider failed and asks for" not in said}
    wrong |= {wait: shown[wait] for wait in (1e300, float("inf")) if "more than 32 years more" not in shown[wait]}
    assert not wrong


def test_long_waits_are_waited_for_with_enough_patience():
    """With a patience of two hours the call waits for the hour, and is answered."""
    endpoint = Scripted(lambda now: ProviderBusy("429", 3600.0, FailureKind.RATE_LIMITED) if now < 1 else None)
    (outcome,) = called(endpoint, 1, Patience(total=7200.0))
    assert isinstance(outcome, list)
    assert endpoint.bill.times[1] >= 3600.0


def test_an_outage_of_ten_minutes_is_survived_and_recovered_from():
    """During ten minutes of 503 few calls are made, and all are answered within a minute after it."""
    endpoint = Scripted(lambda now: ProviderBusy("503", None, FailureKind.OVERLOADED) if now < 600 else None)
    outcomes = called(endpoint, 256)
    assert all(isinstance(outcome, list) for outcome in outcomes)
    assert len([at for at in endpoint.bill.times if at < 600]) < 256 * 20
    assert max(endpoint.bill.times) < 600 + 75


def test_a_lasting_failure_is_not_tried_again():
    """No quota, no access or no such model is one call, and a stop with the reason."""
    for kind in (FailureKind.QUOTA, FailureKind.DENIED, FailureKind.INVALID):
        endpoint = Scripted(lambda now, kind=kind: ProviderDown(f"it said {kind.value}", kind))
        (outcome,) = called(endpoint, 1)
        assert isinstance(outcome, ProviderGone)
        assert kind.value in str(outcome)
        assert len(endpoint.bill.times) == 1


def test_a_stop_ends_the_wait_for_a_turn_and_for_a_pause():
    """Calls that wait for their turn or for a pause to end are interrupted once the run stops."""

    async def main():
        stop = StopRequest()
        caller = Caller(RunConfig(clock=LoopClock(), stop=stop))
        endpoint = Scripted(lambda now: ProviderBusy("429", 500.0, FailureKind.RATE_LIMITED))
        asked = CallRequest(endpoint, "?", SETTINGS, 1)
        calls = [asyncio.ensure_future(caller.call(asked, NoAccounting())) for _ in range(40)]
        await asyncio.sleep(1.0)
        stop.ask("enough")
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        return outcomes, asyncio.get_running_loop().time()

    outcomes, ended = virtually(main())
    assert all(isinstance(outcome, Interrupted) for outcome in outcomes)
    assert ended < 2.0


def test_the_turn_of_a_cancelled_call_goes_to_the_next():
    """A call cancelled while waiting, or just as its turn came, blocks no other call."""

    async def main():
        limiter = RateLimiter(LoopClock(), Patience(), 2, 2)
        held = [await limiter.enter(), await limiter.enter()]
        waiting = [asyncio.ensure_future(limiter.enter()) for _ in range(4)]
        await asyncio.sleep(0)
        waiting[1].cancel()
        limiter.leave(held[0])
        waiting[0].cancel()  # its turn has come, and it does not know yet
        await asyncio.sleep(0)
        limiter.leave(held[1])
        await asyncio.wait(waiting[2:])
        return [one.cancelled() for one in waiting], limiter.pacing.in_flight

    assert virtually(main()) == ([True, True, False, False], 2)


def test_calls_to_different_accounts_do_not_wait_for_each_other():
    """A refusal of one provider does not delay calls to another."""

    async def main():
        caller = Caller(RunConfig(clock=LoopClock()))
        busy, free = (
            Scripted(lambda now: ProviderBusy("429", 300.0, FailureKind.RATE_LIMITED)),
            Scripted(lambda now: None),
        )
        free.account = "another"
        waiting = asyncio.ensure_future(caller.call(CallRequest(busy, "?", SETTINGS, 1), NoAccounting()))
        await asyncio.sleep(1.0)
        await caller.call(CallRequest(free, "?", SETTINGS, 1), NoAccounting())
        waiting.cancel()
        return asyncio.get_running_loop().time()

    assert virtually(main()) < 2.0


def test_calls_to_a_server_that_queues_in_silence_end_up_few_at_a_time():
    """2,000 calls for an endpoint with 4 silent slots end up waiting here instead of there, at full throughput."""

    class Queueing(Scripted):
        """Answers four calls at once, one second each, and lets all others wait without a reply."""

        async def sample(self, prompt, settings, n):
            began = asyncio.get_running_loop().time()
            async with slots:
                await asyncio.sleep(1.0)
            latencies.append(asyncio.get_running_loop().time() - began)
            return [Sample("a", voter=self.name)]

    slots, latencies = asyncio.Semaphore(4), []

    async def main():
        caller, endpoint = Caller(RunConfig(clock=LoopClock()), 256), Queueing(None)
        await asyncio.gather(
            *(caller.call(CallRequest(endpoint, "?", SETTINGS, 1), NoAccounting()) for _ in range(2000))
        )
        return asyncio.get_running_loop().time()

    took = virtually(main())
    assert took <= 1.1 * 2000 / 4
    assert mean(latencies[1000:]) <= 2.0
