"""Resume a run from its journal: check what may not change, record what does, and continue."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

from unerring.adapters.chat.fields import require_free_fields
from unerring.adapters.sqlite.writer import reopened
from unerring.adapters.trust.permission import Permission
from unerring.api._policy import ENDPOINT_MIN_REPLIES, with_min_replies
from unerring.api._session import (
    LiveRun,
    SessionModels,
    result_of,
    run_session,
    sampler_context,
    session_models,
    with_substitutes,
)
from unerring.api.budget import allowance
from unerring.api.journals.compared_run import ComparedRun
from unerring.api.journals.trust import given_permission, permission_for
from unerring.api.journals.undecided import refusal_of
from unerring.api.models import Model
from unerring.api.options import Options
from unerring.api.result import Result
from unerring.core.checked_chain import GivenChain
from unerring.core.journal.digests import FUNCTION_PREFIX
from unerring.core.journal.entries import Allowed, Entry, Resumed
from unerring.core.journal.state import RunState
from unerring.core.request import Request
from unerring.core.voting.policy import Policy
from unerring.core.voting.reply_ids import ReplyIds
from unerring.errors import InputError, StepUndecided
from unerring.runtime.config import StopRequest, replies_of_process
from unerring.runtime.ensemble import samplers_of
from unerring.runtime.probes.endpoint import can_be_probed
from unerring.runtime.protocols import Sampler

log = logging.getLogger("unerring")

# Options that would make a resumed run another one than the one that began, and why.
_NEW_RUNS_ONLY = {
    "policy": "a run keeps the policy it began with; on resuming, only its caps and `min_replies` can be raised",
    "target": "a run keeps the margin that it was planned with",
    "escalate": "a run keeps the models it began with, and those in reserve",
    "escalate_after": "a run keeps the policy it began with",
}


async def resume_run(
    path: Path,
    chain: GivenChain,
    model: Model | None,
    options: Options,
    stop: StopRequest,
    ready: SessionModels | None = None,
) -> Result:
    """Continue the run in a journal; `ready` are its models, where they are made already."""
    _require_resumable(options)
    with reopened(path) as (journal, entries):
        known = replies_of_process()
        run = ComparedRun(path, chain, options.trust)
        run.read(_noted(entries, known))
        run.compare_end()
        state = run.state
        live = LiveRun(run.chain, run.at, state, run.series, known)
        if not options.accept_changes:
            run.require_same()
        if state.finished is not None:
            return result_of(live, run.at, path)
        _require_ruled_choice(run)
        if run.undigested:
            log.warning("%s was begun before journals kept what was asked: a changed prompt is not noticed", path)
        _require_higher_caps(state.policy, options)
        _require_same_request(state, options.request)
        require_free_fields(state.request.extra)
        async with AsyncExitStack() as made:
            models = await _resumed_models(made, run, model, options, ready)
            for entry in _resuming_entries(run, models.sampler, options):
                state.apply(entry)
                journal.append(entry)
            _notice_single_replies(path, state, models.sampler, options)
            return await run_session(live, models, journal, options, stop, path)


async def _resumed_models(
    made: AsyncExitStack,
    run: ComparedRun,
    model: Model | None,
    options: Options,
    ready: SessionModels | None,
) -> SessionModels:
    """The models of a resumed run, with those that people named for single steps; closed at the end of `made`."""

    def permission(name: str | None = None) -> Permission:
        return permission_for(run.path, opened, options.trust, name).allowing(options.allow_hosts)

    opened, request = run.opened, _request_now(run.state, options)
    own = permission() if model is None else given_permission(options.allow_hosts)
    context = sampler_context(run.chain, opened.seed, opened.time, own)
    substitutes = {name: permission(name) for name in run.state.substitutes}
    if ready is None:
        models = session_models(model or opened.model, context, options, request)
        ready = await made.enter_async_context(models)
        _require_same_model(run, ready.sampler.name)
    return await made.enter_async_context(with_substitutes(ready, context, request, substitutes))


def _require_same_model(run: ComparedRun, model: str) -> None:
    """Raise `InputError` where another model is given than the run began with; functions have no names that say so."""
    before = run.opened.model
    if model != before and FUNCTION_PREFIX not in before:
        raise InputError(
            f"{run.path} holds a run of the model {before}, not {model}: continue with that one; a fork can continue "
            "with another"
        )


def _require_ruled_choice(run: ComparedRun) -> None:
    """Raise `StepUndecided` where the chain cannot continue with a person's choice: `review` may not have tried it."""
    step = run.state.frontier
    if step is None or step.ruled is None or step.listed:
        return
    if step.replies and not run.keeps_samples:  # the decision is set aside with the samples
        return
    if (refusal := refusal_of(run.chain, run.at, step.ruled, step.step)) is not None:
        counts = tuple(sorted(step.race.tally.values(), reverse=True))
        raise StepUndecided(f"the answer recorded for step {step.step} cannot be taken: {refusal}", step.step, counts)


def _noted(entries: Iterable[Entry], known: ReplyIds) -> Iterator[Entry]:
    """The entries; the ids of their replies are kept as known, so that a copy of one is noticed."""
    for entry in entries:
        known.note(entry)
        yield entry


def _request_now(state: RunState, options: Options) -> Request:
    """The request settings of a resumed run: those it has, with nonce and echo switched."""
    return state.request.with_switches(options.request.nonce, options.request.echo)


def _resuming_entries(run: ComparedRun, sampler: Sampler, options: Options) -> list[Entry]:
    """The entries of a resumed run: the resume itself, accepted changes, and a new budget."""
    state, request = run.state, _request_now(run.state, options)
    resumed = Resumed(
        options.clock.time(),
        options.vote_cap,
        options.flag_cap,
        request.nonce if bool(request.nonce) != bool(state.request.nonce) else None,
        request.echo if bool(request.echo) != bool(state.request.echo) else None,
        options.min_replies,
    )
    before = Allowed(state.account.limits, state.account.tariffs)
    changed = run.changes or (options.accept_changes and run.asked_ahead)
    accepted = [run.acceptance(resumed.time)] if changed else []
    return [resumed, *accepted, *allowance(sampler, options.budget, options.prices, before)]


def _require_resumable(options: Options) -> None:
    """Raise `InputError` for an option that only new runs take."""
    new = Options()
    for name, why in _NEW_RUNS_ONLY.items():
        if getattr(options, name) != getattr(new, name):
            raise InputError(f"`{name}` is for new runs: {why}")


def _notice_single_replies(path: Path, state: RunState, sampler: Sampler, options: Options) -> None:
    """Say that one reply may decide a step of this run, where it began before endpoints had to give two."""
    opened, several = state.opened, state.policy.rule.lacking(0, 0) > 1
    if opened is None or "min_replies" in opened.policy or state.policy.min_replies > 1 or not several:
        return
    if any(can_be_probed(one) for one in samplers_of(sampler)):
        line = (
            f"{path} was begun when the votes of one reply could decide a step, and continues so; to ask for votes "
            f"from two replies from here on, resume it with `min_replies` {ENDPOINT_MIN_REPLIES}"
        )
        notice = getattr(options.observer, "notice", None)
        log.warning("%s", line) if notice is None else notice(line)


def _require_higher_caps(policy: Policy, options: Options) -> None:
    """Raise `InputError` for a cap that is lower than the run has it."""
    for name in ("vote_cap", "flag_cap", "min_replies"):
        new, old = getattr(options, name), getattr(policy, name)
        if new is not None and new < old:
            raise InputError(f"{name} can only be raised on resuming: it is {old}, and cannot become {new}")
    if options.min_replies is not None:
        with_min_replies(policy, options.min_replies)


def _require_same_request(state: RunState, request: Request) -> None:
    """Raise `InputError` for request settings other than the run has."""
    if request.applied_to(state.policy) != state.policy:
        policy, limit = state.policy, state.policy.flags.max_output_tokens
        raise InputError(
            f"a run keeps the request settings it began with: temperatures {policy.first_temperature:g} and then "
            f"{policy.later_temperature:g}, {limit} output tokens"
        )
    kept = replace(request, nonce=state.request.nonce, echo=state.request.echo)
    if not request.is_plain and kept.to_json() != state.request.to_json():
        raise InputError("a run keeps the request settings it began with: its system message and further fields")
