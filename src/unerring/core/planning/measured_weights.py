"""Compute the weights of votes from what a pilot measured, by voter and by a vote's log-probability.

By Bayes' rule a vote that is right with probability p counts ln(p / (1 - p)) for its choice. Votes are divided into
bins of log-probability, and p is the posterior mean of each bin (Laplace's rule: one more error than was observed, in
two more votes). The promise of *no* error needs the mean: by Jensen's inequality, the probability that n such votes
are all right is at least its n-th power.

Where a voter's errors scattered on every step that was sampled again, its further votes on a step weigh what the worst
of these steps allows. Where they repeated on one, or were too few to tell, at most two of its votes count on a step
(`unerring.core.voting.weights`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from unerring.core.planning.calibration import LOGPROB_EDGES, Calibration, VoterCount, VoterOnErrorStep
from unerring.core.voting.weights import VoterWeights, Weights, voter_weights

# Steps on which a voter erred, before its errors count as scattered: if its error repeats on none of 30, it repeats on
# fewer than one in ten, with 95 %.
MIN_ERROR_STEPS = 30


@dataclass(frozen=True, slots=True)
class LogprobBins:
    """How one voter's votes fall into bins of log-probability.

    right: by bin, the probability that a right vote falls into it.
    wrong: by bin, the probability that a wrong vote falls into it.
    weights: the weights of its votes.
    """

    right: tuple[float, ...]
    wrong: tuple[float, ...]
    weights: VoterWeights


def measured_bins(calibration: Calibration) -> tuple[LogprobBins, ...]:
    """The bins of each voter; one bin where the engine gives no log-probabilities."""
    parted = any(right + wrong for voter in calibration.voters for right, wrong in voter.bins[:-1])
    return tuple(
        _bins_of(voter, [step.voters[number] for step in calibration.error_steps], parted)
        for number, voter in enumerate(calibration.voters)
    )


def weights_of(voters: Sequence[str], voter_bins: Sequence[LogprobBins]) -> Weights:
    """The weights that a run's votes count with."""
    edges = LOGPROB_EDGES if len(voter_bins[0].right) > 1 else ()
    return Weights(edges, tuple(zip(voters, (one.weights for one in voter_bins), strict=True)))


def _bins_of(voter: VoterCount, error_steps: Sequence[VoterOnErrorStep], parted: bool) -> LogprobBins:
    counted = [(right, wrong) for right, wrong in voter.bins[:-1]] if parted else []
    bins = counted or [(voter.votes - voter.wrong, voter.wrong)]
    errors = _falling_errors([(wrong + 1.0, right + wrong + 2.0) for right, wrong in bins])
    expected = [error * (right + wrong + 2.0) for error, (right, wrong) in zip(errors, bins, strict=True)]
    rights = sum(right for right, _ in bins) or 1
    return LogprobBins(
        right=tuple(right / rights for right, _ in bins),
        wrong=tuple(one / sum(expected) for one in expected),
        weights=_weights(voter, [1.0 - one for one in errors], error_steps),
    )


def _weights(voter: VoterCount, right: Sequence[float], error_steps: Sequence[VoterOnErrorStep]) -> VoterWeights:
    erred = [one for one in error_steps if one.first_wrong and one.later]
    worst = max((one.chance for one in erred), default=1.0)
    if worst < 0.5 and len(erred) >= MIN_ERROR_STEPS:
        return voter_weights(right, worst)
    error = (voter.wrong + 1.0) / (voter.votes + 2.0)
    repeat = (sum(one.later_wrong / one.later for one in erred) + 1.0) / (
        len(erred) + 1.0
    )  # with one more step on which it repeats
    # votes are exchangeable: right then wrong is as frequent as the reverse
    strays = min(1.0, error * (1.0 - repeat) / (1.0 - error))
    return voter_weights(right, repeat, strays)


def _falling_errors(bins: Sequence[tuple[float, float]]) -> list[float]:
    """Error probabilities by bin that fall as the log-probability rises; neighbours that do not are pooled.

    Pool adjacent violators (Ayer et al., Ann. Math. Stat. 26, 1955): the likeliest such sequence.
    """
    pools: list[tuple[float, float, int]] = []
    for wrong, votes in bins:
        pools.append((wrong, votes, 1))
        while len(pools) > 1 and pools[-2][0] * pools[-1][1] < pools[-1][0] * pools[-2][1]:
            (w, n, size), (w2, n2, size2) = pools[-2:]
            pools[-2:] = [(w + w2, n + n2, size + size2)]
    return [wrong / votes for wrong, votes, size in pools for _ in range(size)]
