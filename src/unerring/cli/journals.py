"""Commands on the journal of a run: verify, report, export, rejudge and fork."""

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import click

from unerring.adapters.files.jsonl import json_line
from unerring.api.journals import history as reading
from unerring.api.journals.export import Exported, ExportForm
from unerring.api.journals.export import export as export_records
from unerring.api.journals.fork import fork as forked
from unerring.api.journals.rejudge import Overturned, Rejudgement, SampleReading
from unerring.api.journals.rejudge import rejudge as judged_again
from unerring.api.journals.verify import verify as verify_journal
from unerring.api.options import Options
from unerring.cli.command import Command, option
from unerring.cli.exits import DONE, STOPPED, WRONG, CommandEnded, finished, require_certificate, user_code_failed
from unerring.cli.hints import command_on, continuing, in_options, quoted, unused
from unerring.cli.option_values import AS_IN_FILE, FILE, SEED, TOTAL
from unerring.cli.options import (
    cap_options,
    escalation_options,
    file_argument,
    json_option,
    judging_options,
    k_option,
    model_option,
    parameters,
    planning_options,
    require_option,
    set_option,
    spending_options_of_known_run,
)
from unerring.cli.request_options import request_options_of_fork
from unerring.cli.text.doubtful import doubtful_text
from unerring.cli.text.report import printable, report_text
from unerring.core.reporting.summary import counted
from unerring.core.short_text import shortened

MAX_SHOWN = 20  # differences, and steps, that are printed; --json has all of them


@click.command(cls=Command)
@file_argument
@judging_options
@require_option
@json_option
def verify(file: Path, process: str | None, trust: bool, require: float | None, as_json: bool) -> int:
    """Check the journal FILE, and the result of its run.

    Every entry is checked against damage, and every step by the process's own verifier, without a model. If you did
    not start the run on this machine, its own process is imported only with --process or --trust; without these its
    steps are not judged.

    Exits with 0 if a finished run is right, 1 if anything is wrong, 3 if nothing is wrong and the run is not finished.
    """
    try:
        found = verify_journal(file, process, trust)
    except Exception as error:
        raise user_code_failed(error, "the process's own verifier") from error
    details = {name: getattr(found, name) for name in found.__dataclass_fields__} | {"ok": found.ok}
    if not as_json:
        judged = ", all right by the process's own verifier" if found.judged else ", not judged"
        if found.problem is not None or not found.steps:  # the last line says what is wrong
            judged = ""
        click.echo(
            f"{found.entries:,} journal entries, none damaged; {counted(found.steps, 'step')} committed{judged}."
        )
    for note in found.notes:
        click.echo(f"note: {printable(in_options(note))}", err=True)
    if found.problem is not None:
        raise CommandEnded(WRONG, "wrong result", f"{file} holds a wrong result: {found.problem}", details=details)
    if require is not None:
        require_certificate(reading.report(file), require, details)
    _require_finished(file, found.finished, details)
    if as_json:
        click.echo(json_line(finished(file, details)))
    else:
        click.echo("Verified: zero errors." if found.judged else "The journal is intact.")
    return DONE


def _require_finished(file: Path, over: bool, details: Mapping[str, Any]) -> None:
    """Raise `CommandEnded` if the run in a journal is not finished, with the command that continues."""
    if not over:
        next_command = command_on("resume", file)
        reason = f"nothing is wrong in {file} so far, and its run is not finished"
        raise CommandEnded(STOPPED, "unfinished", reason, continuing(file), next_command, details)


@click.command(cls=Command)
@file_argument
@option("--html", type=FILE, help="Also write it as one HTML page with figures (needs the [plots] extra).")
@option("-v", "--verbose", is_flag=True, help="Also show doubtful steps: question, candidates, flagged samples.")
@option("--full", is_flag=True, help="As -v, with no text shortened; also in --json and --html.")
@require_option
@json_option
def report(file: Path, html: Path | None, verbose: bool, full: bool, require: float | None, as_json: bool) -> int:
    """Report on the run in the journal FILE.

    The report counts samples, votes, red flags and dissent (votes against the winner), and gives the probability that
    no step is wrong. With -v it also shows the ten most doubtful steps, and the one that is open: the question, the
    rival answers (candidates) with their votes, and flagged samples with the reason.

    The page of --html needs nothing else: no other file, no network, no script. With --require the exit code is 1
    below that probability, and 3 if the run is not finished. docs/glossary.md explains the words.
    """
    if html is None:
        figures = reading.report(file, full)
    else:
        from unerring.cli.figures.html import write_report

        figures = write_report(file, html, full)
        click.echo(printable(f"written: {html}"), err=True)
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


@click.command(cls=Command)
@file_argument
@option(
    "--what",
    type=click.Choice(get_args(Exported)),
    default="steps",
    show_default=True,
    help="What to print: committed steps, all samples (votes), or side effects (acts).",
)
@option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "csv"]),
    default="jsonl",
    show_default=True,
    help="JSON lines, or CSV for spreadsheets.",
)
def export(file: Path, what: Exported, form: ExportForm) -> int:
    """Print the steps, samples or side effects of the journal FILE, one a line.

    `--what steps` prints the committed steps with their choices and tallies; `index` is the number of the step.
    `--what votes` prints all samples, not only those that voted: flagged ones too, and those of the step that is
    undecided or open. `--what acts` prints the side effects of a function process: key, result or error, and when each
    was begun and ended.

    jsonl has texts exactly. csv is for spreadsheets: control characters become escapes such as \\x1b, and a text that
    a spreadsheet would take for a formula gets a ' before it.
    """
    export_records(file, sys.stdout, what, form)
    sys.stdout.flush()
    return DONE


@click.command(cls=Command)
@file_argument
@option("--dry-run", is_flag=True, help="Only compare: write nothing. Works also for a run in progress.")
@judging_options
@json_option
def rejudge(file: Path, dry_run: bool, process: str | None, trust: bool, as_json: bool) -> int:
    """Read the stored samples in FILE again with the present parser.

    Use it after a change of your parser or check. No model is asked. Open steps continue with the new votes. Committed
    steps keep their choices; samples that are read differently are listed, and so are steps that would be decided
    differently. Red flags that do not come from your parser or check, such as truncated or copy, stay.

    Exits with 1 if committed steps would be decided differently, else with 0. To decide again from such a step:
    `unerring fork FILE --at N --out NEW`.
    """
    try:
        found = judged_again(file, process, trust, dry_run)
    except Exception as error:
        raise user_code_failed(error, "the process's own code") from error
    details = asdict(found)
    for note in found.notes:
        click.echo(f"note: {printable(in_options(note))}", err=True)
    if not as_json:
        for line in _lines(found, file, dry_run):
            click.echo(printable(line))
    if found.overturned:
        first = found.overturns[0].step
        out = unused(file.with_name(f"{file.stem}-from-{first}.db"))
        command = command_on("fork", file, f"--at {first} --out {quoted(out)}")
        steps = counted(found.overturned, "committed step")
        reason = f"{steps} of {file} would be decided differently now, the first is step {first}"
        advice = f"they stay as they are; to decide again from there: {command}"
        raise CommandEnded(WRONG, "decided otherwise", reason, advice, command, details)
    if as_json:
        click.echo(json_line(finished(file, details)))
    return DONE


@click.command(cls=Command)
@file_argument
@option("--at", type=TOTAL, required=True, metavar="N", help="The first step that the new run decides itself.")
@option("--out", type=FILE, required=True, metavar="NEW", help="The journal of the new run.")
@set_option
@model_option(AS_IN_FILE)
@k_option("auto", unset=f", where another --target, --rule or --calibration is given; else {AS_IN_FILE}")
@planning_options
@option("--seed", type=SEED, help=f"Seed of the new run's samples, by default {AS_IN_FILE}.")
@request_options_of_fork
@cap_options(AS_IN_FILE, AS_IN_FILE, f"{AS_IN_FILE}, and at least 2 where --model is an endpoint")
@escalation_options
@spending_options_of_known_run
@judging_options
@json_option
def fork(  # noqa: PLR0913, PLR0917  (one parameter for each option)
    file: Path,
    at: int,
    out: Path,
    settings: tuple[str, ...],
    models: tuple[str, ...],
    k: int | None,
    seed: int | None,
    process: str | None,
    as_json: bool,
    **given: Any,
) -> int:
    """Start a new run at a step of another, with other settings.

    \b
    unerring fork run.db --at 40 --out other.db --model openai/large@URL
    unerring resume other.db

    The new run takes over the steps before N from the journal FILE; its certificate takes none of them as evidence.
    Settings that you do not give are those of that run; a run that is planned for another target has the
    temperatures and the output limit of the calibration. FILE is checked up to step N and not changed; its run may be
    in progress.
    """
    try:
        options = Options(**given)
        made = forked(file, at, out, process, list(models) or None, k, seed, options, parameters(settings) or None)
    except Exception as error:
        raise user_code_failed(error, "the process's own code", "nothing was started") from error
    resume = command_on("resume", out)
    if not made.trusted:
        note = f"note: you did not start the run in {file} on this machine: resume of {out} needs the same options"
        click.echo(printable(note), err=True)
    if as_json:
        click.echo(json_line(finished(out, asdict(made) | {"next": resume})))
    else:
        line = f"forked: {out} takes over {counted(made.step, 'step')} of {file}; continue with: {resume}"
        click.echo(printable(line))
    return DONE


def _lines(found: Rejudgement, file: Path, dry_run: bool) -> Iterator[str]:
    """The result of a rejudgement in lines for people."""
    yield f"{counted(found.samples, 'stored sample')} read again: {found.changed:,} read differently now"
    for one in found.differences[:MAX_SHOWN]:
        kind = "" if one.committed else " (open)"
        yield f"step {one.step}{kind}, sample {one.sample}: was {_reading(one.was)}, is {_reading(one.now)}"
    if found.changed > MAX_SHOWN:
        yield f"... {found.changed - min(MAX_SHOWN, len(found.differences)):,} more: --json lists up to 1,000"
    for step in found.overturns[:MAX_SHOWN]:
        yield f"step {step.step} would be decided differently: {_decision(step)}"
    if found.overturned > MAX_SHOWN:
        yield f"... {found.overturned - MAX_SHOWN:,} more steps"
    for change in found.open:
        kind = "asked from a guess" if change.ahead else "open"
        now = {"won": "is decided now", "undecided": "is undecided now", "open": "stays open"}[change.verdict]
        yield f"step {change.step} ({kind}) {now}: {counted(change.changed, 'sample')} of it read differently"
    if found.recorded:
        accepting = ["--accept-changes"] if found.accept_changes else []
        where = "; the process differs from the one that asked committed steps" if accepting else ""
        yield f"recorded in the journal{where}; {continuing(file, *accepting)}"
    elif found.open and dry_run:
        yield "nothing was written: --dry-run"


def _reading(reading: SampleReading) -> str:
    return f"flagged as {reading.flag}" if reading.flag is not None else f"a vote for {_value(reading.choice)}"


def _decision(step: Overturned) -> str:
    now = _value(step.now) if step.decided else "undecided by the stored samples"
    return f"was {_value(step.was) if step.was_decided else 'undecided'}, now {now}"


def _value(value: Any) -> str:
    return shortened(json.dumps(value, ensure_ascii=False))
