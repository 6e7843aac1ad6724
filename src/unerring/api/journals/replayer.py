"""Replay a run: advance its chain over the committed steps of its journal, and compare its states."""

from collections.abc import Generator, Iterable, Iterator, Mapping
from pathlib import Path

from unerring.adapters.sqlite.reader import JournalReader, without_entries
from unerring.adapters.trust.permission import CodeNotAllowed
from unerring.api.chains import DefinedInScript, make_chain, require_process, required_chain
from unerring.api.journals.history import applied
from unerring.api.journals.trust import permission_for
from unerring.core.checked_chain import CheckedChain, GivenChain
from unerring.core.functions.function_chain import is_function_process
from unerring.core.journal.decided_step import DecidedStep
from unerring.core.journal.entries import Entry, Opened
from unerring.core.journal.function_entries import ActBegun, ActEnded, ActErred
from unerring.core.journal.review_entries import Accepted
from unerring.core.journal.state import RunState
from unerring.core.user_code import error_line
from unerring.core.voting.canonical import Json
from unerring.errors import ChainChanged, InputError, StepUndecided, UserCodeFailed


class ReplayedRun:
    """A run that is replayed from its journal.

    path: the journal.
    given: the chain, or the name of one; None makes the one that the journal names.
    trust: whether to import code that only another person's journal names.
    parameters: those that replace the journal's where the chain is made here.
    state: the state computed from the entries.
    made: the chain; None before the first entry.
    at: the chain's state after the last committed step.
    changes: how the chain differs from the journal's, a sentence each; without the changes that a person accepted.
    """

    def __init__(self, path: Path, given: GivenChain, trust: bool = False) -> None:
        self.path = path
        self.given = given
        self.trust = trust
        self.parameters: Mapping[str, Json] = {}
        self._accepted: Accepted | None = None  # the change whose parameters the chain is made with
        self.clear()

    def clear(self) -> None:
        """Forget the entries that were read."""
        self.state = RunState()
        self.made: CheckedChain | None = None
        self.at: Json = None
        self.changes: list[str] = []
        self._begun: ActBegun | None = None  # the latest side effect

    @property
    def chain(self) -> CheckedChain:
        """The chain, which is there from the first entry on."""
        assert self.made is not None
        return self.made

    @property
    def opened(self) -> Opened:
        """The journal's first entry."""
        assert self.state.opened is not None
        return self.state.opened

    @property
    def by_name(self) -> bool:
        """Whether the chain is made by its name, with the parameters that the run began with."""
        return self._accepted is None and is_made_here(self.given)

    def read(self, entries: Iterable[Entry]) -> None:
        """Fold the entries of the whole journal, and advance the chain over its committed steps; see `replayed`."""
        for _ in self.replayed(entries):
            pass

    def replayed(self, entries: Iterable[Entry]) -> Iterator[DecidedStep]:
        """Fold the entries one by one and advance the chain; yields each committed step once the chain is after it.

        Where other parameters were accepted than those that the chain was made with, it is made with these, and the
        journal is read again from its first step.

        Raises `InputError` for a journal without entries, and where the chain cannot be made or is another one.
        """
        while (accepted := (yield from self._replayed(entries))) is not None:
            self._accepted = accepted
            self.clear()
            entries = self.entries()
        if self.state.opened is None:
            raise InputError(without_entries(self.path))

    def entries(self) -> Iterable[Entry]:
        """The entries of the journal, read again."""
        return JournalReader(self.path).entries()

    def _replayed(self, entries: Iterable[Entry]) -> Generator[DecidedStep, None, Accepted | None]:
        """Read the entries once; returns the accepted change whose parameters the chain is to be made with."""
        for entry, decided, choice in applied(self.path, self.incoming(entries), self.state):
            if isinstance(entry, Opened):
                self.begin(entry)
            elif self.made is None:
                continue
            elif decided is not None:
                self.commit(decided, choice)
                yield decided
            elif isinstance(entry, ActBegun | ActEnded | ActErred):
                self.perform(entry)
            elif isinstance(entry, Accepted):
                if (other := self.remade_with(entry, entries)) is not None:
                    return other
                self.accept(entry)
        return None

    def remade_with(self, accepted: Accepted, rest: Iterable[Entry]) -> Accepted | None:
        """The last accepted change, where the chain has other parameters than this one; None where it is as accepted.

        The journal is read to its end then: a writer appends after the last entry read.
        """
        if not self.by_name or self.chain.parameters() == accepted.parameters:
            return None
        return [accepted, *(entry for entry in rest if isinstance(entry, Accepted))][-1]

    def incoming(self, entries: Iterable[Entry]) -> Iterable[Entry]:
        """The entries, before they are applied to the state."""
        return entries

    def begin(self, opened: Opened) -> None:
        """Make the chain, and put it at its first state."""
        parameters = {**(self._accepted or opened).parameters, **self.parameters}
        self.made = chain_for(self.path, opened, self.given, self.trust, parameters)
        require_process(self.path, opened.process, self.made)
        self.compare_opening(opened)
        self.at = self.made.start()
        if self.made.start_text(self.at) != opened.start:
            self.changes.append("its first state has changed")

    def compare_opening(self, opened: Opened) -> None:
        """Compare the chain with the first entry; nothing here."""

    def commit(self, decided: DecidedStep, choice: Json) -> None:
        """Advance the chain over a committed step, and compare where it leads with the journal."""
        if decided.undecided is None:
            self.at = self._advanced(decided, choice)
        else:
            self._concede(decided, decided.undecided)
        if not self.changes and self.chain.digest(self.at, decided.step + 1) != self.state.last_digest:
            self.changes.append(f"step {decided.step} now leads to another state than it did")

    def _advanced(self, decided: DecidedStep, choice: Json) -> Json:
        """The chain's next state; an error of a chain that has changed is said to be of the change."""
        try:
            return self.chain.advance(self.at, choice, decided.step)
        except Exception as error:  # the user's own code
            if not self.changes:
                raise
            said = f"{self.path}: {self.changes[0]}, and so it cannot continue from there: {error_line(error)}"
            raise ChainChanged(f"{said}; continue with the code that began the run, or fork it before that") from error

    def _concede(self, decided: DecidedStep, reason: str) -> None:
        """Continue after an undecided step, as the function did."""
        error = StepUndecided(reason, decided.step, decided.tally)
        function = self.chain.function
        state = None if function is None else function.undecided(self.at, error)
        if state is not None:
            self.at = state
        elif not self.changes:
            self.changes.append(f"it no longer continues where step {decided.step} stays undecided")

    def perform(self, entry: ActBegun | ActEnded | ActErred) -> None:
        """Continue after a side effect with the result that the journal has; nothing is run."""
        if isinstance(entry, ActBegun):
            self._begun = entry
            return
        if entry.state is None or self.chain.function is None:
            return
        if self._begun is not None:
            self._compare_act(self._begun)
        if isinstance(entry, ActEnded):
            state = self.chain.function.acted(self.at, entry.result)
        else:
            state = self.chain.function.act_failed(self.at, entry.reason)
        if state is None:
            if not self.changes:
                self.changes.append(
                    f"it no longer continues after the side effect that failed before step {entry.step}"
                )
            return
        self.at = state
        if not self.changes and self.chain.digest(state, entry.step) != self.state.last_digest:
            self.changes.append(f"the side effect before step {entry.step} now leads to another state than it did")

    def _compare_act(self, begun: ActBegun) -> None:
        """Compare the side effect that the function waits for with the one that was begun."""
        act = None if self.chain.function is None else self.chain.function.act(self.at)
        if not self.changes and (act is None or act.name != begun.name):
            now = "no longer runs one there" if act is None else f"now runs {act.name}"
            self.changes.append(f"it ran the side effect {begun.name} before step {begun.step}, and {now}")

    def accept(self, accepted: Accepted) -> None:
        """Take the changes before an accepted change as accepted, and compare the chain's state with its state."""
        step = self.state.committed
        self.changes = []
        if self.chain.digest(self.at, step) != accepted.state:
            self.changes.append(f"step {step} is now asked from another state than when changes were accepted")


def is_made_here(given: GivenChain) -> bool:
    """Whether a process is made here with the journal's parameters: by its name, or of a function that is given."""
    return given is None or isinstance(given, str) or is_function_process(given)


def chain_for(path: Path, opened: Opened, given: GivenChain, trust: bool, parameters: dict[str, Json]) -> CheckedChain:
    """The chain that is given, or the one that a name or the journal's first entry makes with these parameters.

    Raises `InputError` where it cannot be made, or needs code that only another person's journal names.
    """
    if isinstance(given, str):
        return required_chain(make_chain(given, parameters))
    if given is not None:
        return required_chain(given, parameters=parameters)
    try:
        return required_chain(make_chain(opened.process, parameters, permission_for(path, opened, trust)))
    except (CodeNotAllowed, DefinedInScript, UserCodeFailed):  # they say what to give; code that fails is to be fixed
        raise
    except InputError as error:
        raise type(error)(f"{error}; or pass the process itself: `chain`") from error.__cause__
