"""Limits: requests to stop, the patience for a provider that is away, how far to speculate, what surrounds a run."""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from types import MappingProxyType
from typing import Any

from unerring.core.arguments import require_flag
from unerring.core.numbers import require_number, require_share
from unerring.core.voting.canonical import Json
from unerring.core.voting.reply_ids import ReplyIds
from unerring.errors import Interrupted
from unerring.runtime.calls.shared_budget import BudgetShare
from unerring.runtime.protocols import Clock, Observer, Sampler

_HEARD = ReplyIds(lock=threading.Lock())


def heard_by_process() -> ReplyIds:
    """The names of the replies that all runs and calibrations of this process received."""
    return _HEARD


class SystemClock:
    """The machine's clock."""

    time = staticmethod(time.time)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class StopRequest:
    """A request, from outside, to stop in good order: samples under way are still taken in.

    `under_way` counts the calls that are waited for. `shows` is called with their number and the seconds left to wait,
    once a second from the stop on. `drops` says that no stop of the run waits any longer for the calls that this
    request stops, though they may be heard to their end. `trouble` is the last failure of an
    account that has not answered since.
    """

    def __init__(self, drops: bool = False) -> None:
        self.reason: str | None = None
        self.drops = drops
        self.under_way = 0
        self.trouble: str | None = None
        self.shows: Callable[[int, float], None] | None = None
        self._asked = asyncio.Event()
        self._ended: set[asyncio.Future[Any]] = set()
        self._told: set[Callable[[], None]] = set()

    def ask(self, reason: str) -> None:
        """Stop once the samples under way are in. Call it on the run's event loop."""
        self.reason = self.reason or reason
        self._asked.set()
        for waiting in self._ended:
            self._end(waiting)
        for hearing in tuple(self._told):
            hearing()

    def ends(self, waiting: "asyncio.Future[Any]") -> None:
        """From now on a stop ends this waiting with `Interrupted`."""
        self._ended.add(waiting)
        if self.reason is not None:
            self._end(waiting)

    def tells(self, hearing: Callable[[], None]) -> None:
        """From now on a stop calls this; at once where one was asked for before."""
        if self.reason is not None:
            hearing()
        else:
            self._told.add(hearing)

    def spares(self, waiting: "asyncio.Future[Any] | Callable[[], None]") -> None:
        """From now on a stop no longer ends or calls it."""
        self._ended.discard(waiting)
        self._told.discard(waiting)

    def _end(self, waiting: "asyncio.Future[Any]") -> None:
        if not waiting.done():
            waiting.set_exception(Interrupted(self.reason or "stopped"))

    async def wait(self) -> None:
        """Return once a stop is asked for."""
        await self._asked.wait()


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait out a provider's passing failures, in seconds.

    first: the first wait.
    longest: the longest wait that is not asked for by the provider.
    total: seconds of nothing but failures after which the run stops, resumable.
    spread: the share by which waits are lengthened at random, at most, so that many callers do not return at once.

    The n-th failure in a row is waited out for `first * 2^n` seconds, but never less than the provider asked for.
    """

    first: float = 1.0
    longest: float = 60.0
    total: float = 900.0
    spread: float = 0.2

    def __post_init__(self) -> None:
        for name in ("first", "longest", "total"):
            require_number(name, getattr(self, name), what="a number of seconds")
        require_number("spread", self.spread, most=10.0)

    def wait(self, failures: int, retry_after: float | None, chance: Random) -> float:
        """Seconds to wait after this many failures in a row."""
        wait = min(self.longest, self.first * 2.0 ** min(failures, 30))
        if retry_after is not None and retry_after > wait:
            wait = retry_after
        return wait * (1.0 + self.spread * chance.random())


@dataclass(frozen=True, slots=True)
class Speculation:
    """How far to ask ahead of what is decided.

    Guessed choices come from `source`: a drafting model, or a function from a state to a choice, or None for no idea.
    Without one they come from the votes that are in. Of all samples at most the share `waste` may be for nothing, and
    at most `in_flight` are under way at once. Beside them, calls that were given up for a wrong guess are heard to
    their end: as many again at most.
    """

    source: Sampler | Callable[[Json], Json] | None = None
    waste: float = 0.05
    in_flight: int = 256


@dataclass(frozen=True, slots=True)
class Guards:
    """What stops a run whose votes could not be trusted.

    copies: the share of replies that may be copies from a cache: at 1 % a margin of 3 errs four times as often
        already.
    same_model: whether to stop once a provider says that another model answers.
    probe: whether to test a provider before the first step of each session: with three to five short calls and, where
        the model does not write random letters, with six more as a rule, and 32 at most, that read the run's next
        question.
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
    """What a run needs beside its chain, its model and its journal. Without speculation, one step after the other.

    `substitutes` are samplers by name, for steps whose samples a person had drawn again from another model. `notice`
    is called with a line for people where something takes a while in which no step can be decided. `heard` has the ids
    of replies that were received before, by this run or by others of the process.
    """

    clock: Clock = field(default_factory=SystemClock)
    patience: Patience = field(default_factory=Patience)
    stop: StopRequest = field(default_factory=StopRequest)
    observer: Observer | None = None
    max_steps: int | None = None
    speculation: Speculation | None = None
    in_flight: int = 256  # samples at once, without speculation
    guards: Guards = field(default_factory=Guards)
    share: BudgetShare | None = None
    substitutes: Mapping[str, Sampler] = field(default_factory=lambda: MappingProxyType({}))
    notice: Callable[[str], None] | None = None
    heard: ReplyIds = field(default_factory=ReplyIds)
