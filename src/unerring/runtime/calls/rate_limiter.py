"""Rate limiter shared by all calls of an account; pauses all of them while the provider rate-limits.

How long is decided in `unerring.runtime.calls.patience`.
"""

import asyncio
from collections import deque

from unerring.errors import FailureKind, ProviderBusy
from unerring.runtime.calls.patience import Patience
from unerring.runtime.calls.rate_control import FIRST_WINDOW_CALLS, CallTicket, RateControl
from unerring.runtime.config import StopRequest, interrupting
from unerring.runtime.protocols import Clock


class RateLimiter:
    """The rate limiter of one account; calls take turns in the order in which they came."""

    def __init__(self, clock: Clock, patience: Patience, most: int, first: int = FIRST_WINDOW_CALLS) -> None:
        """Start with `first` calls at once; allow up to `most`, as the provider accepts them."""
        self.pacing = RateControl(most, first)
        self._clock = clock
        self._patience = patience
        self._queue: deque[asyncio.Future[CallTicket]] = deque()
        self._waker: asyncio.Task[None] | None = None

    def enter_now(self) -> CallTicket | None:
        """Take a turn if that needs no wait; None otherwise."""
        return None if self._queue else self.pacing.admit(self._clock.time())

    async def enter(self, *stops: StopRequest) -> CallTicket:
        """Wait for a turn; raises `Interrupted` once one of the stops is requested."""
        turn: asyncio.Future[CallTicket] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        self._give_turns()
        with interrupting(turn, stops):
            try:
                return await turn
            except BaseException:
                self._return_turn(turn)
                raise

    def leave(self, ticket: CallTicket, failure: ProviderBusy | None = None, wait: float = 0.0) -> bool:
        """End a call; returns whether all calls of the account pause for `wait` seconds, and not this caller alone."""
        paused = False
        if failure is None:
            self.pacing.succeeded(ticket, self._clock.time())
        elif failure.kind in {FailureKind.RATE_LIMITED, FailureKind.OVERLOADED}:
            now, counted = self._clock.time(), failure.kind is FailureKind.RATE_LIMITED
            slower = self.pacing.objected(ticket, now, counted)
            paused = failure.retry_after is not None or (counted and slower)
            if paused:  # the end of the pause is spread, so that the calls do not all come at once
                self.pacing.pause(now + wait, wait * self._patience.spread)
        self.end()
        return paused

    def end(self) -> None:
        """End a call, without counting its outcome."""
        self.pacing.end()
        if self._queue:
            self._give_turns()

    def _give_turns(self) -> None:
        """Give turns to waiting calls, as many as are free now."""
        while self._queue and self.pacing.room:
            if self._queue[0].done():  # no longer waiting
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
        self._give_turns()

    def _return_turn(self, turn: "asyncio.Future[CallTicket]") -> None:
        if turn.done() and not turn.cancelled() and turn.exception() is None:
            self.end()  # the turn was given, and goes to the next call
            return
        turn.cancel()
        while self._queue and self._queue[0].done():
            self._queue.popleft()
        if not self._queue and self._waker is not None:
            self._waker.cancel()


class NoRateLimiter:
    """A rate limiter without limits, for models in this process and for functions."""

    def enter_now(self) -> CallTicket | None:
        return _FREE

    async def enter(self, *stops: StopRequest) -> CallTicket:
        return _FREE

    def leave(self, ticket: CallTicket, failure: ProviderBusy | None = None, wait: float = 0.0) -> bool:
        return False

    def end(self) -> None:
        pass


_FREE = CallTicket(0.0)
