"""The voting rules, and the race: it counts the votes on one subtask, in order, until a choice wins. No I/O.

    race = Race(AheadBy(3))
    race.missing()          # 3: the fewest further votes that could end it
    race.tell("a")          # Continue
    race.tell("a")          # Continue
    race.tell("a")          # Won("a")

Candidates are any hashable values. A vote counts 1, or its weight (`LogOdds`). Only these scores decide: neither ties
nor the order in which candidates first appeared do. A race that reaches its cap is `Undecided`; the plurality is never
elected in its place. Which rules a plan may choose is in `unerring.core.planning.plan`.
"""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Generic, Protocol, TypeVar

from unerring.core.numbers import MAX_COUNT
from unerring.core.voting.weights import Weights

C = TypeVar("C", bound=Hashable)


class Rule(Protocol):
    """When a race has a winner. A rule sees only the largest and the second largest score."""

    @property
    def name(self) -> str:
        """The rule as a journal and a command line write it, such as `ahead-by 3`."""

    @property
    def most_votes(self) -> int | None:
        """The number of votes after which the race is over in any case; None for no such number."""
        return None

    def lacking(self, first: int, second: int) -> int:
        """The fewest further votes that could make the leader win; 0 if it has won."""


@dataclass(frozen=True, slots=True)
class AheadBy(Rule):
    """First to lead every other candidate by k votes (paper, algorithm 2)."""

    k: int

    def __post_init__(self) -> None:
        _check_positive("k", self.k)

    @property
    def name(self) -> str:
        return f"ahead-by {self.k}"

    def lacking(self, first: int, second: int) -> int:
        return max(0, self.k - (first - second))


@dataclass(frozen=True, slots=True)
class FirstTo(Rule):
    """First to k votes."""

    k: int

    def __post_init__(self) -> None:
        _check_positive("k", self.k)

    @property
    def name(self) -> str:
        return f"first-to {self.k}"

    def lacking(self, first: int, second: int) -> int:
        return max(0, self.k - first)


@dataclass(frozen=True, slots=True)
class Majority:
    """More than half of n votes; over as soon as a candidate has that many, undecided after n."""

    n: int

    def __post_init__(self) -> None:
        _check_positive("n", self.n)

    @property
    def name(self) -> str:
        return f"majority {self.n}"

    @property
    def most_votes(self) -> int | None:
        return self.n

    def lacking(self, first: int, second: int) -> int:
        return max(0, self.n // 2 + 1 - first)


@dataclass(frozen=True, slots=True)
class LogOdds(Rule):
    """First to lead every other candidate by `threshold` nats of log-odds; each vote counts its weight.

    A wrong choice wins a step with probability at most e^-threshold (Wald's sequential probability ratio test, 1945;
    for the assumptions see `unerring.core.voting.weights`). Raises `ValueError` for a threshold that is not above 0,
    and for weights that are all 0.

    threshold: nats; kept in thousandths, rounded up.
    weights: the weights of votes, by voter; scores are in millinats.
    """

    threshold: float
    weights: Weights
    _millinats: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if type(self.threshold) not in {int, float} or not 0 < self.threshold < inf:
            raise ValueError(f"a threshold is a number of nats above 0, not {self.threshold!r}")
        if self.weights.heaviest == 0:
            raise ValueError("no vote weighs anything, so no race could end; measure p by a pilot first")
        millinats = round(1000 * self.threshold)
        millinats += millinats / 1000 < self.threshold
        object.__setattr__(self, "threshold", millinats / 1000)
        object.__setattr__(self, "_millinats", millinats)

    @property
    def name(self) -> str:
        return f"log-odds {self._millinats // 1000}.{self._millinats % 1000:03d}".rstrip("0").rstrip(".")

    def lacking(self, first: int, second: int) -> int:
        return max(0, -((first - second - self._millinats) // self.weights.heaviest))


def _check_positive(name: str, value: int) -> None:
    if type(value) is not int or not 1 <= value <= MAX_COUNT:
        raise ValueError(f"{name} must be a whole number from 1 to {MAX_COUNT:,}; got {value!r:.40}")


COUNTING_RULES: dict[str, Callable[[int], Rule]] = {"ahead-by": AheadBy, "first-to": FirstTo, "majority": Majority}
"""Rules that count every vote alike, by their names in journals; `LogOdds` weighs votes."""


def rule_named(name: str, weights: Weights | None = None) -> Rule:
    """Read a rule back from its name, such as `ahead-by 3`; a log-odds rule needs weights, too.

    Raises `ValueError` for any other name, and for weights with a rule that counts every vote alike.
    """
    kind, _, number = name.partition(" ")
    if kind == "log-odds" and number.replace(".", "", 1).isdecimal():
        if weights is None:
            raise ValueError(f"{name} needs the weights of votes, and none are given")
        return LogOdds(float(number), weights)
    if kind not in COUNTING_RULES or not number.isdecimal():
        raise ValueError(
            f"no voting rule is called {name!r}; there are: ahead-by K, first-to K, majority N, log-odds NATS"
        )
    if weights is not None:
        raise ValueError(f"{name} counts every vote alike; weights are for log-odds NATS")
    return COUNTING_RULES[kind](int(number))


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
    """The race reached its cap without a winner."""

    votes: int


class Race(Generic[C]):
    """Voting under a rule, with a cap on votes (None for no cap).

    rule: the rule.
    cap: the number of votes after which the race is undecided; None for no cap.
    tally: votes of each candidate, whatever they weigh.
    votes: votes counted so far.
    verdict: whether the race continues, is won, or is undecided.
    """

    __slots__ = ("_first", "_second", "_weighed", "cap", "rule", "tally", "verdict", "votes")

    def __init__(self, rule: Rule, cap: int | None = None) -> None:
        most = rule.most_votes
        self.rule = rule
        self.cap = most if cap is None else cap if most is None else min(cap, most)
        self.tally: dict[C, int] = {}
        self.votes = 0  # counted so far
        self._weighed: dict[C, int] | None = None  # scores; None while every vote weighs 1
        self._first = self._second = 0  # the two largest scores
        self.verdict: Continue | Won[C] | Undecided
        self._judge()

    @property
    def scores(self) -> Mapping[C, int]:
        """The sum of the weights of each candidate's votes."""
        return self.tally if self._weighed is None else self._weighed

    @property
    def margin(self) -> int:
        """Score of the leader minus that of the runner-up: votes, or millinats where votes have weights."""
        return self._first - self._second

    def missing(self) -> int:
        """The fewest further votes that could end the race; 0 if it is over."""
        return self.verdict.missing if isinstance(self.verdict, Continue) else 0

    def tell(self, choice: C, weight: int = 1) -> Continue | Won[C] | Undecided:
        """Count one vote, of weight 0 or more. Votes after the end of the race are not counted."""
        if isinstance(self.verdict, Continue):
            before = self.tally.get(choice, 0)
            if weight != 1 or self._weighed is not None:
                self._weigh(choice, weight)
            elif before == self._first:  # a leader, who now leads alone
                self._first = before + 1
            else:
                self._second = max(self._second, before + 1)
            self.tally[choice] = before + 1
            self.votes += 1
            self._judge()
        return self.verdict

    def reopen(self) -> None:
        """Reopen a won race: it needs at least one more vote, and may then be won again."""
        full = self.cap is not None and self.votes >= self.cap
        self.verdict = Undecided(self.votes) if full else Continue(1)

    def _weigh(self, choice: C, weight: int) -> None:
        if weight < 0:
            raise ValueError(f"a vote weighs 0 or more, not {weight}")
        if self._weighed is None:  # all votes so far weighed 1
            self._weighed = self.tally.copy()
        before = self._weighed.get(choice, 0)
        score = self._weighed[choice] = before + weight
        if before == self._first:
            self._first = score
        elif score > self._first:  # overtakes the leader
            self._first, self._second = score, self._first
        else:
            self._second = max(self._second, score)

    def _judge(self) -> None:
        lacking = self.rule.lacking(self._first, self._second)
        if lacking == 0:
            scores = self.scores
            self.verdict = Won(max(scores, key=scores.__getitem__))
        elif self.cap is not None and self.votes >= self.cap:
            self.verdict = Undecided(self.votes)
        else:
            room = lacking if self.cap is None else self.cap - self.votes
            self.verdict = Continue(min(lacking, room))
