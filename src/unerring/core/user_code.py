"""Errors in a user's own methods name the method, the step and the line that they come from.

An exception that a method raises is passed on as it is, with a note of where it was raised; one that would end an
event loop or a generator, such as `sys.exit()`, becomes a `RuntimeError`. A value that a method must not return
becomes `WrongReturn`.
"""

from functools import partial
from typing import Any, NoReturn

from unerring.core.voting.canonical import Json, NotJson, canonical

# What a user's own method may raise and what is an error of its own code; Ctrl-C is not among them.
OWN_ERRORS = (Exception, SystemExit, GeneratorExit)


class WrongReturn(TypeError):
    """A user's own method returned what it must not; the message names method, step, path and line."""


class MethodNote(str):
    """A note on an exception: the user's method, and the step, that it came from."""

    __slots__ = ()


def noted(error: Exception, method: str, step: int | None = None, function: Any = None, hint: str = "") -> None:
    """Note on an exception the method that raised it, and a hint; the innermost one is kept.

    Where the call itself failed, which leaves no line of the user's in the traceback, the note says where `function`
    is defined.
    """
    if place_of(error) is not None or isinstance(error, WrongReturn):  # which says so itself
        return
    traceback = error.__traceback__
    uncalled = traceback is not None and traceback.tb_next is None
    error.add_note(MethodNote(f"in {_called(method, step)}{defined_at(function) if uncalled else ''}{hint}"))


def passable(error: BaseException, whose: str = "process") -> Exception:
    """An error of a user's own code, as one that may pass through an event loop: others would end that."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration | StopAsyncIteration):
        return error
    return RuntimeError(f"the {whose}'s own code raised {error!r}").with_traceback(error.__traceback__)


def raise_own(
    error: BaseException, method: str, step: int | None = None, function: Any = None, hint: str = ""
) -> NoReturn:
    """Raise the error of a user's own method as one that may be passed on (`passable`), with a note of the method."""
    found = passable(error)
    noted(found, method, step, function, hint)
    raise found


def told(error: BaseException) -> str:
    """An exception in one line: its type, what it says, and the user's method that it came from."""
    if isinstance(error, WrongReturn):
        return str(error)
    place = place_of(error)
    return f"{type(error).__name__}: {error}" + (f", {place}" if place else "")


def place_of(error: BaseException) -> str | None:
    """The note of the user's method that an exception came from; None where there is none."""
    return next((note for note in getattr(error, "__notes__", ()) if isinstance(note, MethodNote)), None)


def wrong_return(method: str, said: str, step: int | None = None, function: Any = None) -> WrongReturn:
    """The error of a method whose value cannot be used: `said` follows its name, as in "returned None"."""
    return WrongReturn(f"{_called(method, step)} {said}{defined_at(function)}")


def json_of(value: Json, method: str, name: str, step: int | None = None, function: Any = None) -> str:
    """The canonical text of what a method returned, known to the user by a name; raises `WrongReturn` for no JSON."""
    try:
        return canonical(value)
    except NotJson as error:
        raise not_json(error, method, name, step, function) from None


def not_json(error: NotJson, method: str, name: str, step: int | None = None, function: Any = None) -> WrongReturn:
    """The error of a method that returned what is not JSON data, with the path to what is not."""
    found, path = getattr(error, "found", None), getattr(error, "path", "")
    said = (
        f"returned no JSON data: {error}"
        if found is None
        else f"returned {found}{' at ' + name + path if path else ''}"
    )
    hint = "" if found is None else "; it returns JSON data"
    return wrong_return(method, f"{said}{hint}", step, function)


def _called(method: str, step: int | None) -> str:
    return f"{method}()" if step is None else f"{method}() of step {step}"


def defined_at(function: Any) -> str:
    """Where a function is defined, in brackets; nothing for one that is not Python's."""
    while isinstance(function, partial):
        function = function.func
    function = getattr(function, "__wrapped__", function)
    code = getattr(function, "__code__", None) or getattr(vars(type(function)).get("__call__"), "__code__", None)
    return "" if code is None else f" ({code.co_filename}, line {code.co_firstlineno})"
