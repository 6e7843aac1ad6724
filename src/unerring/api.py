"""The front door: run a chain, and resume it; calibrate and plan. The one place that wires adapters in."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from unerring.adapters.sqlite_journal import SqliteJournal
from unerring.core.entries import Entry, Opened, Resumed, digest_of
from unerring.core.policy import Policy
from unerring.core.process import Chain, length_of, parameters_of
from unerring.core.race import AheadBy
from unerring.core.replay import RunState
from unerring.core.report import Series, report_of
from unerring.core.vote import Json, NotJson, canonical
from unerring.errors import ChainChanged, InputError
from unerring.measuring import Target, acalibrate, calibrate, plan, planned_policy
from unerring.reading import Tee, folded
from unerring.registry import (
    make_chain,
    process_name,
    recommended_policy,
    required_chain,
    sampler_for,
    speculation_for,
)
from unerring.runtime.chain import run_chain
from unerring.runtime.limits import Patience, Speculation, StopRequest, Surroundings, SystemClock
from unerring.runtime.ports import Clock, Journal, Observer, Sampler
from unerring.runtime.stoppable import run_stoppable
from unerring.testing import MemoryJournal

__all__ = [
    "Options",
    "Result",
    "Target",
    "acalibrate",
    "aresume",
    "arun",
    "calibrate",
    "deciding",
    "plan",
    "resume",
    "run",
]


@dataclass(frozen=True, slots=True)
class Options:
    """What rarely changes. `policy` replaces the model's own; `vote_cap` and `flag_cap` raise caps on resuming.

    `speculate` says where the guesses come from that let steps be asked ahead: `"off"` takes one step after the other;
    `"leader"` follows the votes that are in; `"guess"` asks the chain's own `guess(state)`; a model (specification,
    function or sampler) drafts them; `"auto"` takes the model's own drafting model or the chain's guess, where there
    is one, and else the leader. Of all samples at most the share `waste` may be for nothing, and at most `in_flight`
    samples are under way at once. None of this changes what is decided. `target` is what a margin is planned for where
    none is given.
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


@dataclass(frozen=True, slots=True)
class Result:
    """A finished run: the chain's last state, the number of its steps, and its report as JSON data."""

    state: Any
    steps: int
    report: dict[str, Any]


def run(
    chain: Chain,
    model: Any = "embedded",
    journal: str | Path | None = None,
    k: int | None = None,
    seed: int = 0,
    options: Options = Options(),
) -> Result:
    """Run a chain to its end, every step decided by voting.

    `model` is a specification (`"embedded"`), a function `(prompt, settings) -> text`, or a sampler. `journal` is the
    file that makes the run resumable; without one it lasts as long as the process. `k` is the margin of votes that
    decides a step; None plans it from what is measured of the model, for a whole chain without an error with the
    probability `options.target.success`.

    Raises `InputError` for what cannot be done as asked and `Stopped` where the run stops short. Ctrl-C and SIGTERM
    stop in good order (`Interrupted`): samples under way are taken in first; a second one stops at once.
    """
    policy, plan = deciding(chain, model, k, options)
    opening = _Opening(chain, model, journal, policy, plan, seed)
    return run_stoppable(lambda stop: _start(opening, options, stop))


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
    return await _start(_Opening(chain, model, journal, policy, plan, seed), options, StopRequest())


def resume(journal: str | Path, chain: Chain | None = None, model: Any = None, options: Options = Options()) -> Result:
    """Go on with the run in a journal; a finished one is returned as it is.

    Chain and model are made again from the journal where it knows how; pass those it cannot know, such as a model
    that was a function. Raises like `run`, `JournalDamaged` for a journal that does not add up, `JournalBusy`
    where another runner has it, and `ChainChanged` where the process's code has changed.
    """
    return run_stoppable(lambda stop: _resume(Path(journal), chain, model, options, stop))


async def aresume(
    journal: str | Path, chain: Chain | None = None, model: Any = None, options: Options = Options()
) -> Result:
    """Go on with a run like `resume`, on the running event loop."""
    return await _resume(Path(journal), chain, model, options, StopRequest())


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

    A policy or a k that is given holds. Otherwise the margin is the one with which the model, as it was measured,
    reaches the target on this chain; a chain that does not say how long it is takes what the model's makers recommend.
    """
    if options.policy is not None and k is None:
        return options.policy, None
    if k is not None:
        if type(k) is not int or k < 1:
            raise InputError(f"k is a number of votes, at least 1; it cannot be {k!r}")
        if options.target.rule != "ahead-by":
            raise InputError(f"k is the margin of the rule ahead-by; {options.target.rule} is planned, without a k")
        if options.target != Target():
            raise InputError("k is given, so that there is nothing to plan: leave out k, or target and calibration")
        base = options.policy or recommended_policy(model) or Policy()
        return replace(base, rule=AheadBy(k)), None
    found = planned_policy(required_chain(chain), model, options.target)
    if found is not None:
        return found
    recommended = recommended_policy(model)
    if recommended is None or options.target != Target():
        raise InputError(
            "give k (--k N): nothing is measured of this model that a margin could be derived from, or the process "
            "does not say how long it is. To measure it: unerring calibrate PROCESS --model SPEC --out cal.json, then "
            "unerring run ... --calibration cal.json"
        )
    return recommended, None


async def _start(opening: _Opening, options: Options, stop: StopRequest) -> Result:
    if options.vote_cap is not None or options.flag_cap is not None:
        raise InputError("vote_cap and flag_cap raise the caps of a resumed run; a new one has them in its policy")
    if type(opening.seed) is not int:
        raise InputError(f"a seed is a whole number, not {opening.seed!r}")
    _require_limits(options)
    chain = required_chain(opening.chain)
    with _models(opening.model, chain, opening.seed, options) as (sampler, ahead):
        stand = _Stand(chain, chain.start())
        entry = _opening_entry(opening, stand.at, sampler, options.clock)
        stand.state.apply(entry)
        with _journal(opening.journal) as journal:
            journal.append(entry)
            await journal.commit()
            return await _go_on(stand, sampler, journal, options, stop, ahead)


@contextmanager
def _models(model: Any, chain: Chain, seed: int, options: Options) -> Iterator[tuple[Sampler, Speculation | None]]:
    """What answers, and how steps are asked ahead."""
    with (
        sampler_for(model, chain, seed) as sampler,
        speculation_for(options.speculate, chain, sampler, seed) as ahead,
    ):
        yield sampler, ahead and replace(ahead, waste=options.waste, in_flight=options.in_flight)


def _opening_entry(opening: _Opening, at: Json, sampler: Sampler, clock: Clock) -> Opened:
    return Opened(
        process=process_name(opening.chain),
        parameters=_plain(parameters_of(opening.chain)),
        model=sampler.name,
        policy=opening.policy.to_json(),
        seed=opening.seed,
        start=canonical(at),
        length=length_of(opening.chain),
        software=f"unerring {version('unerring')}",
        time=clock.time(),
        plan=opening.plan,
    )


def _require_limits(options: Options) -> None:
    if options.max_steps is not None and (type(options.max_steps) is not int or options.max_steps < 1):
        raise InputError(f"max_steps is a number of steps, at least 1; it cannot be {options.max_steps!r}")
    if type(options.in_flight) is not int or options.in_flight < 1:
        raise InputError(f"in_flight is a number of samples, at least 1; it cannot be {options.in_flight!r}")
    if not isinstance(options.waste, int | float) or not 0 <= options.waste < 1:
        raise InputError(f"waste is a share of all samples, from 0 to below 1; it cannot be {options.waste!r}")


def _plain(parameters: dict[str, Json]) -> dict[str, Json]:
    try:
        canonical(parameters)
    except NotJson as error:
        raise InputError(f"the parameters of a process are kept in its journal, but {error}") from None
    return parameters


async def _resume(path: Path, chain: Chain | None, model: Any, options: Options, stop: StopRequest) -> Result:
    if options.policy is not None:
        raise InputError("a run keeps the policy it began with; on resuming, only its caps can be raised")
    _require_limits(options)
    journal, entries = SqliteJournal.reopen(path)
    try:
        stand = _retraced(path, entries, chain)
        state, opened = stand.state, stand.state.opened
        assert opened is not None
        if state.finished is not None:
            return Result(stand.at, state.committed, report_of(state, stand.series))
        _require_higher_caps(state.policy, options)
        with _models(model or opened.model, stand.chain, opened.seed, options) as (sampler, ahead):
            entry = Resumed(options.clock.time(), options.vote_cap, options.flag_cap)
            state.apply(entry)
            journal.append(entry)
            return await _go_on(stand, sampler, journal, options, stop, ahead)
    finally:
        entries.close()
        journal.close()


@dataclass(slots=True)
class _Stand:
    """Where a run stands: its folded entries, and the chain's own state after the last committed step."""

    chain: Chain
    at: Json
    state: RunState = field(default_factory=RunState)
    series: Series = field(default_factory=Series)


def _retraced(path: Path, entries: Iterable[Entry], chain: Chain | None) -> _Stand:
    """Fold a journal's entries and advance the chain over every committed choice."""
    stand: _Stand | None = None
    state = RunState()
    for entry, decided, choice in folded(path, entries, state):
        if stand is None:
            assert isinstance(entry, Opened)  # anything else cannot come first
            stand = _opened(path, entry, chain, state)
        elif decided is not None:
            stand.series.add(decided, state)
            stand.at = stand.chain.advance(stand.at, choice)
            if digest_of(canonical(stand.at)) != state.last_digest:
                raise ChainChanged(
                    f"step {decided.step} now leads to another state than the one in {path}: the code of "
                    f"{process_name(stand.chain)} has changed since; resume with the code that started the run"
                )
    if stand is None:
        raise InputError(f"{path} holds no run yet; start one with it (unerring run ... --journal {path})")
    return stand


def _opened(path: Path, opened: Opened, chain: Chain | None, state: RunState) -> _Stand:
    chain = chain or make_chain(opened.process, opened.parameters)
    if process_name(chain) != opened.process:
        raise InputError(f"{path} holds a run of {opened.process}, not of {process_name(chain)}")
    stand = _Stand(chain, chain.start(), state)
    if canonical(stand.at) != opened.start:
        raise ChainChanged(
            f"{opened.process} now starts from another state than the one in {path}: its code or its "
            "parameters have changed since; resume with those that started the run"
        )
    return stand


def _require_higher_caps(policy: Policy, options: Options) -> None:
    caps = (("vote_cap", options.vote_cap, policy.vote_cap), ("flag_cap", options.flag_cap, policy.flag_cap))
    for name, new, old in caps:
        if new is not None and new < old:
            raise InputError(f"{name} can only be raised on resuming: it is {old}, and cannot become {new}")


async def _go_on(
    stand: _Stand, sampler: Sampler, journal: Journal, options: Options, stop: StopRequest, ahead: Speculation | None
) -> Result:
    watchers = Tee(stand.series, options.observer)
    around = Surroundings(options.clock, options.patience, stop, watchers, options.max_steps, ahead)
    last = await run_chain(stand.chain, sampler, journal, stand.state, stand.at, around)
    return Result(last, stand.state.committed, report_of(stand.state, stand.series))


@contextmanager
def _journal(path: str | Path | None) -> Iterator[Journal]:
    journal = MemoryJournal() if path is None else SqliteJournal.create(Path(path))
    try:
        yield journal
    finally:
        journal.close()
