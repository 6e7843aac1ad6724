"""Types of option values, and their completion in a shell; click completes commands, options and files."""

from collections.abc import Iterable
from math import isfinite
from pathlib import Path
from typing import Any

import click

from unerring.adapters.plugins import installed_models
from unerring.adapters.providers import PROVIDERS
from unerring.core.numbers import MAX_COUNT, MAX_IN_FLIGHT, MAX_SECONDS, MAX_SEED, MAX_TEMPERATURE, MAX_TOTAL, is_plain
from unerring.processes import SHIPPED


class Whole(click.IntRange):
    """A whole number within a range."""

    name = "whole number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read a whole number, or fail with one line that names the option."""
        if isinstance(value, str) and not is_plain(value):
            self.fail(f"{value!r} is not a valid {self.name}.", param, ctx)
        return super().convert(value, param, ctx)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """What stands for the value in `--help`."""
        return "N"


class Number(click.FloatRange):
    """A number within a range; unlike click's own type it refuses NaN and infinity."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read a number, or fail with one line that names the option."""
        if isinstance(value, str) and not is_plain(value):
            self.fail(f"{value!r} is not a valid {self.name}.", param, ctx)
        read: float = super().convert(value, param, ctx)
        if not isfinite(read):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return read + 0.0  # -0 becomes 0


class FileName(click.Path):
    """The name of a file or folder, as a `Path`; an empty one, such as that of an unset variable, is refused."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read a name, or fail with one line that names the option."""
        if value == "":
            self.fail("the name of the file is empty.", param, ctx)
        return super().convert(value, param, ctx)


FILE = FileName()
SEED = Whole(-MAX_SEED, MAX_SEED)
STEPS = Whole(1, MAX_TOTAL)
TOTAL = Whole(0, MAX_TOTAL)
COUNT = Whole(1, MAX_COUNT)
AS_IN_FILE = "as in FILE"  # in help: the default of a setting that a journal keeps
IN_FLIGHT = Whole(1, MAX_IN_FLIGHT)
SECONDS = Number(0, MAX_SECONDS)
SHARE = Number(0, 1)
TEMPERATURE = Number(0, MAX_TEMPERATURE)


def complete_processes(_context: click.Context, _option: click.Parameter, typed: str) -> list[str]:
    """The shipped processes; one of the user's own is written package.module:Name."""
    return _beginning(typed, SHIPPED)


def complete_models(_context: click.Context, _option: click.Parameter, typed: str) -> list[str]:
    """The models of the providers that ship, and those of installed packages."""
    shipped = (beginning for provider in PROVIDERS.values() for beginning in provider.beginnings)
    return _beginning(typed, (*shipped, *installed_models()))


def complete_guesses(context: click.Context, option: click.Parameter, typed: str) -> list[str]:
    """The words of `--speculate`, and models."""
    return [*_beginning(typed, ("auto", "off", "leader", "guess")), *complete_models(context, option, typed)]


def _beginning(typed: str, words: Iterable[str]) -> list[str]:
    return [word for word in words if word.startswith(typed)]
