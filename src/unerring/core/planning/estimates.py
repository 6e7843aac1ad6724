"""Estimates from a calibration's counts, each with the interval that the counts leave."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod, sqrt
from typing import Any

from unerring.core.planning.calibration import Calibration, ErrorStep, VoterCount, VoterOnErrorStep
from unerring.core.planning.intervals import beta_cdf, interval

INTERVAL_CONFIDENCE = 0.99
MIN_HARD_SHARE = 0.25  # of a voter's further votes that are wrong on a step that is hard for it ...
MAX_HARD_PROBABILITY = 1e-4  # ... if its errors elsewhere explain that with at most this probability


@dataclass(frozen=True, slots=True)
class IntervalEstimate:
    """An estimated probability, with a two-sided interval at 99 %: several are read at once, and all should hold."""

    estimate: float
    low: float
    high: float

    @classmethod
    def of(cls, count: float, trials: float) -> "IntervalEstimate":
        """The share of `count` among `trials` independent ones (Clopper and Pearson); 0 to 1 where there are none."""
        return cls(count / trials if trials else 0.0, *interval(count, trials, INTERVAL_CONFIDENCE))

    @property
    def rest(self) -> "IntervalEstimate":
        """The share of the others, 1 minus this one."""
        return IntervalEstimate(1.0 - self.estimate, 1.0 - self.high, 1.0 - self.low)


@dataclass(frozen=True, slots=True)
class VoterEstimate:
    """The estimates for one voter, or for all of them in turn.

    name: the name of the voter or ensemble.
    votes: first votes.
    p: the probability that an unflagged vote is right.
    v: the probability that a sample is not flagged.
    collisions: steps whose first two votes were both wrong.
    expected_collisions: how many there would be if errors were independent of the step.
    same_wrong: collisions whose two votes agreed; independent errors make at most as many as `expected_collisions`.
    pathological: the share of steps on which the most likely valid answer is wrong.
    silent: steps without a vote.
    repeat: the probability that a voter that was wrong on a step is wrong there again: 1 - p where errors scatter,
        near 1 where they repeat.
    deviation: the standard deviation of p over steps.
    input_tokens, output_tokens: mean tokens of a sample.
    flags: flagged samples by kind.
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
    """The estimates for one voter."""
    voter, repeated = calibration.voters[number], calibration.repeated_share(number)
    error_steps = [step.voters[number] for step in calibration.error_steps]
    outvoted = [repeated * one.chance for one in error_steps if wrong_choice_leads(one.later_right, one.rival)]
    return VoterEstimate(
        name=voter.name,
        collisions=voter.collisions,
        expected_collisions=repeated * voter.votes * (voter.wrong / voter.votes) ** 2 if voter.votes else 0.0,
        same_wrong=voter.same_wrong,
        pathological=_pathological(outvoted, voter.votes, 0.5 * repeated),
        **_summed_figures([voter], error_steps),
    )


def ensemble_estimate(calibration: Calibration) -> VoterEstimate:
    """The estimates for all voters together, in turn."""
    voters, repeated = calibration.voters, alone_shares(calibration)
    error_steps = [one for step in calibration.error_steps for one in step.voters]
    outvoted = [
        noticed_probability(step, calibration, repeated)
        for step in calibration.error_steps
        if wrong_choice_leads(step.right, step.rival)
    ]
    first, second = (voter.wrong / max(1, voter.votes) for voter in (voters[0], voters[1 % len(voters)]))
    return VoterEstimate(
        name=" + ".join(voter.name for voter in voters),
        collisions=calibration.pairs_wrong,
        expected_collisions=calibration.steps * first * second,
        same_wrong=calibration.pairs_same,
        pathological=_pathological(outvoted, calibration.steps, _least_noticed(repeated)),
        **_summed_figures(voters, error_steps),
    )


def is_hard(one: VoterOnErrorStep, mean: float) -> bool:
    """Whether a voter was wrong on a step far more often than its share of errors, `mean`, explains."""
    wrong, votes = one.later_wrong, one.later
    return votes >= 4 and wrong > MIN_HARD_SHARE * votes and binomial_tail(wrong, votes, mean) < MAX_HARD_PROBABILITY


def alone_shares(calibration: Calibration) -> list[float]:
    """For each voter, the share of its errors that were sampled again for their own sake."""
    return [calibration.repeated_share(number, alone=True) for number in range(len(calibration.voters))]


def noticed_probability(step: ErrorStep, calibration: Calibration, repeated: Sequence[float]) -> float:
    """The probability that a pilot notices such a step: a first vote is wrong there, and sampled again.

    `repeated` are the shares of `alone_shares`.
    """
    if min(repeated) == 1.0:
        return 1.0 - prod(1.0 - one.chance for one in step.voters)
    unnoticed = 1.0
    for one, share, voter in zip(step.voters, repeated, calibration.voters, strict=True):
        # where few of a voter's errors are sampled again, those of the others matter, and must not be overestimated
        usual = voter.wrong / max(1, voter.votes)
        unnoticed *= 1.0 - share * (one.chance if is_hard(one, usual) else usual)
    return 1.0 - unnoticed


def _least_noticed(repeated: Sequence[float]) -> float:
    """The least probability that a pilot notices a step on which wrong votes lead, whoever casts them; at most 1/2.

    Of n voters in turn, the error probabilities on such a step sum to at least n/2. Voters whose errors are not all
    sampled again may have 1 each of that sum. The rest falls on the others, and is noticed least if it falls on them
    equally.
    """
    others = sum(share == 1.0 for share in repeated)
    rest = len(repeated) / 2.0 - (len(repeated) - others)
    by_others = 1.0 - (1.0 - rest / others) ** others if others and rest > 0.0 else 0.0
    return min(0.5, max(by_others, 0.5 * min(repeated)))


def wrong_choice_leads(right: int, rival: int) -> bool:
    """Whether a wrong choice leads the right one beyond chance: at even odds, with a tail probability below 5 %."""
    return binomial_tail(rival, right + rival, 0.5) < 0.05


def binomial_tail(count: int, trials: int, chance: float) -> float:
    """The probability of at least `count` successes in `trials` independent trials."""
    if count <= 0:
        return 1.0
    return beta_cdf(chance, count, trials - count + 1.0) if count <= trials else 0.0


def repeat_probability(error_steps: Iterable[VoterOnErrorStep]) -> float:
    """The probability that a voter that was wrong on a step is wrong there again; 1/2 where nothing was observed."""
    again = [one.later_wrong / one.later for one in error_steps if one.first_wrong and one.later]
    return (sum(again) + 0.5) / (len(again) + 1.0)


def _summed_figures(voters: Sequence[VoterCount], error_steps: Sequence[VoterOnErrorStep]) -> dict[str, Any]:
    """The figures that are sums over voters."""
    steps, votes = sum(voter.steps for voter in voters), sum(voter.votes for voter in voters)
    wrong = IntervalEstimate.of(sum(voter.wrong for voter in voters), votes)
    repeat = repeat_probability(error_steps)
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
    """The share of pathological steps: those observed, divided by the probability that a pilot notices one."""
    chance = max(least, sum(chances) / len(chances)) if chances else least
    if chance <= 0.0:  # of a forged calibration: errors, none of which was sampled again
        return IntervalEstimate(0.0, 0.0, 1.0)
    seen = IntervalEstimate.of(len(chances), steps)
    return IntervalEstimate(*(min(1.0, share / chance) for share in (seen.estimate, seen.low, seen.high)))
