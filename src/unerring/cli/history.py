"""The commands that go back over a run: judging its stored samples again, and forking it."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from unerring.adapters.tables.jsonl import json_line
from unerring.api.journals.fork import fork as forked
from unerring.api.journals.rejudge import Overturned, Rejudgement, SampleReading
from unerring.api.journals.rejudge import rejudge as judged_again
from unerring.api.options import Options
from unerring.cli.exits import (
    DONE,
    WRONG,
    CommandEnded,
    command_on,
    finished,
    in_options,
    quoted,
    user_code_failed,
    working_on,
)
from unerring.cli.options import (
    FILE,
    SEED,
    TOTAL,
    cap_options,
    escalation_options,
    json_option,
    judging_options,
    margin,
    model_option,
    parameters,
    planning_options,
    request_options,
    spending_options,
)
from unerring.cli.text.report import inert
from unerring.core.reporting.summary import counted
from unerring.core.short_text import shortened

MAX_SHOWN = 20  # differences, and steps, that are printed; all of the result are in --json


@click.command()
@click.argument("file", type=FILE)
@click.option("--dry-run", is_flag=True, help="Write nothing; this works for a run under way, too.")
@judging_options
@json_option
def rejudge(file: Path, dry_run: bool, process: str | None, trust: bool, as_json: bool) -> int:
    """Judge the stored samples of the journal FILE again, by the present parser and check. No model is asked.

    Open steps go on with the new verdicts. Committed steps keep their choices: samples that read otherwise are listed,
    and so are steps that would be decided otherwise. Flags that the text alone does not explain (too long, truncated,
    improbable, copy, refused) stay. A finished run is only compared.

    Exits with 0, and with 1 where committed steps would be decided otherwise: `unerring fork FILE --at N --out NEW`
    begins a run of its own at such a step.
    """
    working_on(file)
    try:
        found = judged_again(file, process, trust, dry_run)
    except Exception as error:
        raise user_code_failed(error, "the process's own code") from error
    details = asdict(found)
    for note in found.notes:
        click.echo(f"note: {inert(in_options(note))}", err=True)
    if not as_json:
        for line in _lines(found, file, dry_run):
            click.echo(inert(line))
    if found.overturned:
        first = found.overturns[0].step
        command = command_on("fork", file, f"--at {first} --out {quoted(_new_name(file, first))}")
        steps = counted(found.overturned, "committed step")
        reason = f"{steps} of {file} would be decided otherwise, the first of them step {first}"
        advice = f"they stay as they are; to decide again from there: {command}"
        raise CommandEnded(WRONG, "decided otherwise", reason, advice, command, details)
    if as_json:
        click.echo(json_line(finished(file, details)))
    return DONE


@click.command()
@click.argument("file", type=FILE)
@click.option("--at", type=TOTAL, required=True, metavar="N", help="The first step that the new run decides itself.")
@click.option("--out", type=FILE, required=True, metavar="NEW", help="The new run's journal.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A parameter of the process; repeatable.")
@model_option
@click.option("--k", "k", default="auto", callback=margin, help="Votes that the winner must be ahead by.")
@planning_options
@click.option("--seed", type=SEED, help="Seed of the new run's samples.")
@request_options
@cap_options
@escalation_options
@spending_options
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
    """Begin a new run, NEW, at step N of the run in the journal FILE, with other settings.

    \b
    unerring fork run.db --at 40 --out other.db --model openai/large@URL
    unerring resume other.db

    The steps before N are taken over; the certificate counts them as no evidence. Whatever is not given is as in that
    run. FILE is only read, and may be running; it is checked up to the step.
    """
    working_on(file)
    try:
        options = Options(**given)
        made = forked(file, at, out, process, list(models) or None, k, seed, options, parameters(settings) or None)
    except Exception as error:
        raise user_code_failed(error, "the process's own code", "nothing was begun") from error
    resume = command_on("resume", out)
    if not made.trusted:
        note = f"note: {file} was not begun by you on this machine, nor was {out}: resume needs the same options"
        click.echo(inert(note), err=True)
    if as_json:
        click.echo(json_line(finished(out, asdict(made) | {"next": resume})))
    else:
        told = f"forked: {out} takes over {counted(made.step, 'step')} of {file}; go on with: {resume}"
        click.echo(inert(told))
    return DONE


def _new_name(file: Path, step: int) -> Path:
    """A name for the journal of a run that begins at a step of another one; no file has it yet."""
    name, number = file.with_name(f"{file.stem}-from-{step}.db"), 1
    while name.exists():
        number += 1
        name = file.with_name(f"{file.stem}-from-{step}-{number}.db")
    return name


def _lines(found: Rejudgement, file: Path, dry_run: bool) -> Iterator[str]:
    """What was found, for people."""
    yield f"{counted(found.samples, 'sample')} judged again: {found.changed:,} read otherwise now"
    for one in found.differences[:MAX_SHOWN]:
        kind = "" if one.committed else " (open)"
        yield f"step {one.step}{kind}, sample {one.sample}: was {_reading(one.was)}, is {_reading(one.now)}"
    if found.changed > MAX_SHOWN:
        yield f"... {found.changed - min(MAX_SHOWN, len(found.differences)):,} more: --json lists up to 1,000"
    for step in found.overturns[:MAX_SHOWN]:
        yield f"step {step.step} would be decided otherwise: {_decision(step)}"
    if found.overturned > MAX_SHOWN:
        yield f"... {found.overturned - MAX_SHOWN:,} more steps"
    for change in found.open:
        ahead = ", asked ahead" if change.ahead else ""
        then = {"won": "is won", "undecided": "is undecided", "open": "goes on"}[change.verdict]
        yield f"step {change.step}{ahead} {then} with {counted(change.changed, 'other verdict')}"
    if found.recorded:
        yield f"recorded; go on with: {command_on('resume', file)}"
    elif found.open and dry_run:
        yield "nothing was written: --dry-run"


def _reading(reading: SampleReading) -> str:
    return f"flagged as {reading.flag}" if reading.flag is not None else f"a vote for {_value(reading.choice)}"


def _decision(step: Overturned) -> str:
    now = _value(step.now) if step.decided else "undecided by the samples that are stored"
    return f"was {_value(step.was)}, now {now}"


def _value(value: Any) -> str:
    return shortened(json.dumps(value, ensure_ascii=False))
