"""Declare commands: options, typed objects made of several options, and `--help` with options in groups.

A new option of a command needs a group in `OPTION_GROUPS`.
"""

import shlex
from collections.abc import Callable, Mapping
from functools import partial, wraps
from typing import Any, TypeAlias

import click

from unerring.cli.hints import in_commands
from unerring.errors import ChainChanged

Decorator: TypeAlias = Callable[[Any], Any]
HELP = "_click_default_help"  # the parameter of --help
OPTION_GROUPS = {  # headings of --help, and the parameters under each in their order
    "What runs": (
        *(
            "settings",
            "choices",
            "type_name",
            "schema",
            "given",
            "limit",
            "models",
            "model",
            "journal",
            "max_steps",
            "samples",
            "out",
            "at",
            "steps",
            "seed",
        ),
        *("parse", "roles", "depth", "parts", "nodes", "disks", "process", "repair", "accept_changes"),
        "trust",
    ),
    "How steps are decided": (
        *("k", "success", "target", "m", "rule", "calibration", "calibrations", "vote_cap", "flag_cap", "min_replies"),
        *("shortlist", "escalate", "escalate_after"),
    ),
    "What stops it": ("copies", "flagged", "same_model", "patience", "grace"),
    "What was measured, given by hand": ("p", "v", "input_tokens", "output_tokens", "latency"),
    "What it may cost": ("usd", "tokens", "calls", "hours", "strict", "prices", "price_in", "price_out"),
    "How models are asked": (
        *("temperature", "first_temperature", "max_output_tokens", "system", "extra", "nonce", "echo", "probe"),
        "allow_hosts",
    ),
    "Speed": ("speculate", "in_flight", "waste", "concurrency"),
    "Output": ("show_prompt", "verbose", "full", "tree", "plots", "html", "require", "as_json", "traceback", HELP),
}
OTHER_OPTIONS = "Options"  # the heading of options that no group names


class Command(click.Command):
    """A command whose options are listed by group; a group without an option of the command is left out.

    `refused_options` says of options that other commands have why this one does not.
    """

    def __init__(self, *args: Any, refused_options: Mapping[str, str] | None = None, **named: Any) -> None:
        super().__init__(*args, **named)
        self.refused_options = refused_options or {}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments. A word too many such as `disks=4` is refused with the option that it is meant as."""
        if not ctx.resilient_parsing:
            given, extra, _ = self.make_parser(ctx).parse_args(list(args))
            named = [value for value in given.values() if isinstance(value, str) and value in args] if extra else []
            meant = {word: option for word in [*named, *extra] if (option := self._option_for(word)) is not None}
            if meant:
                ctx.fail(f"{' '.join(meant)} must be given as an option: {' '.join(meant.values())}.")
        return super().parse_args(ctx, args)

    def _option_for(self, word: str) -> str | None:
        """The option that a word such as `disks=4` is meant as; None where it is none."""
        name, equals, value = word.partition("=")
        if not equals or not name.isidentifier():
            return None
        options = {
            name for one in self.params if isinstance(one, click.Option) and not one.is_flag for name in one.opts
        }
        own = f"--{name.replace('_', '-')}"
        if own in options:
            return shlex.join([own, value])
        return f"--set {shlex.quote(word)}" if "--set" in options else None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Advice about a changed process becomes a command here, while the options are known."""
        try:
            return super().invoke(ctx)
        except ChainChanged as error:
            raise ChainChanged(in_commands(str(error))) from error

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, those of the command alone first, the others in the order of `OPTION_GROUPS`."""
        records = {}
        for one in self.get_params(ctx):
            if isinstance(one, click.Option) and (record := one.get_help_record(ctx)) is not None:
                records[HELP if "--help" in one.opts else one.name] = record
        grouped = [
            (heading, [records.pop(name) for name in names if name in records])
            for heading, names in OPTION_GROUPS.items()
        ]
        for heading, rows in [(OTHER_OPTIONS, [*records.values()]), *grouped]:
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)


class Option(click.Option):
    """An option whose help leaves out the range of its value; values outside of it are refused with the range."""

    def get_help_extra(self, ctx: click.Context) -> Any:
        """What click adds to the help: the default, and whether the option is required."""
        extra = super().get_help_extra(ctx)
        extra.pop("range", None)
        return extra


option: Callable[..., Decorator] = partial(click.option, cls=Option)


def options(*declared: Decorator, pack: Callable[[dict[str, Any]], None] | None = None) -> Decorator:
    """A decorator that gives a command these options, in this order.

    `pack` may take values out of what the command is called with, and put one object made of them in their place.
    """

    def declare(command: Any) -> Any:
        called = command
        if pack is not None:

            @wraps(command)
            def called(**given: Any) -> Any:
                pack(given)
                return command(**given)

        for one in reversed(declared):
            called = one(called)
        return called

    return declare
