"""The command line. Results go to stdout; progress, prose and errors to stderr.

Exit codes: 0 done; 1 a wrong result or a damaged journal; 2 bad usage or bad input; 3 stopped, and can go on.
"""

import json
import os
import shlex
import sys
import sysconfig
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from unerring import api, reading
from unerring.core.vote import Json
from unerring.errors import InputError, JournalBusy, JournalDamaged, JournalTooNew, Stopped, UnerringError
from unerring.registry import make_chain, parameter
from unerring.ui.export import step_records, vote_records, write
from unerring.ui.progress import Progress
from unerring.ui.text import inert, report_text

DONE, WRONG, BAD_INPUT, STOPPED = 0, 1, 2, 3


def command_line(arguments: Sequence[str]) -> int:
    """Run one command; returns its exit code, with one clear line on stderr for anything that went wrong."""
    try:
        with commands.make_context("unerring", list(arguments)) as context:
            code = commands.invoke(context)
            sys.stdout.flush()
        return code if isinstance(code, int) else DONE
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return BAD_INPUT
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "unerring"
        return _fail(BAD_INPUT, f"{error.format_message()} See: {where} --help")
    except click.ClickException as error:
        return _fail(BAD_INPUT, error.format_message())
    except (click.Abort, KeyboardInterrupt):
        return _fail(STOPPED, "stopped")
    except BrokenPipeError:  # the reader of our output, such as `head`, has had enough
        _silence_stdout()
        return DONE
    except OSError as error:
        _silence_stdout()
        return _fail(BAD_INPUT, f"cannot go on: {error}")
    except (InputError, JournalBusy, JournalTooNew) as error:
        return _fail(BAD_INPUT, str(error))
    except JournalDamaged as error:
        return _fail(WRONG, str(error))
    except UnerringError as error:
        return _fail(STOPPED, str(error))


def _silence_stdout() -> None:
    """Send what is still buffered nowhere, so that closing it at exit does not fail again."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(code: int, message: str) -> int:
    click.echo("unerring: " + inert(" ".join(message.split())), err=True)
    return code


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="unerring", message="unerring %(version)s")
def commands() -> None:
    """Run LLM processes of a million dependent steps without an error.

    \b
    Start here:   unerring demo
    Then:         unerring run hanoi --set disks=12 --journal h12.db
                  unerring verify h12.db
                  unerring report h12.db

    Every step is decided by voting: samples are drawn until one answer leads all others by k votes, and suspicious
    samples (red flags) are drawn anew. The journal survives a kill -9; `unerring resume FILE` goes on from there.

    Exit codes: 0 done, 1 wrong result or damaged journal, 2 bad usage or input, 3 stopped and resumable.
    """


def _json_option(command: Any) -> Any:
    return click.option("--json", "as_json", is_flag=True, help="Print machine-readable JSON on stdout.")(command)


def _margin(_context: Any, _option: Any, value: str) -> int | None:
    if value == "auto":
        return None
    if not value.isdecimal() or len(value) > 9 or int(value) < 1:
        raise InputError(f"k is a number of votes, at least 1, or auto; it cannot be {value[:20]}")
    return int(value)


def _speculation_options(command: Any) -> Any:
    """The options of looking ahead, the same for a new run and a resumed one."""
    options = (
        click.option(
            "--speculate",
            metavar="off|leader|guess|SPEC",
            default="auto",
            show_default=True,
            help="Where guesses come from that let steps be asked ahead of what is decided: the votes that are in "
            "(leader), the process's own guess(state), or a drafting model. auto: the model's own drafting model "
            "or the process's guess, where there is one, else leader. Decisions are the same with all of them.",
        ),
        click.option(
            "--in-flight", type=click.IntRange(min=1), default=256, show_default=True, help="Most samples at once."
        ),
        click.option(
            "--waste",
            type=click.FloatRange(0, 1, max_open=True),
            default=0.05,
            show_default=True,
            help="Share of all samples that may be for nothing, drawn after a wrong guess.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@commands.command()
@click.argument("process", metavar="PROCESS")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A parameter of the process; repeatable.")
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="SPEC",
    help="What answers: embedded (default), embedded/a, embedded/b, embedded/c, or noise/p=0.99,v=0.95,c=0, which "
    "stands in for a model. Repeat it to rotate votes over several.",
)
@click.option(
    "--k", "k", default="auto", callback=_margin, help="Votes that the winner must be ahead by; auto: the model's own."
)
@click.option("--journal", type=click.Path(path_type=Path), help="Where the run is kept; a new file by default.")
@click.option("--max-steps", type=click.IntRange(min=1), help="Stop, resumable, after so many steps.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the run's samples.")
@_speculation_options
@_json_option
def run(  # noqa: PLR0913, PLR0917  (one parameter for each option)
    process: str,
    settings: tuple[str, ...],
    models: tuple[str, ...],
    k: int | None,
    journal: Path | None,
    max_steps: int | None,
    seed: int,
    speculate: str,
    in_flight: int,
    waste: float,
    as_json: bool,
) -> int:
    """Run PROCESS, a shipped one (hanoi) or your own as package.module:Class, deciding every step by voting.

    \b
    unerring run hanoi --set disks=12 --journal h12.db --seed 1
    unerring run mypackage.ledger:Ledger --set year=2026 --model noise/p=0.98,v=0.95 --k 4
    """
    chain = make_chain(process, _parameters(settings))
    model = list(models) or "embedded"
    policy = api.policy_for(model, k)
    path = journal or _fresh(process)

    def start(progress: Progress) -> api.Result:
        options = api.Options(
            policy=policy,
            max_steps=max_steps,
            observer=progress,
            speculate=speculate,
            in_flight=in_flight,
            waste=waste,
        )
        return api.run(chain, model, path, None, seed, options)

    return _watched(start, path, as_json, new_name="" if journal else str(path))


@commands.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--max-steps", type=click.IntRange(min=1), help="Stop again, resumable, after so many further steps.")
@click.option("--vote-cap", type=click.IntRange(min=1), help="Raise the cap on a step's votes.")
@click.option("--flag-cap", type=click.IntRange(min=1), help="Raise the cap on a step's flagged samples per vote.")
@click.option("--repair", is_flag=True, help="Of a damaged journal, keep what is intact and go on from there.")
@_speculation_options
@_json_option
def resume(  # noqa: PLR0913, PLR0917  (one parameter for each option)
    file: Path,
    max_steps: int | None,
    vote_cap: int | None,
    flag_cap: int | None,
    repair: bool,
    speculate: str,
    in_flight: int,
    waste: float,
    as_json: bool,
) -> int:
    """Go on with the run in the journal FILE, from its last committed vote."""
    if repair:
        kept, aside = reading.repair(file)
        click.echo(f"{file}: {kept:,} intact entries kept; the damaged file is now {aside}", err=True)

    def start(progress: Progress) -> api.Result:
        options = api.Options(
            max_steps=max_steps,
            observer=progress,
            vote_cap=vote_cap,
            flag_cap=flag_cap,
            speculate=speculate,
            in_flight=in_flight,
            waste=waste,
        )
        return api.resume(file, options=options)

    return _watched(start, file, as_json, resuming=True)


def _parameters(settings: tuple[str, ...]) -> dict[str, Json]:
    named = [parameter(text) for text in settings]
    for name, _ in named:
        if [other for other, _ in named].count(name) > 1:
            raise InputError(f"--set gives {name} more than once")
    return dict(named)


def _watched(start: Any, path: Path, as_json: bool, new_name: str = "", resuming: bool = False) -> int:
    """Run with progress; a stop names the command that goes on, and a bug in the user's code its place."""
    progress, before = Progress(quiet=as_json, journal=new_name), 0 if resuming else _sessions(path)
    try:
        with progress:
            result = start(progress)
    except Stopped as error:
        raise type(error)(f"{error}; go on with: {_going_on(error, path)}") from None
    except (UnerringError, click.ClickException):
        raise
    except Exception as error:
        if isinstance(error, OSError) and not _own_frames(error):
            raise
        begun = _sessions(path) > before
        then = f"mend it, then: unerring resume {_quoted(path)}" if begun else "nothing was begun"
        return _fail(STOPPED, f"the process's own code failed: {_placed(error)}; {then}")
    if as_json:
        click.echo(json.dumps(result.report))
    else:
        if resuming and progress.steps == 0:
            click.echo(f"{path} is finished already.", err=True)
        click.echo(report_text(result.report, str(path)))
        click.echo(f"Check it with: unerring verify {_quoted(path)}", err=True)
    return DONE


def _going_on(error: Stopped, path: Path) -> str:
    more = " --vote-cap N (or --flag-cap N) to allow it more" if error.kind == "undecided" else ""
    return f"unerring resume {_quoted(path)}{more}"


def _quoted(path: Path) -> str:
    """A path as it can be pasted into a shell."""
    return shlex.quote(str(path))


def _sessions(path: Path) -> int:
    """How often the run in a journal was begun or gone on with; 0 where there is none."""
    with suppress(UnerringError):
        return int(reading.report(path)["sessions"])
    return 0


def _own_frames(error: Exception) -> list[traceback.FrameSummary]:
    """The frames of an error that lie in the user's own files, outermost first."""
    ours = tuple({str(Path(__file__).parents[1]), *sysconfig.get_paths().values()})
    return [one for one in traceback.extract_tb(error.__traceback__) if not one.filename.startswith((*ours, "<"))]


def _placed(error: Exception) -> str:
    """An error and the place in the user's own files that it came from."""
    frame = (_own_frames(error) or traceback.extract_tb(error.__traceback__))[-1]
    return f"{type(error).__name__}: {error} ({frame.filename}, line {frame.lineno})"


def _fresh(process: str) -> Path:
    """A name for a journal that no file has yet."""
    stem = process.rpartition(":")[2] + time.strftime("-%Y%m%d-%H%M%S")
    taken, path = 1, Path(f"{stem}.db")
    while path.exists():
        taken += 1
        path = Path(f"{stem}-{taken}.db")
    return path


@commands.command()
@click.argument("file", type=click.Path(path_type=Path))
@_json_option
def verify(file: Path, as_json: bool) -> int:
    """Check every entry of the journal FILE, and judge its choices by the process's own verifier.

    Exits with 0 where a finished run holds, 1 where anything is wrong, 3 where all holds and the run is not over.
    """
    try:
        found = reading.verify(file)
    except UnerringError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and not _own_frames(error):
            raise
        return _fail(WRONG, f"the process's own verifier failed: {_placed(error)}")
    if as_json:
        fields = {name: getattr(found, name) for name in found.__dataclass_fields__}
        click.echo(json.dumps(fields | {"ok": found.problem is None}))
    else:
        judged = "each held by the process's own verifier" if found.judged else "not judged"
        if found.problem is not None:
            judged = "not all of them right"
        click.echo(f"{found.entries:,} entries, chain of hashes intact; {found.steps:,} steps committed, {judged}.")
    for note in found.notes:
        click.echo(f"note: {inert(note)}", err=True)
    if found.problem is not None:
        return _fail(WRONG, f"{file} holds a wrong result: {found.problem}")
    if not found.finished:
        return _fail(
            STOPPED,
            f"{file} is right as far as it goes, and not finished; go on with: unerring resume {_quoted(file)}",
        )
    if not as_json:
        click.echo("Verified: zero errors." if found.judged else "The journal holds.")
    return DONE


@commands.command()
@click.argument("file", type=click.Path(path_type=Path))
@_json_option
def report(file: Path, as_json: bool) -> int:
    """Tell what happened in the run of the journal FILE: samples, votes, flags, dissent, hardest steps."""
    figures = reading.report(file)
    click.echo(json.dumps(figures) if as_json else report_text(figures, str(file)))
    return DONE


@commands.command()
@click.argument("file", type=click.Path(path_type=Path))
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
def export(file: Path, what: str, form: str) -> int:
    """Print the steps or the votes of the journal FILE, one record a line."""
    history = reading.History(file)
    write(step_records(history) if what == "steps" else vote_records(history), form, sys.stdout)
    sys.stdout.flush()
    return DONE


@commands.command()
@click.option("--disks", type=click.IntRange(2, 20), default=10, show_default=True, help="Size of the puzzle.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of all samples.")
@click.option("--journal", type=click.Path(path_type=Path), help="Keep the voted run's journal here.")
def demo(disks: int, seed: int, journal: Path | None) -> int:
    """See the embedded model derail alone, and solve the same puzzle by voting. No key, no network."""
    from unerring.ui.demo import demonstrate

    path = journal or _fresh("demo")
    reading.require_free(path)
    return demonstrate(disks, seed, path)
