"""The front door: run a chain, and resume it; calibrate and plan. The one place that wires adapters in."""

import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from unerring.adapters.chat.fields import require_free_fields
from unerring.adapters.memory import MemoryJournal
from unerring.adapters.permission import Permission
from unerring.adapters.sqlite.writer import SqliteJournal
from unerring.api._terminal_progress import showing
from unerring.api.budget import Budget, allowed
from unerring.api.calibration import acalibrate, calibrate
from unerring.api.journals.history import SeriesObserver
from unerring.api.journals.replayer import ReplayedRun, held_run, require_same_run, retraced
from unerring.api.planning import Target, plan, planned_policy
from unerring.api.resolve import (
    SamplerContext,
    calibrating,
    embedded_for,
    make_sampler,
    process_name,
    recommended_policy,
    require_chain_and_model,
    require_model,
    required_chain,
    speculation_for,
)
from unerring.api.result import Result
from unerring.api.trust import given_permission, note_begun, permission_for
from unerring.core.arguments import (
    require_flag,
    require_made,
    require_methods,
    require_path,
    require_prices,
    require_texts,
)
from unerring.core.chain import Chain, answer_of, length_of, parameters_of, require_step, start_text, started
from unerring.core.journal.digests import identity_of
from unerring.core.journal.entries import Allowed, Entry, Opened, Resumed
from unerring.core.journal.state import RunState
from unerring.core.numbers import (
    MOST_AT_ONCE,
    MOST_COUNT,
    MOST_SEED,
    MOST_TOTAL,
    require_number,
    require_share,
    require_whole,
)
from unerring.core.planning.costs import Price
from unerring.core.reporting.report import report_of
from unerring.core.request import Request
from unerring.core.voting.canonical import Json
from unerring.core.voting.policy import Policy
from unerring.core.voting.race import AheadBy
from unerring.errors import InputError, Stopped
from unerring.runtime.calls.probe_calls import can_be_probed
from unerring.runtime.config import Guards, Patience, RunConfig, Speculation, StopRequest, SystemClock
from unerring.runtime.ensemble import require_request, require_weighed, reserves_of, samplers_of
from unerring.runtime.protocols import Clock, Journal, Observer, Sampler
from unerring.runtime.runner import run_chain
from unerring.runtime.signals import GRACE_SECONDS, run_stoppable

log = logging.getLogger("unerring")

__all__ = [
    "Budget",
    "Guards",
    "Options",
    "Result",
    "Target",
    "acalibrate",
    "aresume",
    "arun",
    "calibrate",
    "deciding",
    "plan",
    "policy_for",
    "resume",
    "run",
]

ESCALATE_AFTER = 3  # rounds of voting
REPLIES_OF_ENDPOINTS = 2  # that the votes for a winner must come from at least


@dataclass(frozen=True, slots=True)
class Options:
    """Options of a run beyond its chain and its model.

    policy: how each step is decided; replaces the model's own policy. Only for new runs.
    max_steps: stop, resumable, after so many steps of this session; None for no limit.
    observer: called after each decided step; see `Observer`.
    patience: how long to wait out a provider's passing failures.
    clock: source of time; replaced in tests.
    vote_cap: votes after which a step is undecided, in place of the policy's. Can only be raised on resuming.
    flag_cap: flagged samples for each vote that a step may draw, in place of the policy's. Can only be raised on
        resuming.
    speculate: how the next steps are guessed, so that they can be asked ahead of decisions. `"off"` asks one step
        after the other, `"leader"` follows the votes so far, `"guess"` asks the chain's own `guess(state)`; a model
        (specification, function or sampler) drafts guesses. `"auto"` takes the model's own drafting model or the
        chain's guess, where there is one, else the leader. Decisions are the same in every case.
    waste: the share of all samples that wrong guesses may waste, at most.
    in_flight: the number of samples under way at once, at most; beside them, calls to endpoints that were given up for
        a wrong guess are heard to their end, as many again at most.
    target: the probability of zero errors that the margin is planned for, where no policy is given.
    budget: limits of what the run may cost, over all its sessions.
    prices: prices by model, or the file of a price table; None takes the table of the [prices] extra.
    escalate: another model, which answers steps that are hard to decide.
    escalate_after: rounds of voting after which an open step goes to `escalate`.
    min_replies: the number of replies that the votes for a winner must come from, at least. None means 2 in new runs
        where the model is an endpoint, whose replies may be sent again in place of others, else 1. Can only be raised
        on resuming.
    guards: what stops a run whose votes could not be trusted.
    allow_hosts: hosts that may receive an API key by plain http, or although only another person's journal names them.
    trust: whether to import code, and send keys to hosts, that only another person's journal names.
    request: request settings, added to every request. They are kept in the journal, and a resumed run goes on with
        them; only `nonce` and `echo` can be turned on and off then.
    grace: seconds to wait for the calls under way after Ctrl-C; what those given up cost stays unknown.
    progress: whether to show progress on stderr; None does so in a terminal where there is no observer.
    accept_changes: whether to go on although the process has changed since the journal was written. The change is
        recorded, and samples of open steps whose question changed are set aside.
    """

    policy: Policy | None = None
    max_steps: int | None = None
    observer: Observer | None = None
    patience: Patience = field(default_factory=Patience)
    clock: Clock = field(default_factory=SystemClock)
    vote_cap: int | None = None
    flag_cap: int | None = None
    speculate: Any = "auto"
    waste: float = 0.05
    in_flight: int = 256
    target: Target = field(default_factory=Target)
    budget: Budget = field(default_factory=Budget)
    prices: Mapping[str, Price] | str | Path | None = None
    escalate: Any = None
    escalate_after: int = ESCALATE_AFTER
    min_replies: int | None = None
    guards: Guards = field(default_factory=Guards)
    allow_hosts: Sequence[str] = ()
    trust: bool = False
    request: Request = field(default_factory=Request)
    grace: float = GRACE_SECONDS
    progress: bool | None = None
    accept_changes: bool = False

    def __post_init__(self) -> None:
        for name in ("max_steps", "vote_cap", "flag_cap", "min_replies"):
            if getattr(self, name) is not None:
                require_whole(name, getattr(self, name), most=MOST_TOTAL if name == "max_steps" else MOST_COUNT)
        require_whole("in_flight", self.in_flight, most=MOST_AT_ONCE)
        require_number("grace", self.grace, what="a number of seconds")
        require_whole("escalate_after", self.escalate_after)
        require_share("waste", self.waste, below_one=True)
        require_made("policy", self.policy, Policy, optional=True)
        for name, kind in _MADE.items():
            require_made(name, getattr(self, name), kind)
        require_free_fields(self.request.extra)
        require_methods("observer", self.observer, ("decided",), optional=True)
        require_methods("clock", self.clock, ("time", "sleep"))
        require_prices("prices", self.prices)
        require_texts("allow_hosts", self.allow_hosts)
        require_flag("trust", self.trust)
        require_flag("accept_changes", self.accept_changes)
        require_flag("progress", self.progress, optional=True)


_MADE: dict[str, type] = {
    "patience": Patience,
    "target": Target,
    "budget": Budget,
    "guards": Guards,
    "request": Request,
}


def run(
    chain: Chain,
    model: Any = "embedded",
    journal: str | Path | None = None,
    k: int | None = None,
    seed: int = 0,
    options: Options = Options(),
) -> Result:
    """Run a chain to its end, every step decided by voting; or go on with it, where its journal holds it already.

    `model` is a specification (`"embedded"`), a function `(prompt, settings) -> text` or `prompt -> text`, or
    a sampler. `journal` is the file that makes the run resumable; without one it lasts as long as the process. `k` is
    the margin of votes that decides a step; None plans it from what is measured of the model, for a
    whole chain without an error with the probability `options.target.success`.

    A journal of the same process, parameters, model, policy, seed and request settings is gone on with, and the result
    of a finished one is returned as it is. One of another run is refused, with what differs.

    Raises `InputError` for what cannot be done as asked and `Stopped` where the run stops short. Ctrl-C and SIGTERM
    stop in good order (`Interrupted`): samples under way are taken in first, for `options.grace` seconds at most; a
    second one stops at once.
    """
    policy, plan = deciding(chain, model, k, options)
    opening = _Opening(chain, model, journal, policy, plan, seed)
    with _stops_name(journal), _showing(options) as shown:
        return run_stoppable(lambda stop: _start(opening, shown, stop), options.grace)


async def arun(
    chain: Chain,
    model: Any = "embedded",
    journal: str | Path | None = None,
    k: int | None = None,
    seed: int = 0,
    options: Options = Options(),
) -> Result:
    """Run a chain like `run`, on the running event loop. Cancelling it leaves a journal that can be resumed."""
    policy, plan = deciding(chain, model, k, options)
    with _stops_name(journal), _showing(options, False) as shown:
        return await _start(_Opening(chain, model, journal, policy, plan, seed), shown, StopRequest())


def resume(
    journal: str | Path, chain: Chain | str | None = None, model: Any = None, options: Options = Options()
) -> Result:
    """Go on with the run in a journal; a finished one is returned as it is.

    Chain and model are made again from the journal where it knows how; pass those it cannot know, such as a model
    that was a function. A journal that this user did not begin here makes only what ships with unerring: pass the
    others, a chain also by its name, or set `options.trust`.

    Raises like `run`, `JournalDamaged` for a journal that does not add up, `JournalBusy` where another runner has it,
    and `ChainChanged` where the process's code has changed.
    """
    with _stops_name(journal), _showing(options) as shown:
        return run_stoppable(lambda stop: _resume(Path(journal), chain, model, shown, stop), options.grace)


async def aresume(
    journal: str | Path, chain: Chain | str | None = None, model: Any = None, options: Options = Options()
) -> Result:
    """Go on with a run like `resume`, on the running event loop."""
    with _stops_name(journal), _showing(options, False) as shown:
        return await _resume(Path(journal), chain, model, shown, StopRequest())


@contextmanager
def _showing(options: Options, unasked: bool | None = None) -> Iterator[Options]:
    """The options, with an observer that shows progress where that is wanted; `unasked` where they do not say."""
    require_made("options", options, Options)
    wanted = unasked if options.progress is None else options.progress
    with showing(wanted, options.observer, options.max_steps) as observer:
        yield options if observer is options.observer else replace(options, observer=observer)


@contextmanager
def _stops_name(journal: str | Path | None) -> Iterator[None]:
    """Have whatever stops the run name its journal."""
    require_path("journal", journal)
    try:
        yield
    except Stopped as stop:
        stop.journal = None if journal is None else str(journal)
        raise


@dataclass(frozen=True, slots=True)
class _Opening:
    chain: Chain
    model: Any
    journal: str | Path | None
    policy: Policy
    plan: dict[str, Json] | None
    seed: int


def deciding(
    chain: Chain, model: Any, k: int | None = None, options: Options = Options()
) -> tuple[Policy, dict[str, Json] | None]:
    """How a run's steps are decided, and the plan behind it, if there is one.

    A policy or a k that is given holds, with the temperatures, the output limit and the caps that options give.
    Otherwise the margin is the one with which the model, as it was measured, reaches the target on this chain; a chain
    that does not say how long it is takes what the model's makers recommend.
    """
    require_made("options", options, Options)
    require_chain_and_model(chain, model)
    policy, plan = _deciding(chain, embedded_for(chain, model), k, options)
    policy = options.request.on(policy)
    votes, flags = (policy.vote_cap if options.vote_cap is None else options.vote_cap), options.flag_cap
    return replace(policy, vote_cap=votes, flag_cap=policy.flag_cap if flags is None else flags), plan


def _deciding(chain: Chain, model: Any, k: int | None, options: Options) -> tuple[Policy, dict[str, Json] | None]:
    """The policy and the plan, before options change parts of it."""
    if options.policy is not None and k is None:
        return options.policy, None
    if k is not None:
        require_whole("k", k)
        if options.target.rule != "ahead-by":
            raise InputError(f"k is the margin of the rule ahead-by; {options.target.rule} is planned, without a k")
        if options.target != Target():
            raise InputError("k is given, so that there is nothing to plan: leave out k, or target and calibration")
        base = options.policy or recommended_policy(model) or Policy()
        return replace(base, rule=AheadBy(k)), None
    found = planned_policy(required_chain(chain), model, options.target, options.request)
    if found is not None:
        return found
    recommended = recommended_policy(model)
    if recommended is None or options.target != Target():
        require_model(model, chain)  # a slip in its name has a message of its own
        raise InputError(
            "give `k`: nothing is measured of this model that a margin could be derived from, or the "
            f"process does not say how long it is. To measure it: {calibrating(chain, model)}"
        )
    return recommended, None


async def _start(opening: _Opening, options: Options, stop: StopRequest) -> Result:
    require_whole("seed", opening.seed, -MOST_SEED, MOST_SEED)
    chain = required_chain(opening.chain)
    began = options.clock.time()
    origin = _origin(chain, opening.seed, began, given_permission(options.allow_hosts))
    path = None if opening.journal is None else Path(opening.journal)
    held = None if path is None else held_run(path)
    if held is not None:  # samples ordered hours ahead are known by when the run began
        origin = _origin(chain, opening.seed, held.time, given_permission(options.allow_hosts))
    async with _models(opening.model, chain, origin, options, options.request) as models:
        stand = ReplayedRun(chain, started(chain))
        opened = _opening_entry(opening, stand.at, models.sampler, options, began)
        if path is not None and held is not None:
            if options.min_replies is None and "min_replies" not in held.policy:  # one of before there was a default
                opened.policy.pop("min_replies", None)
            require_same_run(path, held, opened)
            again = replace(options, policy=None, target=Target(), escalate=None, escalate_after=ESCALATE_AFTER)
            again = replace(again, vote_cap=None, flag_cap=None, min_replies=None)
            return await _resume(path, chain, opening.model, again, stop, models)
        require_step(chain, stand.at)
        entries = [opened, *_allowing(models.sampler, options)]
        with _journal(opening.journal) as journal:
            if opening.journal is not None:
                note_begun(opened)
            for entry in entries:
                stand.state.apply(entry)
                journal.append(entry)
            await journal.commit()
            return _kept_in(opening.journal, await _go_on(stand, models, journal, options, stop, opening.journal))


@dataclass(frozen=True, slots=True)
class _Models:
    """What answers, how steps are asked ahead, and what answers on steps that a person had drawn again."""

    sampler: Sampler
    ahead: Speculation | None
    substitutes: Mapping[str, Sampler] = field(default_factory=dict)


@asynccontextmanager
async def _models(
    model: Any, chain: Chain, origin: SamplerContext, options: Options, request: Request
) -> AsyncIterator[_Models]:
    async with AsyncExitStack() as made:
        sampler = make_sampler(model, chain, origin, made, options.escalate)
        ahead = speculation_for(options.speculate, chain, sampler, origin, made)
        limited = ahead and replace(ahead, waste=options.waste, in_flight=options.in_flight)
        require_request(request, samplers_of(sampler))
        yield _Models(sampler, limited)


@asynccontextmanager
async def _with_substitutes(
    models: _Models, chain: Chain, origin: SamplerContext, request: Request, names: Mapping[str, Permission]
) -> AsyncIterator[_Models]:
    async with AsyncExitStack() as made:
        others = {
            name: make_sampler(name, chain, replace(origin, permission=permission), made)
            for name, permission in names.items()
        }
        require_request(request, tuple(others.values()))
        yield replace(models, substitutes=others)


def _allowing(sampler: Sampler, options: Options, before: Allowed | None = None) -> list[Entry]:
    """The entry that says what the run may take, where that is new."""
    entry = allowed(sampler, options.budget, options.prices, before)
    return [] if entry is None else [entry]


def _origin(chain: Chain, seed: int, began: float, permission: Permission) -> SamplerContext:
    """What a run is known by where samples are ordered hours ahead: the same when it is resumed, and no other's."""
    return SamplerContext(seed, f"{process_name(chain)}, seed {seed}, begun {began!r}", permission)


def policy_for(policy: Policy, sampler: Sampler, options: Options) -> Policy:
    """The policy with what these models need: rounds before they escalate, and the least number of replies."""
    if reserves := reserves_of(sampler):
        policy = replace(policy, escalate_after=options.escalate_after)
        require_weighed(policy.rule, reserves)
    if options.min_replies is not None:
        policy = replace(policy, min_replies=options.min_replies)
    elif any(can_be_probed(one) for one in samplers_of(sampler)):
        policy = replace(policy, min_replies=max(policy.min_replies, REPLIES_OF_ENDPOINTS))
    return policy


def _opening_entry(opening: _Opening, at: Json, sampler: Sampler, options: Options, began: float) -> Opened:
    policy = policy_for(opening.policy, sampler, options)
    asked = {} if options.min_replies is None else {"min_replies": options.min_replies}
    return Opened(
        process=process_name(opening.chain),
        parameters=parameters_of(opening.chain),
        model=sampler.name,
        policy=policy.to_json() | asked,
        seed=opening.seed,
        start=start_text(opening.chain, at),
        length=length_of(opening.chain),
        software=f"unerring {version('unerring')}",
        time=began,
        plan=opening.plan,
        request=options.request.to_json() or None,
        identity=identity_of(opening.chain),
    )


async def _resume(
    path: Path,
    chain: Chain | str | None,
    model: Any,
    options: Options,
    stop: StopRequest,
    ready: _Models | None = None,
) -> Result:
    """Go on with a run; `ready` are its models, where they are made already."""
    _require_resumable(options)
    journal, entries = SqliteJournal.reopen(path)
    try:
        stand = retraced(path, entries, chain, options.trust)
        state, opened = stand.state, stand.state.opened
        assert opened is not None
        if not options.accept_changes:
            stand.require_same(path)
        if state.finished is not None:
            return _kept_in(path, _result(stand, stand.at))
        if stand.undigested:
            log.warning("%s was begun before journals kept what was asked: a changed prompt is not noticed", path)
        _require_higher_caps(state.policy, options)
        _require_same_request(state, options.request)
        require_free_fields(state.request.extra)
        request = state.request.switched(options.request.nonce, options.request.echo)

        def permission(name: str | None = None) -> Permission:
            return permission_for(path, opened, options.trust, name).allowing(options.allow_hosts)

        own = permission() if model is None else given_permission(options.allow_hosts)
        origin = _origin(stand.chain, opened.seed, opened.time, own)
        substitutes = {name: permission(name) for name in state.substitutes}
        async with AsyncExitStack() as made:
            if ready is None:
                given = _models(model or opened.model, stand.chain, origin, options, request)
                ready = await made.enter_async_context(given)
            others = _with_substitutes(ready, stand.chain, origin, request, substitutes)
            models = await made.enter_async_context(others)
            resumed = Resumed(
                options.clock.time(),
                options.vote_cap,
                options.flag_cap,
                request.nonce if bool(request.nonce) != bool(state.request.nonce) else None,
                request.echo if bool(request.echo) != bool(state.request.echo) else None,
                options.min_replies,
            )
            before = Allowed(state.account.limits, state.account.tariffs)
            changed = stand.changes or (options.accept_changes and stand.asked_ahead)
            accepted = [stand.accepted(resumed.time)] if changed else []
            for entry in [resumed, *accepted, *_allowing(models.sampler, options, before)]:
                state.apply(entry)
                journal.append(entry)
            _notice_single_replies(path, state, models.sampler, options)
            return _kept_in(path, await _go_on(stand, models, journal, options, stop, path))
    finally:
        entries.close()
        journal.close()


def _require_resumable(options: Options) -> None:
    """Raise `InputError` for an option by which another run would go on than the one that began."""
    new = Options()
    for name, why in _OF_NEW_RUNS.items():
        if getattr(options, name) != getattr(new, name):
            raise InputError(f"`{name}` is for new runs: {why}")


_OF_NEW_RUNS = {
    "policy": "a run keeps the policy it began with; on resuming, only its caps and `min_replies` can be raised",
    "target": "a run keeps the margin that it was planned with",
    "escalate": "a run keeps the models it began with, and those in reserve",
    "escalate_after": "a run keeps the policy it began with",
}


def _notice_single_replies(path: Path, state: RunState, sampler: Sampler, options: Options) -> None:
    """Say that one reply may decide a step of this run, which began before endpoints had to give two."""
    opened, several = state.opened, state.policy.rule.lacking(0, 0) > 1
    if opened is None or "min_replies" in opened.policy or state.policy.min_replies > 1 or not several:
        return
    if any(can_be_probed(one) for one in samplers_of(sampler)):
        line = (
            f"{path} was begun when the votes of one reply could decide a step, and goes on so; to ask for votes from "
            f"two replies from here on, resume it with `min_replies` {REPLIES_OF_ENDPOINTS}"
        )
        notice = getattr(options.observer, "notice", None)
        log.warning("%s", line) if notice is None else notice(line)


def _require_higher_caps(policy: Policy, options: Options) -> None:
    for name in ("vote_cap", "flag_cap", "min_replies"):
        new, old = getattr(options, name), getattr(policy, name)
        if new is not None and new < old:
            raise InputError(f"{name} can only be raised on resuming: it is {old}, and cannot become {new}")


def _require_same_request(state: RunState, request: Request) -> None:
    """Raise `InputError` for request settings that are given on resuming, and are not those that the run has."""
    if request.on(state.policy) != state.policy:
        policy, limit = state.policy, state.policy.flags.max_output_tokens
        raise InputError(
            f"a run keeps the request settings it began with: temperatures {policy.first_temperature:g} and then "
            f"{policy.later_temperature:g}, {limit} output tokens"
        )
    kept = replace(request, nonce=state.request.nonce, echo=state.request.echo)
    if not request.is_plain and kept.to_json() != state.request.to_json():
        raise InputError("a run keeps the request settings it began with: its system message and further fields")


async def _go_on(
    stand: ReplayedRun, models: _Models, journal: Journal, options: Options, stop: StopRequest, path: str | Path | None
) -> Result:
    stop.on_countdown = getattr(options.observer, "stopping", None)
    config = RunConfig(
        clock=options.clock,
        patience=options.patience,
        stop=stop,
        observer=SeriesObserver(stand.series, options.observer),
        max_steps=options.max_steps,
        speculation=models.ahead,
        in_flight=options.in_flight,
        guards=options.guards,
        share=options.budget.share(path),
        substitutes=models.substitutes,
        notice=getattr(options.observer, "notice", None),
        known_replies=stand.heard,
    )
    last = await run_chain(stand.chain, models.sampler, journal, stand.state, stand.at, config)
    return _result(stand, last)


def _result(stand: ReplayedRun, last: Json) -> Result:
    report = report_of(stand.state, stand.series)
    return Result(last, stand.state.committed, report, answer_of(stand.chain, last))


def _kept_in(path: str | Path | None, result: Result) -> Result:
    return result if path is None else replace(result, journal=str(path))


@contextmanager
def _journal(path: str | Path | None) -> Iterator[Journal]:
    journal = MemoryJournal() if path is None else SqliteJournal.create(Path(path))
    try:
        yield journal
    finally:
        journal.close()
