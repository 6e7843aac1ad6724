"""The spread of errors: how the probability of a wrong vote varies from step to step.

The paper's formulas take one p for every step. Real models have easy and hard steps, and the hard ones decide: a race
is lost with a probability of about (q / (1 - q))^k, so a step with ten times the errors is lost 10^k times as often.
An `ErrorSpread` lists kinds of steps, each with its share of all steps and each voter's probability q = 1 - p of a
wrong vote there. All that is planned is an average over kinds.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp, inf, log, log1p, sqrt
from typing import TypeAlias

from unerring.core.planning.intervals import bisect, log_beta

# A voter's right and wrong votes on a step.
Votes: TypeAlias = tuple[int, int]

# The prior: two steps on which an error was followed by 24 right votes. Without it, after a pilot without errors all
# errors might repeat, and nothing could be planned. Each step on which the voter erred replaces one of them.
PRIOR_STEPS: Mapping[Votes, int] = {(24, 1): 2}
MIN_LOG_ODDS = -6  # of an error; kinds of steps below it are one
MIN_KIND_SHARE = 1e-16  # of all steps; no chain meets a kind that is rarer
MAX_LOG_ODDS = 18.0  # probabilities below e^-18 are left out
# 0.1 to 1,000,000: beyond, p is practically equal everywhere.
CONCENTRATIONS: tuple[float, ...] = tuple(10.0 ** (e / 8.0) for e in range(-8, 49))


@dataclass(frozen=True, slots=True)
class VoterTurns:
    """A voter's turns on steps of one kind.

    share: the share of these steps among all.
    wrong: the probability that its vote is wrong there.
    mute: the probability that its turn gives no vote that matters: flagged, or for a wrong choice of its own.
    """

    share: float
    wrong: float
    mute: float = 0.0


@dataclass(frozen=True, slots=True)
class StepKind:
    """Steps of one kind.

    share: their share among all steps.
    wrong: by voter, the probability that its vote is wrong there.
    mute: by voter, the probability that its turn gives no vote that matters; empty for 0. Ordinary red flags cost
        samples and change nothing, so they do not count.
    """

    share: float
    wrong: tuple[float, ...]
    mute: tuple[float, ...] = ()

    @property
    def turns(self) -> list[tuple[float, float]]:
        """By voter, the probabilities of a right and of a wrong vote at its turn."""
        mute = self.mute or (0.0,) * len(self.wrong)
        return [((1.0 - q) * (1.0 - m), q * (1.0 - m)) for q, m in zip(self.wrong, mute, strict=True)]


@dataclass(frozen=True, slots=True)
class ErrorSpread:
    """Kinds of steps. The steps that their shares lack to 1 are those on which no voter errs. Voters take turns.

    kinds: the kinds of steps.
    concentration: a + b of the Beta distribution that the plain kinds stand for; infinite where p is equal everywhere.
    """

    kinds: tuple[StepKind, ...]
    concentration: float = inf

    @property
    def voters(self) -> int:
        return len(self.kinds[0].wrong)

    def mean_wrong(self, voter: int) -> float:
        """A voter's probability of a wrong vote, over all steps."""
        return sum(kind.share * kind.wrong[voter] for kind in self.kinds)


def equal_spread(wrong: Sequence[float]) -> ErrorSpread:
    """The same probabilities on every step: the paper's assumption."""
    return ErrorSpread((StepKind(1.0, tuple(wrong)),))


def beta_spread(wrong: Sequence[float], concentration: float) -> ErrorSpread:
    """Probabilities that vary as Beta distributions with these means over steps and one concentration a + b.

    The voters find the same steps hard, in the same order: the worst case for voting among them. The distribution of
    the pooled probability is divided into kinds at equal distances of log-odds; for each voter these are then shifted
    to its own mean.
    """
    mean = sum(wrong) / len(wrong)
    if not 0.0 < mean < 1.0 or concentration >= CONCENTRATIONS[-1]:
        return equal_spread(wrong)
    nodes = _nodes(mean * concentration, (1.0 - mean) * concentration)
    moved = [_shifted(nodes, mean_wrong) for mean_wrong in wrong]
    kinds = (StepKind(part, tuple(each[i] for each in moved)) for i, (_, part) in enumerate(nodes))
    return ErrorSpread(tuple(kinds), concentration)


def voter_kinds(mean: float, concentration: float, hard: Iterable[VoterTurns] = ()) -> list[VoterTurns]:
    """The kinds of steps of one voter: a Beta distribution, and hard steps.

    Steps of about the same probability, by its log-odds, are one kind; so are all on which the voter hardly ever errs.
    """
    parts = list(hard)
    left = max(0.0, 1.0 - sum(one.share for one in parts))
    nodes = _nodes(mean * concentration, (1.0 - mean) * concentration) if 0.0 < mean < 1.0 else []
    parts += [VoterTurns(left * part, 1.0 / (1.0 + exp(-z))) for z, part in nodes]
    merged: dict[tuple[int, int], list[VoterTurns]] = defaultdict(list)
    for one in parts:
        place = max(MIN_LOG_ODDS, round(log(max(one.wrong, 1e-9)) - log1p(-min(one.wrong, 1.0 - 1e-9))))
        merged[place, round(4.0 * one.mute)].append(one)
    kinds = [_merged(alike) for place, alike in merged.items() if place != (MIN_LOG_ODDS, 0)]
    calm = merged.get((MIN_LOG_ODDS, 0), [])
    share = 1.0 - sum(kind.share for kind in kinds)
    if share > 0.0:
        kinds.append(VoterTurns(share, sum(one.share * one.wrong for one in calm) / share))
    return kinds


def _merged(alike: Sequence[VoterTurns]) -> VoterTurns:
    """Similar kinds as one, with their mean probabilities."""
    share = sum(one.share for one in alike)
    wrong, mute = (
        sum(one.share * chance for one, chance in zip(alike, each, strict=True)) / share
        for each in ([one.wrong for one in alike], [one.mute for one in alike])
    )
    return VoterTurns(share, wrong, mute)


def independent_kinds(voters: Sequence[Sequence[VoterTurns]]) -> list[StepKind]:
    """Kinds of steps of several voters, each of which finds other steps hard, independently of the others."""
    kinds = [StepKind(1.0, ())]
    for voter in voters:
        kinds = [
            StepKind(kind.share * one.share, (*kind.wrong, one.wrong), (*kind.mute, one.mute))
            for kind in kinds
            for one in voter
            if kind.share * one.share > MIN_KIND_SHARE
        ]
    return kinds


def scaled_kinds(kinds: Iterable[StepKind], by: float) -> list[StepKind]:
    """The same kinds with their shares multiplied."""
    return [replace(kind, share=kind.share * by) for kind in kinds] if by > 0.0 else []


def _nodes(a: float, b: float) -> list[tuple[float, float]]:
    """(log-odds of q, share) of kinds that stand for q ~ Beta(a, b), ascending; far tails are left out.

    The density of the log-odds z is q^a (1 - q)^b / B(a, b). It is smooth and falls off exponentially on both sides,
    so a plain sum over equal distances of about its own width is practically exact (the trapezoidal rule).
    """
    middle, width = log(a / b), 12.0 * sqrt(1.0 / a + 1.0 / b)
    low, high = max(middle - width, -MAX_LOG_ODDS), min(middle + width, MAX_LOG_ODDS)
    step = 0.8 * sqrt(1.0 / max(a, 1.0) + 1.0 / max(b, 1.0))
    none = log_beta(a, b)
    nodes = []
    for i in range(int((high - low) / step) + 1):
        z = low + i * step
        share = step * exp(-a * log1p(exp(-z)) - b * log1p(exp(z)) - none)
        if share > 1e-18:
            nodes.append((z, share))
    return nodes


def _shifted(nodes: Sequence[tuple[float, float]], mean: float) -> list[float]:
    """Probabilities at the nodes, all shifted by the same log-odds so that their mean is the given one."""

    def reaches_mean(shift: float) -> bool:
        return sum(part / (1.0 + exp(-z - shift)) for z, part in nodes) >= mean

    _, shift = bisect(reaches_mean, -40.0, 40.0, 60)
    return [1.0 / (1.0 + exp(-z - shift)) for z, _ in nodes]


def log_likelihood(mean: float, concentration: float, seen: Iterable[tuple[Votes, float]]) -> float:
    """Log-likelihood of votes by step, each so many times, if q ~ Beta with this mean and concentration a + b."""
    a, b = mean * concentration, (1.0 - mean) * concentration
    none = log_beta(a, b)
    return sum(times * (log_beta(a + wrong, b + right) - none) for (right, wrong), times in seen)


def least_concentration(seen: Sequence[tuple[float, Mapping[Votes, float]]], drop: float = 1.353) -> float:
    """The smallest concentration that the votes leave plausible: the largest spread of p.

    `seen` has for each voter its mean and its votes by step. One-sided at 95 %: the log-likelihood is `drop` = 2.706 /
    2 below its largest (Wilks). It holds for a pilot that samples steps with an error again, because the choice of
    these steps depends only on what was observed.
    """
    evidence = [(mean, _evidence(steps)) for mean, steps in seen if 0.0 < mean < 1.0]

    def score(place: float) -> float:
        return sum(log_likelihood(mean, exp(place), steps) for mean, steps in evidence)

    places = [log(c) for c in CONCENTRATIONS]
    scores = [score(place) for place in places]
    best = scores.index(max(scores))
    top = _peak(score, places[max(0, best - 1)], places[min(best + 1, len(places) - 1)])
    enough = max(scores[best], score(top)) - drop
    first = next((i for i, found in enumerate(scores) if found >= enough), best)
    if first == 0:
        return CONCENTRATIONS[0]
    # the grid is too coarse for long pilots, and a concentration above the true one promises too much
    beyond = top if scores[first] < enough else places[first]
    return exp(bisect(lambda place: score(place) >= enough, places[first - 1], beyond, 20)[0])


def _evidence(steps: Mapping[Votes, float]) -> list[tuple[Votes, float]]:
    """Votes by step, with the part of the prior that is still left."""
    erred = sum(times for (_, wrong), times in steps.items() if wrong)
    (prior, times) = next(iter(PRIOR_STEPS.items()))
    return [*((votes, float(times)) for votes, times in steps.items()), (prior, max(0.0, times - erred))]


def _peak(score: Callable[[float], float], low: float, high: float) -> float:
    """The place of the highest score, by ternary search."""
    for _ in range(30):
        third = (high - low) / 3.0
        if score(low + third) < score(high - third):
            low += third
        else:
            high -= third
    return (low + high) / 2.0
