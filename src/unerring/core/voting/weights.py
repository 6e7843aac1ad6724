"""Weights of votes: the log-odds that a vote is right, by its voter and its log-probability.

Weights are whole millinats, 1000 times natural log-odds rounded down, so sums are exact and depend neither on their
order nor on a machine's floating point. They serve the rule `LogOdds`: a wrong choice wins a step with probability at
most e^-A at threshold A.

Assumption: no vote weighs more than the log-odds that it is right, given all votes before it. Weights may be too
small, never too large. So voters must err independently of each other. A voter's own votes on a step are not
independent: `repeat`, `again` and `turn` account for that.

Where errors repeat, at most two votes of a voter count on a step. How often the second is wrong after a wrong first
one is a rate that a pilot measures. For a third it depends on the step: some steps a voter gets wrong once, others
always. On the latter a voter whose every vote counts would outweigh the truth by saying the same thing often enough.

Source: A. Wald, Sequential Tests of Statistical Hypotheses, Annals of Mathematical Statistics 16 (1945); Ville's
inequality (1939).
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import exp, floor, inf, isfinite, log

from unerring.core.voting.canonical import Json
from unerring.core.voting.odds import log_odds

MAX_WEIGHT_MILLINATS = 30_000  # of a vote; no pilot is long enough to show errors rarer than 1 in 10^13


def millinats(p: float) -> int:
    """The weight of a vote that is right with probability p: 1000 ln(p / (1 - p)), rounded down.

    It is 0 for p up to 1/2, and at most `MAX_WEIGHT_MILLINATS`. Raises `InputError` unless p is a probability.
    """
    return floor(min(max(0.0, 1000.0 * log_odds(p)), MAX_WEIGHT_MILLINATS))


@dataclass(frozen=True, slots=True)
class VoterWeights:
    """The weights of one voter's votes on one step, millinats.

    With `again`, at most two votes count: a second vote for the first choice weighs `again`, one for any other choice
    `turn` or as much as the first vote, whichever is less; and nothing where the first weighed nothing. To say the
    same again is evidence however often a voter does it, because anything else would have counted against its first
    choice. How large these numbers may be: `voter_weights`.

    bins: the weight of a first vote, by its bin of mean token log-probability, lowest first.
    repeat: the largest weight of any further vote.
    again: the weight of a second vote for the first choice.
    turn: the weight of a second vote for another choice.
    """

    bins: tuple[int, ...]
    repeat: int
    again: int = 0
    turn: int = 0

    def __post_init__(self) -> None:
        weights = (*self.bins, self.repeat, self.again, self.turn)
        if not self.bins or any(
            type(weight) is not int or not 0 <= weight <= MAX_WEIGHT_MILLINATS for weight in weights
        ):
            raise ValueError(
                "a voter has a weight for each bin, and weights for further votes, each a whole number of "
                f"millinats from 0 to {MAX_WEIGHT_MILLINATS}; they cannot be {self.bins!r} and {weights[-3:]}"
            )
        if self.again > max(self.bins):
            raise ValueError("a vote that says the same again cannot weigh more than every first vote")


def voter_weights(right: Sequence[float], errs_again: float, strays: float | None = None) -> VoterWeights:
    """The largest weights that a voter's rates allow.

    right: by bin, the probability p that a first vote on a step is right.
    errs_again: r, the probability that the second vote is wrong where the first one was.
    strays: s, the probability that it is wrong where the first one was right; None to count any number of votes.

    Both may be means over steps that differ, but without `strays` r must be an upper bound for every step. Raises
    `InputError` unless these are probabilities.

    First votes weigh ln(p / (1 - p)) and, without `strays`, `repeat` is ln((1 - r) / r), 0 from r = 1/2 on. With it,
    `again` and `turn` are such that the mean of e^(lead of a wrong choice over the right one) does not grow:

        r e^again + (1 - r) e^-turn <= 1        where the first vote was wrong
        (1 - s) e^-again + s e^turn <= 1        where it was right

    Both are equalities for the likelihood ratios again = ln((1 - s) / r) and turn = ln((1 - r) / s). The weights
    returned lie just below, satisfy both after rounding, and the first also where `turn` is cut to the weight of any
    first vote.
    """
    bins = tuple(millinats(p) for p in right)
    repeat = millinats(1.0 - errs_again)
    if strays is None:
        return VoterWeights(bins, repeat)
    log_odds(strays)  # raises unless it is a probability
    least = min((weight for weight in bins if weight), default=0)
    if not least or not 0.0 < errs_again < 1.0:
        return VoterWeights(bins, 0)
    s = max(
        strays, exp(-MAX_WEIGHT_MILLINATS / 1000)
    )  # a smaller s makes no difference: turn is cut to the weight of a first vote
    for again in range(min(least, _max_again(errs_again, least)), 0, -1):
        turn = floor(1000.0 * log((1.0 - (1.0 - s) * exp(-again / 1000)) / s))
        if turn > 0 and again <= _max_again(errs_again, min(turn, least)):
            return VoterWeights(bins, 0, again, min(turn, MAX_WEIGHT_MILLINATS))
    return VoterWeights(bins, 0)


def _max_again(r: float, turn: int) -> int:
    """The largest `again` that r allows with this `turn`, millinats."""
    return floor(1000.0 * log((1.0 - (1.0 - r) * exp(-turn / 1000)) / r))


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights of votes, by voter and log-probability. Raises `ValueError` where the parts do not fit together.

    edges: mean token log-probabilities, nats, ascending; n of them make n + 1 bins, and a vote on an edge belongs to
        the bin above. They are compared with the journaled log-probability, which has three digits.
    voters: pairs of a voter's name and its weights.
    heaviest: the weight of the heaviest vote, millinats.
    """

    edges: tuple[float, ...]
    voters: tuple[tuple[str, VoterWeights], ...]
    heaviest: int = field(init=False, repr=False, compare=False)
    _named: dict[str, VoterWeights] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        edges = tuple(float(edge) for edge in self.edges)
        if not all(map(isfinite, edges)) or any(low >= high for low, high in pairwise(edges)):
            raise ValueError(f"the edges between bins are ascending log-probabilities; they cannot be {edges}")
        for name, voter in self.voters:
            if len(voter.bins) != len(edges) + 1:
                raise ValueError(f"the edges make {len(edges) + 1} bins, but {name} has {len(voter.bins)} weights")
        named = dict(sorted(self.voters, key=lambda pair: pair[0]))
        if len(named) != len(self.voters):
            twice = max(named, key=[name for name, _ in self.voters].count)
            raise ValueError(f"{twice} has two sets of weights; give it one")
        object.__setattr__(self, "edges", edges)
        object.__setattr__(self, "voters", tuple(named.items()))
        object.__setattr__(self, "heaviest", max((max(voter.bins) for voter in named.values()), default=0))
        object.__setattr__(self, "_named", named)

    def voter(self, name: str) -> VoterWeights | None:
        """The weights of a voter; None for one that is not known."""
        return self._named.get(name)

    def of(self, voter: str, logprob: float | None, repeated: bool) -> int:
        """The weight of a vote, millinats; `repeated` says that its voter has voted on the step before.

        Whether it repeats the first choice is up to `StepWeights`. An unknown voter weighs 0, and a vote without a
        log-probability as much as the lowest of its voter's bins.
        """
        known = self._named.get(voter)
        if known is None:
            return 0
        if logprob is None or not -inf < logprob < inf:
            weight = min(known.bins)
        else:
            weight = known.bins[bisect_right(self.edges, logprob)]
        return min(weight, known.repeat) if repeated else weight

    def to_json(self) -> dict[str, Json]:
        """JSON data, read back by `weights_from`."""
        voters: dict[str, Json] = {
            name: {"bins": list(voter.bins), "repeat": voter.repeat, "again": voter.again, "turn": voter.turn}
            for name, voter in self.voters
        }
        return {"edges": list(self.edges), "voters": voters}


@dataclass(slots=True)
class StepWeights:
    """Weighs the votes of one step in the order in which they are counted.

    weights: the weights of the run's voters.
    said: by voter, the candidate of its first vote (None after its second) and that vote's weight.
    """

    weights: Weights
    said: dict[str, tuple[int | None, int]] = field(default_factory=dict)

    def weigh(self, voter: str, logprob: float | None, candidate: int) -> int:
        """The weight of the next vote, millinats."""
        before = self.said.get(voter)
        if before is None:
            weight = self.weights.of(voter, logprob, repeated=False)
            self.said[voter] = (candidate, weight)
            return weight
        said, first = before
        known = self.weights.voter(voter)
        if known is None or not known.again:
            return self.weights.of(voter, logprob, repeated=True)
        if said is None:
            return 0
        self.said[voter] = (None, first)
        return min(known.again if candidate == said else known.turn, first)


def weights_from(data: Json) -> Weights:
    """The weights that `Weights.to_json` wrote; raises `ValueError` for other data."""
    match data:
        case {"edges": list(edges), "voters": dict(voters)}:
            each = tuple((name, _voter_from(voter)) for name, voter in voters.items())
            return Weights(tuple(_edge_from(edge) for edge in edges), each)
    raise ValueError(_UNREADABLE)


def _edge_from(data: Json) -> float:
    if type(data) is not int and type(data) is not float:
        raise ValueError(_UNREADABLE)
    try:
        return float(data)
    except OverflowError:
        raise ValueError(_UNREADABLE) from None


def _voter_from(data: Json) -> VoterWeights:
    match data:
        case {"bins": list(bins), "repeat": int(repeat), "again": int(again), "turn": int(turn)}:
            return VoterWeights(tuple(_weight_from(weight) for weight in bins), repeat, again, turn)
    raise ValueError(_UNREADABLE)


def _weight_from(data: Json) -> int:
    if not isinstance(data, int):
        raise ValueError(_UNREADABLE)
    return data


_UNREADABLE = "the weights of votes are not written as this version writes them"
