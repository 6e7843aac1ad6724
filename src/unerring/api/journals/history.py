"""Read the steps and the report of a journal, without a model; nothing is changed."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from unerring.adapters.sqlite.reader import JournalReader, require_empty, without_entries
from unerring.core.arguments import require_path
from unerring.core.journal.decided_step import DecidedStep
from unerring.core.journal.entries import Entry, Opened
from unerring.core.journal.state import RunState
from unerring.core.reporting.report import RunSeries, report_of
from unerring.core.reporting.run_report import Report
from unerring.core.reporting.steps import Step, step_of
from unerring.core.voting.canonical import Json
from unerring.core.voting.step import MisplacedEntry
from unerring.errors import InputError, JournalDamaged


def applied(path: Path, entries: Iterable[Entry], state: RunState) -> Iterator[tuple[Entry, DecidedStep | None, Json]]:
    """Apply entries to `state` one by one; yields each with the step it committed and its choice, if it did.

    Raises `JournalDamaged` at an entry that cannot follow those before it.
    """
    for number, entry in enumerate(entries, start=1):
        try:
            decided = state.apply(entry)
            value = None if decided is None else decided.value
        except MisplacedEntry as error:
            raise JournalDamaged(f"{path} is damaged: entry {number}: {error}", number - 1) from None
        yield entry, decided, value


class History:
    """A journal that is read from its start.

    path: its file.
    state: the state computed from the entries read so far.
    series: what was counted over the steps read so far.
    """

    def __init__(self, path: str | Path) -> None:
        require_path("journal", path)
        self._reader = JournalReader(Path(path))
        self.path = Path(path)
        self.state = RunState()
        self.series = RunSeries()

    @property
    def opened(self) -> Opened:
        if self.state.opened is None:
            raise InputError(without_entries(self.path))
        return self.state.opened

    @property
    def has_head(self) -> bool:
        """Whether there is a head file; without it a cut tail of a running journal is not noticed."""
        return self._reader.has_head

    def entries(self) -> Iterator[Entry]:
        """The entries in order, each once it is applied. Raises `JournalDamaged` at one that is bad or missing."""
        return (entry for entry, _, _ in applied(self.path, self._reader.entries(), self.state))

    def steps(self) -> Iterator[DecidedStep]:
        """The committed steps in order. Raises `JournalDamaged` at the first entry that is bad or missing."""
        for _, decided, _ in applied(self.path, self._reader.entries(), self.state):
            if decided is not None:
                self.series.add(decided, self.state)
                yield decided


def steps(journal: str | Path) -> Iterator[Step]:
    """Yield the decided steps of a journal in order, one at a time, so that a journal of any length can be read.

    Raises `JournalDamaged` at the first entry that is bad or missing.
    """
    history = History(journal)
    return (step_of(decided, history.state.voters, history.state.request) for decided in history.steps())


def report(journal: str | Path, full: bool = False) -> Report:
    """The report of a journal: samples, votes, flags, tokens, distributions, hardest steps.

    It has at most ten doubtful steps with question, answers and flagged samples; their texts are shortened unless it
    is `full`.
    """
    history = History(journal)
    for _ in history.steps():
        pass
    _ = history.opened
    return report_of(history.state, history.series, full)


def require_no_run(journal: str | Path) -> None:
    """Raise `InputError` where a file holds a run already, or is something else."""
    if Path(journal).exists():
        require_empty(Path(journal))
