"""The command line. Results go to stdout; progress, messages and errors to stderr.

Exit codes: 0 done; 1 a wrong result, a damaged journal, or a certificate below `--require`; 2 bad usage or bad input;
3 stopped, and can continue; 4 an error in the user's own code.
"""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from itertools import takewhile
from pathlib import Path

import click
from click.shell_completion import shell_complete

from unerring.api.journals import history as reading
from unerring.cli.calibrate import calibrate, plan
from unerring.cli.command import Command, option
from unerring.cli.exits import BAD_INPUT, DONE, CommandEnded, end_of, ended
from unerring.cli.hints import Invocation
from unerring.cli.journals import export, fork, rejudge, report, verify
from unerring.cli.option_values import FILE, SEED, Whole
from unerring.cli.options import traceback_option
from unerring.cli.questions.ask import ask
from unerring.cli.questions.solve import solve
from unerring.cli.review import review
from unerring.cli.run import fresh, resume, run
from unerring.errors import UnerringError, UserCodeFailed

COMMAND_GROUPS = {  # headings of `unerring --help`, with their commands
    "Run": ("demo", "run", "resume", "solve", "ask"),
    "Measure and plan": ("calibrate", "plan"),
    "Look at a run": ("report", "verify", "export"),
    "Decide and change": ("review", "rejudge", "fork"),
}


def command_line(arguments: Sequence[str]) -> int:
    """Run one command; returns its exit code, with one clear line on stderr for anything that went wrong.

    With `--json` what went wrong is also one JSON object on stdout.
    """
    words = list(takewhile(lambda word: word != "--", arguments))
    invocation = Invocation(as_json="--json" in words, words=tuple(arguments))
    if instruction := os.environ.get("_UNERRING_COMPLETE"):
        return shell_complete(commands, {}, "unerring", "_UNERRING_COMPLETE", instruction)
    try:
        with commands.make_context("unerring", list(arguments), obj=invocation) as context:
            code = commands.invoke(context)
            sys.stdout.flush()
        return code if isinstance(code, int) else DONE
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return BAD_INPUT
    except BrokenPipeError:  # the reader of our output, such as `head`, has closed it
        _silence_stdout()
        return DONE
    except CommandEnded as end:
        return ended(end, invocation)
    except (click.ClickException, click.Abort, KeyboardInterrupt, OSError, UnerringError) as error:
        if isinstance(error, OSError):
            _silence_stdout()
        failed = end_of(error, arguments)
        failed.__cause__ = error.__cause__ if isinstance(error, UserCodeFailed) else None
        return ended(failed, invocation)


def _silence_stdout() -> None:
    """Discard what is still buffered, so that closing stdout at exit does not fail again."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Commands(click.Group):
    """The group of all commands, which its help lists in the order in which they are used."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each command with the first sentence of its help."""
        room = formatter.width - 6 - max(map(len, self.commands))
        for heading, names in COMMAND_GROUPS.items():
            with formatter.section(heading):
                formatter.write_dl([(name, self.commands[name].get_short_help_str(room)) for name in names])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="unerring", message="unerring %(version)s")
@traceback_option
def commands() -> None:
    """Run LLM processes of a million dependent steps without an error.

    \b
    Start here:   unerring demo
    Then:         unerring run hanoi --set disks=12 --journal h12.db
                  unerring verify h12.db
                  unerring report h12.db

    A process is a long job split into steps, such as the moves of a puzzle. Each step is decided by voting: samples
    (answers of a model) are drawn until one answer leads all others by k votes. Suspicious samples (red flags) do not
    vote. The journal of a run survives a kill -9; `unerring resume FILE` continues from there.

    Exit codes: 0 done; 1 wrong result, damaged journal, or certificate below --require; 2 bad usage or input;
    3 stopped and resumable; 4 an error in your own code.

    Completion for bash (zsh and fish likewise):   eval "$(_UNERRING_COMPLETE=bash_source unerring)"
    """


@commands.command(cls=Command)
@option("--disks", type=Whole(2, 20), default=10, show_default=True, help="Size of the puzzle.")
@option("--seed", type=SEED, default=0, show_default=True, help="Seed of all samples.")
@option("--journal", type=FILE, help="Keep the journal of the voted run in this file.")
def demo(disks: int, seed: int, journal: Path | None) -> int:
    """Show the embedded model fail alone and succeed by voting.

    The puzzle is the Towers of Hanoi: 2^disks - 1 moves, each a step. It takes no key and no network.
    """
    from unerring.cli.demo import demonstrate

    path = journal or fresh("demo")
    reading.require_no_run(path)
    return demonstrate(disks, seed, path)


for command in (ask, calibrate, export, fork, plan, rejudge, report, run, resume, review, solve, verify):
    commands.add_command(command)
for added in commands.commands.values():  # the option may stand before the command's name or after it
    traceback_option(added)
