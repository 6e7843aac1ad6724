"""Names of functions, for people and journals."""

from collections.abc import Callable
from functools import partial
from typing import Any


def name_of(function: Callable[..., Any]) -> str:
    """The name of a function, for people."""
    plain = plain_function(function)
    return str(getattr(plain, "__qualname__", None) or type(plain).__qualname__)


def plain_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function of a `functools.partial`; any other as it is."""
    while isinstance(function, partial):
        function = function.func
    return function
