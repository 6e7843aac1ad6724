"""Configuration of a run: stop requests, speculation, guards."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from types import MappingProxyType
from typing import Any, TypeVar

from unerring.core.arguments import require_flag
from unerring.core.numbers import require_share
from unerring.core.voting.canonical import Json
from unerring.core.voting.reply_ids import ReplyIds
from unerring.errors import Interrupted
from unerring.runtime.calls.patience import Patience
from unerring.runtime.calls.shared_budget import BudgetShare
from unerring.runtime.protocols import Clock, Observer, Sampler

T = TypeVar("T")
_PROCESS_REPLIES = ReplyIds(lock=threading.Lock())


def replies_of_process() -> ReplyIds:
    """The ids of the replies that all runs and calibrations of this process received."""
    return _PROCESS_REPLIES


class SystemClock:
    """The machine's clock."""

    time = staticmethod(time.time)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


SYSTEM_CLOCK = SystemClock()


class StopRequest:
    """A request to stop cleanly: calls in flight are awaited, and their samples recorded.

    reason: why to stop; None until a stop is requested.
    abandons: whether a stop of the run no longer waits for the calls that this request concerns.
    in_flight: calls in flight that a stop waits for.
    last_failure: the last failure of an account that has not answered since, for messages.
    on_countdown: called once a second after a stop, with the calls in flight and the seconds left to wait.
    """

    def __init__(self, abandons: bool = False) -> None:
        self.reason: str | None = None
        self.abandons = abandons
        self.in_flight = 0
        self.last_failure: str | None = None
        self.on_countdown: Callable[[int, float], None] | None = None
        self._asked = asyncio.Event()
        self._futures: set[asyncio.Future[Any]] = set()
        self._callbacks: set[Callable[[], None]] = set()

    def ask(self, reason: str) -> None:
        """Request the stop. Call it on the run's event loop."""
        self.reason = self.reason or reason
        self._asked.set()
        for future in self._futures:
            self._interrupt(future)
        for callback in tuple(self._callbacks):
            callback()

    def interrupt_on_stop(self, future: "asyncio.Future[Any]") -> None:
        """Have a stop end this future with `Interrupted`; at once where the stop was requested before."""
        self._futures.add(future)
        if self.reason is not None:
            self._interrupt(future)

    def call_on_stop(self, callback: Callable[[], None]) -> None:
        """Have a stop call this; at once where the stop was requested before."""
        if self.reason is not None:
            callback()
        else:
            self._callbacks.add(callback)

    def release(self, registered: "asyncio.Future[Any] | Callable[[], None]") -> None:
        """Undo `interrupt_on_stop` or `call_on_stop`."""
        self._futures.discard(registered)
        self._callbacks.discard(registered)

    def _interrupt(self, future: "asyncio.Future[Any]") -> None:
        if not future.done():
            future.set_exception(Interrupted(self.reason or "stopped"))

    async def wait(self) -> None:
        """Return once the stop is requested."""
        await self._asked.wait()

    def count_ended_call(self) -> None:
        """Count a call in flight less."""
        self.in_flight -= 1


@contextmanager
def interrupting(future: "asyncio.Future[Any]", stops: Iterable[StopRequest]) -> Iterator[None]:
    """Have each of the stops end a future with `Interrupted` while it is awaited here."""
    for stop in stops:
        stop.interrupt_on_stop(future)
    try:
        yield
    finally:
        for stop in stops:
            stop.release(future)


async def unless_stopped(work: Coroutine[None, None, T], *stops: StopRequest) -> T:
    """Await some work; once one of the stops is requested, abandon it and raise `Interrupted`."""
    working = asyncio.ensure_future(work)
    ended: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    with interrupting(ended, stops):
        try:
            await asyncio.wait([working, ended], return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                await ended  # which raises
            return working.result()
        finally:
            working.cancel()
            if not ended.cancel():
                ended.exception()  # retrieved, where both ended at once


@dataclass(frozen=True, slots=True)
class Speculation:
    """How far to ask ahead of the decided steps.

    source: what guesses choices: a drafting model, or a function of a state that returns a choice, or None for no
        guess. Without a source guesses come from the votes so far.
    waste: the largest share of all samples that wrong guesses may waste.
    in_flight: the most samples in flight at once. As many abandoned calls again may await their replies.
    """

    source: Sampler | Callable[[Json], Json] | None = None
    waste: float = 0.05
    in_flight: int = 256


@dataclass(frozen=True, slots=True)
class Guards:
    """What stops a run whose votes could not be trusted.

    copies: the share of samples that may be copies from a cache. Those that are noticed never vote; with 1 % that are
        not, k = 3 at p = 0.99 decides four times as many steps wrongly.
    same_model: whether to stop once a provider says that another model answers.
    probe: whether to test an endpoint before the first step of each session. It takes three to five short calls; where
        the model does not write random letters, usually six and at most 32 more that read the run's next question.
    flagged: the share of samples that may be flagged (`unerring.core.voting.flag_limit`); 1 never stops the run.
    """

    copies: float = 0.01
    same_model: bool = False
    probe: bool = True
    flagged: float = 0.95

    def __post_init__(self) -> None:
        require_share("copies", self.copies)
        require_share("flagged", self.flagged)
        for name in ("same_model", "probe"):
            require_flag(name, getattr(self, name))


@dataclass(frozen=True, slots=True)
class RunConfig:
    """What a run needs besides its chain, its model and its journal.

    clock: the source of time and waits.
    patience: how long to wait out a provider's failures.
    stop: the request that stops the run.
    observer: called after each committed step.
    max_steps: the most steps of this session; None for no limit.
    speculation: how far to ask ahead; None takes one step after the other.
    in_flight: the most samples in flight at once, without speculation.
    guards: what stops a run whose votes could not be trusted.
    share: the run's part in a budget of several runs.
    substitutes: samplers by name, for steps whose samples a reviewer had drawn again from another model.
    notice: called with a line for people where no step can be decided for a while.
    known_replies: ids of replies that this run or others of the process received before.
    chance: lengthens waits at random, and decides nothing.
    """

    clock: Clock = field(default_factory=SystemClock)
    patience: Patience = field(default_factory=Patience)
    stop: StopRequest = field(default_factory=StopRequest)
    observer: Observer | None = None
    max_steps: int | None = None
    speculation: Speculation | None = None
    in_flight: int = 256
    guards: Guards = field(default_factory=Guards)
    share: BudgetShare | None = None
    substitutes: Mapping[str, Sampler] = field(default_factory=lambda: MappingProxyType({}))
    notice: Callable[[str], None] | None = None
    known_replies: ReplyIds = field(default_factory=ReplyIds)
    chance: Random = field(default_factory=Random)
