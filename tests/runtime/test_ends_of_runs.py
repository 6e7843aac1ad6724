"""Whatever ends a run: nothing is paid for again meanwhile, nothing of it is left in the user's loop, and an end that
was journaled stays the end."""

import asyncio

from chain_runs import K2, K3, Words, arun
from metered import Bill, Metered
from replay import replay
from tables import each
from unerring.core.journal.entries import Finished, Paused
from unerring.core.voting.sample import Sample, Settings, Usage
from unerring.errors import FailureKind, Interrupted, ProviderBusy, ProviderDown, ProviderGone
from unerring.runtime import sampling
from unerring.runtime.calls.patience import Patience
from unerring.runtime.calls.rate_limiter import RateLimiter
from unerring.runtime.calls.retry import Caller, CallRequest
from unerring.runtime.config import RunConfig, StopRequest, unless_stopped
from unerring.testing import MemoryJournal, ScriptedSampler
from virtual_time import RIGHT, LoopClock, NoAccounting, Says, Slow, always_a, until, virtually

SETTINGS = Settings(1.0, 40, 1, 0, 0)


def left_over():
    """Tasks on the running loop other than this one, after each had a turn to end."""
    return asyncio.all_tasks() - {asyncio.current_task()}


# --- paid calls while a run stops


def broken(text):
    raise RuntimeError("a bug of the user's own")


@each(
    "reason",
    ["a stop was asked for", "the user's own code failed", "the provider is gone", "the journal broke"],
)
@each(
    ("kind", "wait"),
    [
        (FailureKind.TRANSIENT, None),
        (FailureKind.OVERLOADED, None),
        (FailureKind.RATE_LIMITED, None),
        (FailureKind.RATE_LIMITED, 0.0),  # it may be tried again at once
        (FailureKind.TRANSIENT, 0.0),
    ],
)
def test_no_paid_call_is_tried_again_while_a_run_stops(reason, kind, wait):
    """Calls that fail after a run has begun to stop are settled, and not retried."""
    stop, journal = StopRequest(), Breaking()
    patience = Patience(first=1.0 if wait is None else 0.0, total=10_000.0)

    def answer(prompt, step, slot):
        if step < 20:
            return "a"
        if step == 20:  # where it ends, at 0.30 s after its call
            return ProviderDown("no quota") if reason == "the provider is gone" else "b"
        return ProviderBusy("busy", wait, kind)

    class Bugged(Words):
        def subtask(self, state):
            asked = super().subtask(state)
            buggy = reason == "the user's own code failed" and len(state) == 20
            return type(asked)(asked.prompt, broken) if buggy else asked

    ended_at = []

    def latency(prompt, of):
        return 0.05 if of.step < 20 else 0.3 if of.step == 20 else 0.5

    class Watched(Slow):
        async def sample(self, prompt, settings, n):
            if settings.step > 20:
                ended_at.append(asyncio.get_running_loop().time())
            try:
                return await super().sample(prompt, settings, n)
            finally:
                if settings.step == 20 and reason == "a stop was asked for":
                    stop.ask("enough")
                if settings.step == 20 and reason == "the journal broke":
                    journal.broken = True

    sampler = Watched(Says(answer), latency, paid=True)

    async def main():
        outcome = await arun(
            *(Bugged(60), sampler, K3, journal),
            **{"clock": LoopClock(), "speculation": RIGHT, "stop": stop, "patience": patience},
        )
        return outcome, asyncio.get_running_loop().time(), left_over()

    outcome, time, left = virtually(main())
    assert outcome.error is not None
    began = next(at for at in ended_at)
    assert max(ended_at) < began + 0.3, "a call was sent after the run had begun to stop"
    assert time < began + 1.0
    assert not left


class Breaking(MemoryJournal):
    """A journal that cannot be written to from some moment on."""

    broken = False

    async def commit(self):
        if self.broken:
            from unerring.errors import JournalError

            raise JournalError("the disk is full")


# --- the last commit


class Held(MemoryJournal):
    """A journal whose commit of the end of a run waits until the test releases it."""

    def __init__(self):
        super().__init__()
        self.at_the_end, self.let_on = asyncio.Event(), asyncio.Event()

    async def commit(self):
        if any(isinstance(entry, Finished) for entry in self.entries()) and not self.at_the_end.is_set():
            self.at_the_end.set()
            await self.let_on.wait()


@each("speculation", [None, RIGHT], ids=lambda one: "ahead" if one else "one by one")
def test_a_run_that_is_cancelled_while_its_end_is_committed_is_finished_and_not_paused(speculation):
    """The cancellation is passed on, and the journal reads as finished, since nothing can follow the end."""

    async def main():
        journal = Held()
        run = asyncio.ensure_future(arun(Words(3), ScriptedSampler(["a"] * 60), K2, journal, speculation=speculation))
        await journal.at_the_end.wait()
        run.cancel()
        outcome = await run  # the helper keeps the cancellation as the run's error
        return outcome, left_over()

    outcome, left = asyncio.run(main())
    assert isinstance(outcome.error, asyncio.CancelledError)
    assert isinstance(outcome.entries[-1], Finished)
    assert outcome.of(Paused) == []
    assert replay(outcome.entries).finished == outcome.entries[-1]
    assert not left


# --- back-pressure


class Slack(MemoryJournal):
    """A journal that makes entries durable only if a caller waits for it."""

    def __init__(self):
        super().__init__()
        self.durable, self.most = 0, 0

    @property
    def pending(self):
        return len(self._entries) - self.durable

    def append(self, entry):
        super().append(entry)
        self.most = max(self.most, self.pending)

    async def commit(self):
        await asyncio.sleep(0)
        self.durable = len(self._entries)


@each("speculation", [None, RIGHT], ids=lambda one: "ahead" if one else "one by one")
def test_an_instant_sampler_waits_for_the_disk(monkeypatch, speculation):
    """Samples that come faster than they can be made durable do not accumulate in memory without a bound."""
    monkeypatch.setattr(sampling, "MAX_PENDING_ENTRIES", 40)
    journal = Slack()
    outcome = asyncio.run(arun(Words(400), Says(always_a), K2, journal, speculation=speculation))
    assert outcome.at == ["a"] * 400
    calls_at_once = 1 if speculation is None else speculation.in_flight
    assert 40 < journal.most <= 40 + 4 * calls_at_once


# --- places of an account


@each(
    "ends",
    [asyncio.CancelledError, ProviderDown("gone"), RuntimeError("a bug"), SystemExit(3), TypeError("no list")],
    ids=repr,
)
def test_after_any_ending_a_calls_slot_is_free(ends):
    """300 calls to an account that fail or are cancelled hold none of its slots: the next call is answered."""

    class Ending(Metered):
        failing = True

        async def sample(self, prompt, settings, n):
            await asyncio.sleep(0.01)
            if not self.failing:
                return [Sample("a", Usage(1, 1), voter=self.name)] * n
            if ends is asyncio.CancelledError:
                await asyncio.sleep(10_000.0)
            raise ends

    async def main():
        endpoint = Ending(Bill(), 0, 0.0)
        caller = Caller(RunConfig(clock=LoopClock(), patience=Patience(total=1.0)))
        asked = CallRequest(endpoint, "?", SETTINGS, 1)
        calls = [asyncio.ensure_future(caller.call(asked, NoAccounting())) for _ in range(300)]
        if ends is asyncio.CancelledError:
            await asyncio.sleep(1.0)
            for call in calls:
                call.cancel()
        await asyncio.wait(calls)
        assert all(call.cancelled() or call.exception() is not None for call in calls)
        endpoint.failing = False
        samples = await asyncio.wait_for(caller.call(asked, NoAccounting()), 60.0)
        return len(samples), left_over()

    assert virtually(main()) == (1, set())


# --- what is left in the loop


def test_a_rate_limiter_without_waiting_calls_leaves_no_timer():
    """Calls that stopped waiting for a provider's pause leave no timer in the user's loop."""

    async def main():
        limiter = RateLimiter(LoopClock(), Patience(), 4, 4)
        limiter.pacing.pause(500.0, 0.0)
        waiting = [asyncio.ensure_future(limiter.enter()) for _ in range(3)]
        await asyncio.sleep(1.0)
        for one in waiting[:2]:
            one.cancel()
        await asyncio.sleep(0)
        assert len(left_over()) == 2  # the one that still waits, and what will wake it
        waiting[2].cancel()
        await asyncio.wait(waiting)
        await asyncio.sleep(0)
        return left_over()

    assert virtually(main()) == set()


def test_a_rate_limiter_wakes_calls_that_come_after_all_were_cancelled():
    """A rate limiter whose timer ended with its last caller makes another one for the next."""

    async def main():
        limiter = RateLimiter(LoopClock(), Patience(), 4, 4)
        limiter.pacing.pause(50.0, 0.0)
        first = asyncio.ensure_future(limiter.enter())
        await asyncio.sleep(1.0)
        first.cancel()
        await asyncio.wait([first])
        await asyncio.wait_for(limiter.enter(), 100.0)
        return asyncio.get_running_loop().time()

    assert 50.0 <= virtually(main()) < 61.0


def test_a_wait_that_a_stop_ended_leaves_no_timer():
    """A wait for the next try that is ended, by a stop or by cancelling, leaves no timer in the loop."""

    async def main():
        stop = StopRequest()
        waits = [asyncio.ensure_future(unless_stopped(LoopClock().sleep(500.0), stop)) for _ in range(2)]
        await asyncio.sleep(1.0)
        waits[0].cancel()
        stop.ask("enough")
        await asyncio.wait(waits)
        await asyncio.sleep(0)
        return [type(one.exception()) for one in waits if not one.cancelled()], left_over()

    assert virtually(main()) == ([Interrupted], set())


@each("speculation", [None, RIGHT], ids=lambda one: "ahead" if one else "one by one")
@each("end", ["done", "stopped", "cancelled", "provider gone", "rate limited", "bug"])
def test_a_run_leaves_no_task_in_the_users_loop(end, speculation):
    """However a run on an endpoint ends, all tasks that it started have ended."""

    class Busy(Metered):
        async def sample(self, prompt, settings, n):
            await asyncio.sleep(0.1)
            if settings.step >= 2 and end != "done":
                if end == "provider gone":
                    raise ProviderDown("gone")
                if end == "bug":
                    raise RuntimeError("a bug")
                raise ProviderBusy("429", 300.0, FailureKind.RATE_LIMITED)
            return [Sample("a", Usage(1, 1), voter=self.name)] * n

    async def main():
        stop = StopRequest()
        patience = Patience(total=1.0 if end == "rate limited" else 1e6)
        given = {"clock": LoopClock(), "speculation": speculation, "stop": stop, "patience": patience}
        guards = {"guards": sampling.RunConfig().guards}
        run = asyncio.ensure_future(arun(Words(4), Busy(Bill(), 0, 0.0), K2, **given, **guards))
        await until(30.0)
        if end == "stopped":
            stop.ask("enough")
        elif end == "cancelled":
            run.cancel()
        outcome = await run
        await asyncio.sleep(0)
        return type(outcome.error), left_over()

    kinds = {
        "done": type(None),
        "stopped": Interrupted,
        "cancelled": asyncio.CancelledError,
        "provider gone": ProviderGone,
        "rate limited": ProviderGone,
        "bug": RuntimeError,
    }
    assert virtually(main()) == (kinds[end], set())
