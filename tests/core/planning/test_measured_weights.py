"""Weights from a pilot's counts: one step on which a voter was always wrong limits it to two votes."""

from dataclasses import replace
from itertools import pairwise

from pilots import blank
from tables import each
from unerring.core.planning.calibration import LOGPROB_EDGES, ErrorStep, VoterCount, VoterOnErrorStep
from unerring.core.planning.measured_weights import MIN_ERROR_STEPS, measured_bins, weights_of

SCATTERED = VoterOnErrorStep(right=24, wrong=1, first_wrong=True, rival=0)  # the first vote was wrong, and no other
STUBBORN = VoterOnErrorStep(right=0, wrong=25, first_wrong=True, rival=24)  # every vote was wrong, in the same way
UNLUCKY = VoterOnErrorStep(right=15, wrong=10, first_wrong=True, rival=9)
SEEN_ONCE = VoterOnErrorStep(right=0, wrong=1, first_wrong=True, rival=0)  # wrong, and never looked at again
BY_ANOTHER = VoterOnErrorStep(right=0, wrong=24, first_wrong=False, rival=24)  # looked at because another voter erred


def pilot_of(*troubles, bins=None):
    """A calibration of one voter with 3,000 first votes, whose wrong ones are on these steps."""
    wrong = sum(one.first_wrong for one in troubles)
    voter = VoterCount("sim", steps=3000, votes=3000, wrong=wrong)
    voter.bins = bins or [*([0, 0] for _ in LOGPROB_EDGES), [0, 0], [3000 - wrong, wrong]]
    steps = [ErrorStep(number, (one,), one.later_right, one.rival) for number, one in enumerate(troubles)]
    return replace(blank(1), steps=3000, samples=3000, voters=[voter], error_steps=steps)


def weights(*troubles):
    (voter_bins,) = measured_bins(pilot_of(*troubles))
    return voter_bins.weights


def test_one_step_of_repeated_errors_limits_the_voter_to_two_votes():
    """The worst step decides, not the best or the usual one.

    A voter that repeats one error for ever somewhere has a limited weight, however many of its other errors scatter.
    """
    scattered = weights(*[SCATTERED] * MIN_ERROR_STEPS)
    assert (scattered.again, scattered.repeat > 2000) == (0, True)
    for place in (0, MIN_ERROR_STEPS // 2, MIN_ERROR_STEPS):
        troubles = [SCATTERED] * MIN_ERROR_STEPS
        troubles.insert(place, STUBBORN)
        limited = weights(*troubles)
        assert limited.repeat == 0
        assert 0 < limited.again < limited.bins[0]


def test_a_further_vote_counts_what_the_worst_step_leaves_it():
    """If errors are independent, a further vote's weight comes from the step with the most later errors."""
    mixed = weights(*[SCATTERED] * MIN_ERROR_STEPS, UNLUCKY)
    assert (
        mixed.repeat == weights(*[UNLUCKY] * MIN_ERROR_STEPS).repeat < weights(*[SCATTERED] * MIN_ERROR_STEPS).repeat
    )
    assert mixed.again == 0


def test_a_step_that_is_wrong_on_half_of_its_later_votes_is_stubborn():
    """From a probability of 1/2 on, further votes would move nothing or mislead: the voter gets two votes."""
    half = VoterOnErrorStep(right=12, wrong=13, first_wrong=True, rival=12)  # 12 of 24 later votes: (12 + 0.5) / 25
    assert half.chance == 0.5
    assert weights(*[SCATTERED] * MIN_ERROR_STEPS, half).repeat == 0
    assert weights(*[SCATTERED] * MIN_ERROR_STEPS, replace(half, right=13, wrong=12)).repeat > 0


@each("count", [0, 1, MIN_ERROR_STEPS - 1])
def test_too_few_errors_do_not_show_independence(count):
    """With fewer than ENOUGH steps the next may always be wrong, so the voter gets two votes at most."""
    assert weights(*[SCATTERED] * count).repeat == 0
    assert weights(*[SCATTERED] * MIN_ERROR_STEPS).repeat > 0


@each("other", [SEEN_ONCE, BY_ANOTHER], ids=lambda one: f"{one}")
def test_steps_that_say_nothing_of_a_voters_errors_are_not_counted(other):
    """Steps that do not show whether a voter's errors repeat are not counted.

    These are steps whose wrong vote was never followed by another, and steps where another voter was wrong first: they
    neither make up ENOUGH steps nor count as always wrong.
    """
    assert weights(*[SCATTERED] * (MIN_ERROR_STEPS - 1), other).repeat == 0
    scattered = pilot_of(*[SCATTERED] * MIN_ERROR_STEPS)
    scattered.error_steps.append(ErrorStep(MIN_ERROR_STEPS, (other,), other.later_right, other.rival))
    (voter_bins,) = measured_bins(scattered)
    assert voter_bins.weights.repeat == weights(*[SCATTERED] * MIN_ERROR_STEPS).repeat


def test_surer_votes_never_weigh_less():
    """Error rates fall with rising log-probability; neighbouring bins that violate it are pooled, and no others."""
    bins = [[0, 0] for _ in range(len(LOGPROB_EDGES) + 2)]
    bins[2], bins[4], bins[6], bins[9] = [80, 20], [85, 15], [70, 30], [900, 1]
    (voter_bins,) = measured_bins(pilot_of(*[SCATTERED] * MIN_ERROR_STEPS, bins=bins))
    weighed = voter_bins.weights.bins
    assert len(weighed) == len(LOGPROB_EDGES) + 1
    assert all(low <= high for low, high in pairwise(weighed))
    assert weighed[2] < weighed[9]
    assert weights_of(["sim"], [voter_bins]).edges == LOGPROB_EDGES


def test_without_log_probabilities_there_is_one_bin():
    """If all votes are in the last bin, for no log-probability, they weigh the same and there are no edges."""
    (voter_bins,) = measured_bins(pilot_of(*[SCATTERED] * MIN_ERROR_STEPS))
    assert (voter_bins.right, voter_bins.wrong, len(voter_bins.weights.bins)) == ((1.0,), (1.0,), 1)
    assert weights_of(["sim"], [voter_bins]).edges == ()
