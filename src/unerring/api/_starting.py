"""Begin a new run, or continue it where its journal holds it already."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

from unerring.adapters.memory import MemoryJournal
from unerring.adapters.sqlite.reader import opening_entry
from unerring.adapters.sqlite.writer import SqliteJournal
from unerring.api._policy import policy_for_models
from unerring.api._resuming import resume_run
from unerring.api._session import LiveRun, run_session, sampler_context, session_models
from unerring.api.budget import allowance
from unerring.api.chains import is_made_by_name, process_name
from unerring.api.journals.trust import given_permission, note_begun
from unerring.api.models import Model
from unerring.api.options import Options
from unerring.api.planning import Target
from unerring.api.result import Result
from unerring.core.checked_chain import CheckedChain
from unerring.core.journal.digests import FUNCTION_PREFIX, differences, identity_of, same_process
from unerring.core.journal.entries import Entry, Opened
from unerring.core.numbers import MAX_SEED, require_whole
from unerring.core.voting.canonical import Json
from unerring.core.voting.policy import Policy
from unerring.errors import InputError
from unerring.runtime.config import StopRequest
from unerring.runtime.protocols import Journal, Sampler


@dataclass(frozen=True, slots=True)
class NewRun:
    """What a new run is made of.

    chain: the process.
    model: what answers.
    journal: the path of its journal; None keeps it in memory.
    policy: how steps are decided.
    plan: the plan that the policy comes from, if there is one.
    seed: of its samples.
    """

    chain: CheckedChain
    model: Model
    journal: str | Path | None
    policy: Policy
    plan: dict[str, Json] | None
    seed: int


async def start_run(new: NewRun, options: Options, stop: StopRequest) -> Result:
    """Begin a run and continue to its end; where its journal holds the same run already, resume that one."""
    require_whole("seed", new.seed, -MAX_SEED, MAX_SEED)
    chain = new.chain
    began = options.clock.time()
    path = None if new.journal is None else Path(new.journal)
    held = None if path is None else opening_entry(path)
    permission = given_permission(options.allow_hosts)
    context = sampler_context(chain, new.seed, began if held is None else held.time, permission)
    async with session_models(new.model, context, options, options.request) as models:
        run = LiveRun(chain, chain.start())
        opened = _opening_entry(new, run.at, models.sampler, options, began)
        if path is not None and held is not None:
            if options.min_replies is None and "min_replies" not in held.policy:  # began before there was a default
                opened.policy.pop("min_replies", None)
            _require_same_run(path, held, opened)
            return await resume_run(path, chain, new.model, _for_resuming(options), stop, models)
        chain.require_step(run.at)
        entries: list[Entry] = [opened, *allowance(models.sampler, options.budget, options.prices)]
        with _new_journal(path, run) as journal:
            if path is not None:
                note_begun(opened)
            for entry in entries:
                run.state.apply(entry)
                journal.append(entry)
            await journal.commit()
            return await run_session(run, models, journal, options, stop, new.journal)


def _for_resuming(options: Options) -> Options:
    """The options without those of new runs, which were compared with the journal already."""
    return replace(
        options,
        policy=None,
        target=Target(),
        escalate=None,
        escalate_after=None,
        vote_cap=None,
        flag_cap=None,
        min_replies=None,
    )


def _opening_entry(new: NewRun, first_state: Json, sampler: Sampler, options: Options, began: float) -> Opened:
    """The first entry of the run's journal."""
    policy = policy_for_models(new.policy, sampler, options)
    asked = {} if options.min_replies is None else {"min_replies": options.min_replies}
    return Opened(
        process=process_name(new.chain),
        parameters=new.chain.parameters(),
        model=sampler.name,
        policy=policy.to_json() | asked,
        seed=new.seed,
        start=new.chain.start_text(first_state),
        length=new.chain.length(),
        software=f"unerring {version('unerring')}",
        time=began,
        plan=new.plan,
        request=options.request.to_json() or None,
        identity=identity_of(new.chain),
    )


def _require_same_run(path: Path, held: Opened, new: Opened) -> None:
    """Raise `InputError` where a journal holds another run than the one that is to begin; says what differs.

    Parameters and questions, whose change a person can accept, are compared when the run is replayed.
    """
    difference = next(_run_differences(held, new), None)
    if difference is not None:
        again = f"unerring resume {shlex.quote(str(path))}"
        lacking = [] if is_made_by_name(held.process) else ["chain=..."]
        lacking += ["model=..."] if FUNCTION_PREFIX in held.model else []
        if lacking:
            again = f"unerring.resume({str(path)!r}, {', '.join(lacking)})"
        raise InputError(f"{path} holds another run: {difference}; continue that one ({again}), or name another file")


def _run_differences(held: Opened, new: Opened) -> Iterator[str]:
    """How two runs differ, a sentence each."""
    if not same_process(held.process, new.process):
        yield f"its process is {held.process}, not {new.process}"
    if held.model != new.model:
        yield f"its model is {held.model}, not {new.model}"
    if held.seed != new.seed:
        yield f"its seed is {held.seed}, not {new.seed}"
    if held.policy != new.policy:  # a planned one follows the length of the chain, and so its parameters
        yield from differences(held.parameters, new.parameters, "parameter")
    yield from differences(held.policy, new.policy, "policy's")
    yield from differences(held.request or {}, new.request or {}, "request setting")


@contextmanager
def _new_journal(path: Path | None, run: LiveRun) -> Iterator[Journal]:
    """A new journal, in memory where there is no path; closed at the end.

    Where bad input ends the run before a model was called, the file is removed: the corrected command can begin there.
    """
    journal = MemoryJournal() if path is None else SqliteJournal.create(path)
    try:
        yield journal
    except InputError:
        if isinstance(journal, SqliteJournal) and not run.state.voters and not run.state.account.calls:
            journal.discard()
        raise
    finally:
        journal.close()
