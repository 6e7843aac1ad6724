"""Repeat sampling in a pilot: which steps are sampled again, and that estimates allow for those that are not."""

from random import Random

import pytest

from pilots import blank, looked, simulated
from unerring.core.planning.assumptions import measured_assumptions
from unerring.core.planning.calibration import MIN_REPEATED_STEPS, ErrorStep, RepeatSampling, VoterOnErrorStep
from unerring.core.planning.estimates import (
    IntervalEstimate,
    alone_shares,
    ensemble_estimate,
    noticed_probability,
    voter_estimate,
)


def always(voter):
    """The repeat sampling of a pilot of two voters, after so many steps on which one of them always erred."""
    looks = RepeatSampling(blank(2))
    for _ in range(MIN_REPEATED_STEPS):
        assert looks.wanted({voter})
    return looks


def test_a_step_without_an_error_is_not_sampled_again():
    """A step on which no voter erred is not sampled again."""
    assert not RepeatSampling(blank(2)).wanted(set())


def test_errors_are_not_sampled_again_after_enough_steps():
    """After sixty steps of a voter that always errs its errors are not sampled again; another voter's still are."""
    looks = always(0)
    assert not looks.wanted({0})
    assert looks.wanted({1})
    assert looks.wanted({0, 1})


def test_rare_errors_are_always_sampled_again():
    """All errors of a voter that errs rarely are sampled again, to find its hardest steps."""
    looks = RepeatSampling(blank(1))
    for step in range(4000):
        assert looks.wanted({0} if step % 5 == 0 else set()) is (step % 5 == 0)


def test_repeat_sampling_continues_from_a_calibration():
    """Which steps are sampled again is a function of the counts, so a pilot can be stopped at any step."""
    calibration, whole, chance = blank(2), RepeatSampling(blank(2)), Random(5)
    for step in range(400):
        erring = {voter for voter, q in enumerate((0.8, 0.05)) if chance.random() < q}
        wanted = whole.wanted(erring)
        assert RepeatSampling(calibration).wanted(erring) is wanted
        choices = ["w" if voter in erring else "r" for voter in range(2)] + ["r"] * 48 * wanted
        calibration.add(looked(step, *choices, voters=2))


# --- what is concluded


def thinned(seed, steps_of_samples=30_000, bad=(0.5, 0.1)):
    """A pilot of a good voter and a bad one, which errs at its own rate, and on a share of steps always."""
    usual, stubborn = bad

    def wrong(chance):
        return (1.0 if chance.random() < stubborn else usual, 0.01)

    return simulated(wrong, steps_of_samples, Random(seed), voters=2)


def test_the_share_of_errors_sampled_again_is_known():
    """It is known for each voter, over all its errors and those where it alone erred; 1 if it never erred."""
    calibration = thinned(1)
    alone, all_errors = calibration.repeated_share(0, alone=True), calibration.repeated_share(0)
    assert 0.0 < alone < all_errors < 0.2
    assert alone_shares(calibration) == [alone, 1.0]
    assert calibration.repeated_share(1) == blank(2).repeated_share(0) == 1.0


def test_a_step_is_noticed_as_often_as_errors_are_sampled_again():
    """A step that is hard for a voter whose errors are seldom sampled again is noticed rarely."""
    calibration = thinned(1)
    hard = ErrorStep(0, (VoterOnErrorStep(0, 25, True, 24), VoterOnErrorStep(25, 0, False, 0)), 24, 24)
    good = calibration.voters[1]
    by_it, by_the_other = alone_shares(calibration)[0] * 24.5 / 25.0, good.wrong / good.votes
    assert noticed_probability(hard, calibration, alone_shares(calibration)) == pytest.approx(
        1.0 - (1.0 - by_it) * (1.0 - by_the_other)
    )
    assert noticed_probability(hard, blank(2), [1.0, 1.0]) == pytest.approx(
        1.0 - (1.0 - 24.5 / 25.0) * (1.0 - 0.5 / 25.0)
    )


def test_hard_steps_are_planned_for_in_the_share_that_they_have():
    """Steps on which the bad voter is always wrong are a tenth, though few of them were sampled again.

    Twelve pilots with seeds of their own: the mean of what is planned for is within three standard errors.
    """
    shares = []
    for seed in range(12):
        kinds = measured_assumptions(thinned(seed, 12_000)).spread.kinds
        shares.append(sum(kind.share for kind in kinds if kind.wrong[0] > 0.95 and kind.wrong[1] < 0.5))
    mean = sum(shares) / len(shares)
    error = (sum((share - mean) ** 2 for share in shares) / len(shares) ** 2) ** 0.5
    assert abs(mean - 0.1) < 3.0 * error
    assert error < 0.02


def test_pathological_steps_of_a_voter_are_not_undercounted():
    """The interval for steps on which the bad voter's most likely answer is wrong holds their share."""
    held = [voter_estimate(thinned(seed, 12_000, bad=(0.3, 0.1)), 0).pathological for seed in range(12)]
    assert sum(share.low <= 0.1 <= share.high for share in held) >= 11


def test_collisions_are_expected_where_they_can_be_seen():
    """Two wrong votes in a row are expected only on the steps that are sampled again, where they are seen."""
    estimate = voter_estimate(thinned(3, bad=(0.6, 0.0)), 0)
    assert estimate.collisions == pytest.approx(estimate.expected_collisions, rel=0.25)
    assert estimate.collisions < 200


def test_the_bound_grows_with_errors_not_sampled_again():
    """If few errors are sampled again, the upper bound on steps with mostly wrong votes is larger.

    Beside a voter that may be wrong on every step, the other errs on none too many for wrong votes to lead: such steps
    would be noticed by the bad voter's errors alone, of which few are sampled again.
    """
    every = simulated(lambda _: (0.01, 0.01), 6000, Random(1), voters=2)
    beside = thinned(1)
    least = 0.5 * min(alone_shares(beside))
    found, full = ensemble_estimate(beside).pathological, ensemble_estimate(every).pathological
    assert full.high == pytest.approx(2.0 * IntervalEstimate.of(0, every.steps).high)
    assert found.high == pytest.approx(min(1.0, IntervalEstimate.of(0, beside.steps).high / least))


def test_a_calibration_without_repeat_samples_excludes_nothing():
    """If no error was ever sampled again, all of them may repeat, and the estimates do not fail."""
    calibration = blank(1)
    for step in range(20):
        calibration.add(looked(step, "w" if step % 2 else "r"))
    assert voter_estimate(calibration, 0).pathological.high == 1.0
