"""One session of a run: its models, the config of the runner, and its result."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from unerring.adapters.providers import SamplerContext
from unerring.adapters.trust.permission import Permission
from unerring.api.chains import process_name
from unerring.api.models import Model, make_sampler, speculation_for
from unerring.api.options import Options
from unerring.api.result import Result
from unerring.core.checked_chain import CheckedChain
from unerring.core.journal.decided_step import DecidedStep
from unerring.core.journal.state import RunState
from unerring.core.reporting.report import RunSeries, report_of
from unerring.core.request import Request
from unerring.core.voting.canonical import Json
from unerring.core.voting.reply_ids import ReplyIds
from unerring.runtime.config import RunConfig, Speculation, StopRequest, replies_of_process
from unerring.runtime.ensemble import require_request, samplers_of
from unerring.runtime.protocols import Journal, Observer, Sampler
from unerring.runtime.runner import run_chain


@dataclass(slots=True)
class LiveRun:
    """A run in progress, at the step after the last committed one.

    chain: the process.
    at: the chain's state.
    state: the state computed from the entries.
    series: what was counted over the committed steps.
    known_replies: the ids of replies that this process received or read in journals; the latest where there are many.
    """

    chain: CheckedChain
    at: Json
    state: RunState = field(default_factory=RunState)
    series: RunSeries = field(default_factory=RunSeries)
    known_replies: ReplyIds = field(default_factory=replies_of_process)


@dataclass(frozen=True, slots=True)
class SessionModels:
    """The models of a session.

    sampler: answers the questions of steps.
    speculation: guesses choices, so that steps are asked ahead; None asks one step after the other.
    substitutes: samplers by name, for steps that a person had drawn again from another model.
    """

    sampler: Sampler
    speculation: Speculation | None
    substitutes: Mapping[str, Sampler] = field(default_factory=dict)


def sampler_context(chain: CheckedChain, seed: int, began: float, permission: Permission) -> SamplerContext:
    """The context of a run's samplers. Batches are found again by its name, so it is the same when it is resumed."""
    return SamplerContext(chain, seed, f"{process_name(chain)}, seed {seed}, begun {began!r}", permission)


@asynccontextmanager
async def session_models(
    model: Model, context: SamplerContext, options: Options, request: Request
) -> AsyncIterator[SessionModels]:
    """Make the models of a session, and close them at its end."""
    async with AsyncExitStack() as made:
        sampler = make_sampler(model, context, made, options.escalate)
        speculation = speculation_for(options.speculate, sampler, context, made)
        limited = speculation and replace(speculation, waste=options.waste, in_flight=options.in_flight)
        require_request(request, samplers_of(sampler))
        yield SessionModels(sampler, limited)


@asynccontextmanager
async def with_substitutes(
    models: SessionModels, context: SamplerContext, request: Request, names: Mapping[str, Permission]
) -> AsyncIterator[SessionModels]:
    """Make the samplers that people named for single steps, and close them at the session's end."""
    async with AsyncExitStack() as made:
        others = {
            name: make_sampler(name, replace(context, permission=permission), made)
            for name, permission in names.items()
        }
        require_request(request, tuple(others.values()))
        yield replace(models, substitutes=others)


async def run_session(
    run: LiveRun,
    models: SessionModels,
    journal: Journal,
    options: Options,
    stop: StopRequest,
    path: str | Path | None,
) -> Result:
    """Decide the steps that are left, and return the result. Raises `Stopped` where the run stops before its end."""
    notice = getattr(options.observer, "notice", None)
    stop.on_countdown = getattr(options.observer, "stopping", None)
    config = RunConfig(
        clock=options.clock,
        patience=options.patience,
        stop=stop,
        observer=_SeriesObserver(run.series, options.observer),
        max_steps=options.max_steps,
        speculation=models.speculation,
        in_flight=options.in_flight,
        guards=options.guards,
        share=options.budget.share(path),
        substitutes=models.substitutes,
        notice=notice,
        known_replies=run.known_replies,
    )
    last = await run_chain(run.chain, models.sampler, journal, run.state, run.at, config)
    return result_of(run, last, path)


def result_of(run: LiveRun, last: Json, path: str | Path | None) -> Result:
    """The result of a finished run with this last state."""
    report = report_of(run.state, run.series)
    journal = None if path is None else str(path)
    answer = run.chain.answer(last)
    state = last if run.chain.function is None else answer  # the state of a function is of no use outside
    return Result(state, run.state.committed, report, answer, journal)


class _SeriesObserver:
    """Observer that counts each step in the run's series, and passes it on to another observer."""

    def __init__(self, series: RunSeries, other: Observer | None) -> None:
        self._series = series
        self._other = other

    def decided(self, decided: DecidedStep, state: RunState) -> None:
        """Count a decided step."""
        self._series.add(decided, state)
        if self._other is not None:
            self._other.decided(decided, state)
