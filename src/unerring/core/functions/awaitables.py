"""What a function process awaits: `Ask`, a question, `Gather`, several side by side, and `Act`, a side effect."""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, NoReturn, TypeVar

from unerring.core.chain import Rehearsal, Subtask
from unerring.core.functions.names import name_of
from unerring.core.functions.running import note_forgotten, require_in_process
from unerring.core.numbers import MAX_COUNT
from unerring.core.short_text import short
from unerring.core.voting.canonical import Json

T = TypeVar("T")

MAX_KEY_CHARS = 200  # of an idempotency key


class Awaited:
    """What a process awaits. Before that it has neither a truth value nor a text: there an await is missing."""

    __slots__ = ()

    def __bool__(self) -> NoReturn:
        raise _not_awaited(self)

    def __format__(self, form: str) -> NoReturn:
        raise _not_awaited(self)


def _not_awaited(awaited: Awaited) -> TypeError:
    return TypeError(f"{type(awaited).__name__.lower()}(...) has a value once it is awaited: write `await` before it")


@dataclass(frozen=True, slots=True, eq=False)
class Ask(Awaited, Generic[T]):
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

    @property
    def prompt(self) -> str:
        """The whole prompt."""
        return self.subtask.prompt

    def rehearsal(self) -> Rehearsal | None:
        """Answers for the noise sampler, an empty one where no wrong one is known; None without a right one."""
        return None if self.right is None else Rehearsal(self.right, self.wrong or ("",))

    def __await__(self) -> Generator[Any, Any, T]:
        """Hand the question to the process that runs the function, and return what was decided."""
        require_in_process("ask(...)")
        return self.value((yield self))


@dataclass(frozen=True, slots=True, eq=False)
class Gather(Awaited, Generic[T]):
    """Questions that do not depend on each other, asked side by side; awaiting it gives the list of their answers."""

    asks: tuple[Ask[T], ...]

    def __await__(self) -> Generator[Any, Any, list[T]]:
        """Hand the questions to the process that runs the function, and return what was decided."""
        require_in_process("gather(...)")
        choices = (yield self) if self.asks else []
        return [ask.value(choice) for ask, choice in zip(self.asks, choices, strict=True)]


def gather(*asks: Ask[T]) -> Gather[T]:
    """Ask several questions side by side within a function process.

        answers = await gather(*[ask(f"Kind of: {entry}", ["rent", "other"]) for entry in entries])

    Each is one voted step, and none is asked from a guess. Where one of them ends undecided, `StepUndecided` is raised
    and the others' answers are dropped.

    Raises `TypeError` for anything else than what `ask` returns.
    """
    for number, one in enumerate(asks, start=1):
        if not isinstance(one, Ask):
            said = "; write gather(*list)" if isinstance(one, list | tuple) else ""
            raise TypeError(f"gather takes what ask(...) returns; number {number} is {short(one)}{said}")
    return Gather(asks)


@dataclass(frozen=True, slots=True, eq=False)
class Act(Awaited, Generic[T]):
    """A side effect of a function process; awaiting it runs the function and gives its result.

    function: what is run.
    arguments, keywords: its arguments.
    key: the idempotency key that the user gave it; None for one that is made for this run and place.
    once: whether it is never run a second time, even where it is not known whether it happened.
    retries: how many times more it is run where it raises an error.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()
    keywords: Mapping[str, Any] = field(default_factory=dict)
    key: str | None = None
    once: bool = False
    retries: int = 0
    _awaited: bool = field(default=False, init=False, repr=False)

    @property
    def name(self) -> str:
        """The function's name, for people."""
        return name_of(self.function)

    def __await__(self) -> Generator[Any, Json, T]:
        """Hand the side effect to the process that runs the function, and return its result."""
        require_in_process("act(...)")
        object.__setattr__(self, "_awaited", True)
        result: Any = yield self
        return result  # type: ignore[no-any-return]

    def __del__(self) -> None:
        """Note that nothing was run, where an await is missing before `act(...)`."""
        if not self._awaited:
            note_forgotten(self.name)


def act(
    function: Callable[..., Any],
    /,
    *arguments: Any,
    key: str | None = None,
    once: bool = False,
    retries: int = 0,
    **keywords: Any,
) -> Act[Any]:
    """Run a side effect within a function process.

        receipt = await act(send_mail, address, text)

    It is run when all steps before it are decided, never on a guess, and its result, JSON data, is journaled: a run
    that is resumed returns that result, and does not run it again. If the process was killed while it ran, it is run
    again, with the same idempotency key.

    function: what is run, a plain or an async function. It gets the key where it takes an argument `key`, unless it is
        given one by position. Another result than JSON data stops the run.
    arguments, keywords: its arguments; of lists, dicts and sets it gets copies.
    key: the idempotency key; by default one that is made of the run and of its place in it.
    once: whether it is never run twice: if it is not known whether it happened, the run stops, and
        `unerring review` says whether it did.
    retries: how many times more it is run where it raises an error, with growing waits. After that `ActFailed` is
        raised in the function.

    Raises `TypeError` or `ValueError` for a wrong argument.
    """
    if not callable(function):
        raise TypeError(f"act takes a function and its arguments: act(send, text), not {short(function)}")
    if key is not None and (not isinstance(key, str) or not 0 < len(key) <= MAX_KEY_CHARS):
        raise TypeError(f"the key of act is a text of 1 to {MAX_KEY_CHARS} characters, not {short(key)}")
    if type(once) is not bool:
        raise TypeError(f"once of act is True or False, not {short(once)}")
    if type(retries) is not int or not 0 <= retries <= MAX_COUNT:
        raise ValueError(f"retries of act is a whole number from 0 to {MAX_COUNT:,}, not {short(retries)}")
    if once and retries:
        raise ValueError("act(once=True) is never run twice, so it takes no retries")
    return Act(function, arguments, keywords, key, once, retries)
