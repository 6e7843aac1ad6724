"""Rebuild a run from its journal: fold the entries, advance the chain over the committed steps, and compare both with
what the process asks now.
"""

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from unerring.adapters.sqlite.reader import JournalReader, require_journal, without_entries
from unerring.api.journals.history import folded
from unerring.api.journals.trust import permission_for
from unerring.api.resolve import make_chain, require_process
from unerring.core.chain import (
    Chain,
    Subtask,
    advanced,
    check_of,
    digest_at,
    length_of,
    parameters_of,
    says_parameters,
    start_text,
    started,
    subtask_at,
)
from unerring.core.journal.decided_step import DecidedStep
from unerring.core.journal.digests import (
    differences,
    identity_differences,
    identity_of,
    question_digest,
    same_process,
    what_changed,
)
from unerring.core.journal.entries import Accepted, Entry, Opened
from unerring.core.journal.state import RunState
from unerring.core.reporting.report import RunSeries
from unerring.core.voting.canonical import Json
from unerring.core.voting.redflag import RedFlag
from unerring.core.voting.reply_ids import ReplyIds
from unerring.core.voting.step import OpenStep
from unerring.errors import ChainChanged, InputError
from unerring.runtime.config import replies_of_process
from unerring.runtime.question import HOW_TO_GO_ON, Question, stored_question

SPOT_CHECK_STEPS = 16  # of committed steps without dissent or flags, one in so many has its winning text read again


@dataclass(slots=True)
class ReplayedRun:
    """A run rebuilt from its journal: folded entries and the chain's current state.

    heard: the ids of the replies that this process received or read in journals; only the latest where there are many.
    changes: what differs from the journal, a sentence each; no person has accepted it yet.
    keeps: whether the samples of the next step are of the question that it is asked now.
    undigested: whether the journal has steps from before it kept the digests of questions.
    """

    chain: Chain
    at: Json
    state: RunState = field(default_factory=RunState)
    series: RunSeries = field(default_factory=RunSeries)
    heard: ReplyIds = field(default_factory=replies_of_process)
    changes: list[str] = field(default_factory=list)
    keeps: bool = True
    undigested: bool = False

    def require_same(self, path: Path) -> None:
        """Raise `ChainChanged` where the process is not the one that the journal is of."""
        if self.changes:
            raise ChainChanged(f"{path}: {self.changes[0]}; {HOW_TO_GO_ON}")

    def accepted(self, time: float) -> Accepted:
        """The entry by which a person accepts the changes."""
        at = digest_at(self.chain, self.at, self.state.committed)
        return Accepted(time, tuple(self.changes), at, self.keeps, parameters_of(self.chain), identity_of(self.chain))

    def step(self, decided: DecidedStep, choice: Json) -> None:
        """Advance the chain over a committed step, and compare what it asks and where it leads with the journal."""
        if not self.changes:
            self._compare_question(decided)
        self.at = advanced(self.chain, self.at, choice, decided.step)
        if not self.changes and digest_at(self.chain, self.at, decided.step + 1) != self.state.last_digest:
            self.changes.append(f"step {decided.step} now leads to another state than it did")

    def _compare_question(self, decided: DecidedStep) -> None:
        if decided.inherited:
            return
        subtask = subtask_at(self.chain, self.at, decided.step)
        if subtask is None:
            self.changes.append(f"the process now ends before step {decided.step}")
            return
        if decided.question is None:
            self.undigested = self.undigested or bool(decided.replies)
        elif (digest := question_digest(subtask, self.state.request.question_text)) != decided.question:
            changed = what_changed(decided.question, digest, decided.wordings, subtask)
            self.changes.append(f"step {decided.step} is asked otherwise than it was: {changed}")
            return
        if decided.wordings is not None or decided.step % SPOT_CHECK_STEPS == 0:
            self._read_winner(decided, subtask)

    def _read_winner(self, decided: DecidedStep, subtask: Subtask) -> None:
        """Compare how the winning text of a committed step reads now with its choice."""
        winner = decided.winner
        if winner is None:
            return
        text = decided.text_of(winner) or ""
        step = OpenStep(decided.step, self.state.policy)
        question = Question(step, subtask, self.at, "", check_of(self.chain))
        try:
            if question.choice(text) != decided.choice:
                self.changes.append(f"step {decided.step}: its winning answer reads otherwise now; its parser changed")
        except RedFlag as flag:
            self.changes.append(f"step {decided.step}: its winning answer is now flagged ({flag.reason})")
        except Exception:  # the user's own code fails: it will, where it is needed, and name itself then
            return

    def compare_open(self) -> None:
        """Compare the next step, where it has samples, with how it is asked and read now."""
        step = self.state.frontier
        self.keeps = digest_at(self.chain, self.at, self.state.committed) == self.state.last_digest
        if step is None or not step.replies or not self.keeps:
            return
        question = stored_question(self.chain, step, self.at, self.state.request.question_text)
        if question is None:
            self.changes.append(f"the process now ends before step {step.step}")
            self.keeps = False
            return
        if (difference := question.difference()) is not None:
            self.changes.append(f"step {step.step} {difference}")
            self.keeps = False

    @property
    def asked_ahead(self) -> bool:
        """Whether steps after the next one have samples, whose questions are not known before they are reached."""
        return any(
            step.replies
            for number, at_step in self.state.open.items()
            for step in at_step.values()
            if number > self.state.committed
        )


def retraced(path: Path, entries: Iterable[Entry], chain: Chain | str | None, trust: bool = False) -> ReplayedRun:
    """Fold a journal's entries and advance the chain over every committed choice; `begun` says what `chain` is.

    What differs from the journal is in `ReplayedRun.changes`, up to the first step that does.
    """
    found = _retraced(path, entries, chain, trust)
    while isinstance(found, Accepted):  # the chain that was made is not the one that was accepted since
        made = remade(path, chain, found, trust)
        found = _retraced(path, JournalReader(path).entries(), made, trust)
    return found


def _retraced(path: Path, entries: Iterable[Entry], chain: Chain | str | None, trust: bool) -> ReplayedRun | Accepted:
    """Where the run stands; or the accepted change by which the chain is to be made with other parameters."""
    stand: ReplayedRun | None = None
    state = RunState()
    for entry, decided, choice in folded(path, entries, state):
        if stand is None:
            assert isinstance(entry, Opened)  # anything else cannot come first
            stand = begun(path, entry, chain, state, trust)
        elif decided is not None:
            stand.series.add(decided, state)
            stand.step(decided, choice)
        elif isinstance(entry, Accepted):
            if is_of_others(stand.chain, chain, entry):
                return last_accepted(entry, entries)
            stand.changes = list(changed_since(stand, entry))
        stand.heard.note(entry)
    if stand is None:
        raise InputError(without_entries(path))
    if state.finished is None:
        stand.compare_open()
    elif not stand.changes and subtask_at(stand.chain, stand.at, state.committed) is not None:
        stand.changes.append(f"it no longer ends after {state.committed:,} steps")
    return stand


def is_of_others(made: Chain, given: Chain | str | None, accepted: Accepted) -> bool:
    """Whether a chain that was made by its name was made with other parameters than those accepted since."""
    return (given is None or isinstance(given, str)) and parameters_of(made) != accepted.parameters


def last_accepted(first: Accepted, rest: Iterable[Entry]) -> Accepted:
    """The last accepted change of a journal, read to its end: a writer counts on from the last entry."""
    for entry in rest:
        if isinstance(entry, Accepted):
            first = entry
    return first


def remade(path: Path, given: Chain | str | None, accepted: Accepted, trust: bool) -> Chain:
    """The chain with the parameters that were accepted."""
    opened = held_run(path)
    assert opened is not None
    return chain_for(path, opened, given, trust, accepted.parameters)


def changed_since(stand: ReplayedRun, accepted: Accepted) -> Iterator[str]:
    """What has changed once more since changes were accepted."""
    chain = stand.chain
    yield from parameter_changes(accepted.parameters, chain)
    yield from identity_differences(accepted.identity, identity_of(chain))
    if digest_at(chain, stand.at, stand.state.committed) != accepted.state:
        yield f"step {stand.state.committed} is now asked from another state than when changes were accepted"


def chain_for(
    path: Path,
    opened: Opened,
    chain: Chain | str | None = None,
    trust: bool = False,
    parameters: dict[str, Json] | None = None,
) -> Chain:
    """The chain that is given, or the one that a name or the journal's first entry makes.

    It is made with the journal's parameters, or with `parameters`, where others were accepted since.

    Raises `InputError` where it cannot be made, or needs code that only another person's journal names.
    """
    made_with = opened.parameters if parameters is None else parameters
    if isinstance(chain, str):
        return make_chain(chain, made_with)
    if chain is not None:
        return chain
    try:
        return make_chain(opened.process, made_with, permission_for(path, opened, trust))
    except InputError as error:
        if "`chain`" in str(error):
            raise
        raise type(error)(f"{error}; or pass the process itself: `chain`") from error.__cause__


def begun(path: Path, opened: Opened, chain: Chain | str | None, state: RunState, trust: bool = False) -> ReplayedRun:
    """The chain of a run, made from its opening entry where none is given, before its first step.

    A name of a process that is given in its place is made with the journal's parameters. With `trust` a journal that
    this user did not begin is taken at its word.

    Raises `InputError` where it cannot be made or is another one, and `ChainChanged` where it starts elsewhere.
    """
    by_name = chain is None or isinstance(chain, str)
    chain = chain_for(path, opened, chain, trust)
    require_process(path, opened.process, chain)
    if by_name:
        _require_arguments(path, opened, chain)
    stand = ReplayedRun(chain, started(chain), state)
    stand.changes += [
        *parameter_changes(opened.parameters, chain),
        *identity_differences(opened.identity, identity_of(chain)),
        *_length_changes(opened.length, chain),
    ]
    if start_text(chain, stand.at) != opened.start:
        stand.changes.append("its first state is another one")
    return stand


def _require_arguments(path: Path, opened: Opened, chain: Chain) -> None:
    """Raise `InputError` where a chain was made by its name, and the run began with arguments that nothing says."""
    before, now = opened.identity or {}, identity_of(chain)
    if "arguments" in before and before["arguments"] != now.get("arguments"):
        raise InputError(
            f"{path} was begun with other arguments of {opened.process} than its defaults, and it has no parameters() "
            "that say which: run again what began it, or pass the process itself (chain=...)"
        )


def parameter_changes(before: dict[str, Json], chain: Chain) -> Iterator[str]:
    """What differs between parameters and those that a chain has, where it says which."""
    if says_parameters(chain):
        yield from differences(before, parameters_of(chain), "parameter")


def _length_changes(before: int | None, chain: Chain) -> Iterator[str]:
    now = length_of(chain)
    if before is not None and now is not None and now != before:
        yield f"its length() was {before:,} and is {now:,}"


def held_run(path: Path) -> Opened | None:
    """The first entry of the run that a journal holds; None where there is no file, or no run in it yet."""
    if not path.exists():
        return None
    require_journal(path)
    first = next(JournalReader(path).entries(), None)
    return first if isinstance(first, Opened) else None


def require_same_run(path: Path, held: Opened, new: Opened) -> None:
    """Raise `InputError` where a journal holds another run than the one that is to begin; says what differs.

    What may have changed with a person's acceptance, parameters and questions, is compared as the run is retraced.
    """
    difference = next(_run_differences(held, new), None)
    if difference is not None:
        raise InputError(
            f"{path} holds another run: {difference}; go on with that one (unerring resume {shlex.quote(str(path))}), "
            "or name another file"
        )


def _run_differences(held: Opened, new: Opened) -> Iterator[str]:
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
