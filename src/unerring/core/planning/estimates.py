"""What a calibration's counts say: each figure with the interval that the counts leave it."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod, sqrt
from typing import Any

from unerring.core.planning.calibration import Calibration, ErrorStep, VoterCount, VoterOnErrorStep
from unerring.core.planning.intervals import beta_cdf, interval

INTERVAL_CONFIDENCE = 0.99
MIN_HARD_SHARE = 0.25  # at least this share of a voter's further votes is wrong on a step that is hard for it ...
MAX_HARD_PROBABILITY = 1e-4  # ... and its errors elsewhere explain that with no more than this probability


@dataclass(frozen=True, slots=True)
class IntervalEstimate:
    """An estimated probability and its two-sided interval, at 99 %: several are read at once, and all should hold."""

    estimate: float
    low: float
    high: float

    @classmethod
    def of(cls, count: float, trials: float) -> "IntervalEstimate":
        """The share of `count` among `trials` independent ones (Clopper and Pearson); unknown is 0 to 1."""
        return cls(count / trials if trials else 0.0, *interval(count, trials, INTERVAL_CONFIDENCE))

    @property
    def rest(self) -> "IntervalEstimate":
        """The share of the others."""
        return IntervalEstimate(1.0 - self.estimate, 1.0 - self.high, 1.0 - self.low)


@dataclass(frozen=True, slots=True)
class VoterEstimate:
    """What is known of a voter, or of all of them taking turns.

    `p` is the chance that an unflagged vote is right and `v` that a sample is not flagged. `collisions` counts steps
    whose first two votes were both wrong, `expected_collisions` says how many there would be if errors fell
    independently of the step; `same_wrong` of them agreed, which independence makes at most as many as it expects
    collisions. On a `pathological` step the most likely valid answer is wrong. `repeat` is the chance that a voter
    that was wrong on a step is wrong there again: 1 - p where errors scatter, near 1 where they are stubborn.
    `deviation` is the standard deviation of p over steps.
    """

    name: str
    votes: int
    p: IntervalEstimate
    v: IntervalEstimate
    collisions: int
    expected_collisions: float
    same_wrong: int
    pathological: IntervalEstimate
    silent: int
    repeat: float
    deviation: float
    input_tokens: float
    output_tokens: float
    flags: dict[str, int]


def voter_estimate(calibration: Calibration, number: int) -> VoterEstimate:
    """What is known of one voter."""
    voter, looked = calibration.voters[number], calibration.looked_share(number)
    troubles = [step.voters[number] for step in calibration.troubles]
    stubborn = [looked * one.chance for one in troubles if wrong_choice_leads(one.later_right, one.rival)]
    return VoterEstimate(
        name=voter.name,
        collisions=voter.collisions,
        expected_collisions=looked * voter.votes * (voter.wrong / voter.votes) ** 2 if voter.votes else 0.0,
        same_wrong=voter.same_wrong,
        pathological=_pathological(stubborn, voter.votes, 0.5 * looked),
        **_summed_figures([voter], troubles),
    )


def ensemble_estimate(calibration: Calibration) -> VoterEstimate:
    """What is known of all voters together, as their votes go round."""
    voters, looked = calibration.voters, alone_shares(calibration)
    troubles = [one for step in calibration.troubles for one in step.voters]
    stubborn = [
        noticed_probability(step, calibration, looked)
        for step in calibration.troubles
        if wrong_choice_leads(step.right, step.rival)
    ]
    first, second = (voter.wrong / max(1, voter.votes) for voter in (voters[0], voters[1 % len(voters)]))
    return VoterEstimate(
        name=" + ".join(voter.name for voter in voters),
        collisions=calibration.pairs_wrong,
        expected_collisions=calibration.steps * first * second,
        same_wrong=calibration.pairs_same,
        pathological=_pathological(stubborn, calibration.steps, _least_noticed(looked)),
        **_summed_figures(voters, troubles),
    )


def is_hard(one: VoterOnErrorStep, mean: float) -> bool:
    """Whether a voter was wrong on a step far more often than its errors on all steps, `mean` of them, explain."""
    wrong, votes = one.later_wrong, one.later
    return votes >= 4 and wrong > MIN_HARD_SHARE * votes and binomial_tail(wrong, votes, mean) < MAX_HARD_PROBABILITY


def alone_shares(calibration: Calibration) -> list[float]:
    """For each voter, the share of its errors that are looked into for their own sake."""
    return [calibration.looked_share(number, alone=True) for number in range(len(calibration.voters))]


def noticed_probability(step: ErrorStep, calibration: Calibration, looked: Sequence[float]) -> float:
    """The chance that a pilot notices such a step: that some voter's first vote is wrong, and looked into.

    `looked` is that of `alone_shares`.
    """
    if min(looked) == 1.0:
        return 1.0 - prod(1.0 - one.chance for one in step.voters)
    unnoticed = 1.0
    for one, share, voter in zip(step.voters, looked, calibration.voters, strict=True):
        # where few of a voter's errors are looked into, those of the others matter: none of them must be made too much
        usual = voter.wrong / max(1, voter.votes)
        unnoticed *= 1.0 - share * (one.chance if is_hard(one, usual) else usual)
    return 1.0 - unnoticed


def _least_noticed(looked: Sequence[float]) -> float:
    """The least chance that a pilot notices a step on which wrong votes lead, whoever casts them; at most 1/2.

    Of n voters who take turns, the errors there sum up to n/2 at least. Voters whose errors are not all looked into
    may have one each of these; the rest falls on the others, and is noticed least where it falls on them alike.
    """
    others = sum(share == 1.0 for share in looked)
    rest = len(looked) / 2.0 - (len(looked) - others)
    by_others = 1.0 - (1.0 - rest / others) ** others if others and rest > 0.0 else 0.0
    return min(0.5, max(by_others, 0.5 * min(looked)))


def wrong_choice_leads(right: int, rival: int) -> bool:
    """Whether a wrong choice leads the right one by more than chance would let it: a tail below 5 % at even odds."""
    return binomial_tail(rival, right + rival, 0.5) < 0.05


def binomial_tail(count: int, trials: int, chance: float) -> float:
    """The chance that `trials` independent trials succeed `count` times or more."""
    if count <= 0:
        return 1.0
    return beta_cdf(chance, count, trials - count + 1.0) if count <= trials else 0.0


def repeat_probability(troubles: Iterable[VoterOnErrorStep]) -> float:
    """The chance that a voter that was wrong on a step is wrong there again; 1/2 where nothing was seen."""
    again = [one.later_wrong / one.later for one in troubles if one.first_wrong and one.later]
    return (sum(again) + 0.5) / (len(again) + 1.0)


def _summed_figures(voters: Sequence[VoterCount], troubles: Sequence[VoterOnErrorStep]) -> dict[str, Any]:
    """The figures that are sums over voters."""
    steps, votes = sum(voter.steps for voter in voters), sum(voter.votes for voter in voters)
    wrong = IntervalEstimate.of(sum(voter.wrong for voter in voters), votes)
    repeat = repeat_probability(troubles)
    return {
        "votes": votes,
        "p": wrong.rest,
        "v": IntervalEstimate.of(sum(voter.flagged for voter in voters), steps).rest,
        "silent": steps - votes,
        "repeat": repeat,
        "deviation": sqrt(max(0.0, wrong.estimate * (repeat - wrong.estimate))),  # E[q^2] = repeat * E[q]
        "input_tokens": sum(voter.usage.input_tokens for voter in voters) / max(1, steps),
        "output_tokens": sum(voter.usage.output_tokens for voter in voters) / max(1, steps),
        "flags": dict(sum((voter.flags for voter in voters), Counter[str]())),
    }


def _pathological(chances: Sequence[float], steps: int, least: float) -> IntervalEstimate:
    """The share of pathological steps: those seen, over how probably such a one is noticed, `least` at least."""
    chance = max(least, sum(chances) / len(chances)) if chances else least
    if chance <= 0.0:  # of a made-up calibration: errors, none of which was looked into
        return IntervalEstimate(0.0, 0.0, 1.0)
    seen = IntervalEstimate.of(len(chances), steps)
    return IntervalEstimate(*(min(1.0, share / chance) for share in (seen.estimate, seen.low, seen.high)))
