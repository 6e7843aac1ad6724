"""What a calibration's counts say: each figure with the interval that the counts leave it."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod, sqrt
from typing import Any

from unerring.core.planning.calibration import Calibration, Trouble, Troubled, VoterCount
from unerring.core.planning.intervals import beta_cdf, interval

CONFIDENCE = 0.99


@dataclass(frozen=True, slots=True)
class Share:
    """An estimated probability and its two-sided interval, at 99 %: several are read at once, and all should hold."""

    estimate: float
    low: float
    high: float

    @classmethod
    def of(cls, count: float, trials: float) -> "Share":
        """The share of `count` among `trials` independent ones (Clopper and Pearson); unknown is 0 to 1."""
        return cls(count / trials if trials else 0.0, *interval(count, trials, CONFIDENCE))

    @property
    def rest(self) -> "Share":
        """The share of the others."""
        return Share(1.0 - self.estimate, 1.0 - self.high, 1.0 - self.low)


@dataclass(frozen=True, slots=True)
class Estimate:
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
    p: Share
    v: Share
    collisions: int
    expected_collisions: float
    same_wrong: int
    pathological: Share
    silent: int
    repeat: float
    deviation: float
    input_tokens: float
    output_tokens: float
    flags: dict[str, int]


def voter_estimate(calibration: Calibration, number: int) -> Estimate:
    """What is known of one voter."""
    voter = calibration.voters[number]
    troubles = [step.voters[number] for step in calibration.troubles]
    stubborn = [one.chance for one in troubles if outvoted(one.later_right, one.rival)]
    return Estimate(
        name=voter.name,
        collisions=voter.collisions,
        expected_collisions=voter.votes * (voter.wrong / voter.votes) ** 2 if voter.votes else 0.0,
        same_wrong=voter.same_wrong,
        pathological=_pathological(stubborn, voter.votes),
        **_shares([voter], troubles),
    )


def ensemble_estimate(calibration: Calibration) -> Estimate:
    """What is known of all voters together, as their votes go round."""
    voters = calibration.voters
    troubles = [one for step in calibration.troubles for one in step.voters]
    stubborn = [noticed(step) for step in calibration.troubles if outvoted(step.right, step.rival)]
    first, second = (voter.wrong / max(1, voter.votes) for voter in (voters[0], voters[1 % len(voters)]))
    return Estimate(
        name=" + ".join(voter.name for voter in voters),
        collisions=calibration.pairs_wrong,
        expected_collisions=calibration.steps * first * second,
        same_wrong=calibration.pairs_same,
        pathological=_pathological(stubborn, calibration.steps),
        **_shares(voters, troubles),
    )


def noticed(step: Troubled) -> float:
    """The chance that a pilot notices such a step: that some voter's first vote is wrong."""
    return 1.0 - prod(1.0 - one.chance for one in step.voters)


def outvoted(right: int, rival: int) -> bool:
    """Whether a wrong choice leads the right one by more than chance would let it: a tail below 5 % at even odds."""
    return binomial_tail(rival, right + rival, 0.5) < 0.05


def binomial_tail(count: int, trials: int, chance: float) -> float:
    """The chance that `trials` independent trials succeed `count` times or more."""
    if count <= 0:
        return 1.0
    return beta_cdf(chance, count, trials - count + 1.0) if count <= trials else 0.0


def repeated(troubles: Iterable[Trouble]) -> float:
    """The chance that a voter that was wrong on a step is wrong there again; 1/2 where nothing was seen."""
    again = [one.later_wrong / one.later for one in troubles if one.first_wrong and one.later]
    return (sum(again) + 0.5) / (len(again) + 1.0)


def _shares(voters: Sequence[VoterCount], troubles: Sequence[Trouble]) -> dict[str, Any]:
    """The figures that are sums over voters."""
    steps, votes = sum(voter.steps for voter in voters), sum(voter.votes for voter in voters)
    wrong = Share.of(sum(voter.wrong for voter in voters), votes)
    repeat = repeated(troubles)
    return {
        "votes": votes,
        "p": wrong.rest,
        "v": Share.of(sum(voter.flagged for voter in voters), steps).rest,
        "silent": steps - votes,
        "repeat": repeat,
        "deviation": sqrt(max(0.0, wrong.estimate * (repeat - wrong.estimate))),  # E[q^2] = repeat * E[q]
        "input_tokens": sum(voter.usage.input_tokens for voter in voters) / max(1, steps),
        "output_tokens": sum(voter.usage.output_tokens for voter in voters) / max(1, steps),
        "flags": dict(sum((voter.flags for voter in voters), Counter[str]())),
    }


def _pathological(noticed: Sequence[float], steps: int) -> Share:
    """The share of pathological steps: those seen, over how probably such a one is noticed (at least every second)."""
    chance = max(0.5, sum(noticed) / len(noticed)) if noticed else 0.5
    seen = Share.of(len(noticed), steps)
    return Share(*(min(1.0, share / chance) for share in (seen.estimate, seen.low, seen.high)))
