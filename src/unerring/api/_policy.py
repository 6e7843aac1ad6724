"""Choose the policy of a run: the one that is given, one with a given k, or the one that is planned for its target."""

import shlex
from dataclasses import replace

from unerring.adapters.plugins import parameter_text
from unerring.api.chains import class_name, process_name, required_chain
from unerring.api.models import Model, model_for_chain, recommended_policy, require_chain_and_model, require_model
from unerring.api.options import Options
from unerring.api.planning import Target, planned_policy
from unerring.core.arguments import require_made
from unerring.core.chain import Chain
from unerring.core.checked_chain import CheckedChain
from unerring.core.numbers import require_whole
from unerring.core.reporting.summary import counted
from unerring.core.voting.canonical import Json
from unerring.core.voting.policy import Policy
from unerring.core.voting.race import AheadBy
from unerring.errors import InputError
from unerring.processes import SHIPPED
from unerring.runtime.ensemble import require_weighed, reserves_of, samplers_of
from unerring.runtime.probes.endpoint import can_be_probed
from unerring.runtime.protocols import Sampler

ESCALATE_AFTER_ROUNDS = 3
ENDPOINT_MIN_REPLIES = 2  # an endpoint may send a reply again in place of another one


def run_policy(
    chain: Chain | CheckedChain,
    model: Model,
    k: int | None = None,
    options: Options = Options(),
    before: Policy | None = None,
) -> tuple[Policy, dict[str, Json] | None]:
    """The policy of a run, and the plan that it comes from, if there is one.

    A given policy or k is taken, with the temperatures, the output limit and the caps of the options; k replaces the
    margin of a policy. Otherwise the margin is planned from the model's calibration, so that it reaches the target on
    this chain. Where the chain does not say how long it is, the policy is the one that ships with the model. What
    neither a plan nor the options say is as in the policy `before`, of the run that is forked.

    Raises `InputError` where there is nothing to derive a margin from.
    """
    require_made("options", options, Options)
    require_chain_and_model(chain, model)
    checked = required_chain(chain)
    policy, plan = _given_or_planned(checked, model_for_chain(checked, model), k, options, before)
    policy = options.request.applied_to(policy)
    votes = policy.vote_cap if options.vote_cap is None else options.vote_cap
    flags = policy.flag_cap if options.flag_cap is None else options.flag_cap
    return replace(policy, vote_cap=votes, flag_cap=flags), plan


def _given_or_planned(
    chain: CheckedChain, model: Model, k: int | None, options: Options, before: Policy | None
) -> tuple[Policy, dict[str, Json] | None]:
    """The policy and its plan, before options change parts of it."""
    if options.policy is not None and k is None:
        return options.policy, None
    if k is not None:
        require_whole("k", k)
        if options.target.rule != "ahead-by":
            raise InputError(f"k is the margin of the rule ahead-by; {options.target.rule} is planned, without a k")
        if options.target != Target():
            raise InputError("k is given, so that there is nothing to plan: leave out k, or target and calibration")
        if options.policy is not None and not isinstance(options.policy.rule, AheadBy):
            raise InputError(
                f"k is the margin of the rule ahead-by, and the policy has the rule {options.policy.rule.name}: leave "
                "out k, or give a policy without a rule"
            )
        base = options.policy or before or recommended_policy(model) or Policy()
        return replace(base, rule=AheadBy(k)), None
    planned = planned_policy(chain, model, options.target, options.request, before)
    if planned is not None:
        return planned
    recommended = recommended_policy(model)
    if recommended is None or options.target != Target():
        require_model(model, chain)  # a mistyped model has a message of its own
        if chain.function is not None:
            raise InputError(
                f"give `k`, such as 4: {process_name(chain)} is a function, which does not say how many questions it "
                "will ask, so that no k can be planned"
            )
        if chain.length() is None:  # without it no measurement leads to a margin
            raise InputError(
                f"give `k`, such as 4: {process_name(chain)} does not say how long it is; with a method length() k "
                "can be planned"
            )
        raise InputError(
            "give `k`, such as 4: nothing is measured of this model that a margin could be derived from. To measure "
            f"it: {_calibration_advice(chain, model)}"
        )
    return recommended, None


def policy_for_models(policy: Policy, sampler: Sampler, options: Options) -> Policy:
    """The policy with what these models need: the rounds before they escalate, and the least number of replies."""
    reserves = reserves_of(sampler)
    policy = with_escalation(policy, bool(reserves), options.escalate_after)
    require_weighed(policy.rule, reserves)
    if options.min_replies is None and any(can_be_probed(one) for one in samplers_of(sampler)):
        return replace(policy, min_replies=max(policy.min_replies, ENDPOINT_MIN_REPLIES))
    return with_min_replies(policy, options.min_replies)


def with_escalation(policy: Policy, escalates: bool, rounds: int | None) -> Policy:
    """The policy with the rounds before a step escalates; raises `InputError` for rounds without a model for it."""
    if escalates:
        return replace(policy, escalate_after=rounds or policy.escalate_after or ESCALATE_AFTER_ROUNDS)
    if rounds is not None:
        raise InputError("`escalate_after` says when a step goes to another model: name that with `escalate`")
    return policy


def with_min_replies(policy: Policy, min_replies: int | None) -> Policy:
    """The policy with another least number of replies; raises `InputError` for more replies than votes that win."""
    least, votes = min_replies or policy.min_replies, policy.rule.lacking(0, 0)
    most = max(votes, ENDPOINT_MIN_REPLIES)  # those of endpoints are taken by every rule
    if least > most:
        raise InputError(
            f"`min_replies` {least:,} is more than the {counted(votes, 'vote')} that can decide a step "
            f"({policy.rule.name}): give at most {most:,}, or a larger margin `k`"
        )
    return replace(policy, min_replies=least)


def _calibration_advice(chain: CheckedChain, model: Model) -> str:
    """How to calibrate a model on a chain: as a command where both have names, else in Python."""
    specified = [model] if isinstance(model, str) else model
    if not isinstance(specified, list | tuple) or not all(isinstance(one, str) for one in specified):
        return "unerring.calibrate(chain, model, out='cal.json'), then unerring.Target(calibration='cal.json')"
    settings = (word for one in chain.parameters().items() for word in ("--set", parameter_text(*one)))
    models = (word for one in specified for word in ("--model", one))
    name = process_name(chain)
    words = [
        "unerring",
        "calibrate",
        name if name in SHIPPED else class_name(chain),
        *settings,
        *models,
        "--out",
        "cal.json",
    ]
    return f"{shlex.join(words)}; then run it with `calibration` cal.json"
