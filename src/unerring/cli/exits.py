"""How a command ends: its exit code, one line on stderr, and with `--json` one object on stdout."""

import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from unerring.adapters.files.jsonl import json_line
from unerring.adapters.scrubbing import without_secrets
from unerring.adapters.user_code.frames import error_with_place, own_frames
from unerring.cli.hints import Invocation, in_options
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

DONE, WRONG, BAD_INPUT, STOPPED, USER_CODE = 0, 1, 2, 3, 4


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
