"""The command line. Results go to stdout; progress, prose and errors to stderr.

Exit codes: 0 done; 1 a wrong result, a damaged journal, or a certificate below `--require`; 2 bad usage or bad input;
3 stopped, and can go on; 4 an error in the user's own code.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import Any

import click
from click.shell_completion import shell_complete

from unerring.adapters.tables.jsonl import json_line
from unerring.api.journals import history as reading
from unerring.api.journals.export import Exported, ExportForm
from unerring.api.journals.export import export as export_records
from unerring.cli.calibrate import calibrate, plan
from unerring.cli.exits import (
    BAD_INPUT,
    DONE,
    STOPPED,
    USER_CODE,
    WRONG,
    CommandEnded,
    Invocation,
    command_on,
    ended,
    finished,
    in_options,
    require_certificate,
    user_code_failed,
    working_on,
)
from unerring.cli.history import fork, rejudge
from unerring.cli.options import FILE, SEED, json_option, judging_options, require_option, traceback_option
from unerring.cli.review import review
from unerring.cli.run import NOT_OF_RESUME, fresh, resume, run
from unerring.cli.solve import solve
from unerring.cli.text.doubtful import doubtful_text
from unerring.cli.text.report import inert, report_text
from unerring.core.suggestions import did_you_mean
from unerring.errors import (
    InputError,
    JournalBusy,
    JournalDamaged,
    JournalError,
    JournalTooNew,
    NoKCanHelp,
    Stopped,
    UnerringError,
    UserCodeFailed,
)


def command_line(arguments: Sequence[str]) -> int:
    """Run one command; returns its exit code, with one clear line on stderr for anything that went wrong.

    With `--json` what went wrong is also one JSON object on stdout.
    """
    options = list(takewhile(lambda word: word != "--", arguments))
    invocation = Invocation(as_json="--json" in options, words=tuple(arguments))
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
    except BrokenPipeError:  # the reader of our output, such as `head`, has had enough
        _silence_stdout()
        return DONE
    except CommandEnded as end:
        return ended(end, invocation)
    except (click.ClickException, click.Abort, KeyboardInterrupt, OSError, UnerringError) as error:
        if isinstance(error, OSError):
            _silence_stdout()
        how = _end_of(error, arguments)
        how.__cause__ = error.__cause__ if isinstance(error, UserCodeFailed) else None
        return ended(how, invocation)


def _unknown_option(error: click.NoSuchOption, arguments: Sequence[str]) -> str:
    """What is said of an option that a command does not have: a parameter of the process is often meant."""
    name, said = error.option_name, f"No such option '{error.option_name}'"
    if error.ctx is not None and error.ctx.command is resume and (why := NOT_OF_RESUME.get(name)) is not None:
        return f"{said}: {why}; for a new run that goes on from one of its steps with other settings: unerring fork."
    options = [] if error.ctx is None else error.ctx.command.params
    if like := did_you_mean(name, (word for one in options for word in one.opts)):
        return said + like
    if not any(one.name == "settings" for one in options) or not name[2:].isidentifier():
        return f"{said}."
    after = iter(arguments[list(arguments).index(name) + 1 :] if name in arguments else ())
    given = [word.partition("=")[2] for word in arguments if word.startswith(f"{name}=")]
    value = next(iter([*given, *after]), "VALUE")
    return f"{said}; a parameter of the process is given with --set {name[2:]}={value}."


def _end_of(error: BaseException, arguments: Sequence[str] = ()) -> CommandEnded:
    """How an error ends a command: exit code and kind by whose fault it is."""
    match error:
        case click.UsageError():
            where = error.ctx.command_path if error.ctx else "unerring"
            said = (
                _unknown_option(error, arguments) if isinstance(error, click.NoSuchOption) else error.format_message()
            )
            return CommandEnded(BAD_INPUT, "usage", f"{said} See: {where} --help")
        case click.ClickException():
            return CommandEnded(BAD_INPUT, "usage", error.format_message())
        case click.Abort() | KeyboardInterrupt():
            return CommandEnded(STOPPED, "interrupted", "stopped")
        case OSError():
            return CommandEnded(BAD_INPUT, "file", f"cannot go on: {error}")
        case JournalBusy() | JournalTooNew():
            return CommandEnded(BAD_INPUT, "journal", str(error))
        case UserCodeFailed():
            return CommandEnded(USER_CODE, "user code", str(error))
        case NoKCanHelp():
            return CommandEnded(BAD_INPUT, "no k", str(error))
        case InputError():
            return CommandEnded(BAD_INPUT, "input", str(error))
        case JournalDamaged():
            return CommandEnded(WRONG, "damaged journal", str(error))
        case JournalError():
            return CommandEnded(STOPPED, "journal", str(error))
        case Stopped():
            return CommandEnded(STOPPED, error.kind, str(error))
    return CommandEnded(STOPPED, "provider", str(error))


def _silence_stdout() -> None:
    """Send what is still buffered nowhere, so that closing it at exit does not fail again."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="unerring", message="unerring %(version)s")
@traceback_option
def commands() -> None:
    """Run LLM processes of a million dependent steps without an error.

    \b
    Start here:   unerring demo
    Then:         unerring run hanoi --set disks=12 --journal h12.db
                  unerring verify h12.db
                  unerring report h12.db

    Every step is decided by voting: samples are drawn until one answer leads all others by k votes, and suspicious
    samples (red flags) are drawn again. The journal survives a kill -9; `unerring resume FILE` goes on from there.

    Exit codes: 0 done, 1 wrong result, damaged journal or certificate below --require, 2 bad usage or input,
    3 stopped and resumable, 4 an error in your own code.

    Completion for bash (zsh, fish alike):   eval "$(_UNERRING_COMPLETE=bash_source unerring)"
    """


@commands.command()
@click.argument("file", type=FILE)
@judging_options
@require_option
@json_option
def verify(file: Path, process: str | None, trust: bool, require: float | None, as_json: bool) -> int:
    """Check every entry of the journal FILE, and judge its choices by the process's own verifier.

    A process of your own is imported for a run that you began on this machine; for any other journal give --process,
    or --trust, without which its steps are not judged.

    Exits with 0 where a finished run holds, 1 where anything is wrong, 3 where all holds and the run is not over.
    """
    working_on(file)
    try:
        found = reading.verify(file, process, trust)
    except Exception as error:
        raise user_code_failed(error, "the process's own verifier") from error
    details = {name: getattr(found, name) for name in found.__dataclass_fields__} | {"ok": found.problem is None}
    if not as_json:
        judged = "each held by the process's own verifier" if found.judged else "not judged"
        if found.problem is not None:
            judged = "not all of them right"
        click.echo(f"{found.entries:,} entries, chain of hashes intact; {found.steps:,} steps committed, {judged}.")
    for note in found.notes:
        click.echo(f"note: {inert(in_options(note))}", err=True)
    if found.problem is not None:
        raise CommandEnded(WRONG, "wrong result", f"{file} holds a wrong result: {found.problem}", details=details)
    if require is not None:
        require_certificate(reading.report(file), require, details)
    _require_finished(file, found.finished, details)
    if as_json:
        click.echo(json_line(finished(file, details)))
    else:
        click.echo("Verified: zero errors." if found.judged else "The journal holds.")
    return DONE


def _require_finished(file: Path, over: bool, details: Mapping[str, Any]) -> None:
    """Raise `CommandEnded` where the run in a journal is not over, with the command that goes on."""
    if not over:
        going_on = command_on("resume", file)
        reason = f"{file} is right as far as it goes, and not finished"
        raise CommandEnded(STOPPED, "unfinished", reason, f"go on with: {going_on}", going_on, details)


@commands.command()
@click.argument("file", type=FILE)
@click.option("--html", type=FILE, help="Write it as one HTML page as well ([plots] extra).")
@click.option("-v", "--verbose", is_flag=True, help="Show doubtful steps: question, answers, flagged samples.")
@click.option("--full", is_flag=True, help="The same, with nothing shortened; also in --json and --html.")
@require_option
@json_option
def report(file: Path, html: Path | None, verbose: bool, full: bool, require: float | None, as_json: bool) -> int:
    """Tell what happened in the run of the journal FILE: samples, votes, flags, dissent, hardest steps.

    With -v also what was asked at the ten most doubtful steps, and at the one that is open: the question, the rival
    answers with their votes, and flagged samples with the reason.

    The page that --html writes has figures too, and needs nothing else: no other file, no network, no script.
    With --require it exits as verify does: 1 below that probability, and 3 where the run is not over.
    """
    working_on(file)
    if html is None:
        figures = reading.report(file, full)
    else:
        from unerring.cli.figures.html import write_report

        figures = write_report(file, html, full)
        click.echo(inert(f"written: {html}"), err=True)
    if not as_json:
        click.echo(report_text(figures, str(file)))
        if (verbose or full) and (doubtful := doubtful_text(figures, full)):
            click.echo(f"\n{doubtful}")
    if require is not None:
        require_certificate(figures, require, figures)
        _require_finished(file, figures["status"] == "finished", figures)
    if as_json:
        click.echo(json_line(finished(file, figures)))
    return DONE


@commands.command()
@click.argument("file", type=FILE)
@click.option(
    "--what", type=click.Choice(["steps", "votes"]), default="steps", show_default=True, help="What to list."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "csv"]),
    default="jsonl",
    show_default=True,
    help="How to write it.",
)
def export(file: Path, what: Exported, form: ExportForm) -> int:
    """Print the steps or the votes of the journal FILE, one record a line.

    Steps are those committed; votes are all samples, also those of the step that is undecided or still open.

    jsonl has them exactly. csv is for spreadsheets: control characters are escapes there, such as \\x1b, and a text
    that a spreadsheet would take for a formula has a ' before it.
    """
    working_on(file)
    export_records(file, sys.stdout, what, form)
    sys.stdout.flush()
    return DONE


@commands.command()
@click.option("--disks", type=click.IntRange(2, 20), default=10, show_default=True, help="Size of the puzzle.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of all samples.")
@click.option("--journal", type=FILE, help="Keep the voted run's journal here.")
def demo(disks: int, seed: int, journal: Path | None) -> int:
    """See the embedded model derail alone, and solve the same puzzle by voting. No key, no network."""
    from unerring.cli.demo import demonstrate

    path = journal or fresh("demo")
    reading.require_free(path)
    return demonstrate(disks, seed, path)


for command in (calibrate, fork, plan, rejudge, run, resume, review, solve):
    commands.add_command(command)
for command in commands.commands.values():  # it may stand before the command's name or after it
    traceback_option(command)
