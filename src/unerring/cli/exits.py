"""How a command ends: its exit code, one line on stderr, and with `--json` one object on stdout."""

import re
import shlex
import sqlite3
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from unerring.adapters.scrubbing import without_secrets
from unerring.adapters.sqlite.reader import opening_entry
from unerring.adapters.tables.jsonl import json_line
from unerring.adapters.user_frames import error_with_place, own_frames
from unerring.api.chains import is_made_by_name
from unerring.api.models import is_function
from unerring.core.journal.digests import FUNCTION_PREFIX, SCRIPT_MODULE
from unerring.core.journal.entries import Opened
from unerring.core.reporting.summary import printable, probability
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

ANY_CLASS, ANY_FUNCTION = "MODULE:CLASS", "MODULE:FUNCTION"  # in a hint, of what only the reader knows
DONE, WRONG, BAD_INPUT, STOPPED, USER_CODE = 0, 1, 2, 3, 4


@dataclass(slots=True)
class Invocation:
    """One command as it was called.

    as_json: whether it answers in JSON.
    traceback: whether it shows the traceback of an error in the user's own code.
    journal: the file that it works on, once that is known.
    process: the name that makes its process, where the journal's name of it does not.
    words: its arguments.
    """

    as_json: bool = False
    traceback: bool = False
    journal: Path | None = None
    process: str | None = None
    words: tuple[str, ...] = ()


class CommandEnded(Exception):
    """A command ends with another exit code than 0.

    code: the exit code.
    kind: the cause, for scripts.
    reason: what happened, for people.
    command: the command to continue with, if there is one; `advice` says in words what to do.
    details: what the command prints as JSON when it ends well.
    """

    def __init__(
        self,
        code: int,
        kind: str,
        reason: str,
        advice: str = "",
        command: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        if code != USER_CODE:  # that message may quote the user's own backticks
            reason = in_options(reason)
        super().__init__(f"{reason}; {advice}" if advice else reason)
        self.code = code
        self.kind = kind
        self.reason = reason
        self.command = command
        self.details = details or {}


def working_on(journal: Path) -> None:
    """Note the journal of the present command; whatever ends the command then names that file."""
    if (invocation := _invocation()) is not None:
        invocation.journal = journal


def working_with(process: str | None) -> None:
    """Note the name that makes the process of the present command, where the journal's name of it does not."""
    if (invocation := _invocation()) is not None:
        invocation.process = process


def _invocation() -> Invocation | None:
    context = click.get_current_context(silent=True)
    return None if context is None else context.find_object(Invocation)


def finished(journal: Path, answer: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON object of a command on a journal that ended well."""
    return {**answer, "journal": str(journal), "exit_code": DONE}


def _unknown_option(error: click.NoSuchOption, arguments: Sequence[str]) -> str:
    """The message for an option that a command does not have: a parameter of the process is often meant."""
    name, said = error.option_name, f"No such option '{error.option_name}'"
    refused: Mapping[str, str] = {} if error.ctx is None else getattr(error.ctx.command, "refused_options", {})
    if name in refused:
        return f"{said}: {refused[name]}."
    options = [] if error.ctx is None else error.ctx.command.params
    if like := did_you_mean(name, (word for one in options for word in one.opts)):
        return said + like
    if not any(one.name == "settings" for one in options) or not name[2:].isidentifier():
        return f"{said}."
    after = iter(arguments[list(arguments).index(name) + 1 :] if name in arguments else ())
    given = [word.partition("=")[2] for word in arguments if word.startswith(f"{name}=")]
    value = next(iter([*given, *after]), "VALUE")
    return f"{said}; a parameter of the process is given with --set {name[2:]}={value}."


def end_of(error: BaseException, arguments: Sequence[str] = ()) -> CommandEnded:
    """The end of a command by an error: exit code and kind follow from whose fault it is."""
    match error:
        case click.UsageError():
            where = error.ctx.command_path if error.ctx else "unerring"
            said = error.format_message()
            if isinstance(error, click.NoSuchOption):
                said = _unknown_option(error, arguments)
            return CommandEnded(BAD_INPUT, "usage", f"{said} See: {where} --help")
        case click.ClickException():
            return CommandEnded(BAD_INPUT, "usage", error.format_message())
        case click.Abort() | KeyboardInterrupt():
            return CommandEnded(STOPPED, "interrupted", "stopped")
        case OSError():
            return CommandEnded(BAD_INPUT, "file", f"cannot continue: {error}")
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
            return CommandEnded(STOPPED, error.kind, error.reason)
    return CommandEnded(STOPPED, "provider", str(error))


def ended(end: CommandEnded, invocation: Invocation) -> int:
    """Print how a command ended: one line on stderr, after the traceback if asked for; returns the exit code."""
    if invocation.as_json:
        data = {
            "status": "stopped" if end.code == STOPPED else "failed",
            "kind": end.kind,
            "reason": without_secrets(" ".join(end.reason.split())),
            "journal": None if invocation.journal is None else str(invocation.journal),
            "exit_code": end.code,
            "next": None if end.command is None else without_secrets(end.command),
        }
        click.echo(json_line({**end.details, **data}))
    if invocation.traceback and end.__cause__ is not None:
        for line in _traceback(end.__cause__).splitlines():
            click.echo(printable(without_secrets(line)), err=True)
    click.echo("unerring: " + printable(without_secrets(" ".join(str(end).split()))), err=True)
    return end.code


def _traceback(error: BaseException) -> str:
    """The traceback of an error, after its lines in the user's own files."""
    own, last = traceback.format_list(own_frames(error)), traceback.format_exception_only(error)
    first = ["In your own files:\n", *own, *last, "\nIn full:\n"] if own else []
    return "".join([*first, *traceback.format_exception(error)])


def user_code_failed(error: Exception, what: str, advice: str = "", command: str | None = None) -> CommandEnded:
    """The end of a command by an exception of the user's own code; raises the exception if it comes from elsewhere."""
    if isinstance(error, UnerringError | click.ClickException) or (
        isinstance(error, OSError) and not own_frames(error)
    ):
        raise error
    return CommandEnded(USER_CODE, "user code", f"{what} failed: {error_with_place(error)}", advice, command)


def require_certificate(report: Mapping[str, Any], least: float | None, details: Mapping[str, Any]) -> None:
    """Raise `CommandEnded` if the certificate of a run has a lower probability of zero errors than `least`."""
    if least is None:
        return
    certificate = report["certificate"]
    zero_errors = certificate["zero_probability"]
    if certificate["certifiable"] and zero_errors is not None and zero_errors >= least:
        return
    if certificate["certifiable"] and zero_errors is not None:
        reason = f"zero errors have probability {probability(zero_errors)}, below the {least} that --require asks for"
    else:
        reason = f"the votes certify nothing, and --require asks for {least}: {certificate['warnings'][0]}"
    raise CommandEnded(WRONG, "certificate", reason, details=details)


# Parameters of Python functions, and the options that set them.
OPTIONS = {
    "allow_hosts": "--allow-host",
    "chain": "--process",
    "extra": "--request",
    "model": "--model",
    "success": "--target",
    **{name: f"--budget-{name}" for name in ("usd", "tokens", "calls", "hours")},
}
_SAME_NAMES = (
    *("accept_changes", "calibration", "copies", "echo", "escalate", "escalate_after", "first_temperature"),
    *("flag_cap", "flagged", "grace", "in_flight", "k", "m", "max_output_tokens", "max_steps", "min_replies"),
    *("nonce", "parse", "patience", "prices", "rule", "seed", "speculate", "system", "temperature", "trust"),
    *("vote_cap", "waste"),
)
OPTIONS |= {name: f"--{name.replace('_', '-')}" for name in _SAME_NAMES}


def in_options(message: str) -> str:
    """A message for the command line: a parameter in backticks becomes the option that sets it.

    `Options(name=True)` becomes that option too, and a call of `unerring.rejudge` the command on the present journal.
    """
    if "`unerring.rejudge(" in message:
        invocation = _invocation()
        command = command_on("rejudge", "FILE" if invocation is None or not invocation.journal else invocation.journal)
        message = re.sub(r"`unerring\.rejudge\([^`]*\)`", lambda _: command, message)
    return re.sub(r"`(?:Options\()?(\w+)(?:=True\))?`", lambda found: OPTIONS.get(found[1], found[0]), message)


def notice_text(line: str) -> str:
    """A notice of a run as the command line shows it: options by their names, no secrets, no control characters."""
    return printable(without_secrets(in_options(line)))


def unused(path: Path) -> Path:
    """A path that no file has: this one, or one with a number at the end of its name."""
    free, number = path, 1
    while free.exists():
        number += 1
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return free


def quoted(path: str | Path) -> str:
    """A path as it can be pasted into a shell."""
    return shlex.quote(str(path))


def command_on(name: str, journal: str | Path, *options: str) -> str:
    """A command on a journal, with these options, as it can be pasted into a shell.

    It names the process that the present command was given, where the journal's name does not make it. It allows
    the code and hosts that the present command was allowed. No journal keeps either. Words stand for a process or a
    function of a script, which only the reader knows.
    """
    return _command(name, journal, _opening(journal), options)


def _command(name: str, journal: str | Path, opened: Opened | None, options: tuple[str, ...]) -> str:
    resuming = name == "resume"
    given = _allowing(hosts=resuming)
    named = any(one.startswith(f"{OPTIONS['chain']} ") for one in given)
    if opened is not None and not named and not is_made_by_name(opened.process):
        given = [f"{OPTIONS['chain']} {ANY_CLASS}", *given]
    if opened is not None and resuming and is_function(opened.model):
        context = click.get_current_context(silent=True)
        function = None if context is None or context.info_name != "resume" else context.params["model"]
        given += [OPTIONS["model"], ANY_FUNCTION if function is None else quoted(function)]
    return " ".join([f"unerring {name}", quoted(journal), *given, *options])


def continuing(journal: str | Path, *options: str) -> str:
    """How to continue the run in a journal, in words: by a command, or by its script where it began in one."""
    opened = _opening(journal)
    resume = _command("resume", journal, opened, options)
    if opened is None or not (FUNCTION_PREFIX in opened.model or opened.process.startswith(f"{SCRIPT_MODULE}:")):
        return f"continue with: {resume}"
    several = FUNCTION_PREFIX in opened.model and not is_function(opened.model)
    return "run its script again" if several else f"run its script again, or continue with: {resume}"


def _opening(journal: str | Path) -> Opened | None:
    """The first entry of a journal; None where there is none that can be read."""
    with suppress(UnerringError, OSError, sqlite3.Error):
        return opening_entry(Path(journal))
    return None


def _allowing(hosts: bool) -> list[str]:
    """The options that name the process or allow code, and those of the present command that allow hosts."""
    context, invocation = click.get_current_context(silent=True), _invocation()
    named = None if invocation is None else invocation.process
    words: list[str] = [] if named is None else [f"{OPTIONS['chain']} {quoted(named)}"]
    for one in () if context is None else context.command.params:
        allows = {"process", "trust", "allow_hosts"} if hosts else {"process", "trust"}
        if context is not None and isinstance(one, click.Option) and one.name in allows:
            value = context.params.get(one.name)
            given = value if isinstance(value, tuple) else (value,) if value else ()
            words += (one.opts[0] if each is True else f"{one.opts[0]} {quoted(each)}" for each in given)
    return words


def same_command(option: str = "", value: str = "") -> str:
    """The present command as it can be pasted into a shell, with an option changed to a value if one is named."""
    invocation = _invocation()
    words = [] if invocation is None else [*invocation.words]
    rest = words[words.index("--") :] if "--" in words else []
    words = words[: len(words) - len(rest)]
    if option:
        while option in words:
            at = words.index(option)
            del words[at : at + 2]
        words = [word for word in words if not word.startswith(f"{option}=")] + [option, value]
    return shlex.join(["unerring", *words, *rest])
