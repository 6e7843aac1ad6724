"""Verify a journal: its entries by their hashes, each decision by its votes, choices by the process's own verifier.

Its length is compared with that of the process. Reading the entries checks them: their hashes in
`unerring.adapters.sqlite.reader`, and in `unerring.core.journal.state` that each step was won by its votes.
"""

from dataclasses import dataclass
from pathlib import Path

from unerring.api.chains import require_process
from unerring.api.journals.history import History
from unerring.api.journals.replayer import chain_for
from unerring.core.checked_chain import CheckedChain
from unerring.core.functions.function_chain import GivenProcess
from unerring.core.journal.state import RunState
from unerring.core.reporting.report import acts_of, undecided_of
from unerring.core.reporting.summary import acts_text, forked_from, some_steps, undecided_text
from unerring.core.voting.canonical import Json
from unerring.errors import InputError


@dataclass(frozen=True, slots=True)
class Verification:
    """The outcome of verifying a journal; true where nothing is wrong.

    process: the name of the process.
    parameters: the process's parameters, as JSON data.
    steps: the number of decided steps.
    entries: the number of journal entries.
    finished: whether the run is finished.
    judged: whether the process's own verifier judged the choices.
    problem: what is wrong, in one line; None where nothing is.
    notes: what could not be checked, and steps without a decision, decisions of people; one line each.
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

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong; the run may be unfinished, and its steps not judged."""
        return self.problem is None

    def __bool__(self) -> bool:
        return self.ok


def verify(journal: str | Path, chain: GivenProcess = None, trust: bool = False) -> Verification:
    """Check a journal: entries by their hashes, decisions by their votes, choices by the process's own verifier.

    The verifier of Hanoi, for example, replays the moves by the rules of the game. The process is `chain`, an object
    or a name such as `package.module:Name`, or else the one that the journal names. Code that a journal of another
    person names is imported only with `trust`.

    Raises `InputError` for a chain of another name.
    """
    history = History(journal)
    for _ in history.steps():
        pass
    opened, finished = history.opened, history.state.finished is not None
    problem, judge, notes = None, None, []
    made = None
    try:
        made = chain_for(history.path, opened, chain, trust, history.state.parameters)
        require_process(journal, opened.process, made)
        judge = made.verify
        if judge is None:
            lacks = "the process has no method verify()" if made.function is None else "a function has no verify()"
            notes.append(f"the steps were not judged: {lacks}")
    except InputError as error:
        if chain is not None:
            raise
        notes.append(f"the steps were not judged: {error}")
    if judge is not None:
        problem = judge((decided.value for decided in History(journal).steps()), finished)
    problem = problem or _early_end(history.state, made)
    if opened.origin is not None:
        notes.append(f"this run was forked {forked_from(opened.origin, history.state.inherited)}")
    if history.series.ruled:
        notes.append(f"people decided {some_steps(history.series.first_ruled, history.series.ruled)}")
    if (undecided := undecided_text(undecided_of(history.series))) is not None:
        notes.append(f"undecided: {undecided}")
    if (acts := acts_text(acts_of(history.state))) is not None:
        notes.append(f"side effects are not verified: {acts}")
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
