"""Hints for the command line: parameters as its options, and commands as they can be pasted into a shell."""

import re
import shlex
import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import click

from unerring.adapters.scrubbing import without_secrets
from unerring.adapters.sqlite.reader import opening_entry
from unerring.api.chains import LOCAL, is_made_by_name
from unerring.api.models import is_function
from unerring.core.journal.digests import FUNCTION_PREFIX, SCRIPT_MODULE
from unerring.core.journal.entries import Opened
from unerring.core.reporting.summary import printable
from unerring.errors import UnerringError
from unerring.runtime.ensemble import RESERVE

ANY_PROCESS, ANY_FUNCTION = "MODULE:NAME", "MODULE:FUNCTION"  # in a hint, of what only the reader knows

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


def in_options(message: str) -> str:
    """A message with options for parameters: `name` in backticks, or `Options(name=True)`, becomes what sets it."""
    return re.sub(r"`(?:Options\()?(\w+)(?:=True\))?`", lambda found: OPTIONS.get(found[1], found[0]), message)


def in_commands(message: str) -> str:
    """A message with options for parameters, and a command on the present journal for a call of `unerring.rejudge`."""
    if "`unerring.rejudge(" in message:
        invocation = _invocation()
        command = command_on("rejudge", "FILE" if invocation is None or not invocation.journal else invocation.journal)
        message = re.sub(r"`unerring\.rejudge\([^`]*\)`", lambda _: command, message)
    return in_options(message)


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
    function of a script, which only the reader knows. A run of several models with functions among them is resumed
    by a call in Python.
    """
    return _command(name, journal, _opening(journal), options)


def _command(name: str, journal: str | Path, opened: Opened | None, options: tuple[str, ...]) -> str:
    resuming = name == "resume"
    if opened is not None and resuming and _needs_python(opened):
        return _call_of_resume(journal, opened, options)
    given = _allowing(hosts=resuming)
    if opened is not None and not _names_process(given) and not is_made_by_name(opened.process):
        given = [f"{OPTIONS['chain']} {ANY_PROCESS}", *given]
    if opened is not None and resuming and is_function(opened.model):
        context = click.get_current_context(silent=True)
        function = None if context is None or context.info_name != "resume" else context.params["model"]
        given += [OPTIONS["model"], ANY_FUNCTION if function is None else quoted(function)]
    return " ".join([f"unerring {name}", quoted(journal), *given, *options])


def continuing(journal: str | Path, *options: str) -> str:
    """How to continue the run in a journal, in words: by a command, or by its script where it began in one."""
    opened = _opening(journal)
    resume = _command("resume", journal, opened, options)
    if opened is None:
        return f"continue with: {resume}"
    if (LOCAL in opened.process and not _names_process(_allowing(hosts=False))) or (
        RESERVE in opened.model and _needs_python(opened)  # nothing else names a reserve
    ):
        return "run its script again"
    if not (FUNCTION_PREFIX in opened.model or opened.process.startswith(f"{SCRIPT_MODULE}:")):
        return f"continue with: {resume}"
    return f"run its script again, or continue with: {resume}"


def _names_process(options: Iterable[str]) -> bool:
    """Whether options name the process of a run."""
    return any(one.startswith(f"{OPTIONS['chain']} ") for one in options)


def _needs_python(opened: Opened) -> bool:
    """Whether no command continues a run: one of its several models was a Python function."""
    return FUNCTION_PREFIX in opened.model and not is_function(opened.model)


def _call_of_resume(journal: str | Path, opened: Opened, options: tuple[str, ...]) -> str:
    """The call of `unerring.resume` for the command with these options; `chain` and `[...]` are the reader's own."""
    arguments = [repr(str(journal)), *([] if is_made_by_name(opened.process) else ["chain"]), "model=[...]"]
    if options:
        each = re.findall(r"--([\w-]+)(?: ([^-]\S*))?", " ".join(options))
        given = ", ".join(f"{name.replace('-', '_')}={value or True}" for name, value in each)
        arguments.append(f"options=unerring.Options({given})")
    return f"unerring.resume({', '.join(arguments)})"


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
