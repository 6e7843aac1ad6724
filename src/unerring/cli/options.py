"""Options that several commands share."""

from functools import wraps
from math import isfinite
from pathlib import Path
from typing import Any

import click

from unerring.adapters.plugins import parameter
from unerring.adapters.tables.jsonl import json_value, read_text
from unerring.api.budget import Budget
from unerring.api.planning import Target
from unerring.cli.completion import complete_guesses, complete_models, complete_processes
from unerring.cli.exits import Invocation
from unerring.core.numbers import (
    MOST_AT_ONCE,
    MOST_COUNT,
    MOST_DOLLARS,
    MOST_HOURS,
    MOST_SECONDS,
    MOST_SEED,
    MOST_TEMPERATURE,
    MOST_TOTAL,
)
from unerring.core.planning.plan import RULES
from unerring.core.request import Request
from unerring.core.voting.canonical import Json
from unerring.core.voting.parsing import PARSERS
from unerring.errors import InputError
from unerring.runtime.config import Guards, Patience
from unerring.runtime.signals import GRACE_SECONDS


class Number(click.FloatRange):
    """A number within a range; unlike click's own it refuses NaN and infinity."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read a number, or fail with one line that names the option."""
        read: float = super().convert(value, param, ctx)
        if not isfinite(read):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return read


class FileName(click.Path):
    """The name of a file or folder, as a `Path`; an empty one, such as that of an unset variable, is refused."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read a name, or fail with one line that names the option."""
        if value == "":
            self.fail("the name of the file is empty.", param, ctx)
        return super().convert(value, param, ctx)


FILE = FileName()
SEED = click.IntRange(-MOST_SEED, MOST_SEED)
STEPS = click.IntRange(1, MOST_TOTAL)
TOTAL = click.IntRange(0, MOST_TOTAL)
COUNT = click.IntRange(1, MOST_COUNT)
AT_ONCE = click.IntRange(1, MOST_AT_ONCE)
DOLLARS = Number(0, MOST_DOLLARS)
HOURS = Number(0, MOST_HOURS)
TEMPERATURE = Number(0, MOST_TEMPERATURE)


def json_option(command: Any) -> Any:
    """`--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print machine-readable JSON on stdout.")(command)


def verbose_option(command: Any) -> Any:
    """`-v`."""
    return click.option("-v", "--verbose", is_flag=True, help="Print the whole report at the end.")(command)


def require_option(command: Any) -> Any:
    """`--require`."""
    return click.option(
        "--require",
        type=Number(0, 1),
        metavar="PROBABILITY",
        help="Exit with 1 where the certificate's probability of zero errors is below this, such as 0.95.",
    )(command)


def traceback_option(command: Any) -> Any:
    """`--traceback`, which may stand before the command's name or after it; UNERRING_TRACEBACK=1 does the same."""
    return click.option(
        "--traceback",
        is_flag=True,
        envvar="UNERRING_TRACEBACK",
        expose_value=False,
        callback=_show_traceback,
        help="Print the traceback of an error in your own code (or set UNERRING_TRACEBACK=1).",
    )(command)


def _show_traceback(context: click.Context, _option: click.Parameter, value: bool) -> None:
    invocation = context.find_object(Invocation)
    if value and invocation is not None:
        invocation.traceback = True


model_option = click.option(
    "--model",
    "models",
    multiple=True,
    metavar="SPEC",
    shell_complete=complete_models,
    help="What answers: embedded (default, the one that knows the process; with /a, /b, /c one member of it), "
    "openai/MODEL[@URL] for any endpoint with OpenAI's chat protocol, openai-batch/MODEL[@URL], "
    "litellm/PROVIDER/MODEL, package.module:Class for your own, or noise/p=0.99,v=0.95,c=0, which stands in for a "
    "model. Repeat it to rotate votes over several.",
)


def process_options(command: Any) -> Any:
    """The process, its parameters with how it reads answers, and what answers."""
    setting = click.option(
        "--set", "settings", multiple=True, metavar="NAME=VALUE", help="A parameter of the process; repeatable."
    )
    reading = click.option(
        "--parse",
        type=click.Choice([*PARSERS]),
        help="How strictly answers are read, by a process that takes a parameter parse; the same as --set parse=...",
    )

    @wraps(command)
    def with_parse(settings: tuple[str, ...], parse: str | None, **given: Any) -> Any:
        return command(settings=settings if parse is None else (*settings, f"parse={parse}"), **given)

    process = click.argument("process", metavar="PROCESS", shell_complete=complete_processes)
    return process(setting(reading(model_option(with_parse))))


def planning_options(command: Any) -> Any:
    """What a margin is planned for; the command gets one `target`, a `Target`."""
    options = (
        click.option(
            "--target",
            "success",
            type=Number(0, 1, min_open=True, max_open=True),
            default=0.95,
            show_default=True,
            help="With --k auto: the probability that the whole chain is right.",
        ),
        click.option(
            "--rule",
            type=click.Choice(RULES),
            default=RULES[0],
            show_default=True,
            help="With --k auto: count votes (ahead-by), or weigh each by how probably it is right (log-odds).",
        ),
        click.option(
            "--calibration",
            type=FILE,
            help="What was measured of the model (unerring calibrate); the embedded model's ships with it.",
        ),
    )

    @wraps(command)
    def with_target(success: float, rule: str, calibration: Path | None, **given: Any) -> Any:
        return command(target=Target(success, rule, calibration), **given)

    wrapped: Any = with_target
    for option in reversed(options):
        wrapped = option(wrapped)
    return wrapped


def spending_options(command: Any) -> Any:
    """What a run may cost; the command gets one `budget`, a `Budget`, and the file of `prices`."""
    options = (
        click.option(
            "--budget-usd",
            "usd",
            type=DOLLARS,
            metavar="DOLLARS",
            help="Stop, resumable, before more is spent.",
        ),
        click.option(
            "--budget-tokens",
            "tokens",
            type=TOTAL,
            metavar="N",
            help="The same in tokens, read and written.",
        ),
        click.option(
            "--budget-calls",
            "calls",
            type=TOTAL,
            metavar="N",
            help="The same in requests to paid models.",
        ),
        click.option(
            "--budget-hours",
            "hours",
            type=HOURS,
            metavar="HOURS",
            help="The same in time that it runs.",
        ),
        click.option(
            "--strict-budget",
            "strict",
            is_flag=True,
            help="Stop, resumable, where a provider bills a call above its limit of output tokens.",
        ),
        click.option(
            "--prices",
            type=FILE,
            help="TOML tables of dollars per million tokens, as for unerring plan; else those of the [prices] extra.",
        ),
    )

    @wraps(command)
    def with_budget(**given: Any) -> Any:
        budget = Budget(*(given.pop(name) for name in ("usd", "tokens", "calls", "hours", "strict")))
        return command(budget=budget, **given)

    wrapped: Any = with_budget
    for option in reversed(options):
        wrapped = option(wrapped)
    return wrapped


def guard_options(command: Any) -> Any:
    """What stops a run whose votes cannot be trusted, or had; the command gets `guards`, `patience`, `grace`."""
    options = (
        click.option(
            "--copies",
            type=Number(0, 1),
            default=Guards().copies,
            show_default=True,
            help="Stop where a larger share of the replies are copies of earlier ones (a cache); copies never vote.",
        ),
        click.option(
            "--flagged",
            type=Number(0, 1),
            default=Guards().flagged,
            show_default=True,
            help="Stop where a larger share of the samples is flagged, so that next to none may vote; 1 never stops.",
        ),
        click.option("--same-model", is_flag=True, help="Stop where the provider says that another model answers."),
        click.option(
            "--probe/--no-probe",
            default=True,
            show_default=True,
            help="Try an endpoint out before the first step, mostly with 3 to 11 short calls: whether it repeats "
            "itself, and gives several at once.",
        ),
        click.option(
            "--patience",
            type=Number(0, MOST_SECONDS),
            default=Patience().total,
            show_default=True,
            metavar="SECONDS",
            help="Stop, resumable, after so long of nothing but failures; raise it to sit out an outage.",
        ),
        click.option(
            "--grace",
            type=Number(0, MOST_SECONDS),
            default=GRACE_SECONDS,
            show_default=True,
            metavar="SECONDS",
            help="After Ctrl-C, wait so long at most for the calls under way; a second Ctrl-C stops at once.",
        ),
    )

    @wraps(command)
    def with_guards(patience: float, **given: Any) -> Any:
        guards = Guards(**{name: given.pop(name) for name in ("copies", "same_model", "probe", "flagged")})
        return command(guards=guards, patience=Patience(total=patience), **given)

    wrapped: Any = with_guards
    for option in reversed(options):
        wrapped = option(wrapped)
    return wrapped


def escalation_options(command: Any) -> Any:
    """Who answers on hard steps."""
    options = (
        click.option(
            "--escalate",
            metavar="SPEC",
            shell_complete=complete_models,
            help="What answers on steps that the others cannot settle; repeats as --model.",
        ),
        click.option(
            "--escalate-after",
            type=COUNT,
            default=3,
            show_default=True,
            help="After how many rounds of voting.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def request_options(command: Any) -> Any:
    """Options of request settings; the command gets one `request`, a `Request`."""
    options = (
        _TEMPERATURE,
        click.option(
            "--first-temperature",
            type=TEMPERATURE,
            metavar="T",
            help="Temperature of the first sample of each step, where it is another one.",
        ),
        *_REQUEST,
    )

    @wraps(command)
    def with_request(first_temperature: float | None, **given: Any) -> Any:
        return command(request=_request(given, first_temperature), **given)

    wrapped: Any = with_request
    for option in reversed(options):
        wrapped = option(wrapped)
    return wrapped


def pilot_request_options(command: Any) -> Any:
    """The same for a calibration, all of whose samples are drawn at one temperature."""

    @wraps(command)
    def with_request(**given: Any) -> Any:
        return command(request=_request(given), **given)

    wrapped: Any = with_request
    for option in reversed((_TEMPERATURE, *_REQUEST)):
        wrapped = option(wrapped)
    return wrapped


_TEMPERATURE = click.option(
    "--temperature",
    type=TEMPERATURE,
    metavar="T",
    help="Temperature of the samples; by default 0, then 0.1.",
)
_REQUEST = (
    click.option(
        "--max-output-tokens",
        type=COUNT,
        metavar="N",
        help="Limit of each answer; a longer one is flagged. 750 by default; more for models that reason.",
    ),
    click.option("--system", metavar="TEXT|@FILE", help="A system message before every question."),
    click.option(
        "--request",
        "extra",
        metavar="JSON|@FILE",
        help='Further fields of each request, such as {"top_p": 0.9, "reasoning_effort": "low"}.',
    ),
    click.option(
        "--nonce/--no-nonce",
        default=None,
        help="End each request with a line of its own, so that no cache can answer it.",
    ),
    click.option(
        "--echo/--no-echo",
        default=None,
        help="Have each answer end with a word of its request, so that no other's can vote.",
    ),
)


def _request(given: dict[str, Any], first_temperature: float | None = None) -> Request:
    """Take the options of a request out of those that are given."""
    temperature, limit, system, extra, nonce, echo = (
        given.pop(name) for name in ("temperature", "max_output_tokens", "system", "extra", "nonce", "echo")
    )
    system = None if system is None else _text_of("--system", system)
    fields = {} if extra is None else _fields_of(_text_of("--request", extra))
    return Request(temperature, first_temperature, limit, system, fields, nonce, echo)


def _text_of(option: str, text: str) -> str:
    """The text of an option, or of the file that it names behind an @."""
    if not text.startswith("@"):
        return text
    try:
        return read_text(text[1:])
    except InputError as error:
        raise InputError(f"{option}: {error}") from None


def _fields_of(text: str) -> dict[str, Json]:
    """Read the JSON object of `--request`."""
    try:
        fields = json_value(text)
    except ValueError as error:
        raise InputError(f"--request is a JSON object, such as '{{\"top_p\": 0.9}}': {error}") from None
    if not isinstance(fields, dict):
        raise InputError('--request is a JSON object, such as {"top_p": 0.9}')
    return fields


def cap_options(command: Any) -> Any:
    """How much one step may draw before it is given up as undecided."""
    votes = click.option("--vote-cap", type=COUNT, help="Most votes of a step; 60 by default.")
    flags = click.option(
        "--flag-cap",
        type=COUNT,
        help="Most flagged samples of a step for each vote; 20 by default.",
    )
    replies = click.option(
        "--min-replies",
        type=COUNT,
        help="Least replies that the votes for a winner come from; 2 on endpoints by default, else 1.",
    )
    return votes(flags(replies(command)))


def margin(_context: Any, _option: Any, value: str) -> int | None:
    """Read `--k`: None for auto."""
    if value == "auto":
        return None
    if not value.isdecimal() or len(value) > 9 or int(value) < 1:
        raise InputError(f"k is a number of votes, at least 1, or auto; it cannot be {value[:20]}")
    return int(value)


def speculation_options(command: Any) -> Any:
    """The options of looking ahead, the same for a new run and a resumed one."""
    options = (
        click.option(
            "--speculate",
            metavar="off|leader|guess|SPEC",
            default="auto",
            show_default=True,
            shell_complete=complete_guesses,
            help="Where guesses come from that let steps be asked ahead of what is decided: the votes that are in "
            "(leader), the process's own guess(state), or a drafting model. auto: the model's own drafting model "
            "or the process's guess, where there is one, else leader. Decisions are the same with all of them.",
        ),
        click.option(
            "--in-flight",
            type=AT_ONCE,
            default=256,
            show_default=True,
            help="Most samples at once; calls given up for a wrong guess are heard to their end beside them, as many "
            "again at most.",
        ),
        click.option(
            "--waste",
            type=Number(0, 1, max_open=True),
            default=0.05,
            show_default=True,
            help="Share of all samples that may be for nothing, drawn after a wrong guess.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


allow_host_option = click.option(
    "--allow-host",
    "allow_hosts",
    multiple=True,
    metavar="HOST",
    help="Send the key to this host although it is reached by plain http, or only a journal that you did not begin "
    "here names it; repeatable. Lasting: UNERRING_ALLOW_HOSTS=HOST,...",
)
accept_changes_option = click.option(
    "--accept-changes",
    is_flag=True,
    help="Go on although the process has changed since: its questions, parameters or code. The change is kept in the "
    "journal, and samples of open steps whose question changed are set aside.",
)
trust_option = click.option(
    "--trust",
    is_flag=True,
    help="Take a journal that you did not begin on this machine at its word: import the code that it names, and send "
    "keys to the hosts that it names.",
)


def judging_options(command: Any) -> Any:
    """Which process a journal is of, where its own word is not to be taken; the command gets `process` and `trust`."""
    process = click.option(
        "--process",
        metavar="module:Class",
        help="The process of a journal that you did not begin on this machine, where it does not ship.",
    )
    return process(trust_option(command))


def parameters(settings: tuple[str, ...]) -> dict[str, Json]:
    """Read every `--set name=value`."""
    named = [parameter(text) for text in settings]
    for name, _ in named:
        if [other for other, _ in named].count(name) > 1:
            raise InputError(f"--set gives {name} more than once")
    return dict(named)


def asking_options(command: Any) -> Any:
    """The options of a new run: requests, caps, reserves, budget, guards, looking ahead."""
    others = escalation_options(spending_options(guard_options(speculation_options(allow_host_option(command)))))
    return request_options(cap_options(others))
