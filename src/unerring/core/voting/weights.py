"""What a vote weighs: the log-odds that it is right, by who cast it and how sure it was.

Weights are whole millinats, 1000 times natural log-odds rounded down, so that sums are exact and depend neither on
their order nor on a machine's floating point. They are made for the rule `LogOdds`, whose promise is that a wrong
choice wins a step with a probability of at most e^-A at threshold A. It holds where no vote weighs more than the
log-odds that it is right, given all votes before it: weights may be too small, never too large. So voters must err
independently of each other; that a voter's own votes on a step do not is what `repeat`, `again` and `turn` are for.

Where errors repeat, a voter is heard twice on a step at most. How often its second vote is wrong where the first one
was, is a rate that can be measured. Of a third one it depends on the step: some are got wrong once, others always. A
voter that went on to be heard would outweigh the truth on the latter, by saying the same thing often enough.

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

MAX_WEIGHT_MILLINATS = (
    30_000  # that a vote can weigh, millinats: no pilot is long enough to show errors rarer than 1 in 10^13
)


def millinats(p: float) -> int:
    """The weight of a vote that is right with probability p: 1000 ln(p / (1 - p)), rounded down.

    It is 0 for p up to 1/2, and at most `MAX_WEIGHT_MILLINATS`. Raises `InputError` unless p is a probability.
    """
    return floor(min(max(0.0, 1000.0 * log_odds(p)), MAX_WEIGHT_MILLINATS))


@dataclass(frozen=True, slots=True)
class VoterWeights:
    """What the votes of one voter weigh on one step, millinats.

    `bins[i]` is the weight of its first vote on a step where that vote's mean token log-probability lies in bin i, the
    bin of the lowest first. `repeat` is the most that any further vote of it there weighs.

    With `again`, it is heard twice at most. A second vote for what it said first weighs `again`, and one for anything
    else `turn`, or as much as the first vote if that is less; nothing where the first weighed nothing. Votes after
    the second weigh nothing. To say the same again is evidence, however often the voter does, because anything else
    would have counted against what it said first.

    How large these numbers may be: `voter_weights`.
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
                "the weights of a voter are one or more bins, and what further votes weigh, each a whole number of "
                f"millinats from 0 to {MAX_WEIGHT_MILLINATS}; they cannot be {self.bins!r} and {weights[-3:]}"
            )
        if self.again > max(self.bins):
            raise ValueError("a vote that says the same again cannot weigh more than every first vote")


def voter_weights(right: Sequence[float], errs_again: float, strays: float | None = None) -> VoterWeights:
    """The largest weights that a voter's rates allow.

    `right[i]` is the chance that its first vote on a step is right in bin i. `errs_again`, r, is the chance that its
    second vote, of any bin, is wrong where the first one was; `strays`, s, where the first one was right. Both may be
    means over steps that differ. Without `strays` any number of votes is heard, and r is to be an upper bound for
    every step. Raises `InputError` for what is no probability.

    First votes weigh ln(p / (1 - p)) and, without `strays`, `repeat` is ln((1 - r) / r), nothing from r = 1/2 on. With
    it, `again` and `turn` are such that e^(lead of a wrong choice over the right one) does not grow on average:

        r e^again + (1 - r) e^-turn <= 1        where the first vote was wrong
        (1 - s) e^-again + s e^turn <= 1        where it was right

    Likelihood ratios, again = ln((1 - s) / r) and turn = ln((1 - r) / s), are equality in both. What is returned lies
    just below, keeps both after rounding, and keeps the first where `turn` is cut to the weight of any first vote.
    """
    bins = tuple(millinats(p) for p in right)
    repeat = millinats(1.0 - errs_again)
    if strays is None:
        return VoterWeights(bins, repeat)
    log_odds(strays)  # refuses what is no probability
    least = min((weight for weight in bins if weight), default=0)
    if not least or not 0.0 < errs_again < 1.0:
        return VoterWeights(bins, 0)
    s = max(
        strays, exp(-MAX_WEIGHT_MILLINATS / 1000)
    )  # turn is cut to a first vote's weight: a smaller s makes no difference
    for again in range(min(least, _max_again(errs_again, least)), 0, -1):
        turn = floor(1000.0 * log((1.0 - (1.0 - s) * exp(-again / 1000)) / s))
        if turn > 0 and again <= _max_again(errs_again, min(turn, least)):
            return VoterWeights(bins, 0, again, min(turn, MAX_WEIGHT_MILLINATS))
    return VoterWeights(bins, 0)


def _max_again(r: float, turn: int) -> int:
    """The largest `again` that r allows beside `turn`, millinats."""
    return floor(1000.0 * log((1.0 - (1.0 - r) * exp(-turn / 1000)) / r))


@dataclass(frozen=True, slots=True)
class Weights:
    """What votes weigh, by voter and log-probability.

    `edges` are mean token log-probabilities, nats, ascending; n of them part n + 1 bins, and a vote on an edge belongs
    to the bin above. They are compared with the log-probability as it is journaled, of three digits. `voters` pairs
    the name of each voter, as samples have it, with what its votes weigh. `heaviest` is what the heaviest vote weighs.
    Raises `ValueError` for what does not fit together.
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
            raise ValueError("a voter has its weights twice; the votes of one name weigh alike")
        object.__setattr__(self, "edges", edges)
        object.__setattr__(self, "voters", tuple(named.items()))
        object.__setattr__(self, "heaviest", max((max(voter.bins) for voter in named.values()), default=0))
        object.__setattr__(self, "_named", named)

    def voter(self, name: str) -> VoterWeights | None:
        """What the votes of a voter weigh, or None for one that is not known."""
        return self._named.get(name)

    def of(self, voter: str, logprob: float | None, repeated: bool) -> int:
        """What a vote weighs, millinats; `repeated` says that its voter has voted on the step before.

        What the voter said there is not looked at: `StepWeights` does that. An unknown voter weighs 0, and a vote
        without a log-probability as much as the least of its voter's bins.
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
    """Weighs the votes of one step in the order in which they are counted, by what each voter has said before.

    `said` has for each voter the candidate of its first vote, or None after its second one, and that vote's weight.
    """

    weights: Weights
    said: dict[str, tuple[int | None, int]] = field(default_factory=dict)

    def weigh(self, voter: str, logprob: float | None, candidate: int) -> int:
        """What the next vote weighs, millinats."""
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
