"""Exact intervals of a counted share, compared with scipy and with their own definition."""

from math import inf, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from tables import each
from unerring.core.planning.intervals import beta_cdf, interval, log_beta, upper_bound
from unerring.errors import InputError

TRIALS = (1, 2, 3, 10, 97, 1000, 10_000, 250_000, 1_000_000)
CONFIDENCES = (0.5, 0.9, 0.95, 0.975, 0.999999)


def counts(trials):
    """Counts of 0, all, and some between, near both ends and in the middle."""
    few = {0, 1, 2, 3, trials // 1000, trials // 100, trials // 3, trials // 2}
    return sorted({count for one in few for count in (one, trials - one) if 0 <= count <= trials})


@each("trials", TRIALS)
@each("confidence", CONFIDENCES)
def test_the_upper_bound_is_the_quantile_of_a_beta_distribution(trials, confidence):
    """The upper bound equals scipy's Beta(count + 1, trials - count) quantile, up to a million trials."""
    for count in counts(trials):
        expected = 1.0 if count == trials else stats.beta.ppf(confidence, count + 1, trials - count)
        assert upper_bound(count, trials, confidence) == pytest.approx(expected, rel=1e-8)


@each("trials", TRIALS)
def test_each_end_of_an_interval_is_missed_with_half(trials):
    """The ends of the two-sided interval are scipy's quantiles to eight digits, also for tiny lower ends."""
    for count in counts(trials):
        low, high = interval(count, trials)
        expected = stats.beta.ppf(0.025, count, trials - count + 1) if count else 0.0
        assert low == pytest.approx(expected, rel=1e-8, abs=0.0 if count < trials else 1e-14)
        assert high == pytest.approx(
            stats.beta.ppf(0.975, count + 1, trials - count) if count < trials else 1.0, rel=1e-8
        )


@each(("a", "b"), [(0.5, 0.5), (1, 1), (1, 7), (3, 2), (0.01, 30), (400, 2), (2e3, 3e5), (5e5, 5e5)])
def test_the_incomplete_beta_function_is_scipys(a, b):
    """The regularized incomplete beta function equals scipy's on a grid, and far out in the tails."""
    middle = a / (a + b)
    width = (middle * (1.0 - middle) / (a + b + 1.0)) ** 0.5
    places = [middle + width * far / 4.0 for far in range(-20, 21)] + [1e-9, 1e-4, 0.25, 0.5, 0.75, 1.0 - 1e-9]
    for x in (place for place in places if 0.0 < place < 1.0):
        assert beta_cdf(x, a, b) == pytest.approx(special.betainc(a, b, x), rel=1e-7, abs=1e-13), x


def test_the_incomplete_beta_function_ends_at_0_and_1():
    """Outside the unit interval it is 0 and 1."""
    assert [beta_cdf(x, 2.0, 3.0) for x in (-1.0, 0.0, 1.0, 2.0)] == [0.0, 0.0, 1.0, 1.0]


@given(st.floats(1e-3, 1e6), st.floats(1e-3, 1e6))
def test_the_logarithm_of_the_beta_function_is_scipys(a, b):
    """The normalization equals scipy's."""
    assert log_beta(a, b) == pytest.approx(special.betaln(a, b), rel=1e-9, abs=1e-7)


def missed(share, trials, confidence):
    """The exact probability that the upper bound of a count is below the true share: one minus its coverage.

    Bounds rise with the count, so those that miss are the lowest counts.
    """
    low, high = 0, trials  # the bound of `high` holds every share, since it is 1
    while low < high:
        middle = (low + high) // 2
        if upper_bound(middle, trials, confidence) >= share:
            high = middle
        else:
            low = middle + 1
    return stats.binom.cdf(low - 1, trials, share)


@settings(max_examples=60, deadline=None)
@given(st.floats(0.0, 1.0), st.integers(1, 3000), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_an_upper_bound_covers_the_true_share_as_often_as_it_says(share, trials, confidence):
    """For every true share and number of trials, the exact coverage is at least the stated confidence."""
    assert missed(share, trials, confidence) <= 1.0 - confidence + 1e-9


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.01, 0.999))
def test_intervals_hold_what_was_seen_and_mirror_each_other(counted, confidence):
    """An interval holds the observed share, and the complement has the mirrored interval."""
    count, trials = counted
    low, high = interval(count, trials, confidence)
    assert 0.0 <= low <= count / trials <= high <= 1.0
    other_low, other_high = interval(trials - count, trials, confidence)
    assert (1.0 - other_high, 1.0 - other_low) == pytest.approx((low, high), abs=1e-12)
    if confidence >= 0.5:
        assert count / trials <= upper_bound(count, trials, confidence)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 400), st.integers(400, 1000))
def test_more_successes_never_lower_a_bound(count, trials):
    """Bounds rise with the count."""
    assert upper_bound(count, trials) <= upper_bound(min(count + 1, trials), trials)
    assert interval(count, trials)[0] <= interval(min(count + 1, trials), trials)[0]


def test_without_trials_every_share_is_possible():
    """Without trials the interval is 0 to 1."""
    assert (upper_bound(0, 0), interval(0, 0)) == (1.0, (0.0, 1.0))


@each(("count", "trials"), [(-1, 5), (6, 5), (nan, 5), (1, nan), (inf, 5), (-1, -1)])
def test_an_invalid_share_is_refused(count, trials):
    """A count below 0, above the trials or not a number is an InputError of every function."""
    for asked in (upper_bound, interval):
        with pytest.raises(InputError, match="no share"):
            asked(count, trials)


@each("confidence", [0.0, 1.0, -0.1, 1.5, nan, inf])
def test_a_confidence_that_is_no_probability_is_refused(confidence):
    """A confidence lies strictly between 0 and 1, also for extreme counts."""
    for count in (0, 3, 5):
        for asked in (upper_bound, interval):
            with pytest.raises(InputError, match="confidence"):
                asked(count, 5, confidence)
