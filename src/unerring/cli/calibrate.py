"""Commands that measure a model and plan a run: calibrate and plan."""

from pathlib import Path
from typing import Any

import click

from unerring.adapters.files.jsonl import json_line
from unerring.adapters.prices import price_of, read_prices
from unerring.adapters.scrubbing import about_words
from unerring.api import planning
from unerring.api.calibration import calibrating as measuring
from unerring.api.calibration.calibration_files import read_calibration, shipped_calibration
from unerring.api.chains import make_chain, required_chain
from unerring.cli.command import Command, option
from unerring.cli.exits import DONE, STOPPED, CommandEnded, user_code_failed
from unerring.cli.hints import OPTIONS, quoted, same_command
from unerring.cli.option_values import COUNT, FILE, IN_FLIGHT, SEED, Number, Whole
from unerring.cli.options import (
    allow_host_option,
    guard_options,
    json_option,
    parameters,
    process_options,
    spending_options,
)
from unerring.cli.progress import PilotProgress
from unerring.cli.request_options import pilot_request_options
from unerring.cli.text.plan import calibration_text, plan_text
from unerring.core.functions.function_chain import FunctionChain
from unerring.core.planning.assumptions import Assumptions, measured_assumptions, stated_assumptions
from unerring.core.planning.calibration import Calibration
from unerring.core.planning.calibration_file import calibration_json
from unerring.core.planning.costs import Price
from unerring.core.planning.plan import PLANNED_RULES, PlanRequest, chosen_races
from unerring.core.planning.races import PlannedJob
from unerring.core.reporting.summary import counted
from unerring.errors import InputError, Stopped


@click.command(cls=Command)
@process_options
@option("--samples", type=COUNT, default=2000, show_default=True, help="About how many samples to draw.")
@option("--out", type=FILE, help="The file for the calibration; if it is there already, the pilot continues.")
@option("--plots", type=FILE, help="Draw figures into this folder (needs the [plots] extra).")
@option("--seed", type=SEED, default=0, show_default=True, help="Seed of the choice of steps and of their samples.")
@option("--in-flight", type=IN_FLIGHT, default=256, show_default=True, help="Most samples in flight at once.")
@allow_host_option
@pilot_request_options
@spending_options
@guard_options
@json_option
def calibrate(  # noqa: PLR0913, PLR0917  (one parameter for each option)
    process: str,
    settings: tuple[str, ...],
    models: tuple[str, ...],
    samples: int,
    out: Path | None,
    plots: Path | None,
    seed: int,
    in_flight: int,
    as_json: bool,
    **given: Any,
) -> int:
    """Measure how often a model answers the steps of PROCESS correctly.

    Steps are drawn at random, and every model votes on each. Where one errs, further samples show whether it errs
    there every time. `unerring plan` and `unerring run --calibration` compute k and cost from these counts.

    A budget holds for all sessions of the calibration in --out together: FILE.spend records every paid call before it
    is sent.

    \b
    unerring calibrate hanoi --set disks=20 --model embedded --samples 20000 --out cal.json
    unerring calibrate hanoi --set disks=10 --model openai/gpt-4.1-mini --budget-usd 1 --out mini.json
    unerring plan --calibration cal.json --steps 1048575 --target 0.95
    """
    chain = make_chain(process, parameters(settings))
    if plots is not None:
        from unerring.cli.figures.calibration_plots import prepare

        prepare(plots)  # fails before samples are drawn if figures cannot be
    progress = PilotProgress(quiet=as_json)
    options = measuring.PilotOptions(
        in_flight=in_flight, seen=progress.seen, notice=progress.notice, stopping=progress.stopping, **given
    )
    kept = f"its samples are in {out}; continue with: " if out else "its samples are lost, as there is no --out"
    try:
        with progress:
            calibration = measuring.calibrate(chain, list(models) or "embedded", samples, out, seed, options)
    except Stopped as error:
        larger = () if error.larger is None else (OPTIONS[error.larger[0]], f"{error.larger[1]:.10g}")
        again = same_command(*larger) if out else None
        raise CommandEnded(STOPPED, error.kind, str(error), kept + (again or ""), again) from error
    except Exception as error:
        again = same_command() if out else None
        raise user_code_failed(error, "the process's own code", kept + (again or ""), again) from error
    if plots is not None:
        from unerring.cli.figures.calibration_plots import draw_calibration

        for drawn in draw_calibration(calibration, plots):
            click.echo(f"drawn: {drawn}", err=True)
    click.echo(json_line(calibration_json(calibration)) if as_json else calibration_text(calibration))
    if calibration.samples < samples:
        steps = counted(calibration.steps, "step")
        if isinstance(chain, FunctionChain):
            steps += " before its end or its first side effect, which a calibration does not run"
        click.echo(f"The process has only {steps}; all of them were asked.", err=True)
    if out is not None and not as_json:
        click.echo(_plan_advice(calibration, required_chain(chain).length() or calibration.steps, out), err=True)
    return DONE


def _plan_advice(calibration: Calibration, steps: int, out: Path) -> str:
    """The command that plans with a calibration, or why no k reaches the usual target on this process."""
    target = planning.Target().success
    try:
        chosen_races(measured_assumptions(calibration), PlannedJob(steps, target), PLANNED_RULES[0])
    except InputError as error:
        return f"A plan is not possible with it: {error}"
    return f"Plan with it: unerring plan --calibration {quoted(out)} --steps {steps} --target {target:g}"


@click.command(cls=Command)
@option(
    "--calibration",
    "calibrations",
    type=FILE,
    multiple=True,
    help="The measurements of a model, from unerring calibrate. Give it several times to compare models.",
)
@option("--model", "models", multiple=True, metavar="SPEC", help="A model whose calibration ships: embedded.")
@option("--p", type=Number(), metavar="P", help="Probability that a vote is right.")
@option("--v", type=Number(), metavar="V", help="Probability that a sample is not red-flagged; by default 1.")
@option("--input-tokens", type=Number(), metavar="N", help="Tokens read for a sample.")
@option("--output-tokens", type=Number(), metavar="N", help="Tokens written for a sample.")
@option("--latency", type=Number(), metavar="SECONDS", help="Time for a sample.")
@option(
    "--price-in",
    type=Number(),
    metavar="DOLLARS",
    help="Price of a million tokens read, for all models here; --prices is not used then.",
)
@option("--price-out", type=Number(), metavar="DOLLARS", help="Price of a million tokens written.")
@option(
    "--prices",
    type=FILE,
    help='A TOML file of prices: ["openai/gpt-4.1-mini"], input = 0.4, output = 1.6. By default: the [prices] extra.',
)
@option("--steps", type=Whole(), metavar="N", required=True, help="Steps of the whole run.")
@option(
    "--target",
    type=Number(),
    metavar="PROBABILITY",
    default=0.95,
    show_default=True,
    help="The probability of zero errors in the whole run that k is planned for.",
)
@option("--m", type=Whole(), metavar="N", default=1, show_default=True, help="Steps that one subtask decides.")
@option(
    "--rule",
    type=click.Choice(PLANNED_RULES),
    default=PLANNED_RULES[0],
    show_default=True,
    help="ahead-by counts votes, log-odds weighs each by the probability that it is right.",
)
@option(
    "--concurrency",
    type=click.IntRange(min=1),
    metavar="N",
    help="Samples in flight at once, to estimate how long the run takes.",
)
@json_option
def plan(  # noqa: PLR0913, PLR0917  (one parameter for each option)
    calibrations: tuple[Path, ...],
    models: tuple[str, ...],
    p: float | None,
    v: float | None,
    input_tokens: float | None,
    output_tokens: float | None,
    latency: float | None,
    price_in: float | None,
    price_out: float | None,
    prices: Path | None,
    steps: int,
    target: float,
    m: int,
    rule: str,
    concurrency: int | None,
    as_json: bool,
) -> int:
    """Compute the margin k that a run needs, and what it costs.

    k is the smallest margin of votes with which the whole run has zero errors with the probability --target. From a
    calibration it is planned on the safe side: with the lower bound of p, and with p varying over steps as measured.
    Numbers given by hand (--p ...) are taken as exact. If no k reaches the target, the command says why.

    \b
    unerring plan --calibration cal.json --steps 1048575 --target 0.95
    unerring plan --model embedded --steps 16383
    unerring plan --steps 1048575 --p 0.9978 --input-tokens 580 --output-tokens 538 \\
                  --price-in 0.4 --price-out 1.6
    """
    by_hand = {"v": v, "input_tokens": input_tokens, "output_tokens": output_tokens, "latency": latency}
    known = [read_calibration(path) for path in calibrations] + [_shipped(model) for model in models]
    assumed = _assumed(known, p, {name: value for name, value in by_hand.items() if value is not None})
    if p is not None and prices is not None:
        raise InputError("--prices needs the name of a model; with --p give --price-in and --price-out")
    own = read_prices(prices) if prices is not None else {}
    price = _price(price_in, price_out)
    job = PlannedJob(steps, target, m)
    priced = [(one, price or price_of(one.model, own)) for one in assumed]
    plans, refusals = planning.plan_all(priced, job, PlanRequest(rule, None, concurrency))
    first = plans[0].json
    data = {
        "steps": steps,
        "target": target,
        "m": m,
        "model": first["model"],
        "plan": first["plan"],
        "paper": first["paper"],
        "models": [one.json for one in plans],
        "refused": [str(refusal) for refusal in refusals],
    }
    click.echo(json_line(data) if as_json else plan_text(data))
    return DONE


def _shipped(model: str) -> Calibration:
    found = shipped_calibration(model)
    if found is None:
        missing = f"no calibration of {model} ships; to measure it: unerring calibrate --help"
        raise InputError(about_words(missing, model))
    return found


def _assumed(calibrations: list[Calibration], p: float | None, known: dict[str, float]) -> list[Assumptions]:
    if calibrations and (p is not None or known):
        raise InputError("give either calibrations or numbers by hand (--p, --v, --input-tokens, ...), not both")
    if calibrations:
        return [measured_assumptions(one) for one in calibrations]
    if p is None:
        raise InputError("give --calibration FILE (from unerring calibrate), --model embedded, or --p by hand")
    return [stated_assumptions(p, **known)]


def _price(price_in: float | None, price_out: float | None) -> Price | None:
    if price_in is None and price_out is None:
        return None
    if price_in is None or price_out is None:
        raise InputError("a price has two parts: give both --price-in and --price-out")
    return Price(price_in, price_out)
