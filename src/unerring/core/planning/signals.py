"""Signals: what a vote's own log-probability says of it, as a pilot measured it, and the weight that it earns.

Where a voter's errors scattered on every step that was looked at, its further votes on a step count what the worst of
these steps leaves them. Where it was stubborn on one, or erred too rarely to tell, it is heard twice
(`unerring.core.voting.weights`).

By Bayes' rule a vote that is right with probability p counts ln(p / (1 - p)) for its choice. Votes are parted into
bins of log-probability, and p is the posterior mean of each bin (Laplace's rule: one more error than was seen, in two
more votes). The mean is what a promise of *no* error needs: the chance that n such votes are all right is, by Jensen's
inequality, at least the n-th power of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from unerring.core.planning.calibration import LOGPROB_EDGES, Calibration, VoterCount, VoterOnErrorStep
from unerring.core.voting.weights import VoterWeights, Weights, voter_weights

# Steps on which a voter erred, before it is said that its errors scatter: if none of 30 was a stubborn one, such are
# fewer than one in ten, with 95 %.
MIN_ERROR_STEPS = 30


@dataclass(frozen=True, slots=True)
class LogprobBins:
    """One voter's bins: how right and wrong votes fall into them, as probabilities, and what votes in them count."""

    right: tuple[float, ...]
    wrong: tuple[float, ...]
    weights: VoterWeights


def measured_signals(calibration: Calibration) -> tuple[LogprobBins, ...]:
    """The signals of each voter; one bin where the engine gives no log-probabilities."""
    parted = any(right + wrong for voter in calibration.voters for right, wrong in voter.bins[:-1])
    return tuple(
        _signals(voter, [step.voters[number] for step in calibration.troubles], parted)
        for number, voter in enumerate(calibration.voters)
    )


def weights_of(voters: Sequence[str], signals: Sequence[LogprobBins]) -> Weights:
    """The weights that a run's votes are counted with."""
    edges = LOGPROB_EDGES if len(signals[0].right) > 1 else ()
    return Weights(edges, tuple(zip(voters, (one.weights for one in signals), strict=True)))


def _signals(voter: VoterCount, troubles: Sequence[VoterOnErrorStep], parted: bool) -> LogprobBins:
    counted = [(right, wrong) for right, wrong in voter.bins[:-1]] if parted else []
    bins = counted or [(voter.votes - voter.wrong, voter.wrong)]
    errors = _falling_errors([(wrong + 1.0, right + wrong + 2.0) for right, wrong in bins])
    expected = [error * (right + wrong + 2.0) for error, (right, wrong) in zip(errors, bins, strict=True)]
    rights = sum(right for right, _ in bins) or 1
    return LogprobBins(
        right=tuple(right / rights for right, _ in bins),
        wrong=tuple(one / sum(expected) for one in expected),
        weights=_weights(voter, [1.0 - one for one in errors], troubles),
    )


def _weights(voter: VoterCount, right: Sequence[float], troubles: Sequence[VoterOnErrorStep]) -> VoterWeights:
    erred = [one for one in troubles if one.first_wrong and one.later]
    worst = max((one.chance for one in erred), default=1.0)
    if worst < 0.5 and len(erred) >= MIN_ERROR_STEPS:
        return voter_weights(right, worst)
    error = (voter.wrong + 1.0) / (voter.votes + 2.0)
    repeat = (sum(one.later_wrong / one.later for one in erred) + 1.0) / (len(erred) + 1.0)  # one stubborn step more
    # votes are exchangeable: right then wrong as often as the reverse
    strays = min(1.0, error * (1.0 - repeat) / (1.0 - error))
    return voter_weights(right, repeat, strays)


def _falling_errors(bins: Sequence[tuple[float, float]]) -> list[float]:
    """Errors by bin, made to fall as the log-probability rises, by pooling neighbours that do not.

    Pool adjacent violators (Ayer et al., Ann. Math. Stat. 26, 1955): the likeliest such sequence.
    """
    pools: list[tuple[float, float, int]] = []
    for wrong, votes in bins:
        pools.append((wrong, votes, 1))
        while len(pools) > 1 and pools[-2][0] * pools[-1][1] < pools[-1][0] * pools[-2][1]:
            (w, n, size), (w2, n2, size2) = pools[-2:]
            pools[-2:] = [(w + w2, n + n2, size + size2)]
    return [wrong / votes for wrong, votes, size in pools for _ in range(size)]
