"""The command that shows the step at which a run stopped, and records what a person decides about it."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from unerring.adapters.files.jsonl import json_line, json_value
from unerring.api.journals import history as reading
from unerring.api.journals import review as reviewing
from unerring.api.journals.acts import PendingAct, settle
from unerring.api.journals.review import Candidate, Parked, ParkedSample, Recorded, Review
from unerring.cli.command import Command, option
from unerring.cli.exits import DONE
from unerring.cli.hints import command_on, continuing, in_options
from unerring.cli.option_values import FILE, Whole
from unerring.cli.options import file_argument, json_option, judging_options
from unerring.cli.text.doubtful import MAX_DETAIL_CHARS, asked_lines, indented
from unerring.cli.text.report import beyond_length, printable, reviewing_act
from unerring.core.reporting.summary import counted, row
from unerring.core.short_text import shortened
from unerring.core.voting.canonical import parsed
from unerring.core.voting.redflag import FLAGS_OF_TEXT
from unerring.errors import BEYOND_LENGTH, InputError
from unerring.processes import SHIPPED

MAX_SAMPLES = 40  # shown without --full
VERBOSE_FIELDS = {"samples", "messages", "messages_now", "prompts_now"}  # left out of --json without -v
MAX_SAMPLE_NUMBERS = 12  # of equal samples, in one line
_OF_TEXT = {kind.value for kind in FLAGS_OF_TEXT}


@click.command(cls=Command)
@file_argument
@option("--choose", type=Whole(), metavar="N", help="Decide the step: candidate number N of the list is right.")
@option("--answer", metavar="JSON", help="Decide the step: this choice is right, whatever its samples say.")
@option("--resample", is_flag=True, help="Set the step's samples aside, and have new ones drawn on resume.")
@option("--model", metavar="SPEC", help="As --resample, with new samples from another model.")
@option(
    "--prices",
    type=FILE,
    help="With --model, if the run has a budget in dollars: a TOML file with dollars per million tokens.",
)
@option("--happened", is_flag=True, help="The side effect that it waits for happened; --answer has its result.")
@option("--did-not-happen", is_flag=True, help="It did not: it is run when the run continues.")
@option("--full", is_flag=True, help="Show all samples, and shorten no text.")
@option("-v", "--verbose", is_flag=True, help="With --json: also the samples, and the messages before the question.")
@judging_options
@json_option
def review(  # noqa: PLR0913, PLR0917  (one parameter for each option)
    file: Path,
    choose: int | None,
    answer: str | None,
    resample: bool,
    model: str | None,
    prices: Path | None,
    happened: bool,
    did_not_happen: bool,
    full: bool,
    verbose: bool,
    process: str | None,
    trust: bool,
    as_json: bool,
) -> int:
    """Show the step at which the run in FILE stopped, and decide it.

    A run stops at a step that no answer won (undecided), or whose question the provider refused; and at a side effect
    that must not be run twice, if it is not known whether it happened.

    \b
    unerring review run.db                 what was asked, the candidates and every sample
    unerring review run.db --choose 1      the first candidate is right
    unerring review run.db --answer 42     this choice is right, given as JSON
    unerring review run.db --resample      draw the samples again
    unerring review run.db --model SPEC    draw them from another model
    unerring review run.db --happened      the side effect happened; --answer has its result

    The decision goes into the journal, and unerring resume FILE continues from there. The certificate of the run
    does not count such a step as evidence, and says how many there are.
    """
    if prices is not None and model is None:
        raise InputError("--prices is for --model SPEC; give that too")
    given = ... if answer is None else _given(answer)
    if happened or did_not_happen:
        if happened is did_not_happen or choose is not None or resample or model is not None:
            raise InputError("give one of --happened, --did-not-happen, and the options that decide a step")
        return _settled(file, settle(file, happened, None if given is ... else given), happened, as_json)
    if choose is not None or answer is not None or resample or model is not None:
        recorded = reviewing.decide(file, choose, resample, model, prices, process, trust, given)
        return _decided(file, recorded, as_json)
    found = reviewing.review(file, process, trust)
    if as_json:
        click.echo(json_line(review_json(found, file, full or verbose)))
    elif found.act is not None and found.act.once:
        for line in _unknown_act(found.act, file):
            click.echo(line)
    elif found.act is not None and found.status != "finished":
        again = f"{found.act.name} before step {found.act.step} has not ended, and is run again, with the same key"
        click.echo(printable(f"{again}; {continuing(file)}"))
    elif found.parked is None:
        click.echo(printable(f"{found.note}{_advice(file) if found.status == 'paused' else ''}"))
    else:
        if found.note is not None:
            why = in_options(" ".join(found.note.split()))
            shown = "is shown as the journal has it" if found.parked.prompts else "cannot be shown"
            click.echo(printable(f"note: the question {shown}: {why}"), err=True)
        for line in _listing(found, found.parked, file, full):
            click.echo(line)
    return DONE


def _unknown_act(act: PendingAct, file: Path) -> Iterator[str]:
    """The lines that show a side effect of which no end is known, each printable."""
    command = reviewing_act(file)
    yield row("act", f"{act.name}, before step {act.step} of {file}: begun, and it is not known whether it happened")
    yield row("key", act.key)
    yield row("begun", datetime.fromtimestamp(act.time, UTC).strftime("%Y-%m-%d %H:%M:%S UTC"))
    yield row("decide with", f"{command} --happened, and --answer JSON for its result if it has one")
    yield row("or with", f"{command} --did-not-happen: it is run when the run continues")


def _settled(file: Path, act: PendingAct, happened: bool, as_json: bool) -> int:
    """Print what was recorded of a side effect, and how to continue."""
    if as_json:
        recorded = {"journal": str(file), **asdict(act), "happened": happened, "resume": command_on("resume", file)}
        click.echo(json_line(recorded))
    else:
        what = "happened" if happened else "did not happen, and is run when the run continues"
        click.echo(printable(f"recorded: {act.name} before step {act.step} {what}; {continuing(file)}"))
    return DONE


def _advice(file: Path) -> str:
    """How to continue a run that stopped and has no step to decide."""
    if reading.report(file)["stopped"]["kind"] != BEYOND_LENGTH:
        return f"; {continuing(file)}"
    return f"; continue with: {beyond_length(file)}"


def _given(answer: str) -> Any:
    """The choice that a person gives as JSON."""
    try:
        return json_value(answer)
    except ValueError as error:
        raise InputError(f"--answer is JSON, such as 42, '\"yes\"' or '{{\"a\": 1}}': {error}") from None


def _decided(file: Path, recorded: Recorded, as_json: bool) -> int:
    """Print what was recorded, and how to continue."""
    resume = command_on("resume", file)
    if recorded.note is not None:
        click.echo(printable(f"note: {in_options(' '.join(recorded.note.split()))}"), err=True)
    if as_json:
        click.echo(
            json_line(
                {
                    "journal": str(file),
                    "step": recorded.step,
                    "recorded": "redrawn" if recorded.choice is None else "ruled",
                    "choice": None if recorded.choice is None else _value(recorded.choice),
                    "model": recorded.model,
                    "note": recorded.note,
                    "resume": resume,
                }
            )
        )
        return DONE
    if recorded.choice is not None:
        what = f"is decided: {shortened(recorded.choice, MAX_DETAIL_CHARS)}"
    else:
        by = "" if recorded.model is None else f" from {recorded.model}"
        what = f"gets new samples{by}; those it had are set aside"
    click.echo(printable(f"recorded: step {recorded.step} {what}; {continuing(file)}"))
    return DONE


def review_json(found: Review, file: Path, whole: bool) -> dict[str, Any]:
    """The review as JSON data, with all of its fields if `whole`; choices are JSON values."""
    parked = found.parked
    step: dict[str, Any] | None = None
    if parked is not None:
        step = asdict(parked)
        for candidate in step["candidates"]:
            candidate["choice"] = _value(candidate["choice"])
        step["ruled"] = None if parked.ruled is None else {"choice": _value(parked.ruled)}
        step["changed"] = bool(parked.prompts_now) or parked.messages_now is not None
        if not whole:
            step = {name: value for name, value in step.items() if name not in VERBOSE_FIELDS}
    return {
        "journal": str(file),
        "process": found.process,
        "parameters": found.parameters,
        "status": found.status,
        "steps": found.steps,
        "undecided": step,
        "note": found.note,
        "act": None if found.act is None else asdict(found.act),
    }


def _value(choice: str) -> Any:
    """A choice as a JSON value; its text if that is no JSON, as in a forged journal."""
    with suppress(ValueError, RecursionError):
        return parsed(choice)
    return choice


def _listing(found: Review, parked: Parked, file: Path, full: bool) -> Iterator[str]:
    """The lines that show a step, each printable."""
    called = " ".join([found.process, *(f"{name}={value}" for name, value in found.parameters.items())])
    counts = f"{parked.votes:,} votes, {parked.flags:,} flagged, {counted(parked.rounds, 'round')}"
    if parked.set_aside:
        counts += f"; {counted(parked.set_aside, 'sample')} set aside before"
    how = f"undecided by the rule {parked.rule}" if parked.refused is None else "refused by the provider"
    yield row("step", f"{parked.step} of {file}, {how}")
    if parked.refused is not None:
        yield row("refusal", shortened(parked.refused, None if full else MAX_DETAIL_CHARS))
    yield row("process", shortened(called, None if full else MAX_DETAIL_CHARS))
    yield row("votes", counts)
    yield from _question(parked, full)
    for candidate in parked.candidates:
        yield from _candidate(candidate, full)
    if not parked.candidates:
        yield row("candidates", "none: every sample was flagged" if parked.samples else "none: there is no sample")
    if any(sample.flag is not None and sample.reason is None for sample in parked.samples):
        yield row("not kept", "the reasons of flags, all or some: an earlier version of unerring kept none")
    groups = [[one] for one in parked.samples] if full else _equal(parked.samples)
    first: dict[str, int] = {}
    for group in groups if full else groups[:MAX_SAMPLES]:
        yield from _sample(group, first.setdefault(group[0].text, group[0].number), full)
    if not full and len(groups) > MAX_SAMPLES:
        left = sum(map(len, groups[MAX_SAMPLES:]))
        yield row("...", f"{left:,} more samples: --full shows them")
    command = command_on("review", file)
    if parked.ruled is not None:
        yield row("decided", f"by a person: {shortened(parked.ruled, MAX_DETAIL_CHARS)}")
        yield row("continue with", command_on("resume", file))
    else:
        if (
            found.process not in SHIPPED
            and parked.samples
            and all(sample.flag in _OF_TEXT for sample in parked.samples)
        ):
            yield row(
                "fix with",
                f"a change of your parser or check, then {command_on('rejudge', file)} reads the samples again",
            )
        yield from _deciding(command, len(parked.candidates))


def _question(parked: Parked, full: bool) -> Iterator[str]:
    """The question of the step, and the one that the process asks now if that differs."""
    yield from asked_lines(parked.messages, parked.prompts, full)
    if parked.prompts_now or parked.messages_now is not None:
        yield row("changed", "the process now asks this step something else; the samples answer the question above")
    yield from asked_lines(parked.messages_now or (), parked.prompts_now, full, ("message now", "asked now", "now"))


def _deciding(command: str, candidates: int) -> Iterator[str]:
    """The commands that decide a step."""
    lines = [
        f"{command} --resample, or with --model SPEC, to draw new samples",
        "--answer and the right choice as JSON, if no candidate is right",
    ]
    if candidates:
        others = f" (or another, up to {candidates})" if candidates > 1 else ""
        lines.insert(0, f"{command} --choose 1{others}, if that candidate is right")
    yield row("decide with", lines[0])
    yield from (row("or with", line) for line in lines[1:])


def _candidate(candidate: Candidate, full: bool) -> Iterator[str]:
    votes = counted(candidate.votes, "vote")
    if candidate.score is not None:
        votes += f" with weights of {candidate.score:g} in all (log-odds, nats)"
    choice = shortened(candidate.choice, None if full else MAX_DETAIL_CHARS)
    yield row(f"candidate {candidate.number}", f"{votes}: {choice}")
    yield row("", "by " + ", ".join(f"{name} ({votes:,})" for name, votes in candidate.voters.items()))


def _numbers(samples: Sequence[ParkedSample]) -> str:
    """The numbers of samples; the first ones if there are many."""
    shown = ", ".join(str(one.number) for one in samples[:MAX_SAMPLE_NUMBERS])
    return shown if len(samples) <= MAX_SAMPLE_NUMBERS else f"{shown}, ..."


def _equal(samples: Iterable[ParkedSample]) -> list[list[ParkedSample]]:
    """The samples in groups of the same voter, text and judgement."""
    groups: dict[tuple[object, ...], list[ParkedSample]] = {}
    for one in samples:
        groups.setdefault((one.voter, one.text, one.candidate, one.flag, one.reason, one.finish), []).append(one)
    return list(groups.values())


def _sample(group: Sequence[ParkedSample], same_as: int, full: bool) -> Iterator[str]:
    sample = group[0]
    judged = f"flagged: {sample.flag}" if sample.candidate is None else f"a vote for candidate {sample.candidate}"
    tokens = f"{sample.input_tokens:,} tokens in, {sample.output_tokens:,} out"
    shown = f"{judged}, from {sample.voter}; {tokens}; ended by {sample.finish}"
    if sample.logprob is not None:
        shown += f"; log-probability {sample.logprob:g}"
    if same_as != sample.number:
        shown += f"; same text as sample {same_as}"
    if len(group) > 1:
        shown += f"; {len(group) - 1:,} more like it: {_numbers(group[1:])}"
    yield row(f"sample {sample.number}", shown)
    if sample.reason is not None:
        yield row("", f"reason: {shortened(sample.reason, None if full else MAX_DETAIL_CHARS)}")
    if same_as == sample.number:
        yield from indented(sample.text, full)
