"""Whether the function of a process runs now: there `ask` is a step of the process, and no other run begins."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

# An object for each time that a function runs, active only meanwhile: tasks that it starts inherit the context.
_RUNNING: ContextVar["Running | None"] = ContextVar("running", default=None)


class Running:
    """A time in which the function of a process runs.

    active: whether it still runs.
    is_again: whether it runs to where it was before, so that what it asks is known to be in order.
    forgotten: the names of side effects that were made and dropped without being awaited.
    """

    __slots__ = ("active", "forgotten", "is_again")

    def __init__(self) -> None:
        self.active = True
        self.is_again = False
        self.forgotten: list[str] = []


@contextmanager
def running_process() -> Iterator[Running]:
    """Note that the function of a process runs meanwhile, in this thread: there `ask` is a step of the process."""
    running = Running()
    before = _RUNNING.set(running)
    try:
        yield running
    finally:
        running.active = False
        _RUNNING.reset(before)


def is_in_process() -> bool:
    """Whether the caller is the function of a process, or called by it."""
    running = _RUNNING.get()
    return running is not None and running.active


def is_asked_again() -> bool:
    """Whether the function of a process runs again to where it was before."""
    running = _RUNNING.get()
    return running is not None and running.active and running.is_again


def note_forgotten(name: str) -> None:
    """Note a side effect that was made in the function of a process, and dropped without being awaited."""
    running = _RUNNING.get()
    if running is not None and running.active:
        running.forgotten.append(name)


def forgotten_acts() -> list[str]:
    """The side effects that the function of a process dropped without awaiting them, since it began to run."""
    running = _RUNNING.get()
    return [] if running is None else running.forgotten


def require_in_process(what: str) -> None:
    """Raise `RuntimeError` where something that only the function of a process awaits is awaited elsewhere."""
    if not is_in_process():
        raise RuntimeError(
            f"{what} is awaited by the function of a process, which unerring.run runs, and by no task of asyncio: ask "
            "several questions at once by unerring.gather"
        )


def refuse_in_process() -> None:
    """Raise `RuntimeError` where the function of a process begins another run: it would be repeated at each resume."""
    if is_in_process():
        raise RuntimeError(
            "the function of a process begins no other run: await ask(...) without a model, or await unerring.arun in "
            "an async function that `act` runs"
        )
