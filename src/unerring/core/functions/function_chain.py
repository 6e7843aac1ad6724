"""A function process as a chain: an async function whose questions are the steps.

The chain's state is a `Point`: all answers that the function was given so far. To say what is asked there the function
is run with these answers in place of waiting. One execution goes ahead with the run; where a guess was wrong it cannot
go back, and another one runs from the start, which asks no model and takes microseconds a step.
"""

import inspect
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeAlias, cast

from unerring.core.chain import Chain, Rehearsal, Subtask
from unerring.core.functions.awaitables import Act, Ask, Gather
from unerring.core.functions.execution import Execution, Returned, Waiting, bound, described
from unerring.core.functions.names import name_of
from unerring.core.functions.points import Given, GivenKind, Point, undecided_outcome
from unerring.core.user_code import OWN_ERRORS, json_of, raise_own
from unerring.core.voting.canonical import Json, NotJson, canonical, parsed
from unerring.errors import ActFailed, ChainChanged, InputError, StepUndecided

GivenProcess: TypeAlias = "Chain | Callable[..., Coroutine[Any, Any, Any]] | str | None"
"""A process that is given to work with a journal: a chain, an async function, or the name of one; None for its own."""

MAX_KNOWN_POINTS = 8192  # of which it is kept what the function asks there; for others it is run again
MAX_KNOWN_CHARS = 32_000_000  # of these questions in all, except the last
MAX_REHEARSED = 65_536  # questions of which it is kept how the noise sampler answers them


class FunctionChain:
    """The chain of an async function and its arguments.

    function: what the user wrote.
    """

    def __init__(self, function: Callable[..., Any], arguments: Mapping[str, Json]) -> None:
        """Take the arguments by the names of parameters; `named_arguments` makes these of a call's."""
        self.function = function
        self.name: str | None = getattr(function, "name", None)
        self.version: Any = getattr(function, "version", None)
        self._arguments = canonical(dict(arguments))
        self._root = Point()
        self._execution: Execution | None = None
        self._known: OrderedDict[Point, Waiting] = OrderedDict()
        self._known_chars = 0
        self._rehearsed: OrderedDict[int, Rehearsal] = OrderedDict()  # by the hash of the question

    # --- the methods of a chain

    def start(self) -> Json:
        """The state before the first step, in which nothing was answered."""
        return None

    def parameters(self) -> dict[str, Any]:
        """The arguments of the function, by name."""
        return cast(dict[str, Any], parsed(self._arguments))

    def subtask(self, state: Json) -> Subtask | None:
        """The question at a point; None at the end, and where the function waits for a side effect."""
        ask = self._ask(state)
        if ask is None and isinstance(self._waiting(self._point(state)), Returned):
            self.answer(state)
        return None if ask is None else ask.subtask

    def advance(self, state: Json, choice: Json) -> Json:
        """The point after a choice."""
        point, text = self._point(state), canonical(choice)
        waiting = self._waiting(point)
        if (ask := self._ask(state)) is not None:
            try:
                ask.value(parsed(text))  # a choice of a person, or of changed code, may not fit
            except OWN_ERRORS as error:
                raise_own(error, name_of(self.function), point.step, self.function)
        if isinstance(waiting, Gather) and point.index + 1 < len(waiting.asks):
            return _state(point.next_gathered(text))
        return _state(point.after(Given(GivenKind.CHOICE, text)))

    def place(self, state: Json) -> Json:
        """What the question at a point depends on."""
        return None if state is None else self._point(state).place

    def beside(self, state: Json) -> Json:
        """A stand-in for the next point within a `gather`; None where the next question depends on this answer."""
        point = self._point(state)
        waiting = self._waiting(point)
        if isinstance(waiting, Gather) and point.index + 1 < len(waiting.asks):
            return _state(point.next_gathered(None))
        return None

    def guess(self, state: Json) -> Json:
        """The guess that the question came with, if any."""
        ask = self._ask(state)
        return None if ask is None else ask.guess

    def truth(self, state: Json) -> Json:
        """The right answer that the question came with."""
        ask = self._ask(state)
        if ask is None or ask.truth is None:
            raise InputError(f"a question of {name_of(self.function)}() has no right answer: ask(..., truth=...)")
        return ask.truth

    @property
    def knows_truth(self) -> bool:
        """Whether the first question came with its right answer."""
        asks = _asks_of(self._waiting(self._root))
        return bool(asks) and asks[0].truth is not None

    def choices(self, state: Json) -> list[Json]:
        """The choices that led to a point where the function was given nothing else; `after` goes there again."""
        point, choices = self._point(state), []
        while point.before is not None and point.outcome is not None:
            choices.append(parsed(point.outcome.value))
            point = point.before
        return choices[::-1]

    def after(self, choices: Sequence[Json]) -> Json:
        """The point after these choices."""
        state = self.start()
        for choice in choices:
            state = self.advance(state, choice)
        return state

    def rehearse(self, prompt: str) -> Rehearsal:
        """Answers for the noise sampler, to a question that came with its right answer."""
        rehearsal = self._rehearsed.get(hash(prompt))
        if rehearsal is None:
            raise InputError(
                f"the noise sampler needs the right answer to each question of {name_of(self.function)}(): "
                "ask(..., truth=...)"
            )
        return rehearsal

    def answer(self, state: Json) -> Json:
        """What the function returned; raises `WrongReturn` for other than JSON data, `ChainChanged` before its end."""
        waiting = self._waiting(self._point(state))
        if not isinstance(waiting, Returned):
            raise ChainChanged(
                f"{name_of(self.function)}() returned there, and now reaches {described(waiting)}: run it with the "
                "code that began the run, or fork it"
            )
        json_of(waiting.value, name_of(self.function), "result", None, self.function)
        return cast(Json, waiting.value)

    # --- side effects, and steps that stay undecided

    def act(self, state: Json) -> Act[Any] | None:
        """The side effect that the function waits for; None where it waits for something else."""
        waiting = self._waiting(self._point(state))
        return waiting if isinstance(waiting, Act) else None

    def waits_for(self, state: Json) -> str:
        """What the function waits for, for people."""
        return described(self._waiting(self._point(state)))

    def acted(self, state: Json, result: str) -> Json:
        """The point after a side effect with this result, canonical JSON."""
        return _state(self._point(state).after(Given(GivenKind.RESULT, result)))

    def act_failed(self, state: Json, reason: str) -> Json:
        """The point after a failed side effect, where the function continues after `ActFailed`; None otherwise."""
        return self._caught(state, Given(GivenKind.FAILED, canonical(reason)), ActFailed)

    def undecided(self, state: Json, error: StepUndecided) -> Json:
        """The point after an undecided step, where the function continues after `StepUndecided`; None otherwise."""
        return self._caught(state, undecided_outcome(error.step, error.reason, error.tally), StepUndecided)

    def _caught(self, state: Json, outcome: Given, kind: type[Exception]) -> Json:
        point = self._point(state).after(outcome)
        try:
            self._waiting(point)
        except kind:
            self._drop_execution()  # it has ended
            return None
        return _state(point)

    # --- what the function waits for

    def _ask(self, state: Json) -> Ask[Any] | None:
        point = self._point(state)
        waiting = self._waiting(point)
        if isinstance(waiting, Gather):
            return waiting.asks[point.index] if point.index < len(waiting.asks) else None  # the code has changed
        return waiting if isinstance(waiting, Ask) else None

    def _point(self, state: Json) -> Point:
        return self._root if state is None else cast(Point, state)

    def _waiting(self, point: Point) -> Waiting:
        """What the function waits for at a point."""
        at = point.resumed_at
        known = self._known.get(at)
        if known is not None:
            return known
        execution = self._execution
        try:
            if execution is None or not execution.is_before(at):
                self._drop_execution()
                execution = Execution(self.function, self.parameters(), self._root)
            execution.go_to(at)
        except BaseException:
            self._execution = None
            raise
        self._execution = execution
        return self._keep(at, execution.waiting)

    def _keep(self, at: Point, waiting: Waiting) -> Waiting:
        self._known[at] = waiting
        self._known_chars += _chars_of(waiting)
        while len(self._known) > MAX_KNOWN_POINTS or (self._known_chars > MAX_KNOWN_CHARS and len(self._known) > 1):
            self._known_chars -= _chars_of(self._known.popitem(last=False)[1])
        for ask in _asks_of(waiting):
            self._rehearse(ask)
        return waiting

    def _rehearse(self, ask: Ask[Any]) -> None:
        """Keep the answers to a question for the noise sampler, which is asked after the point, and in any order."""
        rehearsal = ask.rehearsal()
        if rehearsal is None:
            return
        for wording in (ask.subtask.prompt, *ask.subtask.paraphrases):
            self._rehearsed[hash(wording)] = rehearsal
            self._rehearsed.move_to_end(hash(wording))
        while len(self._rehearsed) > MAX_REHEARSED:
            self._rehearsed.popitem(last=False)

    def _drop_execution(self) -> None:
        if self._execution is not None:
            self._execution.close()
            self._execution = None


def _asks_of(waiting: Waiting) -> Sequence[Ask[Any]]:
    match waiting:
        case Ask():
            return (waiting,)
        case Gather(asks=asks):
            return asks
        case _:
            return ()


def _chars_of(waiting: Waiting) -> int:
    return sum(len(ask.subtask.prompt) for ask in _asks_of(waiting))


def _state(point: Point) -> Json:
    """A point as the state of a chain: the runtime hands states on without looking into them."""
    return cast(Json, point)


def is_function_process(found: Any) -> bool:
    """Whether an object is an async function, of which a process can be made."""
    return inspect.iscoroutinefunction(found)


def function_chain(function: Callable[..., Any], parameters: Mapping[str, Json]) -> FunctionChain:
    """The process of a function with these arguments, by the names of its parameters, as a journal keeps them.

    Raises `InputError` for arguments that the function does not take.
    """
    takes = inspect.signature(function).parameters
    others = {name: value for name, value in parameters.items() if name not in takes}
    positional, keywords = bound(function, parameters)
    return FunctionChain(function, named_arguments(function, positional, keywords | others))


def named_arguments(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Json]:
    """The arguments of a call by the names of the function's parameters, as JSON data.

    Raises `InputError` for arguments that the function does not take, and for others than JSON data.
    """
    name = name_of(function)
    try:
        given = inspect.signature(function).bind(*args, **kwargs).arguments
    except TypeError as error:
        raise InputError(f"{name}() cannot be run with these arguments: {error}") from None
    for parameter, value in given.items():
        try:
            canonical(value)
        except NotJson as error:
            found = getattr(error, "found", None)
            said = f"is {found}{getattr(error, 'path', '')}" if found else f"is no JSON data: {error}"
            raise InputError(
                f"the argument {parameter} of {name}() {said}; the arguments of a process are JSON data, kept in its "
                "journal: give other objects to the functions that `act` runs, or by functools.partial"
            ) from None
    return cast(dict[str, Json], parsed(canonical(dict(given))))
