"""Shell completion of processes, models and sources of guesses; click completes commands, options and files."""

from collections.abc import Iterable

import click

from unerring.adapters.embedded.catalog import ENSEMBLES, MEMBERS
from unerring.adapters.plugins import installed
from unerring.processes import SHIPPED

FORMS = ("openai/", "openai-batch/", "litellm/", "noise/p=0.99,v=0.95,c=0")  # of models with parts to fill in


def complete_processes(_context: click.Context, _option: click.Parameter, typed: str) -> list[str]:
    """The shipped processes; one of the user's own is written package.module:Class."""
    return _beginning(typed, SHIPPED)


def complete_models(_context: click.Context, _option: click.Parameter, typed: str) -> list[str]:
    """The embedded models, the providers that are built in, and installed ones."""
    embedded = (name for one in ENSEMBLES for name in (one.name, *(f"{one.name}/{member}" for member in MEMBERS)))
    return _beginning(typed, (*embedded, *FORMS, *installed()))


def complete_guesses(context: click.Context, option: click.Parameter, typed: str) -> list[str]:
    """The words of `--speculate`, and models."""
    return [*_beginning(typed, ("auto", "off", "leader", "guess")), *complete_models(context, option, typed)]


def _beginning(typed: str, words: Iterable[str]) -> list[str]:
    return [word for word in words if word.startswith(typed)]
