"""Compare a replayed run with its process now: parameters, code, questions and how answers are read."""

from collections.abc import Iterator
from pathlib import Path

from unerring.api.journals.replayer import ReplayedRun
from unerring.core.chain import Subtask
from unerring.core.checked_chain import CheckedChain, GivenChain
from unerring.core.journal.decided_step import DecidedStep, texts_of
from unerring.core.journal.digests import (
    differences,
    identity_differences,
    identity_of,
    question_change,
    question_digest,
)
from unerring.core.journal.entries import Opened
from unerring.core.journal.review_entries import Accepted
from unerring.core.reporting.report import RunSeries
from unerring.core.user_code import error_line
from unerring.core.voting.canonical import Json
from unerring.core.voting.redflag import RedFlag
from unerring.errors import ChainChanged, InputError
from unerring.runtime.question import HOW_TO_CONTINUE, choice_of, how_to_rejudge, stored_question


class ComparedRun(ReplayedRun):
    """A replayed run whose process is compared with the journal's, up to the first change.

    series: what was counted over the committed steps.
    keeps_samples: whether the samples of the next step answer the question that is asked now.
    undigested: whether the journal has steps from before journals kept digests of questions.
    """

    def __init__(self, path: Path, given: GivenChain, trust: bool = False) -> None:
        super().__init__(path, given, trust)
        self.keeps_samples = True

    def clear(self) -> None:
        """Forget the entries that were read."""
        super().clear()
        self.series = RunSeries()
        self.undigested = False
        self._misread: str | None = None  # the change that samples of the next step are read differently
        self._winner_misread = False  # whether the first change is that a committed step's winner is

    def require_same(self) -> None:
        """Raise `ChainChanged` where the process is not the one that the journal is of."""
        if self.changes:
            raise ChainChanged(f"{self.path}: {self.changes[0]}; {self._how_to_continue()}")

    def _how_to_continue(self) -> str:
        """What to do about the first change."""
        rejudge, change = f"unerring.rejudge({str(self.path)!r})", self.changes[0]
        if change == self._misread:
            return how_to_rejudge(repr(str(self.path)))
        return f"to see all that differs: `{rejudge}`; {HOW_TO_CONTINUE}" if self._winner_misread else HOW_TO_CONTINUE

    def acceptance(self, time: float) -> Accepted:
        """The entry by which a person accepts the changes."""
        chain, state = self.chain, self.chain.digest(self.at, self.state.committed)
        return Accepted(time, tuple(self.changes), state, self.keeps_samples, chain.parameters(), identity_of(chain))

    @property
    def asked_ahead(self) -> bool:
        """Whether steps after the next one have samples, whose questions are not known before they are reached."""
        return any(
            step.replies
            for number, at_step in self.state.open.items()
            for step in at_step.values()
            if number > self.state.committed
        )

    def compare_opening(self, opened: Opened) -> None:
        """Compare parameters, code and length with those that the run began with."""
        chain = self.chain
        if self.by_name:
            require_same_arguments(self.path, opened, chain)
        self.changes += parameter_changes(opened.parameters, chain)
        self.changes += identity_differences(opened.identity, identity_of(chain))
        before, now = opened.length, chain.length()
        if before is not None and now is not None and now != before:
            self.changes.append(f"its length() was {before:,} and is {now:,}")

    def accept(self, accepted: Accepted) -> None:
        """Compare parameters and code with those that were accepted, and then the state."""
        super().accept(accepted)
        self.changes = [
            *parameter_changes(accepted.parameters, self.chain),
            *identity_differences(accepted.identity, identity_of(self.chain)),
            *self.changes,
        ]

    def commit(self, decided: DecidedStep, choice: Json) -> None:
        """Count a committed step, compare its question, and advance the chain over it."""
        self.series.add(decided, self.state)
        if not self.changes and not decided.inherited:
            self._compare_question(decided)
        super().commit(decided, choice)

    def _compare_question(self, decided: DecidedStep) -> None:
        subtask = self.chain.subtask(self.at, decided.step)
        if subtask is None:
            self.changes.append(f"the process now {self.chain.instead_of_step(self.at)} before step {decided.step}")
            return
        if decided.question is None:
            self.undigested = self.undigested or bool(decided.replies)
        elif (digest := question_digest(subtask, self.state.request.question_text)) != decided.question:
            changed = question_change(decided.question, digest, decided.wordings, subtask)
            self.changes.append(f"step {decided.step} is asked differently than before: {changed}")
            return
        self._read_winner(decided, subtask)
        self._winner_misread = bool(self.changes)

    def _read_winner(self, decided: DecidedStep, subtask: Subtask) -> None:
        """Compare how the winning text of a committed step reads now with its choice."""
        winner = decided.winner
        if winner is None:
            return
        text = texts_of(decided.replies)[winner]
        try:
            if choice_of(text, subtask, self.at, decided.step, self.chain.check) != decided.choice:
                self.changes.append(
                    f"step {decided.step}: its winning answer is parsed differently now; its parser changed"
                )
        except RedFlag as flag:
            self.changes.append(f"step {decided.step}: its winning answer is now flagged ({flag.reason})")
        except Exception as error:  # the user's own code
            self.changes.append(f"step {decided.step}: its winning answer cannot be read now: {error_line(error)}")

    def compare_end(self) -> None:
        """Compare the end of a finished run, or the next step of another one where it has samples."""
        step, number = self.state.frontier, self.state.committed
        if self.state.finished is not None:
            if not self.changes and not self.chain.ends_at(self.at, number):
                self.changes.append(f"it no longer ends after {number:,} steps")
            return
        self.keeps_samples = self.chain.digest(self.at, number) == self.state.last_digest
        if step is None or not step.replies or not self.keeps_samples:
            return
        question = stored_question(self.chain, step, self.at, self.state.request.question_text)
        difference = None if question is None else question.difference()
        if question is None:
            self.changes.append(f"the process now {self.chain.instead_of_step(self.at)} before step {number}")
        elif difference is not None:
            self.changes.append(f"step {number} {difference}")
            self._misread = None if question.is_reworded else self.changes[-1]
        self.keeps_samples = question is not None and difference is None


def parameter_changes(before: dict[str, Json], chain: CheckedChain) -> Iterator[str]:
    """How a chain's parameters differ from those before, where the chain has a method parameters()."""
    if chain.knows_parameters:
        yield from differences(before, chain.parameters(), "parameter")


def require_same_arguments(path: Path, opened: Opened, chain: CheckedChain) -> None:
    """Raise `InputError` where a chain was made by its name, and the arguments that the run began with are unknown."""
    before, now = opened.identity or {}, identity_of(chain)
    if "arguments" in before and before["arguments"] != now.get("arguments"):
        raise InputError(
            f"{path} was begun with other arguments of {opened.process} than its defaults, and it has no parameters() "
            "that say which: run again what began it, or pass the process itself (chain=...)"
        )
