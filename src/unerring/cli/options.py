"""Options that several commands share."""

from typing import Any

import click

from unerring.adapters.plugins import parse_parameter
from unerring.adapters.providers import PROVIDERS
from unerring.api.budget import Budget
from unerring.api.planning import Target
from unerring.cli.command import Decorator, option, options
from unerring.cli.hints import Invocation, working_on
from unerring.cli.option_values import (
    COUNT,
    FILE,
    IN_FLIGHT,
    SECONDS,
    SHARE,
    TOTAL,
    Number,
    complete_guesses,
    complete_models,
    complete_processes,
)
from unerring.cli.request_options import request_options
from unerring.core.numbers import MAX_DOLLARS, MAX_HOURS
from unerring.core.planning.plan import PLANNED_RULES
from unerring.core.voting.canonical import Json
from unerring.core.voting.parsing import PARSERS
from unerring.errors import InputError
from unerring.runtime.calls.patience import Patience
from unerring.runtime.config import Guards
from unerring.runtime.signals import GRACE_SECONDS


def _note_file(given: dict[str, Any]) -> None:
    working_on(given["file"])


file_argument = options(click.argument("file", type=FILE), pack=_note_file)  # the journal that a command works on
json_option = option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
verbose_option = option("-v", "--verbose", is_flag=True, help="Print the whole report at the end.")
require_option = option(
    "--require",
    type=SHARE,
    metavar="PROBABILITY",
    help="Exit with 1 if the certificate's probability of zero errors is below this, such as 0.95.",
)


def _show_traceback(context: click.Context, _option: click.Parameter, value: bool) -> None:
    invocation = context.find_object(Invocation)
    if value and invocation is not None:
        invocation.traceback = True


traceback_option = option(  # may stand before the command's name or after it
    "--traceback",
    is_flag=True,
    envvar="UNERRING_TRACEBACK",
    expose_value=False,
    callback=_show_traceback,
    help="Print the traceback of an error in your own code (or set UNERRING_TRACEBACK=1).",
)


def model_option(default: str | None = "embedded") -> Decorator:
    """`--model`; `default` says what answers without it, None that nothing does."""
    text = f"The model that answers{'' if default is None else f', by default {default}'}. "
    text += " ".join(f"{one.forms}: {one.about}." for one in PROVIDERS.values())
    text += "" if default else " (noise needs the right answer, which only truth= of unerring.ask in Python gives.)"
    text += " package.module:Class: a sampler of your own. Give --model several times to have models take turns."
    return option("--model", "models", multiple=True, metavar="SPEC", shell_complete=complete_models, help=text)


set_option = option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE", help="A parameter of the process; repeatable."
)


def margin(_context: Any, _option: Any, value: str) -> int | None:
    """Read `--k`: None for auto."""
    if value == "auto":
        return None
    if not (value.isascii() and value.isdecimal()) or len(value) > 9 or int(value) < 1:
        raise InputError(f"k is a number of votes, at least 1, or auto; it cannot be {value[:20]}")
    return int(value)


def k_option(default: str, unset: str = "") -> Decorator:
    """`--k`; `unset` says what holds without it."""
    text = f"Votes by which the winner of a step must lead all other answers, or auto: planned for --target{unset}."
    return option("--k", default=default, show_default=not unset, callback=margin, metavar="N|auto", help=text)


def _pack_parse(given: dict[str, Any]) -> None:
    parse = given.pop("parse")
    if parse is not None:
        given["settings"] = (*given["settings"], f"parse={parse}")


process_options = options(
    click.argument("process", metavar="PROCESS", shell_complete=complete_processes),
    set_option,
    option(
        "--parse",
        type=click.Choice([*PARSERS]),
        help="How strictly answers are read, for a process with a parameter `parse`; the same as --set parse=...",
    ),
    model_option(),
    pack=_pack_parse,
)


def _pack_target(given: dict[str, Any]) -> None:
    given["target"] = Target(*(given.pop(name) for name in ("success", "rule", "calibration")))


planning_options = options(
    option(
        "--target",
        "success",
        type=Number(0, 1, min_open=True, max_open=True),
        metavar="PROBABILITY",
        default=0.95,
        show_default=True,
        help="With --k auto: the probability of zero errors in the whole run that k is planned for.",
    ),
    option(
        "--rule",
        type=click.Choice(PLANNED_RULES),
        default=PLANNED_RULES[0],
        show_default=True,
        help="With --k auto: ahead-by counts votes, log-odds weighs each by the probability that it is right.",
    ),
    option(
        "--calibration",
        type=FILE,
        help="With --k auto: the measurements of the model, from unerring calibrate. Those of the embedded model "
        "ship with it.",
    ),
    pack=_pack_target,
)


def _pack_budget(given: dict[str, Any]) -> None:
    given["budget"] = Budget(*(given.pop(name) for name in ("usd", "tokens", "calls", "hours", "strict")))


_BUDGET = (
    option(
        "--budget-usd",
        "usd",
        type=Number(0, MAX_DOLLARS),
        metavar="DOLLARS",
        help="Stop, resumable, before it costs more than this, over all sessions.",
    ),
    option("--budget-tokens", "tokens", type=TOTAL, help="Stop before more tokens than this are read and written."),
    option("--budget-calls", "calls", type=TOTAL, help="Stop before more requests than this are sent to paid models."),
    option(
        "--budget-hours",
        "hours",
        type=Number(0, MAX_HOURS),
        metavar="HOURS",
        help="Stop once it has run for this long, over all sessions.",
    ),
    option(
        "--strict-budget",
        "strict",
        is_flag=True,
        help="Stop, resumable, if a provider bills a call for more output tokens than it was allowed.",
    ),
)


def prices_option(default: str = "the [prices] extra") -> Decorator:
    """`--prices`; `default` says where prices come from without it."""
    text = f"A TOML file with dollars per million tokens, as for unerring plan. By default: {default}."
    return option("--prices", type=FILE, help=text)


spending_options = options(*_BUDGET, prices_option(), pack=_pack_budget)
spending_options_of_known_run = options(
    *_BUDGET, prices_option("the [prices] extra, else the prices in FILE"), pack=_pack_budget
)


def _pack_guards(given: dict[str, Any]) -> None:
    given["guards"] = Guards(**{name: given.pop(name) for name in ("copies", "same_model", "probe", "flagged")})
    given["patience"] = Patience(total=given.pop("patience"))


guard_options = options(
    option(
        "--copies",
        type=SHARE,
        metavar="SHARE",
        default=Guards().copies,
        show_default=True,
        help="Stop if a larger share of the samples are copies of earlier ones, as from a cache. Copies never vote.",
    ),
    option(
        "--flagged",
        type=SHARE,
        metavar="SHARE",
        default=Guards().flagged,
        show_default=True,
        help="Stop if a larger share of the samples is red-flagged, so that almost none may vote; 1 never stops.",
    ),
    option("--same-model", is_flag=True, help="Stop if the provider says that another model answered."),
    option(
        "--probe/--no-probe",
        default=True,
        show_default=True,
        help="Before the first step, send an endpoint some short calls, mostly 3 to 11, to find out whether it "
        "repeats replies, and whether one call can bring several.",
    ),
    option(
        "--patience",
        type=SECONDS,
        metavar="SECONDS",
        default=Patience().total,
        show_default=True,
        help="Stop, resumable, if every call has failed for this long. Raise it to wait out an outage.",
    ),
    option(
        "--grace",
        type=SECONDS,
        metavar="SECONDS",
        default=GRACE_SECONDS,
        show_default=True,
        help="After Ctrl-C, wait at most this long for calls in flight; a second Ctrl-C stops at once.",
    ),
    pack=_pack_guards,
)

escalation_options = options(
    option(
        "--escalate",
        metavar="SPEC",
        shell_complete=complete_models,
        help="Another model, written as for --model, for the steps that the others do not decide.",
    ),
    option(
        "--escalate-after",
        type=COUNT,
        help="With --escalate: after how many rounds of samples a step goes to that model; by default 3.",
    ),
)


def cap_options(votes: str = "60", flags: str = "20", replies: str = "2 on endpoints, else 1") -> Decorator:
    """`--vote-cap`, `--flag-cap` and `--min-replies`, with what holds without each."""
    return options(
        option(
            "--vote-cap", type=COUNT, help=f"Most votes of a step, after which it is undecided; by default {votes}."
        ),
        option(
            "--flag-cap",
            type=COUNT,
            help=f"Most red-flagged samples of a step, for each vote that it has or still needs; by default {flags}.",
        ),
        option(
            "--min-replies",
            type=COUNT,
            help=f"How many replies a winner's votes must come from at least; by default {replies}.",
        ),
    )


speculation_options = options(
    option(
        "--speculate",
        metavar="auto|off|leader|guess|SPEC",
        default="auto",
        show_default=True,
        shell_complete=complete_guesses,
        help="Ask steps ahead of their turn, from guesses: the answer that leads so far (leader), the process's own "
        "guess(state), or a drafting model (SPEC). auto: the model's drafting model if it has one, else the process's "
        "guess, else leader. A wrong guess wastes samples; it never changes a decision.",
    ),
    option(
        "--in-flight",
        type=IN_FLIGHT,
        default=256,
        show_default=True,
        help="Most samples in flight at once. Calls abandoned after a wrong guess are still awaited, on top of these: "
        "at most as many again.",
    ),
    option(
        "--waste",
        type=Number(0, 1, max_open=True),
        metavar="SHARE",
        default=0.05,
        show_default=True,
        help="Largest share of all samples that wrong guesses may waste.",
    ),
)

allow_host_option = option(
    "--allow-host",
    "allow_hosts",
    multiple=True,
    metavar="HOST",
    help="Send the API key to this host even by plain http, or if only a journal that you did not start here names "
    "it; repeatable. For all commands: UNERRING_ALLOW_HOSTS=HOST,...",
)
accept_changes_option = option(
    "--accept-changes",
    is_flag=True,
    help="Continue although the questions, parameters or code of the process have changed since the run began. The "
    "journal records the change; samples of open steps whose question changed are set aside.",
)
trust_option = option(
    "--trust",
    is_flag=True,
    help="For a journal that you did not start on this machine: import the code and send keys to the hosts that it "
    "names.",
)
judging_options = options(  # the command gets `process` and `trust`
    option(
        "--process",
        metavar="module:Name",
        help="For a journal that you did not start on this machine: its process, if that does not ship.",
    ),
    trust_option,
)
asking_options = options(  # of a new run
    request_options,
    cap_options(),
    escalation_options,
    spending_options,
    guard_options,
    speculation_options,
    allow_host_option,
)


def parameters(settings: tuple[str, ...]) -> dict[str, Json]:
    """Read every `--set name=value`."""
    named = [parse_parameter(text) for text in settings]
    for name, _ in named:
        if [other for other, _ in named].count(name) > 1:
            raise InputError(f"--set gives {name} more than once")
    return dict(named)
