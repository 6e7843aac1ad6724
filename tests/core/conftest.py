"""A run told by hand: what the tests of replay and report write their histories with."""

import pytest

from unerring.core.entries import Committed, Entry, Opened, Reply, Voter, digest_of
from unerring.core.policy import Policy
from unerring.core.redflag import FlagKind
from unerring.core.replay import RunState
from unerring.core.report import Series, report_of
from unerring.core.sample import Finish, Usage


class Script:
    """A run state, the entries it was told, and the series of its decided steps."""

    def __init__(self) -> None:
        self.state = RunState()
        self.series = Series()
        self.entries: list[Entry] = []

    def open(self, policy: Policy | None = None) -> "Script":
        """The opening entry and one voter, number 0."""
        policy = policy or Policy()
        self.tell(Opened("tale", {"size": 3}, "made/up", policy.to_json(), 7, "0", 5, "test", 100.0))
        self.tell(Voter(0, "first"))
        return self

    def tell(self, *entries: Entry) -> None:
        """Fold entries in, and keep them."""
        for entry in entries:
            decided = self.state.apply(entry)
            self.entries.append(entry)
            if decided is not None:
                self.series.add(decided)

    def said(self, step: int, slot: int, outcome: str | FlagKind, /, **changed: object) -> Reply:
        """The reply a runner would write for a sample that gave this choice, or was flagged so."""
        open_step = self.state.step(step)
        flag = outcome if isinstance(outcome, FlagKind) else None
        text = f"text of {outcome}"
        fields: dict[str, object] = {
            "step": step,
            "slot": slot,
            "text": open_step.texts.get(text, text),
            "choice": None if flag else open_step.choices.get(str(outcome), outcome),
            "flag": flag,
            "usage": Usage(10, 5),
            "finish": Finish.STOP,
            "logprob": None,
            "voter": 0,
        }
        return Reply(**(fields | changed))  # type: ignore[arg-type]

    def vote(self, step: int, *choices: str | FlagKind) -> None:
        """Samples of a step, numbered on from those it has."""
        for choice in choices:
            self.tell(self.said(step, len(self.state.step(step).replies), choice))

    def decide(self, *choices: str | FlagKind) -> None:
        """The next step, from its samples to its commit."""
        step = self.state.committed
        self.vote(step, *choices)
        self.tell(Committed(step, digest_of(f"after {step}")))

    def report(self) -> dict:
        """The report of the run so far."""
        return report_of(self.state, self.series)


@pytest.fixture
def script() -> Script:
    """An empty run."""
    return Script()
