"""The calls in flight for the steps of a speculation window, and those of steps that were dropped from it.

A call of a dropped step is cancelled where the model is in this process. One to an endpoint is awaited and not
retried: its reply may be sent again in place of another, and is recognized only if it was received.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from itertools import islice

from unerring.errors import Interrupted, JournalError, ProviderGone, StepRefused, Stopped
from unerring.runtime.calls.retry import failure_of
from unerring.runtime.config import StopRequest
from unerring.runtime.sampling import Sampling
from unerring.runtime.speculation.window import WindowStep


class WindowCalls:
    """Sends the calls of window steps, and keeps track of them until they end.

    samples: samples in flight, without those of dropped steps.
    """

    def __init__(self, sampling: Sampling, max_abandoned: int, on_end: Callable[[BaseException | None], None]) -> None:
        """Up to `max_abandoned` calls of dropped steps are awaited at once.

        `on_end` is called after each call, with the failure that stops the run, if any.
        """
        self.samples = 0
        self._sampling = sampling
        self._max_abandoned = max_abandoned
        self._on_end = on_end
        self._halt = StopRequest()
        self._in_flight: set[asyncio.Task[None]] = set()
        self._abandoned: dict[asyncio.Task[None], None] = {}  # calls of dropped steps, oldest first
        self._ending: dict[tuple[int, str], set[int]] = {}  # samples of dropped steps whose calls have not ended

    def __bool__(self) -> bool:
        """Whether any call of a step in the window is in flight."""
        return bool(self._in_flight)

    def send(self, window_step: WindowStep, slots: list[int]) -> None:
        """Ask a step for samples, by their numbers."""
        window_step.asked.update(slots)
        self.samples += len(slots)
        for call in self._sampling.calls(window_step.question, slots, self._halt, window_step.halt):
            task = asyncio.ensure_future(call.drawn)
            window_step.calls[task] = call
            self._in_flight.add(task)
            task.add_done_callback(partial(self._ended, window_step, call.slots))

    def adopt(self, window_step: WindowStep) -> None:
        """Take over the samples in flight of the same step, which was dropped before: they are not asked twice."""
        window_step.asked = self._ending.get(window_step.key, window_step.asked)

    def drop(self, window_step: WindowStep) -> None:
        """Cancel or abandon the calls of a step that a wrong guess took out of the window."""
        if window_step.asked:
            self._ending[window_step.key] = window_step.asked
        window_step.halt.ask("its step was asked from a wrong guess")
        for task, call in window_step.calls.items():
            if call.runs_to_end:
                self._in_flight.discard(task)
                self._abandoned[task] = None
                self.samples -= len(call.slots)
            else:
                task.cancel()

    def limit_abandoned(self) -> None:
        """Cancel the oldest abandoned calls beyond the limit, for providers that never answer."""
        for task in islice(self._abandoned, max(0, len(self._abandoned) - self._max_abandoned)):
            task.cancel()

    def cancel(self) -> None:
        """Cancel all calls."""
        for task in (*self._in_flight, *self._abandoned):
            task.cancel()

    async def drain(self) -> None:
        """Wait for the calls in flight and record their samples, without a retry; then cancel the abandoned ones."""
        self._halt.ask("the run stops")
        try:
            while self._in_flight:
                await asyncio.wait(self._in_flight)
        finally:
            left = {*self._in_flight, *self._abandoned}
            for task in left:
                task.cancel()
            if left:
                await asyncio.wait(left)

    def _ended(self, window_step: WindowStep, slots: list[int], task: "asyncio.Task[None]") -> None:
        window_step.asked.difference_update(slots)
        if not window_step.asked:
            self._ending.pop(window_step.key, None)
        window_step.calls.pop(task, None)
        abandoned = task in self._abandoned
        if abandoned:
            self._abandoned.pop(task, None)
        else:
            self._in_flight.discard(task)
            self.samples -= len(slots)
        self._on_end(_fatal_failure(window_step, task, abandoned))


def _fatal_failure(window_step: WindowStep, task: "asyncio.Task[None]", abandoned: bool) -> BaseException | None:
    """The failure of a call that stops the run, if any; one that concerns its step alone is noted there."""
    if (task.cancelled() and window_step.is_dropped) or (failure := failure_of(task)) is None:
        return None
    if abandoned and isinstance(failure, Interrupted | ProviderGone):
        return None  # it was not to be retried, and no step waits for it
    if isinstance(failure, Stopped | JournalError) and not isinstance(failure, StepRefused):
        return failure
    # the question was refused, or the user's own code failed, on a state that may be guessed wrongly
    window_step.failure = window_step.failure or failure
    return None
