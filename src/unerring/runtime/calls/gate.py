"""Rate limiter shared by all calls of an account; pauses while the provider rate-limits."""

import asyncio
from collections import deque

from unerring.errors import FailureKind, ProviderBusy
from unerring.runtime.calls.rate_control import FIRST, CallTicket, RateControl
from unerring.runtime.config import Patience, StopRequest
from unerring.runtime.protocols import Clock


class Gate:
    """Lets calls through in the order in which they came."""

    def __init__(self, clock: Clock, patience: Patience, most: int, first: int = FIRST) -> None:
        """From `first` calls at once to `most`, as the provider takes them."""
        self.pacing = RateControl(most, first)
        self._clock = clock
        self._patience = patience
        self._queue: deque[asyncio.Future[CallTicket]] = deque()
        self._waker: asyncio.Task[None] | None = None

    def enter_now(self) -> CallTicket | None:
        """Take a turn if one is to be had without waiting, as most are."""
        return None if self._queue else self.pacing.admit(self._clock.time())

    async def enter(self, *stops: StopRequest) -> CallTicket:
        """Wait for a turn; raises `Interrupted` once one of the stops is asked for."""
        turn: asyncio.Future[CallTicket] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        self._call_up()
        for stop in stops:
            stop.interrupt_on_stop(turn)
        try:
            return await turn
        except BaseException:
            self._give_up(turn)
            raise
        finally:
            for stop in stops:
                stop.release(turn)

    def leave(self, ticket: CallTicket, failure: ProviderBusy | None = None, wait: float = 0.0) -> bool:
        """A call is over; returns whether everybody waits `wait` seconds because of it, and not this caller alone."""
        paused = False
        if failure is None:
            self.pacing.succeeded(ticket, self._clock.time())
        elif failure.kind in {FailureKind.RATE_LIMITED, FailureKind.OVERLOADED}:
            now, counted = self._clock.time(), failure.kind is FailureKind.RATE_LIMITED
            slower = self.pacing.objected(ticket, now, counted)
            paused = failure.retry_after is not None or (counted and slower)
            if paused:  # everybody waits for the same moment, and is not to come back in the same one
                self.pacing.pause(now + wait, wait * self._patience.spread)
        self.end()
        return paused

    def end(self) -> None:
        """A call is over, and says nothing about the provider."""
        self.pacing.end()
        if self._queue:
            self._call_up()

    def _call_up(self) -> None:
        """Give turns to those who wait, as far as they may be given now."""
        while self._queue and self.pacing.room:
            if self._queue[0].done():  # gave up
                self._queue.popleft()
                continue
            now = self._clock.time()
            wait = self.pacing.wait(now)
            if wait > 0:
                if self._waker is None:
                    self._waker = asyncio.ensure_future(self._wake(wait))
                return
            self._queue.popleft().set_result(self.pacing.begin(now))

    async def _wake(self, seconds: float) -> None:
        try:
            await self._clock.sleep(seconds)
        finally:
            self._waker = None
        self._call_up()

    def _give_up(self, turn: "asyncio.Future[CallTicket]") -> None:
        if turn.done() and not turn.cancelled() and turn.exception() is None:
            self.end()  # it had come, and goes to the next
            return
        turn.cancel()
        while self._queue and self._queue[0].done():
            self._queue.popleft()
        if not self._queue and self._waker is not None:
            self._waker.cancel()


class UnlimitedGate:
    """Lets everything through: for models in this process, and functions, of which nothing is known."""

    def enter_now(self) -> CallTicket | None:
        return _FREE

    async def enter(self, *stops: StopRequest) -> CallTicket:
        return _FREE

    def leave(self, ticket: CallTicket, failure: ProviderBusy | None = None, wait: float = 0.0) -> bool:
        return False

    def end(self) -> None:
        pass


_FREE = CallTicket(0.0)


async def unless_stopped(clock: Clock, seconds: float, *stops: StopRequest) -> None:
    """Sleep; raises `Interrupted` once one of the stops is asked for."""
    waking = asyncio.ensure_future(clock.sleep(seconds))
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def wake(_: object) -> None:
        if not done.done():
            done.set_result(None)

    waking.add_done_callback(wake)
    for stop in stops:
        stop.interrupt_on_stop(done)
    try:
        await done
    finally:
        waking.cancel()
        for stop in stops:
            stop.release(done)
