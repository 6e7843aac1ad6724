"""Options of the requests to models: temperatures, output limit, system message, further fields, nonces, echoes."""

from typing import Any

from unerring.adapters.files.jsonl import json_value, read_text
from unerring.cli.command import Decorator, option, options
from unerring.cli.option_values import AS_IN_FILE, COUNT, TEMPERATURE
from unerring.core.request import Request
from unerring.core.voting.canonical import Json
from unerring.errors import InputError


def _pack_request(given: dict[str, Any]) -> None:
    temperature, limit, system, extra, nonce, echo = (
        given.pop(name) for name in ("temperature", "max_output_tokens", "system", "extra", "nonce", "echo")
    )
    system = None if system is None else text_of("--system", system)
    fields = {} if extra is None else _fields_of(text_of("--request", extra))
    first = given.pop("first_temperature", None)
    given["request"] = Request(temperature, first, limit, system, fields, nonce, echo)


def text_of(name: str, text: str) -> str:
    """The text of an option or an argument, or of the file that it names after an @."""
    if not text.startswith("@"):
        return text
    try:
        return read_text(text[1:])
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


def _fields_of(text: str) -> dict[str, Json]:
    """Read the JSON object of `--request`."""
    try:
        fields = json_value(text)
    except ValueError as error:
        raise InputError(f"--request is a JSON object, such as '{{\"top_p\": 0.9}}': {error}") from None
    if not isinstance(fields, dict):
        raise InputError('--request is a JSON object, such as {"top_p": 0.9}')
    return fields


def _temperature(default: str) -> Decorator:
    text = f"Temperature of the samples; by default {default}."
    return option("--temperature", type=TEMPERATURE, metavar="T", help=text)


_FIRST_TEMPERATURE = option(
    "--first-temperature",
    type=TEMPERATURE,
    metavar="T",
    help="Temperature of the first sample of each step, if it differs from --temperature.",
)


def _more_of_requests(most_tokens: str = "750") -> tuple[Decorator, ...]:
    """Request settings beyond temperatures; `most_tokens` says how long an answer may be by default."""
    return (
        option(
            "--max-output-tokens",
            type=COUNT,
            help=f"Most tokens of an answer; a longer one is red-flagged. By default {most_tokens}; give more to "
            "models that reason.",
        ),
        option("--system", metavar="TEXT|@FILE", help="A system message before every question."),
        option(
            "--request",
            "extra",
            metavar="JSON|@FILE",
            help='More fields of each request, such as {"top_p": 0.9, "reasoning_effort": "low"}.',
        ),
        option(
            "--nonce/--no-nonce", default=None, help="End each request with a unique line, which no cache can answer."
        ),
        option(
            "--echo/--no-echo",
            default=None,
            help="Ask for a word of the request at the end of each answer, so that no reply to another request can "
            "vote.",
        ),
    )


request_options = options(
    _temperature("0 for the first of each step and 0.1 for the others"),
    _FIRST_TEMPERATURE,
    *_more_of_requests(),
    pack=_pack_request,
)
request_options_of_fork = options(
    _temperature(AS_IN_FILE), _FIRST_TEMPERATURE, *_more_of_requests(AS_IN_FILE), pack=_pack_request
)
pilot_request_options = options(
    option("--temperature", type=TEMPERATURE, metavar="T", help="Temperature of all samples; by default 0.1."),
    *_more_of_requests(),
    pack=_pack_request,
)
