"""Read, verify and repair journals, without a model."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from unerring.adapters.sqlite.reader import JournalReader, require_empty, without_entries
from unerring.adapters.sqlite.repair import readable_copy, replace_journal
from unerring.api.chains import make_chain, require_process, required_chain
from unerring.api.journals.trust import permission_for
from unerring.core.chain import Chain
from unerring.core.checked_chain import CheckedChain
from unerring.core.journal.decided_step import DecidedStep
from unerring.core.journal.entries import Entry, Opened
from unerring.core.journal.state import RunState
from unerring.core.reporting.report import RunSeries, report_of
from unerring.core.reporting.run_report import Report
from unerring.core.reporting.steps import Step, step_of
from unerring.core.voting.canonical import Json
from unerring.core.voting.step import MisplacedEntry
from unerring.errors import InputError, JournalDamaged

MAX_NAMED_STEPS = 10  # step numbers that are listed in one line; more are cut with "..."


def folded(path: Path, entries: Iterable[Entry], state: RunState) -> Iterator[tuple[Entry, DecidedStep | None, Json]]:
    """Fold entries into `state` one by one; yields each with the step it committed and its choice, if it did.

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
    state: the entries read so far, folded.
    series: what was counted over the steps read so far.
    """

    def __init__(self, path: str | Path) -> None:
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

    def steps(self) -> Iterator[DecidedStep]:
        """The committed steps in order. Raises `JournalDamaged` at the first entry that is bad or missing."""
        for _, decided, _ in folded(self.path, self._reader.entries(), self.state):
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


def repair(journal: str | Path) -> tuple[int, Path]:
    """Keep the intact leading entries of a damaged journal, and set the damaged file aside.

    Returns how many were kept and the new name of the damaged file. Raises `InputError` where nothing is damaged.
    """
    path = Path(journal)
    with suppress(JournalDamaged):
        for _ in History(path).steps():
            pass
        raise InputError(f"{path} is not damaged; there is nothing to repair")
    kept: list[Entry] = []
    state = RunState()
    with readable_copy(path) as copy, suppress(JournalDamaged, MisplacedEntry):
        for entry in JournalReader(copy, check_head=False).entries():
            state.apply(entry)
            kept.append(entry)
    return len(kept), replace_journal(path, kept)


@dataclass(frozen=True, slots=True)
class Verification:
    """The outcome of verifying a journal.

    process: the name of the process.
    parameters: the process's parameters, as JSON data.
    steps: the number of decided steps.
    entries: the number of journal entries.
    finished: whether the run is finished.
    judged: whether the process's own verifier judged the choices.
    problem: what is wrong, in one line; None where nothing is.
    notes: what could not be checked, and decisions of people; one line each.
    ruled: the number of steps that people decided.
    inherited: the number of steps taken over from the run that this one was forked from.
    """

    process: str
    parameters: dict[str, Json]
    steps: int
    entries: int
    finished: bool
    judged: bool
    problem: str | None
    notes: tuple[str, ...]
    ruled: int = 0
    inherited: int = 0


def verify(journal: str | Path, chain: Chain | str | None = None, trust: bool = False) -> Verification:
    """Check all entries of a journal by their hashes, and its choices by the process's own verifier, if it has one.

    The verifier of Hanoi, for example, replays the moves by the rules of the game. The process is `chain`, an object
    or a name such as `package.module:Class`, or else the one that the journal names. Code that a journal of another
    person names is imported only with `trust`.

    Raises `InputError` for a chain of another name.
    """
    history = History(journal)
    for _ in history.steps():
        pass
    opened, finished = history.opened, history.state.finished is not None
    problem, judge, notes = None, None, []
    if isinstance(chain, str):
        chain = make_chain(chain, history.state.parameters)
    given = None if chain is None else required_chain(chain)
    if given is not None:
        require_process(journal, opened.process, given)
    try:
        permission = permission_for(history.path, opened, trust)
        given = given or required_chain(make_chain(opened.process, history.state.parameters, permission))
        judge = given.verify
    except InputError as error:
        notes.append(f"the steps were not judged: {error}")
    if judge is not None:
        problem = judge((decided.value for decided in History(journal).steps()), finished)
    problem = problem or _early_end(history.state, given)
    if opened.origin is not None:
        notes.append(f"this run was forked {forked_from(opened.origin, history.state.inherited)}")
    if history.series.ruled:
        notes.append(f"people decided {some_steps(history.series.first_ruled, history.series.ruled)}")
    for accepted in history.state.changes:
        notes.append(f"a person accepted that the process changed: {'; '.join(accepted.changes)}")
    if history.path.stat().st_nlink > 1:
        notes.append("the file has a second name (a hard link): what a run writes under the other one may be missing")
    if not history.has_head:
        notes.append("the head file is missing, so that entries cut from the end would not be noticed")
    return Verification(
        process=opened.process,
        parameters=history.state.parameters,
        steps=history.state.committed,
        entries=history.state.entries,
        finished=finished,
        judged=judge is not None,
        problem=problem,
        notes=tuple(notes),
        ruled=history.series.ruled,
        inherited=history.state.inherited,
    )


def _early_end(state: RunState, chain: CheckedChain | None) -> str | None:
    """The sentence for a finished run with fewer steps than its process says it has; None for any other run.

    After accepted changes the length is that of the process as it is now, since the journal does not have it.
    """
    length = None if state.opened is None else state.opened.length
    if state.changes:
        length = None if chain is None else chain.length()
    if state.finished is None or length is None or state.committed >= length:
        return None
    return f"it ended after {state.committed:,} of the {length:,} steps that its process says it has"


def forked_from(origin: Mapping[str, Json], inherited: int) -> str:
    """The words for the run that one was forked from."""
    taken = "1 step is" if inherited == 1 else f"{inherited:,} steps are"
    where = f"at step {origin.get('step')} of {origin.get('journal')}"
    return f"{where}, whose model was {origin.get('model')}; {taken} taken over from there"


def some_steps(steps: list[int], count: int) -> str:
    """The words for some steps: their numbers, or the first of them and how many there are."""
    numbers = ", ".join(map(str, steps[:MAX_NAMED_STEPS])) + (", ..." if count > MAX_NAMED_STEPS else "")
    return f"step {numbers}" if count == 1 else f"{count:,} steps: {numbers}"
