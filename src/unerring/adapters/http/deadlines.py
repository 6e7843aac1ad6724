"""Deadlines for many calls with one timer.

All deadlines of a group have the same length, so they expire in the order in which they began. `asyncio.timeout`
makes, sorts and cancels a timer for every call, which takes a tenth of a call's CPU time.
"""

import asyncio


class Deadline:
    """The deadline of one call, as a context: raises `TimeoutError` in it once the time is over.

    The task is cancelled for that; as with `asyncio.timeout`, a cancellation by other code at the same time wins.
    """

    __slots__ = ("_cancelling", "_group", "_task", "expired", "when")

    def __init__(self, group: "Deadlines") -> None:
        self._group = group
        self.when = 0.0
        self.expired = False

    def __enter__(self) -> "Deadline":
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        self._group.add(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        self._group.remove(self)
        # expired, and no other code cancelled the task
        if self.expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from None

    def restart(self) -> None:
        """Give the call the whole time again, from now on."""
        self._group.remove(self)
        self._group.add(self)

    def expire(self) -> None:
        """End the call."""
        self.expired = True
        self._task.cancel()


class Deadlines:
    """The deadlines of one event loop, each `seconds` after its call began."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self._loop = loop
        self._seconds = seconds
        self._running: dict[Deadline, None] = {}  # in the order in which they expire
        self._timer: asyncio.TimerHandle | None = None

    def __call__(self) -> Deadline:
        """A deadline that begins when its context is entered."""
        return Deadline(self)

    def add(self, deadline: Deadline) -> None:
        """Begin a deadline."""
        deadline.when = self._loop.time() + self._seconds
        self._running[deadline] = None
        if self._timer is None:
            self._timer = self._loop.call_at(deadline.when, self._expire)

    def remove(self, deadline: Deadline) -> None:
        """End a deadline whose call is over."""
        del self._running[deadline]

    def _expire(self) -> None:
        """End the calls that are over their time, and set the timer for the next one."""
        self._timer = None
        now = self._loop.time()
        for deadline in self._running:
            if deadline.when > now:
                self._timer = self._loop.call_at(deadline.when, self._expire)
                return
            if not deadline.expired:
                deadline.expire()
