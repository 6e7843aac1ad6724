"""A run written by hand, with which the tests of replay and report make their histories."""

from typing import Any

import pytest

from unerring.core.journal.entries import Committed, Entry, Opened, Replies, Reply, Voter, digest_of
from unerring.core.journal.state import RunState
from unerring.core.reporting.report import RunSeries, report_of
from unerring.core.voting.policy import Policy
from unerring.core.voting.redflag import FlagKind
from unerring.core.voting.sample import Finish, Usage


class Script:
    """A run state, its entries so far, and the series of its decided steps."""

    def __init__(self) -> None:
        self.state = RunState()
        self.series = RunSeries()
        self.entries: list[Entry] = []
        self.voters = 1

    def open(self, policy: Policy | None = None, plan: dict[str, Any] | None = None, voters: int = 1) -> "Script":
        """Add the opening entry and the voters, who vote in rotation; `first` is number 0."""
        policy, self.voters = policy or Policy(), voters
        self.tell(Opened("tale", {"size": 3}, "made/up", policy.to_json(), 7, "0", 5, "test", 100.0, plan=plan))
        self.tell(*(Voter(number, name) for number, name in enumerate(("first", "second", "third")[:voters])))
        return self

    def tell(self, *entries: Entry) -> None:
        """Fold entries in, and keep them."""
        for entry in entries:
            decided = self.state.apply(entry)
            self.entries.append(entry)
            if decided is not None:
                self.series.add(decided, self.state)

    def said(self, step: int, slot: int, outcome: str | FlagKind, /, at: str | None = None, **changed: Any) -> Replies:
        """The entry of a call whose one sample had this choice or flag."""
        return self.call(step, slot, outcome, at=at, **changed)

    def call(
        self, step: int, slot: int, /, *outcomes: str | FlagKind, at: str | None = None, **changed: Any
    ) -> Replies:
        """The entry of a call whose samples had these choices or flags."""
        known = self.state.open.get(step, {}).get(self.state.last_digest if at is None else at)
        texts, choices = (dict(known.texts), dict(known.choices)) if known else ({}, {})
        replies = []
        for number, outcome in enumerate(outcomes, slot):
            flag = outcome if isinstance(outcome, FlagKind) else None
            text = f"text of {outcome}"
            fields: dict[str, Any] = {
                "step": step,
                "slot": number,
                "text": texts.get(text, text),
                "choice": None if flag else choices.get(str(outcome), outcome),
                "flag": flag,
                "usage": Usage(10, 5),
                "finish": Finish.STOP,
                "logprob": None,
                "voter": 0,
            }
            replies.append(Reply(**(fields | changed)))
            texts.setdefault(text, number)
            if flag is None:
                choices.setdefault(str(outcome), number)
        return Replies(tuple(replies), at)

    def vote(self, step: int, *choices: str | FlagKind, at: str | None = None) -> None:
        """Add samples of a step, numbered after those it has, each from a call of its own."""
        for choice in choices:
            slot = len(self.state.step(step, at).replies)
            self.tell(self.said(step, slot, choice, at=at, voter=slot % self.voters))

    def decide(self, *choices: str | FlagKind) -> None:
        """Decide the next step, from its samples to its commit."""
        step = self.state.committed
        self.vote(step, *choices)
        self.tell(Committed(step, self.after(step)))

    @staticmethod
    def after(step: int) -> str:
        """The digest of the state after `decide`, from which the next step is asked."""
        return digest_of(f"after {step}")

    def report(self) -> dict:
        """The report of the run so far."""
        return report_of(self.state, self.series)


@pytest.fixture
def script() -> Script:
    """An empty run."""
    return Script()
