"""Make a user's own samplers by name: those of installed packages, and classes, functions and objects of any module.

A package registers `NAME = "package.module:make"` under the entry points `unerring.samplers`; then `NAME/rest` is the
sampler that `make("rest")` returns. A specification `package.module:Class,name=value` makes one without registering.

Only classes and objects that look like a sampler are called, and functions that take (prompt, settings). Callers
check `Permission` before: a specification from another person's journal must not choose code or its arguments.
"""

import inspect
import re
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from unerring.adapters.files.jsonl import json_value
from unerring.adapters.function import FunctionSampler
from unerring.adapters.providers import PROVIDERS
from unerring.adapters.user_code.frames import error_with_place
from unerring.adapters.user_code.modules import RunInImport, import_object, importing, made_by, object_of_class
from unerring.core.short_text import short
from unerring.core.voting.canonical import Json, canonical
from unerring.errors import InputError, UserCodeFailed
from unerring.runtime.ensemble import RESERVE, SEPARATOR
from unerring.runtime.protocols import Sampler

ENTRY_POINT_GROUP = "unerring.samplers"

_IN_MODULE = re.compile(r"(?P<object_name>[A-Za-z_][\w.]*:[A-Za-z_][\w.]*)(?:,(?P<parameters>.*))?", re.DOTALL)
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
        return _in_module(match["object_name"], match["parameters"] or "", spec)
    registered = _registered().get(provider, ())
    if not registered:
        return None
    if len(registered) > 1:
        packages = " and ".join(sorted(one.dist.name if one.dist else one.value for one in registered))
        raise InputError(f"several installed packages call a model {provider!r}: {packages}; uninstall all but one")
    make = _loaded(registered[0])
    return _named(_checked(made_by(lambda: make(rest), spec), spec), spec, provider)


def is_user_model(spec: str) -> bool:
    """Whether a specification names a model that does not ship with unerring. Imports nothing."""
    provider = spec.partition("/")[0]
    return provider not in PROVIDERS and (_IN_MODULE.fullmatch(spec) is not None or provider in _registered())


def installed_models() -> list[str]:
    """The names of models that installed packages register."""
    return sorted(_registered())


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


def parameter_text(name: str, value: Json) -> str:
    """`name=value` as `parse_parameter` reads it: a text that would read as JSON is written as JSON."""
    if isinstance(value, str):
        with suppress(InputError):
            if parse_parameter(plain := f"{name}={value}") == (name, value):
                return plain
    return f"{name}={canonical(value)}"


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
        with importing(point.module):
            make: Any = point.load()
    except RunInImport:
        raise
    except (Exception, SystemExit) as error:
        raise UserCodeFailed(
            f"the model {point.name} of {package} cannot be loaded: {error_with_place(error)}"
        ) from error
    if not callable(make):
        raise InputError(f"the model {point.name} of {package} cannot be made: {point.value} is no function or class")
    return make  # type: ignore[no-any-return]


def _in_module(object_name: str, parameters: str, spec: str) -> Sampler:
    target = import_object(object_name)
    if isinstance(target, type):
        if "__call__" in vars(target) and not hasattr(target, "sample"):
            raise InputError(
                f"{object_name} is a class whose objects are called: make one in its module, such as "
                f"model = {target.__name__}(), and name that: {object_name.partition(':')[0]}:model"
            )
        if not callable(getattr(target, "sample", None)):
            raise InputError(
                f"{object_name} is no sampler: it has no method sample (see unerring.runtime.protocols.Sampler)"
            )
        made = object_of_class(target, _parameters(parameters), spec)
        return _named(_checked(made, spec), spec, object_name)
    if parameters:
        raise InputError(f"{object_name} is not a class: it takes no parameters")
    if callable(getattr(target, "sample", None)):
        return _named(_checked(target, spec), spec, object_name)
    if _takes_prompts(target):
        return _named(FunctionSampler(target), spec, object_name)
    raise InputError(
        f"{object_name} is no model: one is a class or an object with sample, or a function (prompt) or "
        "(prompt, settings), whose parameters have these names"
    )


def _parameters(given: str) -> dict[str, Json]:
    parameters: dict[str, Json] = {}
    for text in _NEXT.split(given) if given else ():
        name, value = parse_parameter(text)
        if name in parameters:
            raise InputError(f"the parameter {name} is given twice")
        parameters[name] = value
    return parameters


def _takes_prompts(target: Any) -> bool:
    try:
        first, *others = inspect.signature(target).parameters.values()
    except (TypeError, ValueError):
        return False
    if not callable(target) or first.name != "prompt":
        return False
    alone = first.default is first.empty and all(one.default is not one.empty for one in others)
    return alone or [one.name for one in others[:1]] == ["settings"]


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
