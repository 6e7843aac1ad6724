"""Run a chain and resume a run, from plain Python or on the running event loop."""

from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from unerring.adapters.sqlite.reader import opening_entry
from unerring.adapters.user_code.modules import require_run_allowed
from unerring.api._policy import run_policy
from unerring.api._resuming import resume_run
from unerring.api._starting import NewRun, start_run
from unerring.api._terminal_progress import progress_observer
from unerring.api.budget import Budget
from unerring.api.chains import process_of
from unerring.api.models import Model, require_chain_and_model
from unerring.api.options import Options
from unerring.api.result import Result
from unerring.core.arguments import require_made, require_path
from unerring.core.chain import Chain, S
from unerring.core.checked_chain import CheckedChain
from unerring.core.functions.function_chain import GivenProcess, is_function_process
from unerring.errors import ActUnknown, Interrupted, ProviderGone, StepLimit, StepUndecided, Stopped
from unerring.processes import SHIPPED
from unerring.runtime.config import Guards, StopRequest
from unerring.runtime.signals import run_stoppable


def run(  # noqa: PLR0913  (one parameter for each thing that a run is made of)
    chain: Chain[S, Any] | Callable[..., Coroutine[Any, Any, Any]],
    model: Model = "embedded",
    journal: str | Path | None = None,
    k: int | None = None,
    seed: int = 0,
    options: Options = Options(),
    *,
    args: Sequence[Any] | Mapping[str, Any] = (),
) -> Result[S]:
    """Run a process to its end, every step decided by voting; or resume the run that its journal holds already.

    chain: the process, a chain or an async function that awaits `ask`, `act` and `gather`.
    model: a specification (`"embedded"`), a function `(prompt, settings) -> text` or `prompt -> text`, a sampler, or a
        list of these that take turns.
    journal: the file that makes the run resumable; without one it is kept in memory.
    k: the margin of votes that decides a step; None plans it from the model's calibration, for a whole chain without
        an error with the probability `options.target.success`. It replaces the margin of `options.policy`, whose other
        fields hold; a policy with another rule than `AheadBy` is refused beside it.
    seed: of the samples.
    options: everything else.
    args: the arguments of an async function, in order or by name, JSON data.

    A journal of the same process, parameters, model, policy, seed and request settings is resumed, and the result of a
    finished run is returned as it is. A journal of another run is refused, with what differs.

    Raises `InputError` for a wrong argument and `Stopped` where the run stops before its end. Ctrl-C and SIGTERM stop
    it (`Interrupted`) once samples in flight are received, after `options.grace` seconds at most; a second one stops
    at once.
    """
    require_run_allowed()
    process = _process(chain, model, args)
    policy, plan = run_policy(process, model, k, options)
    new = NewRun(process, model, journal, policy, plan, seed)
    with _stops_name_journal(journal), _with_progress(options) as shown:
        return run_stoppable(lambda stop: start_run(new, shown, stop), options.grace)


async def arun(  # noqa: PLR0913
    chain: Chain[S, Any] | Callable[..., Coroutine[Any, Any, Any]],
    model: Model = "embedded",
    journal: str | Path | None = None,
    k: int | None = None,
    seed: int = 0,
    options: Options = Options(),
    *,
    args: Sequence[Any] | Mapping[str, Any] = (),
) -> Result[S]:
    """Run a chain like `run`, on the running event loop. Cancelling it leaves a journal that can be resumed."""
    require_run_allowed()
    process = _process(chain, model, args)
    policy, plan = run_policy(process, model, k, options)
    new = NewRun(process, model, journal, policy, plan, seed)
    with _stops_name_journal(journal), _with_progress(options, default=False) as shown:
        return await start_run(new, shown, StopRequest())


def resume(
    journal: str | Path, chain: GivenProcess = None, model: Model | None = None, options: Options = Options()
) -> Result:
    """Continue the run in a journal; the result of a finished run is returned as it is.

    Chain and model are made again from the journal; pass what it cannot make, such as a model that was a function. A
    journal that this user did not begin here makes only what ships with unerring: pass the others, a chain also by its
    name, or set `options.trust`.

    Raises like `run`, `JournalDamaged` for a damaged journal, `JournalBusy` where another runner has it, and
    `ChainChanged` where the process's code has changed.
    """
    require_run_allowed()
    require_path("journal", journal)
    with _stops_name_journal(journal), _with_progress(options) as shown:
        return run_stoppable(lambda stop: resume_run(Path(journal), chain, model, shown, stop), options.grace)


async def aresume(
    journal: str | Path, chain: GivenProcess = None, model: Model | None = None, options: Options = Options()
) -> Result:
    """Continue a run as `resume` does, on the running event loop."""
    require_run_allowed()
    require_path("journal", journal)
    with _stops_name_journal(journal), _with_progress(options, default=False) as shown:
        return await resume_run(Path(journal), chain, model, shown, StopRequest())


def _process(
    process: Chain | Callable[..., Any], model: Model, args: Sequence[Any] | Mapping[str, Any]
) -> CheckedChain:
    """The process of a run; raises `InputError` for one that cannot be used."""
    if not is_function_process(process):
        require_chain_and_model(process, model)
    return process_of(process, args)


@contextmanager
def _with_progress(options: Options, default: bool | None = None) -> Iterator[Options]:
    """The options, with an observer that shows progress where it is wanted; `default` where they do not say."""
    require_made("options", options, Options)
    wanted = default if options.progress is None else options.progress
    with progress_observer(wanted, options.observer, options.max_steps) as observer:
        yield options if observer is options.observer else replace(options, observer=observer)


@contextmanager
def _stops_name_journal(journal: str | Path | None) -> Iterator[None]:
    """Set `journal` on a `Stopped` that leaves this block."""
    require_path("journal", journal, optional=True)
    try:
        yield
    except Stopped as stop:
        stop.journal = None if journal is None else str(journal)
        stop.unread = stop.unread and not _is_of_shipped_process(stop.journal)
        stop.advice = "; ".join(_advice(stop))
        raise


def _is_of_shipped_process(journal: str | None) -> bool:
    """Whether a journal's process ships with unerring, so that its user has no parser or check to change."""
    opened = None if journal is None else opening_entry(Path(journal))
    return opened is not None and opened.process in SHIPPED


def _advice(stop: Stopped) -> Iterator[str]:
    """How to continue a run in Python."""
    if stop.journal is None:
        if isinstance(stop, StepUndecided):
            yield "without a journal its votes are lost: with journal='run.db', `unerring review run.db` shows them"
        return
    if isinstance(stop, Interrupted | ProviderGone) or stop.kind == StepLimit.kind:
        yield f"run the same call again to continue with {stop.journal}"
    if isinstance(stop, ActUnknown):
        yield (
            f"once you know: unerring.open({stop.journal!r}).settle(happened=True, result=...) or "
            "settle(happened=False), then the same call again"
        )
    if stop.unread:
        yield f"once your parser or check accepts these answers: unerring.rejudge({stop.journal!r}), then resume"
    if stop.larger is not None:
        name, value = stop.larger
        given, call = f"{name}={value:.10g}", "unerring.resume"  # a new run with another cap would be another run
        for holder in (Budget, Guards):
            if name in {one.name for one in fields(holder)}:
                given, call = f"{holder.__name__.lower()}={holder.__name__}({given})", "the same call"
        yield f"to allow more: {call} with options=Options({given})"
