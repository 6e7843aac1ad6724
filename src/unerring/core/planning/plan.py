"""A plan as JSON data: the chosen rule, the paper's formula for comparison, other rules and modes and their cost."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from unerring.core.planning.assumptions import Assumptions
from unerring.core.planning.costs import CallMode, ExpectedAmount, ExpectedBill, Price, SampleCost, expected_bill
from unerring.core.planning.races import ExpectedRaces, PlannedJob, dissent_band, margin_plan, weighted_plan
from unerring.core.voting import odds
from unerring.core.voting.race import AheadBy
from unerring.errors import InputError, NoKCanHelp

PLANNED_RULES = ("ahead-by", "log-odds")  # the rules of `unerring.core.voting.race` that k or threshold is planned for
CALL_MODES = (CallMode(), CallMode(shared_prompt=True), CallMode(batch=True), CallMode(shared_prompt=True, batch=True))


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """A plan for one model.

    assumed: what it relies on.
    races: the expected races of its rule.
    json: all of it as JSON data.
    """

    assumed: Assumptions
    races: ExpectedRaces
    json: dict[str, Any]

    @property
    def dollars(self) -> float | None:
        """Expected dollars, None where they are unknown."""
        dollars: float | None = self.json["plan"]["dollars"]
        return dollars


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """What a plan is requested for.

    rule: `ahead-by` or `log-odds`.
    price: the price of tokens; None where it is not known.
    concurrency: the number of samples in flight; None for that of the pilot.
    """

    rule: str = "ahead-by"
    price: Price | None = None
    concurrency: int | None = None

    def __post_init__(self) -> None:
        if self.rule not in PLANNED_RULES:
            raise InputError(f"the rule is one of {', '.join(PLANNED_RULES)}; it cannot be {self.rule!r}")
        if self.concurrency is not None and (type(self.concurrency) is not int or self.concurrency < 1):
            raise InputError(
                f"the concurrency is a number of samples, at least 1; it cannot be {self.concurrency!r:.40}"
            )


def chosen_races(assumed: Assumptions, job: PlannedJob, rule: str) -> ExpectedRaces:
    """The races under one rule that reach the target; raises `NoKCanHelp` where none do."""
    races = margin_plan(assumed, job) if rule == "ahead-by" else weighted_plan(assumed, job)
    if races is None:
        if job.m > 1:
            raise InputError("log-odds is planned for subtasks of one step; take `m` 1, or the rule ahead-by")
        raise NoKCanHelp(
            f"no threshold of log-odds can reach {job.target:g} over {job.steps:,} steps with {assumed.model}: what "
            "is known of its votes does not tell right ones apart surely enough. Calibrate with more samples, or take "
            "the rule ahead-by"
        )
    return races


def plan_model(assumed: Assumptions, job: PlannedJob, request: PlanRequest = PlanRequest()) -> ModelPlan:
    """Plan a job for one model; raises `NoKCanHelp` where no plan under the rule reaches the target."""
    chosen = chosen_races(assumed, job, request.rule)
    other = next(rule for rule in PLANNED_RULES if rule != request.rule)
    with suppress(NoKCanHelp):
        return _model_plan(assumed, job, request, [chosen, chosen_races(assumed, job, other)])
    return _model_plan(assumed, job, request, [chosen])


def _model_plan(assumed: Assumptions, job: PlannedJob, request: PlanRequest, rules: list[ExpectedRaces]) -> ModelPlan:
    """The plan under the first of the rules, with the cost under the others."""
    # the measured latency holds for at most as many samples in flight as there were then
    concurrency = min(one for one in (request.concurrency or assumed.at_once or 1, assumed.at_once) if one is not None)
    sample = SampleCost(
        assumed.v, assumed.input_tokens, assumed.output_tokens, request.price, assumed.latency, concurrency
    )
    each = [_races_json(races, job, expected_bill(races, job, sample)) for races in rules]
    price = request.price
    plan = {
        "model": assumed.model,
        "voters": list(assumed.voters),
        "plan": each[0] | {"dissent": list(dissent_band(assumed, rules[0], job))},
        "paper": _paper_json(assumed, job, price),
        "rules": each,
        "ways": [_mode_json(races, job, sample, mode) for races in rules for mode in CALL_MODES],
        "p": _p_json(assumed),
        "v": assumed.v,
        "tokens_a_sample": [assumed.input_tokens, assumed.output_tokens],
        "price": None if price is None else {"input": price.input, "output": price.output, "source": price.source},
        "concurrency": None if assumed.latency is None else concurrency,
        "pathological": _pathological_json(assumed, job),
        "notes": list(assumed.notes),
    }
    return ModelPlan(assumed, rules[0], plan)


def plan_entry(assumed: Assumptions, races: ExpectedRaces, job: PlannedJob) -> dict[str, Any]:
    """The part of a plan that a run's journal keeps for its certificate."""
    return {
        "k": races.rule.k if isinstance(races.rule, AheadBy) else None,
        "rule": races.rule.name,
        "steps": job.steps,
        "target": job.target,
        "success": races.success(job),
        "votes": races.votes,
        "p": _p_json(assumed),
        "dissent": list(dissent_band(assumed, races, job)),
    }


def _p_json(assumed: Assumptions) -> dict[str, list[float]]:
    return {
        name: [share.low, share.estimate, share.high] for name, share in zip(assumed.voters, assumed.p, strict=True)
    }


def ranked_plans(plans: Sequence[ModelPlan]) -> list[ModelPlan]:
    """Plans for the same job, cheapest first; those of unknown price last, by samples."""
    return sorted(
        plans, key=lambda one: (one.dollars is None, one.dollars or 0.0, one.json["plan"]["samples"]["expected"])
    )


def _races_json(races: ExpectedRaces, job: PlannedJob, costs: ExpectedBill) -> dict[str, Any]:
    return {
        "rule": races.rule.name,
        "k": races.rule.k if isinstance(races.rule, AheadBy) else None,
        "success": races.success(job),
        "expected_votes": races.votes,
        "vote_cap": races.cap,
        "votes": races.votes * job.subtasks,
        "samples": _amount(costs.samples),
        "input_tokens": _amount(costs.input_tokens),
        "output_tokens": _amount(costs.output_tokens),
        "dollars": None if costs.dollars is None else costs.dollars.expected,
        "dollars_most": None if costs.dollars is None else costs.dollars.most,
        "hours": None if costs.hours is None else costs.hours.expected,
        "hours_most": None if costs.hours is None else costs.hours.most,
    }


def _amount(amount: ExpectedAmount | None) -> dict[str, float] | None:
    return None if amount is None else {"expected": amount.expected, "most": amount.most}


def _mode_json(races: ExpectedRaces, job: PlannedJob, sample: SampleCost, mode: CallMode) -> dict[str, Any]:
    dollars = expected_bill(races, job, sample, mode).dollars
    return {
        "rule": races.rule.name,
        "shared_prompt": mode.shared_prompt,
        "batch": mode.batch,
        "dollars": None if dollars is None else dollars.expected,
    }


def _paper_json(assumed: Assumptions, job: PlannedJob, price: Price | None) -> dict[str, Any]:
    """The paper's formulas with the estimated p, the same at every step (equations 13, 14 and the cost law)."""
    p = assumed.mean_p
    try:
        k = odds.k_min(p, job.steps, job.target, job.m)
    except NoKCanHelp:
        return {"k": None, "expected_votes": None, "dollars": None, "success": None}
    votes = odds.expected_votes_upper(p, k, job.m)
    per_sample = _sample_dollars(assumed, price)
    return {
        "k": k,
        "expected_votes": votes,
        "dollars": None if per_sample is None else per_sample * job.subtasks * votes / assumed.v,
        "success": odds.chain_probability(p, k, job.steps, job.m),
    }


def _sample_dollars(assumed: Assumptions, price: Price | None) -> float | None:
    if price is not None and price.input == price.output == 0.0:
        return 0.0
    if price is None or assumed.input_tokens is None or assumed.output_tokens is None:
        return None
    return (assumed.input_tokens * price.input + assumed.output_tokens * price.output) / 1e6


def _pathological_json(assumed: Assumptions, job: PlannedJob) -> dict[str, float] | None:
    """Steps on which the most likely answer is wrong: estimated, and the most that the pilot cannot exclude."""
    share = assumed.pathological
    if share is None:
        return None
    return {"share": share.estimate, "at_most": share.high, "steps_at_most": share.high * job.steps}
