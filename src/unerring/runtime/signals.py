"""Work that can be stopped: on an event loop of its own, and in good order on Ctrl-C or SIGTERM."""

import asyncio
import gc
import logging
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from unerring.core.reporting.summary import counted
from unerring.core.user_code import passable
from unerring.errors import InputError, Interrupted
from unerring.runtime.calls.failure_notices import name_last_failure
from unerring.runtime.config import StopRequest

GRACE_SECONDS = 10.0  # that calls under way are waited for after a first signal
COUNT_SECONDS = 1.0  # between two looks at how many are still under way
CALM = (
    20_000  # containers made and not freed, between two looks of the garbage collector; Python's own is 700 or 2,000
)

T = TypeVar("T")

log = logging.getLogger("unerring")


def run_stoppable(start: Callable[[StopRequest], Awaitable[T]], grace: float = GRACE_SECONDS) -> T:
    """Run to the end on an event loop of its own; the first signal asks it to stop, a second one cancels it.

    Calls under way at the first signal are waited for, `grace` seconds at most, and then cancelled.
    """
    if _loop_runs_already():
        raise InputError("an event loop runs here already; await unerring.arun, aresume or acalibrate instead")

    async def main() -> T:
        asyncio.get_running_loop().set_exception_handler(_show_unhandled)
        stop = StopRequest()
        task = asyncio.ensure_future(_passing(start(stop)))
        with _signals(stop, task, grace):
            try:
                return await task
            except asyncio.CancelledError:
                stopped = Interrupted(stop.reason or "cancelled")
                name_last_failure(stopped, stop)
                raise stopped from None

    try:
        with calm_collector():
            return asyncio.run(main())
    except KeyboardInterrupt:
        raise Interrupted("stopped at once") from None


def _show_unhandled(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Show an error that nobody awaits as asyncio does, save for stops: what stopped the run is raised by itself."""
    if not isinstance(context.get("exception"), Interrupted):
        loop.default_exception_handler(context)


async def _passing(work: Awaitable[T]) -> T:
    """Await it; `sys.exit()` in a user's own code becomes an error that does not end the event loop."""
    try:
        return await work
    except SystemExit as error:
        raise passable(error, "user") from error


@contextmanager
def calm_collector() -> Iterator[None]:
    """Have the garbage collector look less often while inside.

    Each call under way is some hundred objects that live until it is answered. At Python's usual pace the collector
    walks over those of all calls again and again and finds nothing: with 512 under way that was a quarter of a
    call's processor time. Nothing a run does waits for the collector. A process that has it look more seldom
    already, or never, keeps its own pace; after the last of several runs at once it is as before the first.
    """
    _CALM.enter()
    try:
        yield
    finally:
        _CALM.leave()


class _CalmCollector:
    """The collector's pace over runs that overlap: the first one slows it, and the last one restores it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs = 0
        self._before: tuple[int, int, int] | None = None
        self._slowed: tuple[int, int, int] | None = None

    def enter(self) -> None:
        with self._lock:
            self._runs += 1
            found = gc.get_threshold()
            if self._runs == 1 and 0 < found[0] < CALM:
                self._before, self._slowed = found, (CALM, *found[1:])
                gc.set_threshold(*self._slowed)

    def leave(self) -> None:
        with self._lock:
            self._runs -= 1
            if self._runs or self._before is None:
                return
            if gc.get_threshold() == self._slowed:  # whatever was set meanwhile is the caller's own, and stays
                gc.set_threshold(*self._before)
            self._before = self._slowed = None


_CALM = _CalmCollector()


def _loop_runs_already() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


@contextmanager
def _signals(stop: StopRequest, task: "asyncio.Future[T]", grace: float) -> Iterator[None]:
    """Hear Ctrl-C and SIGTERM while inside; only the main thread can.

    The first asks to stop, the second cancels, and from the third on the code under way is interrupted where it is: it
    may be a user's, and never give the event loop a turn.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop, signals_received = asyncio.get_running_loop(), 0

    def on_signal(number: int, _frame: object) -> None:
        nonlocal signals_received
        signals_received += 1
        name = signal.Signals(number).name
        if signals_received == 1:
            loop.call_soon_threadsafe(stop.ask, f"stopped by {name}")
            loop.call_soon_threadsafe(_count_down, stop, task, grace)
            log.warning("%s: %s; a second one stops at once", name, _awaited(stop.under_way, grace))
        elif signals_received == 2:
            loop.call_soon_threadsafe(task.cancel)
        else:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _awaited(calls: int, seconds: float) -> str:
    """What is waited for after a stop, and for how long at most."""
    if not calls:
        return "stopping"
    return f"waiting for {counted(calls, 'call')} under way, {seconds:g} s at most (grace)"


def _count_down(stop: StopRequest, task: "asyncio.Future[T]", left: float) -> None:
    """Show what is waited for as time passes; at the end of the grace cancel it."""
    if task.done():
        return
    if stop.on_countdown is not None:
        stop.on_countdown(stop.under_way, left)
    if left > 0:
        pause = min(COUNT_SECONDS, left)
        asyncio.get_running_loop().call_later(pause, _count_down, stop, task, left - pause)
        return
    if stop.under_way:
        log.warning(
            "gave up %s that did not come back: the outcome stays unknown, and the charge at its worst",
            counted(stop.under_way, "call"),
        )
    task.cancel()
