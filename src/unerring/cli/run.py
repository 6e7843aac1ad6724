"""Commands that run a process: run and resume."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar

import click

from unerring import api
from unerring.adapters.files.jsonl import json_line
from unerring.adapters.sqlite.reader import entry_count, opening_entry
from unerring.api.chains import make_chain, name_to_import
from unerring.api.journals.repair import repair as repair_journal
from unerring.api.models import function_again
from unerring.api.planning import Target
from unerring.cli.command import Command, option, options
from unerring.cli.exits import DONE, STOPPED, CommandEnded, end_of, finished, require_certificate, user_code_failed
from unerring.cli.hints import OPTIONS, command_on, quoted, same_command, unused, working_on, working_with
from unerring.cli.option_values import COUNT, FILE, SEED, STEPS
from unerring.cli.options import (
    accept_changes_option,
    allow_host_option,
    asking_options,
    file_argument,
    guard_options,
    json_option,
    judging_options,
    k_option,
    parameters,
    planning_options,
    process_options,
    require_option,
    speculation_options,
    spending_options_of_known_run,
    verbose_option,
)
from unerring.cli.progress import Progress
from unerring.cli.text.report import beyond_length, report_text, reviewing_act, settling_act, waits_for_person
from unerring.core.reporting.summary import answer_line, summary
from unerring.core.request import Request
from unerring.errors import BEYOND_LENGTH, ProviderDown, Stopped, UnerringError

HTTP_NOT_FOUND = 404  # the provider does not have the model, or the address
Starting: TypeAlias = Callable[[Progress], api.Result]
R = TypeVar("R")


class Ending(NamedTuple):
    """What a command does at the end of a run.

    as_json: print the report as JSON instead of the summary.
    verbose: print the report as text after the summary.
    require: the least probability of zero errors in the certificate, with which the command exits with 0.
    """

    as_json: bool
    verbose: bool
    require: float | None


def _pack_ending(given: dict[str, Any]) -> None:
    given["ending"] = Ending(*(given.pop(name) for name in Ending._fields))


ending_options = options(verbose_option, require_option, json_option, pack=_pack_ending)


@click.command(cls=Command)
@process_options
@k_option("auto")
@planning_options
@option("--journal", type=FILE, help="The file that keeps the run; a new one by default.")
@option("--max-steps", type=STEPS, help="Stop, resumable, after so many steps.")
@accept_changes_option
@option("--seed", type=SEED, default=0, show_default=True, help="Seed of the run's samples.")
@asking_options
@ending_options
def run(  # noqa: PLR0913, PLR0917  (one parameter for each option)
    process: str,
    settings: tuple[str, ...],
    models: tuple[str, ...],
    k: int | None,
    target: Target,
    journal: Path | None,
    max_steps: int | None,
    seed: int,
    ending: Ending,
    **given: Any,
) -> int:
    """Run PROCESS, deciding every step by voting.

    PROCESS is a shipped process (ask, hanoi, multiply, solve, sort), or your own class or async function as
    package.module:Name.
    If --journal holds this run already, the same command continues where it stopped.

    \b
    unerring run hanoi --set disks=12 --journal h12.db --seed 1
    unerring run hanoi --set disks=14 --rule log-odds
    unerring run hanoi --set disks=6 --k 3 --model openai/gpt-4.1-mini --budget-usd 2
    unerring run hanoi --set disks=6 --k 3 --model openai/llama3.1:8b@http://127.0.0.1:11434/v1
    unerring run multiply --set a=46048 --set b=42098
    unerring run mypackage.ledger:Ledger --set year=2026 --model noise/p=0.98,v=0.95 --k 4
    unerring run mypackage.closing:close_month --set 'entries=["March rent"]' --model SPEC --k 4
    """
    chain = make_chain(process, parameters(settings))
    working_with(name_to_import(chain, process))
    model = list(models) or "embedded"
    path = journal or fresh(process)

    def start(progress: Progress) -> api.Result:
        every = api.Options(max_steps=max_steps, observer=progress, target=target, **given)
        return api.run(chain, model, path, k, seed, every)

    progress = Progress(quiet=ending.as_json, journal="" if journal else str(path), most_steps=max_steps)
    return show_result(watched(start, path, progress), path, ending)


# Why `resume` does not have options of `run`.
_MODELS = "a run keeps the models it began with"
_POLICY = "a run keeps the rule by which its steps are decided; only caps and --min-replies can be raised"
_REQUEST = (
    "a run keeps its request settings, so that all votes on a step answer the same; only --nonce and --echo change"
)
_REASONS = {
    **dict.fromkeys(("--set", "--parse"), "a run keeps the parameters of its process"),
    **dict.fromkeys(("--escalate", "--escalate-after"), _MODELS),
    **dict.fromkeys(("--k", "--target", "--rule", "--calibration"), _POLICY),
    **dict.fromkeys(
        ("--temperature", "--first-temperature", "--max-output-tokens", "--system", "--request"), _REQUEST
    ),
    "--seed": "a run keeps its seed",
    "--journal": "the journal is FILE",
}
_FORK = "for a new run that continues from one of its steps with other settings: unerring fork"
NOT_OF_RESUME = {name: f"{reason}; {_FORK}" for name, reason in _REASONS.items()}


@click.command(cls=Command, refused_options=NOT_OF_RESUME)
@file_argument
@option("--max-steps", type=STEPS, help="Stop again, resumable, after so many further steps.")
@option("--vote-cap", type=COUNT, help="Raise the most votes of a step.")
@option("--flag-cap", type=COUNT, help="Raise the most red-flagged samples of a step, for each vote it has or needs.")
@option("--min-replies", type=COUNT, help="Raise how many replies a winner's votes must come from.")
@option("--nonce/--no-nonce", default=None, help="From here on as with `run --nonce`, or without.")
@option("--echo/--no-echo", default=None, help="From here on as with `run --echo`, or without.")
@option("--repair", is_flag=True, help="Keep the intact part of a damaged journal, and continue from its end.")
@option("--model", metavar="MODULE:FUNCTION", help="The model, for a run whose model was a Python function.")
@accept_changes_option
@spending_options_of_known_run
@guard_options
@speculation_options
@judging_options
@allow_host_option
@ending_options
def resume(  # noqa: PLR0913, PLR0917  (one parameter for each option)
    file: Path,
    max_steps: int | None,
    nonce: bool | None,
    echo: bool | None,
    repair: bool,
    model: str | None,
    process: str | None,
    ending: Ending,
    **given: Any,
) -> int:
    """Continue the run in the journal FILE, where it stopped.

    The run keeps its model, its rule and its request settings. A model that was a Python function is given again by
    --model. Options here raise caps, turn --nonce and --echo on or off, or change budgets, guards and speed. If you
    did not start the run on this machine, the code that its journal names is not imported, and no key is sent to the
    hosts that it names, unless --process, --allow-host or --trust allow it.
    """
    if repair:
        kept, moved_to = repair_journal(file)
        click.echo(f"{file}: {kept:,} intact entries kept; the damaged file was moved to {moved_to}", err=True)

    opened = None if model is None else opening_entry(file)
    function = None if model is None or opened is None else function_again(opened, model)

    def start(progress: Progress) -> api.Result:
        request = Request(nonce=nonce, echo=echo)
        every = api.Options(max_steps=max_steps, observer=progress, request=request, **given)
        return api.resume(file, process, function, every)

    progress = Progress(quiet=ending.as_json, most_steps=max_steps)
    return show_result(watched(start, file, progress, resuming=True), file, ending)


def watched(
    start: Callable[[Progress], R], path: Path, progress: Progress, resuming: bool = False, whole: bool = True
) -> R:
    """Run with progress on stderr. `whole` says that the run is all of the command, so that `resume` continues it.

    Raises `CommandEnded` if the run stops, with the command that continues, and if the user's own code fails, with the
    place of the error.
    """
    working_on(path)
    before = 0 if resuming else entry_count(path)
    try:
        with progress:
            result = start(progress)
        if progress.steps == 0 and (resuming or before):
            progress.write(f"The run in {path} is finished already.")
        return result
    except Stopped as error:
        advice, following = _next_step(error, path, whole)
        if isinstance(error.__cause__, ProviderDown) and error.__cause__.status == HTTP_NOT_FOUND:
            advice = f"for another model start a new run; once the provider has this one: {following}"
        raise CommandEnded(STOPPED, error.kind, error.reason, advice, following) from error
    except Exception as error:
        entries, again = entry_count(path), command_on("resume", path) if whole else same_command()
        if isinstance(error, UnerringError) and (end := end_of(error)).code == STOPPED:  # such as a full disk
            raise CommandEnded(STOPPED, end.kind, end.reason, command=again if entries else None) from error
        command = again if entries > before else None
        then = f"fix it, then: {command}" if command else "nothing was started"
        if command and waits_for_person(path):
            then, command = settling_act(path), reviewing_act(path)
        raise user_code_failed(error, "the process's own code", then, command) from error


def show_result(result: api.Result, path: Path, ending: Ending) -> int:
    """Print the end of a run: a summary of six lines, and its whole report if that is asked for."""
    answer = {} if result.answer is None else {"answer": result.answer}
    data = answer | result.report
    if not ending.as_json:
        kept = f"{quoted(path)}; check it with: {command_on('verify', path)}"
        click.echo(summary(result.report, answer_line(result.answer, result.state), kept))
        if ending.verbose:
            click.echo(f"\n{report_text(result.report, str(path))}")
    require_certificate(result.report, ending.require, data)
    if ending.as_json:
        click.echo(json_line(finished(path, data)))
    return DONE


def _next_step(error: Stopped, path: Path, whole: bool) -> tuple[str, str]:
    """What to do about a stop: in words, and as the command to begin with. Commands run as they are printed.

    A run that is only part of the command continues with the same command, except after a cap: that is the run's own.
    """
    larger = () if error.larger is None else (OPTIONS[error.larger[0]], f"{error.larger[1]:.10g}")
    review, verify, rejudge = (command_on(name, path) for name in ("review", "verify", "rejudge"))
    if whole or error.kind == "undecided":
        resume, allowing = command_on("resume", path), command_on("resume", path, *larger)
    else:
        resume, allowing = same_command(), same_command(*larger)
    match error.kind:
        case "undecided" if error.unread:
            return f"to see the answers: {review}; once your parser or check accepts them: {rejudge}", review
        case "undecided":
            more = "" if error.larger is None else f"; to allow it more: {allowing}"
            return f"to see it and decide: {review}{more}", review
        case "refused":
            return f"to see it, and give the answer or ask another model: {review}", review
        case "unknown act" | "interrupted" if waits_for_person(path):
            return settling_act(path), reviewing_act(path)
        case "copies" if error.larger is not None:
            return f"once no cache answers, continue with: {resume}; or allow as many copies: {allowing}", resume
        case "flagged" if error.larger is not None:
            first = f"once your parser or check accepts them: {rejudge}; after another fix" if error.unread else ""
            fixed = first or "once that is fixed, continue with"
            return f"{fixed}: {resume}; or continue as it is: {allowing}", resume
        case _ if error.kind == BEYOND_LENGTH:
            return f"continue with: {beyond_length(path)}", verify
    return f"continue with: {allowing}", allowing


def fresh(process: str) -> Path:
    """A name for a new journal, which no file has yet."""
    return unused(Path(process.rpartition(":")[2] + time.strftime("-%Y%m%d-%H%M%S.db")))
