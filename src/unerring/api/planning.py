"""Plan runs from calibrations: margins, costs, and the policy that reaches a target."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from unerring.adapters.prices import price_of
from unerring.api.budget import PriceTable, price_table
from unerring.api.calibration.calibration_files import read_calibration, shipped_calibration
from unerring.api.chains import process_name, required_chain
from unerring.api.models import Model, recommended_policy, sampler_for
from unerring.core.arguments import require_path
from unerring.core.chain import Chain
from unerring.core.checked_chain import CheckedChain
from unerring.core.numbers import require_share
from unerring.core.planning.assumptions import Assumptions, measured_assumptions
from unerring.core.planning.calibration import Calibration
from unerring.core.planning.costs import Price
from unerring.core.planning.plan import (
    PLANNED_RULES,
    ModelPlan,
    PlanRequest,
    chosen_races,
    plan_entry,
    plan_model,
    ranked_plans,
)
from unerring.core.planning.races import PlannedJob
from unerring.core.request import Request
from unerring.core.voting.policy import Policy
from unerring.errors import InputError, NoKCanHelp
from unerring.runtime.ensemble import SEPARATOR, Ensemble, wording_of
from unerring.runtime.protocols import Sampler

PLAIN = Request()


def plan(
    calibrations: Sequence[Calibration | str | Path],
    steps: int,
    target: float = 0.95,
    rule: str = "ahead-by",
    prices: PriceTable = None,
    concurrency: int | None = None,
) -> list[ModelPlan]:
    """Plan a job for each calibrated model, cheapest first; models that cannot reach the target are left out.

    calibrations: calibrations, or their files.
    steps: the number of steps of the job.
    target: the probability that the whole chain is right.
    rule: the name of the voting rule, as `--rule` takes it.
    prices: prices by model, or the file of a price table; they replace those of the [prices] extra.
    concurrency: samples in flight at once, for the time; None takes as many as in the calibration.

    Raises `InputError` (`unerring.errors.NoKCanHelp`), with the reason, where no model can reach the target.
    """
    if isinstance(calibrations, str) or not isinstance(calibrations, Sequence) or not calibrations:
        raise InputError("calibrations is a list of one or more of them, or of their files")
    for one in calibrations:
        if not isinstance(one, Calibration):
            require_path("each of calibrations", one)
    read = [one if isinstance(one, Calibration) else read_calibration(one) for one in calibrations]
    own = price_table(prices)
    models = [(one, price_of(one.model, own)) for one in map(measured_assumptions, read)]
    return plan_all(models, PlannedJob(steps, target), PlanRequest(rule, None, concurrency))[0]


def plan_all(
    models: Iterable[tuple[Assumptions, Price | None]], job: PlannedJob, wish: PlanRequest
) -> tuple[list[ModelPlan], list[NoKCanHelp]]:
    """Plan a job under each model's assumptions and price: the plans, cheapest first, and why others have none.

    Raises the first reason where no model has a plan.
    """
    plans, refusals = [], []
    for assumed, price in models:
        try:
            plans.append(plan_model(assumed, job, replace(wish, price=price)))
        except NoKCanHelp as error:
            refusals.append(error)
    if not plans:
        raise refusals[0]
    return ranked_plans(plans), refusals


@dataclass(frozen=True, slots=True)
class Target:
    """The target that a run's margin is planned for.

    success: the probability that the whole chain is right.
    rule: the name of the voting rule, as `--rule` takes it.
    calibration: a measurement of the model, or the file of one; None takes the one that ships with the model.
    """

    success: float = 0.95
    rule: str = "ahead-by"
    calibration: Calibration | str | Path | None = None

    def __post_init__(self) -> None:
        require_share("success", self.success, below_one=True, above_zero=True)
        if self.rule not in PLANNED_RULES:
            raise InputError(f"rule must be one of {', '.join(PLANNED_RULES)}; got {self.rule!r:.40}")
        if not isinstance(self.calibration, Calibration):
            require_path("calibration", self.calibration, optional=True)


def planned_policy(
    chain: Chain | CheckedChain,
    model: Model,
    target: Target,
    request: Request = PLAIN,
    before: Policy | None = None,
) -> tuple[Policy, dict[str, Any]] | None:
    """The policy that reaches the target on a chain, and its plan for the journal.

    What a plan does not set is as in `before`, by default as in the policy that ships with the model. None where there
    is nothing to plan with: the model was not measured, or the chain does not say how long it is.
    """
    PlanRequest(target.rule)
    checked = required_chain(chain)
    calibration, steps = _calibration_of(model, target), checked.length()
    if calibration is None or steps is None:
        return None
    _require_same(calibration, checked, model)
    _require_same_request(calibration, request)
    assumed, job = measured_assumptions(calibration), PlannedJob(steps, target.success)
    try:
        races = chosen_races(assumed, job, target.rule)
    except NoKCanHelp as error:
        raise NoKCanHelp(f"{error}. To run it anyway, give `k`") from None
    base = before or recommended_policy(model) or Policy()
    policy = replace(
        base,
        rule=races.rule,
        vote_cap=max(base.vote_cap, races.cap),
        first_temperature=calibration.temperature,
        later_temperature=calibration.temperature,
        flags=calibration.flag_rules,
    )
    return policy, plan_entry(assumed, races, job)


def _require_same(calibration: Calibration, chain: CheckedChain, model: Model) -> None:
    """Raise `InputError` for a calibration of another model or process; its parameters may be others."""
    specified = [model] if isinstance(model, str) else model
    if isinstance(specified, list | tuple) and all(isinstance(one, str) for one in specified):
        name = SEPARATOR.join(specified)
        if name != calibration.model:  # a sampler's own name may say more than its specification
            with sampler_for(model, chain, 0) as sampler:
                name = sampler.name
        if name != calibration.model:
            raise InputError(f"the calibration is of {calibration.model}, not of {name}")
    if process_name(chain) != calibration.process:
        raise InputError(f"the calibration is of {calibration.process}, not of {process_name(chain)}")
    _require_same_wordings(calibration, chain, model)


def _require_same_request(calibration: Calibration, request: Request) -> None:
    """Raise `InputError` where a run has other request settings than the calibration."""
    temperature = calibration.temperature
    policy = Policy(first_temperature=temperature, later_temperature=temperature, flags=calibration.flag_rules)
    if request.applied_to(policy) != policy:
        raise InputError(
            f"the calibration is of temperature {temperature:g} and {calibration.flag_rules.max_output_tokens} "
            "output tokens: calibrate with the settings that the run is to have, or give `k`"
        )
    if {**request.to_json(), "nonce": None} != {**calibration.request, "nonce": None}:  # its line asks nothing
        raise InputError(
            "the calibration was made with another system message or other further fields of its requests: calibrate "
            "with those that the run is to have, or give `k`"
        )


def _require_same_wordings(calibration: Calibration, chain: CheckedChain, model: Model) -> None:
    """Raise `InputError` where the process is not asked in as many wordings as the calibration: each is a voter."""
    first = chain.subtask(chain.start(), 0)
    measured_in = max(wording_of(voter.name) for voter in calibration.voters)
    if measured_in == 1 and (first is None or not first.paraphrases):
        return
    with sampler_for(model, chain, 0) as sampler:
        asked_in = wordings_asked(chain, sampler)
    if asked_in != measured_in:
        raise InputError(
            f"the calibration is of {calibration.process} asked in {measured_in} wording{'s' * (measured_in > 1)}, "
            f"and here it is asked in {asked_in}: calibrate it so"
        )


def wordings_asked(chain: CheckedChain, sampler: Sampler) -> int:
    """The number of wordings that a step is asked in; each wording is a voter.

    Raises `InputError` where models that take turns are asked in different numbers of wordings.
    """
    first = chain.subtask(chain.start(), 0)
    members = sampler.members if isinstance(sampler, Ensemble) else (sampler,)
    calibration = {1 if first is None else len(first.wordings(member.compact)) for member in members}
    if len(calibration) > 1:
        raise InputError(
            f"the models of {sampler.name} are not all asked in as many wordings: those that want compact prompts "
            "know one. They cannot be measured in turns; calibrate the others by themselves, or without paraphrases"
        )
    return calibration.pop()


def _calibration_of(model: Model, target: Target) -> Calibration | None:
    if target.calibration is None:
        return shipped_calibration(model)
    if isinstance(target.calibration, Calibration):
        return target.calibration
    return read_calibration(target.calibration)
