"""The command that asks one question, decided by voting."""

import sys
from pathlib import Path
from typing import Any

import click

from unerring import api
from unerring.adapters.files.jsonl import json_line, json_value, read_text
from unerring.api.decision import choice_text
from unerring.cli.command import Command, option
from unerring.cli.exits import DONE, finished
from unerring.cli.hints import command_on, quoted
from unerring.cli.option_values import COUNT, FILE, SEED
from unerring.cli.options import (
    allow_host_option,
    cap_options,
    escalation_options,
    guard_options,
    json_option,
    model_option,
    spending_options,
)
from unerring.cli.progress import Progress
from unerring.cli.request_options import request_options, text_of
from unerring.cli.run import fresh, watched
from unerring.core.answers.form import HOW_STRICT
from unerring.core.reporting.summary import printable, row
from unerring.core.request import Request
from unerring.core.voting.canonical import Json
from unerring.errors import ChainChanged, InputError
from unerring.processes.question import ANSWER_TYPES, OneQuestion, answer_type
from unerring.runtime.question import HOW_TO_CONTINUE


@click.command(cls=Command)
@click.argument("prompt", metavar="PROMPT")
@option("--choices", metavar="A,B,...", help="What the answer is one of, separated by commas.")
@option(
    "--type",
    "type_name",
    type=click.Choice([*ANSWER_TYPES]),
    help="What the answer is; by default text, of which only equal ones count together.",
)
@option("--schema", type=FILE, help="A file with the JSON schema that describes the answer.")
@option(
    "--parse",
    type=click.Choice(HOW_STRICT),
    default=HOW_STRICT[0],
    show_default=True,
    help="How strictly answers are read; lenient-json also takes an answer inside a Markdown fence or after thoughts "
    "in <think>.",
)
@model_option(None)
@option("--k", type=COUNT, default=3, show_default=True, help="Votes by which the winner must lead all other answers.")
@option("--calibration", type=FILE, help="Measurements of the model, for the probability that the answer is wrong.")
@option("--journal", type=FILE, help="The file that keeps the votes; a new one by default.")
@option("--seed", type=SEED, default=0, show_default=True, help="Seed of the samples.")
@request_options
@cap_options()
@escalation_options
@spending_options
@guard_options
@allow_host_option
@option("--show-prompt", is_flag=True, help="Print the prompt as it is sent, and ask nothing.")
@json_option
def ask(  # noqa: PLR0913, PLR0917  (one parameter for each option)
    prompt: str,
    choices: str | None,
    type_name: str | None,
    schema: Path | None,
    parse: str,
    models: tuple[str, ...],
    k: int,
    calibration: Path | None,
    journal: Path | None,
    seed: int,
    show_prompt: bool,
    as_json: bool,
    **given: Any,
) -> int:
    """Ask one question, decided by voting.

    PROMPT is the whole question, or a file of it (@FILE), or - for stdin. The answer alone is printed on stdout; votes
    and cost on stderr. The same command with --journal prints what is decided there, and continues where it stopped.

    \b
    unerring ask "Is 1009 a prime?" --choices yes,no --model openai/gpt-4.1-mini
    unerring ask @invoice.txt --type decimal --model openai/gpt-4.1-mini --k 4 --budget-usd 0.05
    unerring ask - --schema person.json --json --model openai/gpt-4.1-mini < page.txt
    """
    text, answer = _prompt_of(prompt), _answer_of(choices, type_name, schema)
    question = OneQuestion(text, answer, parse)
    if show_prompt:
        return _show_prompt(question, given["request"], as_json)
    if not models:
        raise InputError("a question needs a `model`, such as openai/gpt-4.1-mini")
    path = journal or fresh("ask")

    def start(progress: Progress) -> api.Decision[Any]:
        return api.ask(
            text,
            answer_type(answer),
            model=list(models),
            k=k,
            parse=parse,
            journal=path,
            seed=seed,
            calibration=calibration,
            options=api.Options(observer=progress, **given),
        )

    progress = Progress(quiet=as_json)
    try:
        decision = watched(start, path, progress)
    except ChainChanged as error:
        changed = str(error).removesuffix(f"; {HOW_TO_CONTINUE}")
        raise InputError(f"{changed}; ask the changed question with another --journal") from error
    return _show(decision, path, as_json)


def _show(decision: api.Decision[Any], path: Path, as_json: bool) -> int:
    """Print a decision: the answer on stdout, its votes and cost on stderr."""
    data = decision.to_dict()
    if as_json:
        click.echo(json_line(finished(path, data)))
        return DONE
    click.echo("\n".join(map(printable, choice_text(data["value"]).split("\n"))))
    _, *figures, _ = str(decision).splitlines()  # between the answer and the journal
    kept = row("journal", f"{quoted(path)}; see it with: {command_on('report', path)}")
    click.echo("\n".join([*figures, kept]), err=True)
    return DONE


def _prompt_of(given: str) -> str:
    """The prompt: as it is given, or that of a file or stdin."""
    if given == "-":
        try:
            return sys.stdin.read()
        except UnicodeDecodeError as error:
            raise InputError(f"the prompt on stdin is no text: {error}") from None
    return text_of("the prompt", given)


def _answer_of(choices: str | None, type_name: str | None, schema: Path | None) -> Json:
    """What the answer is, by the name of a type, as a list of choices, or as a JSON schema."""
    if sum(one is not None for one in (choices, type_name, schema)) > 1:
        raise InputError("give one of --choices, --type and --schema: each says what the answer is")
    if choices is not None:
        return [one.strip() for one in choices.split(",")]
    if schema is None:
        return type_name or "text"
    try:
        read = json_value(read_text(schema))
    except ValueError as error:
        raise InputError(f"{schema} is no JSON schema: {error}") from None
    if not isinstance(read, dict):
        raise InputError(f"{schema} is no JSON schema, which is an object")
    return read


def _show_prompt(question: OneQuestion, request: Request, as_json: bool) -> int:
    """Print the prompt as it is sent; with a system message both."""
    subtask = question.ask.subtask
    before = request.with_system_message(subtask.messages_before(False))
    if as_json:
        messages: list[Json] = [{"role": one.role, "content": one.content} for one in before]
        click.echo(json_line({"messages": messages, "prompt": subtask.prompt, "schema": subtask.schema}))
        return DONE
    for one in before:
        click.echo(f"{one.role}: {one.content}\n")
    click.echo(subtask.prompt)
    return DONE
