"""The journal of a calibration: its paid calls with their samples and costs, and its budget.

A calibration's file holds counts. Where calls are paid for or a budget is set, a journal like a run's is kept next to
it, in FILE.spend: an intent is durable before each paid call, and each sample is stored as it was received. A killed
calibration reads there what was spent, with calls of unknown outcome at their worst case, and counts the samples that
it has already paid for.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unerring.adapters.memory import MemoryJournal
from unerring.adapters.sqlite.writer import SqliteJournal
from unerring.api.budget import Budget, PriceTable, allowance
from unerring.api.journals.history import applied
from unerring.core.checked_chain import CheckedChain
from unerring.core.journal.entries import Allowed, Opened, Resumed
from unerring.core.journal.state import RunState
from unerring.core.planning.calibration import Calibration
from unerring.core.voting.canonical import canonical
from unerring.core.voting.policy import Policy
from unerring.errors import InputError
from unerring.runtime.calls.ledger import Ledger
from unerring.runtime.config import RunConfig
from unerring.runtime.ensemble import samplers_of
from unerring.runtime.pilot import pilot_policy, pilot_seed
from unerring.runtime.protocols import Journal, Sampler

# Fields of a journal's first entry by which a calibration is known.
_COMPARED_FIELDS = ("process", "parameters", "model", "seed", "policy", "request")


@contextmanager
def pilot_ledger(
    path: Path | None,
    opening: Opened,
    sampler: Sampler,
    limits: tuple[Budget, PriceTable],
    config: RunConfig,
) -> Iterator[Ledger]:
    """The ledger of a calibration with its journal at `path`; None keeps it in memory.

    `limits` is the budget and the prices by which it is counted. Raises `InputError` for a journal
    of another calibration, and for a limit that could not be kept.
    """
    budget, prices = limits
    state = RunState()
    journal: Journal | None = MemoryJournal() if path is None else None
    try:
        if path is not None and path.exists():
            journal, kept = SqliteJournal.reopen(path)
            for entry, _, _ in applied(path, kept, state):
                config.known_replies.note(entry)
        first: Opened | Resumed = opening
        before = None
        if state.opened is not None:
            _require_same(path, state.opened, opening)
            first, before = Resumed(opening.time), Allowed(state.account.limits, state.account.tariffs)
        allowing = allowance(sampler, budget, prices, before)
        if journal is None and path is not None:
            journal = SqliteJournal.create(path)
        assert journal is not None
        ledger = Ledger(state, journal, config)
        try:
            for entry in (first, *allowing):
                ledger.record(entry)
            yield ledger
        finally:
            ledger.close()
    finally:
        if journal is not None:
            journal.close()


def kept_journal_path(out: Path | None, sampler: Sampler, budget: Budget, calibration: Calibration) -> Path | None:
    """The path of a calibration's journal; None where nothing is paid for, or no file is asked for."""
    if out is None:
        return None
    path, paid = out.with_name(f"{out.name}.spend"), any(one.paid for one in samplers_of(sampler))
    if calibration.spent is not None and not path.exists():
        raise InputError(f"{out} says that calls were paid for, but their journal {path} is missing; put it back")
    return path if paid or budget != Budget() or path.exists() else None


def pilot_opening(chain: CheckedChain, calibration: Calibration, policy: Policy, time: float) -> Opened:
    """The first entry of a calibration's journal. No process has its name, so no command resumes it as a run."""
    return Opened(
        process=f"calibration of {calibration.process}",
        parameters=calibration.parameters,
        model=calibration.model,
        policy=pilot_policy(policy, calibration.temperature).to_json(),
        seed=pilot_seed(calibration.seed),
        start=canonical(chain.start()),
        length=None,
        software=calibration.software,
        time=time,
        request=calibration.request or None,
    )


def _require_same(path: Path | None, opened: Opened, opening: Opened) -> None:
    """Raise `InputError` for the journal of another calibration."""
    for name in _COMPARED_FIELDS:
        here, there = getattr(opening, name), getattr(opened, name)
        if here != there:
            raise InputError(
                f"{path} has the calls of another calibration ({name} {there}, not {here}); choose another file"
            )
