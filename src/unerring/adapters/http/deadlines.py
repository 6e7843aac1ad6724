"""A deadline for each of many calls, at the price of one timer for all of them.

All have the same length, so the call that began first is the first to be over its time. `asyncio.timeout` does the
same for each call by itself, with a timer that is made, sorted in and cancelled every time: a tenth of what a call
costs.
"""

import asyncio


class Deadline:
    """When one call is to end. It is a context: a `TimeoutError` leaves it once the time is over.

    The task is cancelled for that, and a cancellation from elsewhere at the same time wins, as with `asyncio.timeout`.
    """

    __slots__ = ("_cancelling", "_deadlines", "_task", "expired", "when")

    def __init__(self, deadlines: "Deadlines") -> None:
        self._deadlines = deadlines
        self.when = 0.0
        self.expired = False

    def __enter__(self) -> "Deadline":
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        self._deadlines.add(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        self._deadlines.remove(self)
        # expired, and nobody else wants the task cancelled
        if self.expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from None

    def expire(self) -> None:
        """The time is over."""
        self.expired = True
        self._task.cancel()


class Deadlines:
    """The deadlines of one event loop, each `seconds` after its call began."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self._loop = loop
        self._seconds = seconds
        self._live: dict[Deadline, None] = {}  # in the order in which they end
        self._timer: asyncio.TimerHandle | None = None

    def __call__(self) -> Deadline:
        """A deadline that begins as its context is entered."""
        return Deadline(self)

    def add(self, deadline: Deadline) -> None:
        """A call begins."""
        deadline.when = self._loop.time() + self._seconds
        self._live[deadline] = None
        if self._timer is None:
            self._timer = self._loop.call_at(deadline.when, self._look)

    def remove(self, deadline: Deadline) -> None:
        """A call is over."""
        del self._live[deadline]

    def _look(self) -> None:
        """End the calls that are over their time, and look again when the next one is."""
        self._timer = None
        now = self._loop.time()
        for deadline in self._live:
            if deadline.when > now:
                self._timer = self._loop.call_at(deadline.when, self._look)
                return
            if not deadline.expired:
                deadline.expire()
