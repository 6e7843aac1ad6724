"""One execution of a process's function: a coroutine that is given outcomes, and says what it waits for next."""

import inspect
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any, NoReturn, TypeAlias

from unerring.core.functions.awaitables import Act, Ask, Gather
from unerring.core.functions.names import name_of
from unerring.core.functions.points import Given, GivenKind, Point
from unerring.core.functions.running import forgotten_acts, running_process
from unerring.core.short_text import short
from unerring.core.user_code import OWN_ERRORS, raise_own
from unerring.core.voting.canonical import parsed
from unerring.errors import ActFailed, ChainChanged, StepUndecided, UnerringError


class Returned:
    """The end of a function.

    value: what it returned.
    """

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


Waiting: TypeAlias = Ask[Any] | Gather[Any] | Act[Any] | Returned

_GIVEN_TO = {
    GivenKind.CHOICE: Ask | Gather,
    GivenKind.UNDECIDED: Ask | Gather,
    GivenKind.RESULT: Act,
    GivenKind.FAILED: Act,
}
_GIVEN_WORDS = {
    GivenKind.CHOICE: "an answer",
    GivenKind.UNDECIDED: "an undecided step",
    GivenKind.RESULT: "the result of a side effect",
    GivenKind.FAILED: "the failure of a side effect",
}


class Execution:
    """A function that runs, with outcomes in place of waiting, up to a point.

    It is at the point `at`, and `waiting` says for what. A coroutine cannot go back: another course needs another
    execution.
    """

    def __init__(self, function: Callable[..., Any], arguments: Mapping[str, Any], start: Point) -> None:
        """Run the function to the first thing that it waits for."""
        self._function = function
        self._name = name_of(function)
        positional, keywords = bound(function, arguments)
        self._coroutine = self._begun(positional, keywords)
        self._thrown: Exception | None = None  # the error that the function was just given
        self.at = start
        with running_process():
            self.waiting = self._resumed(None, start)

    def close(self) -> None:
        """End the function where it is."""
        with suppress(*OWN_ERRORS):  # of its own `finally`; it is not needed any more
            self._coroutine.close()

    def __del__(self) -> None:
        """End the function where a run stops: without this, Python shows what its `finally` raises."""
        self.close()

    def is_before(self, point: Point) -> bool:
        """Whether this execution can continue to a point."""
        while point.depth > self.at.depth:
            assert point.before is not None
            point = point.before.resumed_at
        return point is self.at

    def go_to(self, point: Point) -> None:
        """Resume the function, outcome by outcome, up to a point that `is_before` allows."""
        course = []
        while point is not self.at:
            course.append(point)
            assert point.before is not None
            point = point.before.resumed_at
        with running_process() as running:
            for following in reversed(course):
                running.is_again = following.asked is not None
                self._require_fit(following)
                self.waiting = self._resumed(following, following)
                self.at = following

    def _begun(self, positional: tuple[Any, ...], keywords: dict[str, Any]) -> Coroutine[Any, Any, Any]:
        try:
            coroutine = self._function(*positional, **keywords)
        except OWN_ERRORS as error:
            raise_own(error, self._name, 0, self._function)
        if not inspect.iscoroutine(coroutine):
            raise TypeError(f"{self._name}() is no process: a process is written as `async def`")
        return coroutine

    def _resumed(self, given: Point | None, at: Point) -> Waiting:
        """What the function waits for next, after it is given the outcome that led to `given`."""
        self._thrown = None
        try:
            awaited = self._coroutine.send(None) if given is None else self._given(given)
        except StopIteration as end:
            waiting: Waiting = Returned(end.value)
        except UnerringError as error:
            if error is self._thrown or not isinstance(error, StepUndecided | ActFailed):
                raise
            again = RuntimeError(f"it raised again what it was given before and had caught: {error}")
            raise_own(again, self._name, at.step, self._function)
        except OWN_ERRORS as error:
            raise_own(error, self._name, at.step, self._function)
        else:
            waiting = awaited if isinstance(awaited, Ask | Gather | Act) else self._refuse(awaited, at)
        if forgotten := forgotten_acts():
            missing = TypeError(f"act({forgotten[0]}, ...) was not run: write `await` before it")
            raise_own(missing, self._name, at.step, self._function)
        self._require_same(waiting, at)
        return waiting

    def _given(self, point: Point) -> Any:
        """Give the function the outcome that led to a point."""
        outcome = point.outcome
        assert outcome is not None
        if outcome.kind is GivenKind.UNDECIDED:
            return self._throw(undecided_from(outcome))
        if outcome.kind is GivenKind.FAILED:
            return self._throw(ActFailed(str(parsed(outcome.value))))
        if isinstance(self.waiting, Gather):
            return self._coroutine.send([parsed(choice) for choice in _gathered(point)])
        return self._coroutine.send(parsed(outcome.value))

    def _throw(self, error: Exception) -> Any:
        self._thrown = error
        return self._coroutine.throw(error)

    def _refuse(self, awaited: object, at: Point) -> NoReturn:
        """Raise `TypeError` on the user's line for anything else that is awaited."""
        error = TypeError(
            f"a process awaits only ask, act and gather, not {_described(awaited)}: put other async code, clocks, "
            "chance and I/O into a function that `act` runs"
        )
        try:
            self._coroutine.throw(error)
        except StopIteration:
            pass
        except OWN_ERRORS as raised:
            raise_own(raised, self._name, at.step, self._function)
        raise error

    def _require_fit(self, following: Point) -> None:
        """Raise `ChainChanged` where the function waits for something else than it was given in the run."""
        outcome = following.outcome
        assert outcome is not None
        if not isinstance(self.waiting, _GIVEN_TO[outcome.kind]):
            of_act, step = outcome.kind in {GivenKind.RESULT, GivenKind.FAILED}, self.at.step
            forked = f", or fork it at step {step - of_act}" if step >= of_act else ""
            raise ChainChanged(
                f"{self._name}() now reaches {described(self.waiting)} at step {step}, where it had "
                f"{_GIVEN_WORDS[outcome.kind]}: continue with the code that began the run{forked}"
            )

    def _require_same(self, waiting: Waiting, at: Point) -> None:
        """Raise `TypeError` where the function waits for something else at a point than when it ran there before."""
        asked = hash(_asked(waiting))
        if at.asked is None:
            at.asked = asked, described(waiting)
        elif at.asked[0] != asked:
            first, now = at.asked[1], described(waiting)
            error = TypeError(
                f"asked something else when it ran again with the same answers, first {first}, now {now}; "
                "what depends on a clock, on chance, on I/O or on global data belongs into a function that `act` runs"
            )
            raise_own(error, self._name, at.step, self._function)


def _gathered(point: Point) -> list[str]:
    """The choices of a `gather`, whose last one led to this point."""
    choices = []
    before: Point | None = point
    while before is not None and before.outcome is not None:
        choices.append(before.outcome.value)
        before = before.before
        if before is None or before.gathering is None:
            break
    choices.reverse()
    return choices


def _asked(waiting: Waiting) -> object:
    match waiting:
        case Ask():
            return waiting.prompt
        case Gather(asks=asks):
            return tuple(ask.prompt for ask in asks)
        case Act():
            return ("act", waiting.name)
        case _:
            return None


def described(waiting: Waiting) -> str:
    """What a function waits for, for people."""
    match waiting:
        case Ask():
            return f"the question {waiting.prompt!r:.80}"
        case Gather(asks=asks):
            return f"{len(asks)} questions side by side"
        case Act():
            return f"act({waiting.name})"
        case _:
            return "its end"


def _described(awaited: object) -> str:
    """What a function awaited, which it may not: the futures of asyncio have no names that people know."""
    module = type(awaited).__module__.partition(".")[0]
    return "something of asyncio" if awaited is None or module in {"asyncio", "_asyncio"} else short(awaited)


def undecided_from(outcome: Given) -> StepUndecided:
    """The error of an undecided step, as the function is given it."""
    value = parsed(outcome.value)
    assert isinstance(value, dict)
    step, counts = value["step"], value["tally"]
    assert isinstance(step, int)
    assert isinstance(counts, list)
    return StepUndecided(str(value["reason"]), step, tuple(int(str(count)) for count in counts))


def bound(function: Callable[..., Any], arguments: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The positional and keyword arguments of a call, from the values of its parameters by name."""
    positional: list[Any] = []
    keywords: dict[str, Any] = {}
    in_order = True
    for name, parameter in inspect.signature(function).parameters.items():
        if name not in arguments:
            in_order = in_order and parameter.kind is parameter.VAR_POSITIONAL
            continue
        value = arguments[name]
        if parameter.kind is parameter.VAR_POSITIONAL:
            positional += value
        elif parameter.kind is parameter.VAR_KEYWORD:
            keywords |= value
        elif parameter.kind is parameter.KEYWORD_ONLY or not (in_order or parameter.kind is parameter.POSITIONAL_ONLY):
            keywords[name] = value
        else:
            positional.append(value)
    return tuple(positional), keywords
