"""The command line. Results go to stdout; progress, prose and errors to stderr.

Exit codes: 0 done; 1 a wrong result or a damaged journal; 2 bad usage or bad input; 3 stopped, and can go on.
"""

import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import click

from unerring import reading
from unerring.errors import InputError, JournalBusy, JournalDamaged, JournalTooNew, UnerringError
from unerring.ui.exits import BAD_INPUT, DONE, STOPPED, WRONG, failed, own_frames, placed, quoted
from unerring.ui.export import step_records, vote_records, write
from unerring.ui.measuring import calibrate, plan
from unerring.ui.options import json_option, judging_options
from unerring.ui.review import review
from unerring.ui.running import fresh, resume, run
from unerring.ui.solving import solve
from unerring.ui.text import inert, report_text


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
        return failed(BAD_INPUT, f"{error.format_message()} See: {where} --help")
    except click.ClickException as error:
        return failed(BAD_INPUT, error.format_message())
    except (click.Abort, KeyboardInterrupt):
        return failed(STOPPED, "stopped")
    except BrokenPipeError:  # the reader of our output, such as `head`, has had enough
        _silence_stdout()
        return DONE
    except OSError as error:
        _silence_stdout()
        return failed(BAD_INPUT, f"cannot go on: {error}")
    except (InputError, JournalBusy, JournalTooNew) as error:
        return failed(BAD_INPUT, str(error))
    except JournalDamaged as error:
        return failed(WRONG, str(error))
    except UnerringError as error:
        return failed(STOPPED, str(error))


def _silence_stdout() -> None:
    """Send what is still buffered nowhere, so that closing it at exit does not fail again."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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


@commands.command()
@click.argument("file", type=click.Path(path_type=Path))
@judging_options
@json_option
def verify(file: Path, process: str | None, trust: bool, as_json: bool) -> int:
    """Check every entry of the journal FILE, and judge its choices by the process's own verifier.

    A process of your own is imported for a run that you began on this machine; for any other journal give --process,
    or --trust, without which its steps are not judged.

    Exits with 0 where a finished run holds, 1 where anything is wrong, 3 where all holds and the run is not over.
    """
    try:
        found = reading.verify(file, process, trust)
    except UnerringError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and not own_frames(error):
            raise
        return failed(WRONG, f"the process's own verifier failed: {placed(error)}")
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
        return failed(WRONG, f"{file} holds a wrong result: {found.problem}")
    if not found.finished:
        return failed(
            STOPPED,
            f"{file} is right as far as it goes, and not finished; go on with: unerring resume {quoted(file)}",
        )
    if not as_json:
        click.echo("Verified: zero errors." if found.judged else "The journal holds.")
    return DONE


@commands.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--html", type=click.Path(path_type=Path), help="Write it as one HTML page as well ([plots] extra).")
@json_option
def report(file: Path, html: Path | None, as_json: bool) -> int:
    """Tell what happened in the run of the journal FILE: samples, votes, flags, dissent, hardest steps.

    The page that --html writes has figures too, and needs nothing else: no other file, no network, no script.
    """
    if html is None:
        figures = reading.report(file)
    else:
        from unerring.ui.html import write_report

        figures = write_report(file, html)
        click.echo(inert(f"written: {html}"), err=True)
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
    if what == "steps":  # a table has the same columns in all its rows
        records = step_records(history, marked=form == "csv" and reading.has_ruled(file))
    else:
        records = vote_records(history)
    write(records, form, sys.stdout)
    sys.stdout.flush()
    return DONE


@commands.command()
@click.option("--disks", type=click.IntRange(2, 20), default=10, show_default=True, help="Size of the puzzle.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of all samples.")
@click.option("--journal", type=click.Path(path_type=Path), help="Keep the voted run's journal here.")
def demo(disks: int, seed: int, journal: Path | None) -> int:
    """See the embedded model derail alone, and solve the same puzzle by voting. No key, no network."""
    from unerring.ui.demo import demonstrate

    path = journal or fresh("demo")
    reading.require_free(path)
    return demonstrate(disks, seed, path)


for command in (calibrate, plan, run, resume, review, solve):
    commands.add_command(command)
