"""Run work on an event loop of its own, and stop it cleanly on Ctrl-C or SIGTERM."""

import asyncio
import gc
import logging
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from unerring.core.reporting.summary import counted
from unerring.core.user_code import ordinary_error
from unerring.errors import InputError, Interrupted
from unerring.runtime.calls.failure_notices import name_last_failure
from unerring.runtime.config import StopRequest

GRACE_SECONDS = 10.0  # for which calls in flight are awaited after a first signal
# From a cancellation to the exception that ends code which ignores it; the same between repeats of that exception.
FORCE_SECONDS = 1.0
COUNTDOWN_SECONDS = 1.0  # between two displays of the calls in flight after a stop
RAISED_THRESHOLD = 20_000  # objects made and not freed between two collections; Python has 700 or 2,000

T = TypeVar("T")

log = logging.getLogger("unerring")


def run_stoppable(start: Callable[[StopRequest], Awaitable[T]], grace: float = GRACE_SECONDS) -> T:
    """Run to the end on an event loop of its own; the first signal requests a stop, a second one cancels.

    Calls in flight at the first signal are awaited for at most `grace` seconds, and then cancelled. Code that blocks
    the event loop or ignores its cancellation is interrupted by an exception a second later.
    """
    with suppress(RuntimeError):  # no event loop is running
        asyncio.get_running_loop()
        raise InputError("an event loop is running already: await unerring.arun, aresume or acalibrate instead")
    force = _ForcedEnd()

    async def main() -> T:
        asyncio.get_running_loop().set_exception_handler(force.show_unhandled)
        stop = StopRequest()
        task = asyncio.ensure_future(_passing(start(stop)))
        with _signals(stop, task, grace, force):
            try:
                return await task
            except asyncio.CancelledError:
                stopped = Interrupted(stop.reason or "cancelled")
                name_last_failure(stopped, stop)
                raise stopped from None

    try:
        with fewer_collections():
            return asyncio.run(main())
    except KeyboardInterrupt:
        raise Interrupted("stopped at once") from None
    finally:
        force.disarm()


def left_work_behind() -> bool:
    """Whether a run of this process ended by force, so that code of a model may continue until the process ends."""
    return _ForcedEnd.forced_any


class _ForcedEnd:
    """Raises KeyboardInterrupt in the main thread, again and again, once work was to have ended.

    Neither a request to stop nor a cancellation reaches a user's code that blocks the event loop, and code may catch
    its cancellation and continue. An exception raised by a signal handler ends both.
    """

    forced_any = False

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._over = False
        self.forcing = False

    def arm(self, seconds: float) -> None:
        """Force the end in so many seconds, in place of a time that was set before."""
        with self._lock:
            self._start(seconds)

    def disarm(self) -> None:
        """The work has ended."""
        with suppress(KeyboardInterrupt), self._lock:
            self._over = True
            if self._timer is not None:
                self._timer.cancel()

    def show_unhandled(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Show an unhandled error as asyncio does, except the run's own stops and what a forced end leaves."""
        if not self.forcing and not isinstance(context.get("exception"), Interrupted):
            loop.default_exception_handler(context)

    def _start(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self._over:
            self._timer = threading.Timer(seconds, self._interrupt)
            self._timer.daemon = True
            self._timer.start()

    def _interrupt(self) -> None:
        with self._lock:
            if not self._over:
                self.forcing = _ForcedEnd.forced_any = True
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
                self._start(FORCE_SECONDS)


async def _passing(work: Awaitable[T]) -> T:
    """Await work; `sys.exit()` in a user's own code becomes an error that does not end the event loop."""
    try:
        return await work
    except SystemExit as error:
        raise ordinary_error(error, "user") from error


class _CollectorThresholds:
    """The collector's thresholds over runs that overlap: the first run raises them, and the last restores them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs = 0
        self._before: tuple[int, int, int] | None = None
        self._slowed: tuple[int, int, int] | None = None

    @contextmanager
    def raised(self) -> Iterator[None]:
        """Have the garbage collector run less often while inside.

        Each call in flight is some hundred objects that live until it is answered. At Python's default thresholds the
        collector visits those of all calls again and again and frees nothing: with 512 in flight that was a quarter of
        a call's CPU time. Nothing in a run waits for the collector. A process that set it to run less often, or never,
        keeps its own thresholds; after the last of several runs at once they are as before the first.
        """
        with self._lock:
            self._runs += 1
            current = gc.get_threshold()
            if self._runs == 1 and 0 < current[0] < RAISED_THRESHOLD:
                self._before, self._slowed = current, (RAISED_THRESHOLD, *current[1:])
                gc.set_threshold(*self._slowed)
        try:
            yield
        finally:
            self._leave()

    def _leave(self) -> None:
        with self._lock:
            self._runs -= 1
            if self._runs or self._before is None:
                return
            if gc.get_threshold() == self._slowed:  # thresholds that were set meanwhile are the caller's own, and stay
                gc.set_threshold(*self._before)
            self._before = self._slowed = None


fewer_collections = _CollectorThresholds().raised


@contextmanager
def _signals(stop: StopRequest, task: "asyncio.Future[T]", grace: float, force: _ForcedEnd) -> Iterator[None]:
    """Handle Ctrl-C and SIGTERM while inside; only the main thread can.

    The first requests a stop, the second cancels, and a third interrupts the running code where it is, as `force` does
    by itself where a stop or a cancellation brings no end.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop, signals_received = asyncio.get_running_loop(), 0

    def on_signal(number: int, _frame: object) -> None:
        nonlocal signals_received
        if force.forcing:
            raise KeyboardInterrupt
        signals_received += 1
        name = signal.Signals(number).name
        if signals_received == 1:
            loop.call_soon_threadsafe(stop.ask, f"stopped by {name}")
            loop.call_soon_threadsafe(_count_down, stop, task, grace)
            force.arm(grace + 2 * FORCE_SECONDS)
            log.warning("%s: %s; a second one stops at once", name, _awaited(stop.in_flight, grace))
        elif signals_received == 2:
            force.arm(FORCE_SECONDS)
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
    """Say which calls a stop waits for, and how long at most."""
    if not calls:
        return "stopping"
    return f"waiting for {counted(calls, 'call')} in flight, {seconds:g} s at most (grace)"


def _count_down(stop: StopRequest, task: "asyncio.Future[T]", left: float) -> None:
    """Show the calls in flight and the seconds left, once a second; cancel at the end of the grace."""
    if task.done():
        return
    if stop.on_countdown is not None:
        stop.on_countdown(stop.in_flight, left)
    if left > 0:
        pause = min(COUNTDOWN_SECONDS, left)
        asyncio.get_running_loop().call_later(pause, _count_down, stop, task, left - pause)
        return
    if stop.in_flight:
        log.warning(
            "gave up %s without a reply: the outcome stays unknown, and the worst case stays charged",
            counted(stop.in_flight, "call"),
        )
    task.cancel()
