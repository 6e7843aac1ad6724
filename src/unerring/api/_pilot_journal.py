"""The journal of a calibration: its paid calls, what each brought and took, and what they may take in all.

A calibration's file holds counts. Beside it, in FILE.spend, is a journal like a run's, wherever calls are paid for or
a budget is kept: an intent is durable before each paid call, and each sample is kept as it came. A calibration that
was killed finds there what was spent, with the calls of unknown outcome at their worst, and counts the samples that
came without paying for them again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unerring.adapters.sqlite.writer import SqliteJournal
from unerring.api.budget import Budget, PriceTable, allowed
from unerring.api.journals.history import folded
from unerring.core.chain import Chain, started
from unerring.core.journal.entries import Allowed, Entry, Opened, Resumed
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

# Fields of a journal's first entry that say which calibration it is of.
_COMPARED = ("process", "parameters", "model", "seed", "policy", "request")


def pilot_journal_path(out: Path) -> Path:
    """The journal that belongs to the file of a calibration."""
    return out.with_name(f"{out.name}.spend")


@contextmanager
def pilot_ledger(
    path: Path | None,
    opening: Opened,
    sampler: Sampler,
    allowance: tuple[Budget, PriceTable],
    config: RunConfig,
) -> Iterator[Ledger]:
    """The ledger of a calibration whose journal is at `path`, or of one that is not kept.

    `allowance` is what it may take in all, and the prices by which that is counted. Raises `InputError` for a journal
    of another calibration, and for a limit that could not be kept.
    """
    budget, prices = allowance
    state = RunState()
    journal: Journal | None = _UnkeptJournal() if path is None else None
    try:
        if path is not None and path.exists():
            journal, kept = SqliteJournal.reopen(path)
            for entry, _, _ in folded(path, kept, state):
                config.known_replies.note(entry)
        first: Entry = opening
        before = None
        if state.opened is not None:
            _require_same(path, state.opened, opening)
            first, before = Resumed(opening.time), Allowed(state.account.limits, state.account.tariffs)
        allowing = allowed(sampler, budget, prices, before)
        if journal is None and path is not None:
            journal = SqliteJournal.create(path)
        assert journal is not None
        ledger = Ledger(state, journal, config)
        try:
            ledger.record(first)
            if allowing is not None:
                ledger.record(allowing)
            yield ledger
        finally:
            ledger.close()
    finally:
        if journal is not None:
            journal.close()


def kept_at(out: Path | None, sampler: Sampler, budget: Budget, calibration: Calibration) -> Path | None:
    """Where the journal of a calibration is kept; None where nothing is paid for, or no file is asked for."""
    if out is None:
        return None
    path, paid = pilot_journal_path(out), any(one.paid for one in samplers_of(sampler))
    if calibration.spent is not None and not path.exists():
        raise InputError(f"{out} says that calls were paid for, but {path} with them is gone; put it back")
    return path if paid or budget != Budget() or path.exists() else None


def pilot_opening(chain: Chain, calibration: Calibration, policy: Policy, time: float) -> Opened:
    """The first entry of a calibration's journal: no command takes it for a run, since no process has its name."""
    return Opened(
        process=f"calibration of {calibration.process}",
        parameters=calibration.parameters,
        model=calibration.model,
        policy=pilot_policy(policy, calibration.temperature).to_json(),
        seed=pilot_seed(calibration.seed),
        start=canonical(started(chain)),
        length=None,
        software=calibration.software,
        time=time,
        request=calibration.request or None,
    )


def _require_same(path: Path | None, opened: Opened, opening: Opened) -> None:
    """Raise `InputError` where a journal is that of another calibration."""
    for name in _COMPARED:
        here, there = getattr(opening, name), getattr(opened, name)
        if here != there:
            raise InputError(
                f"{path} keeps the calls of another calibration ({name} {there}, not {here}); choose another file"
            )


class _UnkeptJournal:
    """A journal that keeps nothing: live state alone is enough for a calibration that is not to be gone on with."""

    pending = 0

    def append(self, entry: Entry) -> None:
        pass

    async def commit(self) -> None:
        pass

    def close(self) -> None:
        pass
