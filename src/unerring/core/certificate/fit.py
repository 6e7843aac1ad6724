"""Fit the error model to a run's votes: estimate the number of wrong steps, with an interval.

Two numbers are fitted (`unerring.core.certificate.error_model`): a shift of the log-odds of all voters' errors, and
`repeat`, which says how much error probabilities vary between steps. The ratios between voters follow from how often
each was outvoted, corrected by the fit for votes that were outvoted though right; how far wrong votes scatter follows
from how they fell, alternating with the rest.

Estimates are means over both parameters, weighted by likelihood: by Laplace's method along the shift (three nodes of
Gauss and Hermite), by a sum along `repeat`, with a flat prior on its logarithm apart from that of `PatternEvidence`.
Where votes say little, the mean is higher, so more cautious, than the place of greatest likelihood.

The interval. While the log-likelihood is within 3.0 nats of its greatest value (half the 0.95 quantile of chi-squared
with two degrees of freedom; Wilks 1938), the expected number of wrong steps goes from `low` to `high`. Given the
parameters, the number itself is a sum of independent events, and varies at most as a Poisson variable of that mean
(Hoeffding 1956). Its quantiles of 2.5 % at `low` and of 97.5 % at `high` are the interval, which is rather too wide
than too narrow.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from math import exp, inf, lgamma, log, sqrt

from unerring.core.certificate.error_model import ErrorModel, PatternEvidence, WrongStepOutlook
from unerring.core.certificate.vote_patterns import Pattern, pooled
from unerring.core.planning.intervals import bisect

REGION_NATS = 3.0  # below the greatest log-likelihood: the region of the interval
AVERAGED_NATS = 6.0  # below it, parameters are left out of the average
MAX_REPEAT = 0.98
SLOPE_STEP = 0.05  # of the shift, for numerical slopes
HERMITE_NODES = ((-sqrt(3.0), 1 / 6), (0.0, 2 / 3), (sqrt(3.0), 1 / 6))  # place in deviations, weight


@dataclass(frozen=True, slots=True)
class FittedErrorModel:
    """The fitted model: means over all parameters that the votes leave plausible.

    wrong: by voter, its probability of a wrong vote.
    mean_wrong: the probability that a vote is wrong.
    again: the probability that a voter that was wrong once on a step is wrong there again.
    chances: by pattern, the probability that a step is wrong.
    outlook: the expected number of wrong steps.
    low, high: the outlook at the ends of the region of plausible parameters; at `high` all wrong votes of a step
        agree.
    height: the greatest log-likelihood, nats, by which models of the same votes are compared.
    """

    wrong: Mapping[int, float]
    mean_wrong: float
    again: float
    chances: Mapping[Pattern, float]
    outlook: WrongStepOutlook
    low: WrongStepOutlook
    high: WrongStepOutlook
    height: float = -inf

    def interval(self) -> tuple[int, int]:
        """The number of wrong steps lies outside this interval with a probability of at most 5 %."""
        return poisson_quantile(self.low.wrong, 0.025), poisson_quantile(self.high.wrong, 0.975)


def fit_error_model(evidence: PatternEvidence) -> FittedErrorModel:
    """Fit the model to the evidence, which must have a step with two votes or more."""
    search = _Search(evidence)
    best = search.best()
    for _ in range(8):
        if not evidence.correct(evidence.erring(best.shift, best.repeat)):
            break
        search = _Search(evidence)
        best = search.best(best)
    region = [evidence.erring(*place) for place in search.region(best)]
    estimate = _averaged(evidence, search.weighed())
    outlooks = [estimate.outlook]
    for agreed in (False, True):
        outlooks += [evidence.outlook(evidence.chances(erring, agreed)) for erring in region]
    return replace(
        estimate,
        height=best.height,
        low=WrongStepOutlook(min(one.wrong for one in outlooks), max(one.none for one in outlooks)),
        high=WrongStepOutlook(max(one.wrong for one in outlooks), min(one.none for one in outlooks)),
    )


def pooled_evidence(patterns: Mapping[Pattern, int], shares: Mapping[int, tuple[int, int]]) -> PatternEvidence:
    """The same votes as those of a single voter, number 0, as if a step were equally hard for all."""
    steps: dict[Pattern, int] = {}
    for pattern, count in patterns.items():
        one = pooled(pattern, 0)
        steps[one] = steps.get(one, 0) + count
    return PatternEvidence(
        steps, {0: (sum(lost for lost, _ in shares.values()), sum(votes for _, votes in shares.values()))}
    )


def _averaged(evidence: PatternEvidence, weighed: Iterable[tuple[float, ErrorModel]]) -> FittedErrorModel:
    """The means over weighted parameters; the region is added later."""
    chances, none, again = [0.0] * len(evidence.steps), 0.0, 0.0
    wrong = dict.fromkeys(evidence.votes, 0.0)
    for weight, erring in weighed:
        each = evidence.chances(erring)
        chances = [total + weight * chance for total, chance in zip(chances, each, strict=True)]
        none += weight * evidence.outlook(each).none
        again += weight * evidence.mean(erring.again)
        for voter in wrong:
            wrong[voter] += weight * erring.means[voter]
    outlook = WrongStepOutlook(evidence.outlook(chances).wrong, none)
    by_pattern = dict(zip(evidence.steps, chances, strict=True))
    return FittedErrorModel(wrong, evidence.mean(wrong.__getitem__), again, by_pattern, outlook, outlook, outlook)


@dataclass(frozen=True, slots=True)
class _LikelihoodPeak:
    """The greatest likelihood at one value of `repeat`.

    spot: the logarithm of `repeat`.
    height: the log-likelihood, nats.
    shift: the shift at which it is reached.
    width: the width of the peak along the shift.
    """

    spot: float
    height: float
    shift: float
    width: float

    @property
    def repeat(self) -> float:
        return exp(self.spot)

    @property
    def mass(self) -> float:
        """The logarithm of the integral of the likelihood over the peak, for a unit of `spot`."""
        return self.height + log(self.width) + self.spot


class _Search:
    """Searches for the likely parameters."""

    def __init__(self, evidence: PatternEvidence) -> None:
        self._evidence = evidence
        self._known: dict[float, _LikelihoodPeak] = {}
        # a spread far below the probability of an error makes no difference
        least = min(evidence.erring(0.0, 1e-6).means.values())
        self._lowest, self._highest = log(max(1e-12, min(0.01, 1e-3 * least))), log(MAX_REPEAT)

    def best(self, start: _LikelihoodPeak | None = None) -> _LikelihoodPeak:
        """The place of greatest likelihood: from a coarse grid or near `start`, then refined."""
        step = (self._highest - self._lowest) / 10
        for i in range(11) if start is None else ():
            self._profile(self._lowest + step * i)
        if start is not None:
            self._profile(start.spot)
        return self._closed_in(lambda place: place.height, step, 0.03)

    def region(self, best: _LikelihoodPeak) -> list[tuple[float, float]]:
        """Places along the boundary of the region within `REGION_NATS` of the best one, as (shift, repeat)."""
        floor = best.height - REGION_NATS
        ends = [self._end(lambda place: place.height - floor, best, sign) for sign in (-1, 1)]
        spots = {best.spot + (end - best.spot) * part for end in ends for part in (0.0, 0.4, 0.7, 0.9, 1.0)}
        places = map(self._profile, sorted(spots))
        return [(self._side(place, sign, floor), place.repeat) for place in places for sign in (-1, 1)]

    def weighed(self) -> list[tuple[float, ErrorModel]]:
        """Parameters that cover what is plausible, each with its weight; weights sum to 1."""
        best = self._closed_in(lambda place: place.mass, 1.0, 0.2)
        floor = best.mass - AVERAGED_NATS
        low, high = (self._end(lambda place: place.mass - floor, best, sign) for sign in (-1, 1))
        places = [self._profile(low + (high - low) * i / 12) for i in range(13)]
        most = max(place.mass for place in places)
        weighted = []
        for place in places:
            for offset, share in HERMITE_NODES:
                weight = share * exp(place.mass - most)
                weighted.append((weight, self._evidence.erring(place.shift + offset * place.width, place.repeat)))
        total = sum(weight for weight, _ in weighted)
        return [(weight / total, erring) for weight, erring in weighted]

    def _closed_in(self, of: Callable[[_LikelihoodPeak], float], step: float, least: float) -> _LikelihoodPeak:
        """The place where a quantity is greatest, refined from the best place known by ever smaller steps."""
        best = max(self._known.values(), key=of)
        while step > least:
            step /= 2.0
            others = [self._profile(self._inside(best.spot + offset)) for offset in (-step, step)]
            best = max((best, *others), key=of)
        return best

    def _end(self, above: Callable[[_LikelihoodPeak], float], best: _LikelihoodPeak, sign: int) -> float:
        """The last `spot` on one side of the best place where a quantity is above zero."""
        inside = best.spot
        end = self._lowest if sign < 0 else self._highest
        beyond = sorted((spot for spot in (*self._known, end) if sign * (spot - inside) > 0), key=lambda s: sign * s)
        outside = end
        for spot in beyond:
            if above(self._profile(spot)) <= 0.0:
                outside = spot
                break
            inside = spot
        if inside == end:
            return end
        return bisect(lambda spot: above(self._profile(spot)) <= 0.0, inside, outside, 5)[0]

    def _inside(self, spot: float) -> float:
        return min(self._highest, max(self._lowest, spot))

    def _height(self, shift: float, repeat: float) -> float:
        return self._evidence.log_likelihood(self._evidence.erring(shift, repeat))

    def _profile(self, spot: float) -> _LikelihoodPeak:
        """The greatest likelihood at one value of `repeat`, by Newton's method from the nearest place known."""
        if spot in self._known:
            return self._known[spot]
        repeat = exp(spot)
        near = min(self._known.values(), key=lambda place: abs(place.spot - spot), default=None)
        shift = 0.0 if near is None else near.shift
        while (height := self._height(shift, repeat)) == -inf:
            shift -= 0.5
        width = 1.0
        for _ in range(40):
            before, after = self._height(shift - SLOPE_STEP, repeat), self._height(shift + SLOPE_STEP, repeat)
            slope, bend = (
                (after - before) / (2 * SLOPE_STEP),
                (after - 2 * height + before) / (SLOPE_STEP * SLOPE_STEP),
            )
            if after == -inf:  # the boundary of what is allowed: votes are right more often than not
                slope, bend = (height - before) / SLOPE_STEP, 0.0
            width = 1.0 / sqrt(-bend) if bend < -0.1 else 3.0
            move = max(-1.0, min(1.0, slope * width * width))
            while (there := self._height(shift + move, repeat)) < height and abs(move) > 0.01 * width:
                move /= 2.0
            if there <= height:
                break
            shift, gain, height = shift + move, there - height, there
            if gain < 1e-3:
                break
        place = self._known[spot] = _LikelihoodPeak(spot, height, shift, width)
        return place

    def _side(self, place: _LikelihoodPeak, sign: int, floor: float) -> float:
        """The shift on one side of a peak where the likelihood falls below the floor, by bisection."""
        inside, outside = 0.0, min(60.0, place.width * sqrt(2.0 * max(0.0, place.height - floor)))
        while self._height(place.shift + sign * outside, place.repeat) > floor and outside < 60.0:
            inside, outside = outside, outside * 1.5 + 1e-3

        def below(offset: float) -> bool:
            return self._height(place.shift + sign * offset, place.repeat) <= floor

        return place.shift + sign * bisect(below, inside, outside, 4)[1]


def poisson_quantile(mean: float, share: float) -> int:
    """The least number that a Poisson variable exceeds with a probability of at most 1 - share.

    Summed from the mode outwards, so any mean works; it takes about ten times its square root of terms.
    """
    if mean <= 0.0:
        return 0
    count = int(mean)
    term = exp(count * log(mean) - mean - lgamma(count + 1.0))  # P(X = count)
    total, below, falling = term, count, term
    while below > 0 and falling > total * 1e-17:
        falling *= below / mean
        below -= 1
        total += falling  # P(X <= count), in the end
    while count > 0 and total - term >= share:
        total -= term
        term *= count / mean
        count -= 1
    while total < share and term > 0.0:
        count += 1
        term *= mean / count
        total += term
    return count
