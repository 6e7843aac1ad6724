"""Checks the methods of a chain before it is used: none is missing, misspelled, or takes other arguments.

An optional method that is misspelled would silently never be called, so it is an error.
"""

import inspect
from difflib import SequenceMatcher
from functools import partial
from typing import Any

from unerring.core.chain import Chain
from unerring.core.functions.names import name_of
from unerring.core.short_text import short
from unerring.core.user_code import defined_at

REQUIRED: dict[str, tuple[str, ...]] = {"start": (), "subtask": ("state",), "advance": ("state", "choice")}
OPTIONAL: dict[str, tuple[str, ...]] = {
    "check": ("state", "choice"),
    "verify": ("choices", "finished"),
    "truth": ("state",),
    "rehearse": ("prompt",),
    "length": (),
    "state_at": ("step",),
    "answer": ("state",),
    "parameters": (),
    "place": ("state",),
    "beside": ("state",),
    "guess": ("state",),
}
METHODS: dict[str, tuple[str, ...]] = REQUIRED | OPTIONAL


def own_method(chain: Any, name: str) -> Any:
    """A chain's own method; None where it has none, or only the default of the base class."""
    method = getattr(chain, name, None)
    return None if getattr(method, "__func__", method) is getattr(Chain, name) else method


def is_chain(found: Any) -> bool:
    """Whether an object or a class has the three methods that every chain needs."""
    return all(own_method(found, method) is not None for method in REQUIRED)


def not_a_chain(found: Any, name: str = "") -> str:
    """Why an object or a class is no chain, in one line."""
    if inspect.iscoroutine(found):
        return f"{found.__qualname__}() was called: pass {found.__qualname__} itself, and its arguments as `args`"
    if inspect.isroutine(found) or isinstance(found, partial):
        return f"{name_of(found)} is no process: a function that is one is written as `async def`, without yield"
    if inspect.iscoroutinefunction(vars(type(found)).get("__call__")):
        return f"{short(found)} is no process: pass the method that is one, such as its __call__"
    kind = found if isinstance(found, type) else type(found)
    slips = [
        f"; is {other}() meant to be {method}()?"
        for method in REQUIRED
        if own_method(found, method) is None
        for other in sorted(_public_methods(kind, found) - METHODS.keys())
        if _misspelled(other, method) or other == f"{method}s"
    ]
    said = name or (kind.__name__ if slips else short(found))
    return f"{said} is no chain: it needs the methods start, subtask and advance{''.join(slips)}"


def misfit(chain: Any) -> str | None:
    """What is wrong with an object that is to be a chain, in one line; None where nothing is."""
    name, public = type(chain).__name__, _public_methods(type(chain), chain)
    for method, takes in METHODS.items():
        function = getattr(chain, method, None)
        if function is not None and (wrong := _uncallable(function, takes)) is not None:
            return f"{name}.{method} is a method ({', '.join(takes)}) of a chain, but {wrong}{defined_at(function)}"
    for other in sorted(public - METHODS.keys()):
        for method in METHODS:
            if _misspelled(other, method) and own_method(chain, method) is None:
                return (
                    f"{name}.{other}() is no method of a chain: is {method}() meant? If it is your own, call it "
                    f"_{other}(){defined_at(getattr(chain, other))}"
                )
    return None


def _public_methods(kind: type, found: Any) -> set[str]:
    """Names of an object's public methods, inherited ones too; properties are not evaluated."""
    own = {} if found is kind else getattr(found, "__dict__", {})
    every = {name: getattr(kind, name, None) for name in dir(kind)} | own
    return {name for name, value in every.items() if not name.startswith("_") and callable(value)}


def _uncallable(function: Any, takes: tuple[str, ...]) -> str | None:
    """Why a method cannot be called with such arguments; None where it can."""
    if not callable(function):
        return f"is {short(function)}"
    if inspect.iscoroutinefunction(function):
        return "is async, which only models may be"
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # of a function that is not Python's nothing is known
        return None
    try:
        signature.bind(*takes)
    except TypeError:
        return f"takes {signature}"
    return None


def _misspelled(name: str, method: str) -> bool:
    """Whether a name is a method's but for case, underscores or a slip of one letter; a longer word is another one."""
    if name == method or name.startswith(method):
        return False
    plain, meant = name.replace("_", "").lower(), method.replace("_", "")
    if plain == meant:
        return True
    if len(plain) == len(meant) and sorted(plain) == sorted(meant):  # letters that changed places
        return SequenceMatcher(None, plain, meant).ratio() > 0.7
    alike = SequenceMatcher(None, plain, meant).get_matching_blocks()
    return sum(block.size for block in alike) >= max(len(plain), len(meant)) - 1
