"""Make a user's own samplers by name: those of installed packages, and classes, functions and objects of any module.

A package registers `NAME = "package.module:make"` under the entry points `unerring.samplers`; then `NAME/rest` is the
sampler that `make("rest")` returns. A specification `package.module:Class,name=value` makes one without registering.

Only classes and objects that look like a sampler are called, and functions that take (prompt, settings). Callers
check `Permission` before: a specification from another person's journal must not choose code or its arguments.
"""

import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from threading import Thread, current_thread
from threading import enumerate as live_threads
from typing import Any

from unerring.adapters.function import FunctionSampler
from unerring.adapters.providers import PROVIDERS
from unerring.adapters.tables.jsonl import json_value
from unerring.adapters.user_frames import error_with_place, own_frames
from unerring.core.short_text import short
from unerring.core.voting.canonical import Json
from unerring.errors import InputError, UnerringError, UserCodeFailed
from unerring.runtime.ensemble import RESERVE, SEPARATOR
from unerring.runtime.protocols import Sampler

ENTRY_POINT_GROUP = "unerring.samplers"

_IN_MODULE = re.compile(r"(?P<place>[A-Za-z_][\w.]*:[A-Za-z_][\w.]*)(?:,(?P<parameters>.*))?", re.DOTALL)
_NEXT = re.compile(r",(?=[A-Za-z_]\w*=)")  # a comma within a value does not end it
_TYPES: dict[str, type] = {"name": str, "paid": bool, "compact": bool}


def user_sampler(spec: str) -> Sampler | None:
    """The sampler of a specification that names a user's own model; None for any other specification.

    Raises `InputError`, with one line, where the sampler cannot be made.
    """
    provider, _, rest = spec.partition("/")
    if provider in PROVIDERS:
        return None
    if match := _IN_MODULE.fullmatch(spec):
        return _in_module(match["place"], match["parameters"] or "", spec)
    registered = _registered().get(provider, ())
    if not registered:
        return None
    if len(registered) > 1:
        packages = " and ".join(sorted(one.dist.name if one.dist else one.value for one in registered))
        raise InputError(f"several installed packages call a model {provider!r}: {packages}; uninstall all but one")
    make = _loaded(registered[0])
    return _named(_made(lambda: make(rest), spec), spec, provider)


def is_user_model(spec: str) -> bool:
    """Whether a specification names a model that does not ship with unerring. Imports nothing."""
    provider = spec.partition("/")[0]
    return provider not in PROVIDERS and (_IN_MODULE.fullmatch(spec) is not None or provider in _registered())


def installed_models() -> list[str]:
    """The names of models that installed packages register."""
    return sorted(_registered())


def import_object(place: str) -> Any:
    """Import `package.module:name`, also from the current directory; raises `InputError` with one line."""
    module_name, _, attribute = place.partition(":")
    if module_name.endswith(".py"):
        named = module_name.removesuffix(".py").lstrip("./").replace("/", ".")
        raise InputError(f"{place} names a file: leave out .py: {named}:{attribute}")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        with _importing(module_name):
            target: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            target = getattr(target, part)
    except _RunInImport:
        raise
    except (Exception, SystemExit) as error:
        raise _import_failed(error, place) from error
    return target


class _RunInImport(UserCodeFailed):
    """A user's module began a run while it was imported."""


@dataclass(frozen=True, slots=True)
class _Import:
    """A user's module that is being imported by its name.

    module: its name.
    others: the threads that ran before, which it did not start.
    """

    module: str
    others: frozenset[Thread]


_IMPORTS: list[_Import] = []  # those in progress, in all threads


def refuse_in_import() -> None:
    """Raise `UserCodeFailed` while a user's module is being imported by its name: only a script begins runs.

    Otherwise a command that only reads would run the process to its end, with all its paid calls. Threads that the
    module starts are refused too; those that ran before the import are not.
    """
    for one in tuple(_IMPORTS):
        if current_thread() not in one.others:
            raise _RunInImport(
                f"{_running_module() or one.module} starts a run when it is imported: "
                "put that under `if __name__ == '__main__':` in its file"
            )


def _running_module() -> str | None:
    """The module whose body runs in this thread, such as one that the user's module imports; None where none does."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_name != "<module>":
        frame = frame.f_back
    return None if frame is None else frame.f_globals.get("__name__")


@contextmanager
def _importing(module: str) -> Iterator[None]:
    """Note the user's module that is imported meanwhile."""
    begun = _Import(module, frozenset(live_threads()) - {current_thread()})
    _IMPORTS.append(begun)
    try:
        yield
    finally:
        _IMPORTS.remove(begun)


def _import_failed(error: BaseException, place: str) -> InputError:
    """The error of an import: the user's own code failed, or the name does not exist."""
    if own_frames(error) or isinstance(error, SyntaxError):
        return UserCodeFailed(f"cannot import {place}: {error_with_place(error)}")
    return InputError(f"cannot import {place}: {_line(error)}")


def parse_parameter(text: str) -> tuple[str, Json]:
    """Read `name=value`; the value is JSON where it reads as such, else plain text."""
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise InputError(f"a parameter is written name=value, not {text!r}")
    try:
        return name, json_value(value)
    except ValueError as error:
        if value.lstrip()[:1] in {"{", "["}:
            raise InputError(f"the value of {name} is not JSON: {error}") from None
        return name, value


def _registered() -> dict[str, list[EntryPoint]]:
    """Entry points by name, without those that `PROVIDERS` has; one that a package registers twice counts once."""
    unique: dict[str, dict[tuple[str, str], EntryPoint]] = {}
    for point in entry_points(group=ENTRY_POINT_GROUP):
        if point.name not in PROVIDERS:
            package = point.dist.name if point.dist else ""
            unique.setdefault(point.name, {})[package, point.value] = point
    return {name: list(points.values()) for name, points in unique.items()}


def _loaded(point: EntryPoint) -> Callable[[str], Any]:
    package = point.dist.name if point.dist else point.value
    try:
        with _importing(point.module):
            make: Any = point.load()
    except _RunInImport:
        raise
    except (Exception, SystemExit) as error:
        raise UserCodeFailed(
            f"the model {point.name} of {package} cannot be loaded: {error_with_place(error)}"
        ) from error
    if not callable(make):
        raise InputError(f"the model {point.name} of {package} cannot be made: {point.value} is no function or class")
    return make  # type: ignore[no-any-return]


def _in_module(place: str, parameters: str, spec: str) -> Sampler:
    target = import_object(place)
    if isinstance(target, type):
        if "__call__" in vars(target) and not hasattr(target, "sample"):
            raise InputError(
                f"{place} is a class whose objects are called: make one in its module, such as "
                f"model = {target.__name__}(), and name that: {place.partition(':')[0]}:model"
            )
        if not callable(getattr(target, "sample", None)):
            raise InputError(
                f"{place} is no sampler: it has no method sample (see unerring.runtime.protocols.Sampler)"
            )
        values = _parameters(parameters)
        try:
            inspect.signature(target).bind(**values)
        except (TypeError, ValueError) as error:
            raise InputError(f"{place} cannot be made so: {_line(error)}; it takes {_takes(target)}") from None
        return _named(_made(lambda: target(**values), spec), spec, place)
    if parameters:
        raise InputError(f"{place} is not a class: it takes no parameters")
    if callable(getattr(target, "sample", None)):
        return _named(_checked(target, spec), spec, place)
    if _takes_prompts(target):
        return _named(FunctionSampler(target), spec, place)
    raise InputError(
        f"{place} is no model: one is a class or an object with sample, or a function (prompt) or (prompt, settings)"
    )


def _parameters(given: str) -> dict[str, Json]:
    parameters: dict[str, Json] = {}
    for text in _NEXT.split(given) if given else ():
        name, value = parse_parameter(text)
        if name in parameters:
            raise InputError(f"the parameter {name} is given twice")
        parameters[name] = value
    return parameters


def _takes(made: Any) -> str:
    try:
        return ", ".join(inspect.signature(made).parameters) or "no parameters"
    except (TypeError, ValueError):
        return "no parameters that could be named"


def _takes_prompts(target: Any) -> bool:
    try:
        first, *others = inspect.signature(target).parameters.values()
    except (TypeError, ValueError):
        return False
    if not callable(target) or first.name != "prompt":
        return False
    alone = first.default is first.empty and all(one.default is not one.empty for one in others)
    return alone or [one.name for one in others[:1]] == ["settings"]


def _made(make: Callable[[], Any], spec: str) -> Sampler:
    try:
        sampler = make()
    except UnerringError:
        raise
    except (Exception, SystemExit) as error:
        raise UserCodeFailed(f"{spec} cannot be made: {error_with_place(error)}") from error
    return _checked(sampler, spec)


def _checked(sampler: Any, spec: str) -> Sampler:
    """The sampler, if it is one; raises `InputError` otherwise."""
    if isinstance(sampler, type) or not callable(getattr(sampler, "sample", None)):
        raise InputError(f"{spec} gives {short(sampler)}, which is no sampler: it has no method sample")
    for name, kind in _TYPES.items():
        value = getattr(sampler, name, None)
        if not isinstance(value, kind):
            raise InputError(
                f"{spec} is no sampler: its {name} has to be {kind.__name__}, and is {short(value)} "
                "(see unerring.runtime.protocols.Sampler)"
            )
    return sampler  # type: ignore[no-any-return]


def _named(sampler: Sampler, spec: str, own: str) -> Sampler:
    """The sampler under a name that makes it again: its own where that begins with `own`, else the specification."""
    name = sampler.name
    if (name == own or name.startswith((f"{own}/", f"{own},"))) and SEPARATOR not in name and RESERVE not in name:
        return sampler
    with suppress(AttributeError):
        sampler.name = spec  # type: ignore[misc]
    if sampler.name != spec:
        raise InputError(
            f"{spec} has the name {name!r}, by which a resumed run cannot make it again; its name has to be {spec!r}"
        )
    return sampler


def _line(error: BaseException) -> str:
    """An exception in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")
