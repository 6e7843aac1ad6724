"""The voting on one subtask, without I/O: tell it votes in order, and it says how the race stands.

    race = Race(AheadBy(3))
    race.missing()          # 3: the fewest further votes that could end it
    race.tell("a")          # Continue
    race.tell("a")          # Continue
    race.tell("a")          # Won("a")

Candidates are any hashable values. Only counts decide: neither ties nor the order in which candidates first
appeared ever do. A race that meets its cap is `Undecided`; the plurality is never elected in its place.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

C = TypeVar("C", bound=Hashable)


class Rule(Protocol):
    """When a tally has a winner. A rule sees counts only, largest and second largest."""

    @property
    def name(self) -> str:
        """How the rule is written in a journal and on a command line, such as `ahead-by 3`."""

    @property
    def most_votes(self) -> int | None:
        """Votes after which the race is over whatever they were, or None for no such number."""

    def lacking(self, first: int, second: int) -> int:
        """The fewest further votes that could make the leader win; 0 if it has won."""


@dataclass(frozen=True, slots=True)
class AheadBy:
    """First to lead every other candidate by k votes (paper, algorithm 2)."""

    k: int

    def __post_init__(self) -> None:
        _positive("k", self.k)

    @property
    def name(self) -> str:
        return f"ahead-by {self.k}"

    @property
    def most_votes(self) -> int | None:
        return None

    def lacking(self, first: int, second: int) -> int:
        return max(0, self.k - (first - second))


@dataclass(frozen=True, slots=True)
class FirstTo:
    """First to k votes."""

    k: int

    def __post_init__(self) -> None:
        _positive("k", self.k)

    @property
    def name(self) -> str:
        return f"first-to {self.k}"

    @property
    def most_votes(self) -> int | None:
        return None

    def lacking(self, first: int, second: int) -> int:
        return max(0, self.k - first)


@dataclass(frozen=True, slots=True)
class Majority:
    """More than half of n votes; over as soon as a candidate has that many, undecided after n."""

    n: int

    def __post_init__(self) -> None:
        _positive("n", self.n)

    @property
    def name(self) -> str:
        return f"majority {self.n}"

    @property
    def most_votes(self) -> int | None:
        return self.n

    def lacking(self, first: int, second: int) -> int:
        return max(0, self.n // 2 + 1 - first)


def _positive(name: str, value: int) -> None:
    if type(value) is not int or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")


RULES: dict[str, Callable[[int], Rule]] = {"ahead-by": AheadBy, "first-to": FirstTo, "majority": Majority}


def rule_named(name: str) -> Rule:
    """Read a rule back from its name, such as `ahead-by 3`. Raises `ValueError` for anything else."""
    kind, _, number = name.partition(" ")
    if kind not in RULES or not number.isdecimal():
        raise ValueError(f"no voting rule is called {name!r}; there are: ahead-by K, first-to K, majority N")
    return RULES[kind](int(number))


@dataclass(frozen=True, slots=True)
class Continue:
    """The race is open; `missing` is the fewest further votes that could end it."""

    missing: int


@dataclass(frozen=True, slots=True)
class Won(Generic[C]):
    """A candidate has won."""

    choice: C


@dataclass(frozen=True, slots=True)
class Undecided:
    """The race met its cap without a winner."""

    votes: int


class Race(Generic[C]):
    """First-to-win voting under a rule and a cap on votes (None for no cap)."""

    __slots__ = ("_first", "_second", "cap", "rule", "tally", "verdict", "votes")

    def __init__(self, rule: Rule, cap: int | None = None) -> None:
        caps = [limit for limit in (cap, rule.most_votes) if limit is not None]
        self.rule = rule
        self.cap = min(caps) if caps else None
        self.tally: Counter[C] = Counter()
        self.votes = 0  # counted so far
        self._first = self._second = 0  # the two largest counts
        self.verdict: Continue | Won[C] | Undecided
        self._judge()

    @property
    def margin(self) -> int:
        """Votes of the leader minus those of the runner-up."""
        return self._first - self._second

    def missing(self) -> int:
        """The fewest further votes that could end the race; 0 if it is over."""
        return self.verdict.missing if isinstance(self.verdict, Continue) else 0

    def tell(self, choice: C) -> Continue | Won[C] | Undecided:
        """Count one vote. A race that is over stays as it is: later votes are not counted."""
        if isinstance(self.verdict, Continue):
            before = self.tally[choice]
            self.tally[choice] = before + 1
            self.votes += 1
            if before == self._first:  # it led, alone or with others, and now leads alone
                self._first = before + 1
            else:
                self._second = max(self._second, before + 1)
            self._judge()
        return self.verdict

    def tell_all(self, choices: Iterable[C]) -> Continue | Won[C] | Undecided:
        """Count votes in order, up to the one that ends the race."""
        for choice in choices:
            self.tell(choice)
        return self.verdict

    def _judge(self) -> None:
        lacking = self.rule.lacking(self._first, self._second)
        if lacking == 0:
            self.verdict = Won(max(self.tally, key=self.tally.__getitem__))
        elif self.cap is not None and self.votes >= self.cap:
            self.verdict = Undecided(self.votes)
        else:
            room = lacking if self.cap is None else self.cap - self.votes
            self.verdict = Continue(min(lacking, room))
