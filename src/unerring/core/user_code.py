"""Errors in a user's own methods, which name the method, the step and the line.

An exception that a method raises is passed on unchanged, with a note of the method and the step. An exception that
would end an event loop or a generator, such as that of `sys.exit()`, becomes a `RuntimeError`. A value that a method
must not return becomes `WrongReturn`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

from unerring.core.voting.canonical import Json, NotJson, canonical

# What counts as an error of the user's own code; Ctrl-C does not.
OWN_ERRORS = (Exception, SystemExit, GeneratorExit)


class WrongReturn(TypeError):
    """A user's method returned a wrong value; the message names method, step, place in the value, file and line."""


class MethodNote(str):
    """A note on an exception: the user's method that raised it, and the step."""

    __slots__ = ()


def add_method_note(
    error: Exception, method: str, step: int | None = None, function: Any = None, hint: str = ""
) -> None:
    """Add a note to an exception: the method that raised it, and a hint. A note that is there already is kept.

    Where the call itself failed, the traceback has no line of the user's: then the note says where `function` is
    defined.
    """
    if method_note(error) is not None or isinstance(error, WrongReturn):  # its message names the method
        return
    traceback = error.__traceback__
    uncalled = traceback is not None and traceback.tb_next is None
    error.add_note(MethodNote(f"in {_called(method, step)}{defined_at(function) if uncalled else ''}{hint}"))


def ordinary_error(error: BaseException, whose: str = "process") -> Exception:
    """The error as an ordinary exception: others, such as `SystemExit`, would end the event loop."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration | StopAsyncIteration):
        return error
    return RuntimeError(f"the {whose}'s own code raised {error!r}").with_traceback(error.__traceback__)


def raise_own(
    error: BaseException, method: str, step: int | None = None, function: Any = None, hint: str = ""
) -> NoReturn:
    """Raise an error of a user's method as an ordinary exception, with a note of the method."""
    ordinary = ordinary_error(error)
    add_method_note(ordinary, method, step, function, hint)
    raise ordinary


def call_own(function: Callable[..., Any], method: str, *arguments: Any, step: int | None = None) -> Any:
    """What a user's own method returns; an error of its own is passed on with a note of the method."""
    try:
        return function(*arguments)
    except OWN_ERRORS as error:
        raise_own(error, method, step, function)


def error_line(error: BaseException) -> str:
    """An exception in one line, text for a journal: its type, its message, and the user's method that raised it."""
    if isinstance(error, WrongReturn):
        return str(error)
    place = method_note(error)
    try:
        message = str(error).encode("utf-8", "backslashreplace").decode()
    except Exception as another:  # of the exception's own class
        message = f"its message cannot be read ({type(another).__name__})"
    return f"{type(error).__name__}: {message}" + (f", {place}" if place else "")


def method_note(error: BaseException) -> str | None:
    """The note of the user's method that raised an exception; None where there is none."""
    return next((note for note in getattr(error, "__notes__", ()) if isinstance(note, MethodNote)), None)


def wrong_return(method: str, said: str, step: int | None = None, function: Any = None) -> WrongReturn:
    """The error for a wrong return value: `said` follows the name of the method, as in "returned None"."""
    return WrongReturn(f"{_called(method, step)} {said}{defined_at(function)}")


def json_of(value: Json, method: str, name: str, step: int | None = None, function: Any = None) -> str:
    """The canonical text of a returned value, called `name` in errors; raises `WrongReturn` if it is not JSON data."""
    try:
        return canonical(value)
    except NotJson as error:
        raise not_json(error, method, name, step, function) from None


def not_json(error: NotJson, method: str, name: str, step: int | None = None, function: Any = None) -> WrongReturn:
    """The error of a method that returned something else than JSON data, with the path to it."""
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
    """File and line of a function, in brackets; empty for a function that is not written in Python."""
    while isinstance(function, partial):
        function = function.func
    function = getattr(function, "__wrapped__", function)
    code = getattr(function, "__code__", None) or getattr(vars(type(function)).get("__call__"), "__code__", None)
    return "" if code is None else f" ({code.co_filename}, line {code.co_firstlineno})"
