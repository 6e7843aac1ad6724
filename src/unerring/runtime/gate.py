"""The gate that all calls of an account pass: as many at once as the provider takes, none while it wants peace."""

import asyncio
from collections import deque
from random import Random

from unerring.core.pacing import Pacing, Ticket
from unerring.errors import FailureKind, ProviderBusy
from unerring.runtime.limits import Patience, StopRequest
from unerring.runtime.ports import Clock

_CHANCE = Random()  # spreads waits; decides nothing


class Gate:
    """Lets calls through in the order in which they came."""

    def __init__(self, clock: Clock, patience: Patience, most: int) -> None:
        self.pacing = Pacing(most)
        self._clock = clock
        self._patience = patience
        self._queue: deque[asyncio.Future[Ticket]] = deque()
        self._pause = 0.0  # how long the last pause was, seconds

    async def enter(self, *stops: StopRequest) -> Ticket:
        """Wait for a turn; raises `Interrupted` once one of the stops is asked for."""
        while True:
            await self._peace(stops)
            if self.pacing.room and not self._queue:
                return self.pacing.begin(self._clock.time())
            ticket = await self._turn(stops)
            if self.pacing.not_before <= self._clock.time():
                return ticket
            self.end()  # meanwhile the provider has asked for peace

    async def _peace(self, stops: tuple[StopRequest, ...]) -> None:
        """Wait as long as the provider wants to be left alone."""
        while (wait := self.pacing.not_before - self._clock.time()) > 0:
            # everybody waits for the same moment, and must not come back in the same one
            wait += self._pause * self._patience.spread * _CHANCE.random()
            await unless_stopped(self._clock, wait, *stops)

    async def _turn(self, stops: tuple[StopRequest, ...]) -> Ticket:
        turn: asyncio.Future[Ticket] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        for stop in stops:
            stop.ends(turn)
        try:
            return await turn
        except BaseException:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.end()  # it had come, and goes to the next
            turn.cancel()
            raise
        finally:
            for stop in stops:
                stop.spares(turn)

    def leave(self, ticket: Ticket, failure: ProviderBusy | None = None, wait: float = 0.0) -> bool:
        """A call is over; returns whether everybody waits `wait` seconds because of it, and not this caller alone."""
        paused = False
        if failure is None:
            self.pacing.succeeded()
        elif failure.kind in {FailureKind.RATE_LIMITED, FailureKind.OVERLOADED}:
            now = self._clock.time()
            self.pacing.objected(ticket, now)
            paused = failure.kind is FailureKind.RATE_LIMITED or failure.retry_after is not None
            if paused:
                self._pause = wait
                self.pacing.pause(now + wait)
        self.end()
        return paused

    def end(self) -> None:
        """A call is over, and says nothing about the provider."""
        self.pacing.end()
        while self._queue and self.pacing.room:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(self.pacing.begin(self._clock.time()))


class OpenGate:
    """Lets everything through: for models in this process, and functions, of which nothing is known."""

    async def enter(self, *stops: StopRequest) -> Ticket:
        return _FREE

    def leave(self, ticket: Ticket, failure: ProviderBusy | None = None, wait: float = 0.0) -> bool:
        return False

    def end(self) -> None:
        pass


_FREE = Ticket(0.0)


async def unless_stopped(clock: Clock, seconds: float, *stops: StopRequest) -> None:
    """Sleep; raises `Interrupted` once one of the stops is asked for."""
    waking = asyncio.ensure_future(clock.sleep(seconds))
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def wake(_: object) -> None:
        if not done.done():
            done.set_result(None)

    waking.add_done_callback(wake)
    for stop in stops:
        stop.ends(done)
    try:
        await done
    finally:
        waking.cancel()
        for stop in stops:
            stop.spares(done)
