"""What a function process awaits: `Ask`, one question that is decided by voting."""

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from unerring.core.chain import Subtask
from unerring.core.voting.canonical import Json

T = TypeVar("T")

_RUNNING: ContextVar[bool] = ContextVar("running", default=False)


@contextmanager
def running_process() -> Iterator[None]:
    """Note that the function of a process runs meanwhile, in this thread: there `ask` is a step of the process."""
    before = _RUNNING.set(True)
    try:
        yield
    finally:
        _RUNNING.reset(before)


def is_in_process() -> bool:
    """Whether the caller is the function of a process, or called by it."""
    return _RUNNING.get()


@dataclass(frozen=True, slots=True, eq=False)
class Ask(Generic[T]):
    """A question of a function process; awaiting it gives the answer that votes decide.

    subtask: the question, with its parser.
    value: turns the decided choice, JSON data, into the value that the function gets.
    guess: the probable choice, as JSON data, for asking the next step ahead; None for no guess. It never votes.
    truth: the right choice, where it is known, for measuring models and for the noise sampler. It never votes.
    right: the right choice as the text of an answer; None where it is not known.
    wrong: answers, as texts, that the noise sampler gives instead of the right one.
    """

    subtask: Subtask
    value: Callable[[Json], T]
    guess: Json = None
    truth: Json = None
    right: str | None = None
    wrong: tuple[str, ...] = ()

    def __await__(self) -> Generator[Any, Any, T]:
        """Hand the question to the process that runs the function, and return what was decided."""
        return self.value((yield self))
