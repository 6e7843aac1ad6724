"""How p varies over steps: kinds of steps against exact integrals, and the spread that a pilot shows."""

from collections import Counter
from itertools import pairwise
from math import inf, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special
from scipy.stats import beta as beta_distribution
from scipy.stats import betabinom, binom

from tables import each
from unerring.core.planning.calibration import REPEAT_VOTES
from unerring.core.planning.spread import (
    CONCENTRATIONS,
    PRIOR_STEPS,
    StepKind,
    VoterTurns,
    beta_spread,
    equal_spread,
    independent_kinds,
    least_concentration,
    log_likelihood,
    scaled_kinds,
    voter_kinds,
)
from unerring.core.voting.odds import loss_probability

ALARM = 1e-6
MEANS = (1e-4, 0.001, 0.01, 0.1, 0.3)
WIDE_TO_NARROW = (0.1, 0.5, 2.0, 10.0, 30.0, 100.0, 1e3, 1e4, 1e5)


def integrated(mean, concentration, k):
    """The probability to lose a race to a margin of k, exactly averaged over q ~ Beta, by quadrature over log-odds."""
    a, b = mean * concentration, (1.0 - mean) * concentration
    middle, width = log(a / b), (1.0 / a + 1.0 / b) ** 0.5

    def density(z):
        fall = a * np.logaddexp(0.0, -z) + b * np.logaddexp(0.0, z) + special.betaln(a, b)
        return np.exp(-fall - np.logaddexp(0.0, -k * z))

    places = {-700.0, 0.0, 700.0, *(middle + width * far for far in (-12, -3, -1, 0, 1, 3, 12))}
    places = sorted(place for place in places if -700.0 <= place <= 700.0)
    return sum(integrate.quad(density, *ends, epsabs=0.0, epsrel=1e-9, limit=400)[0] for ends in pairwise(places))


# --- kinds that stand for a Beta distribution


@pytest.mark.filterwarnings("ignore::scipy.integrate.IntegrationWarning")  # far out there is nothing to integrate
@each("mean", MEANS)
@each("concentration", WIDE_TO_NARROW)
def test_kinds_lose_races_as_often_as_their_distribution(mean, concentration):
    """Losses averaged over kinds equal the exact integral over the Beta distribution.

    To 1 % up to k = 3 and 8 % up to k = 5; at k = 10 within a factor of 2, which is less than one more vote is worth.
    """
    kinds = beta_spread([mean], concentration).kinds
    for k, near in {1: 1e-6, 2: 0.01, 3: 0.01, 4: 0.03, 5: 0.08, 10: 0.5}.items():
        found = sum(kind.share * loss_probability(1.0 - kind.wrong[0], k) for kind in kinds)
        assert found == pytest.approx(integrated(mean, concentration, k), rel=near), k


@each("concentration", WIDE_TO_NARROW[1:])
def test_each_voter_has_exactly_the_mean_that_was_asked_for(concentration):
    """Of several voters with one spread, each has its own mean error over all steps."""
    wrong = (0.003, 0.01, 0.2)
    spread = beta_spread(wrong, concentration)
    assert spread.voters == 3
    assert [spread.mean_wrong(voter) for voter in range(3)] == pytest.approx(wrong, rel=1e-9)


@given(st.floats(1e-5, 0.5), st.sampled_from(WIDE_TO_NARROW))
def test_kinds_are_shares_of_the_steps_in_the_order_of_their_hardness(mean, concentration):
    """Shares add up to at most 1; the rest are steps without errors; harder kinds come later."""
    kinds = beta_spread([mean, mean / 2.0], concentration).kinds
    assert all(kind.share > 0.0 for kind in kinds)
    assert sum(kind.share for kind in kinds) <= 1.0 + 1e-4
    for one, harder in pairwise(kinds):
        assert one.wrong[0] < harder.wrong[0]
        assert one.wrong[1] < harder.wrong[1]


@each("concentration", [0.5, 5.0, 100.0])
def test_kinds_are_distributed_as_the_steps_are(concentration):
    """The share of kinds harder than the mean, or five times as hard, is that of the distribution.

    Within the share of one kind, since a kind lies on one side or the other.
    """
    kinds = beta_spread([0.02], concentration).kinds
    exact = beta_distribution(0.02 * concentration, 0.98 * concentration)
    for hard in (0.02, 0.1):
        found = sum(kind.share for kind in kinds if kind.wrong[0] > hard)
        assert found == pytest.approx(exact.sf(hard), abs=max(kind.share for kind in kinds))


@each(("mean", "concentration"), [(0.0, 3.0), (1.0, 3.0), (0.01, CONCENTRATIONS[-1]), (0.01, inf)])
def test_probabilities_that_cannot_vary_are_one_kind(mean, concentration):
    """If every step is the same, the spread is the paper's: one kind, one p."""
    spread = beta_spread([mean], concentration)
    assert spread.kinds == equal_spread([mean]).kinds == (StepKind(1.0, (mean,)),)


@each("concentration", [0.5, 10.0, 1000.0])
def test_a_voter_of_its_own_keeps_mean_and_hard_steps(concentration):
    """The kinds of one voter make up all steps; its errors are those of its distribution and of its hard steps."""
    turns = voter_kinds(0.01, concentration, [VoterTurns(0.002, 0.8), VoterTurns(0.001, 0.79), VoterTurns(0.004, 0.5)])
    assert sum(one.share for one in turns) == pytest.approx(1.0)
    wrong = 0.993 * 0.01 + 0.002 * 0.8 + 0.001 * 0.79 + 0.004 * 0.5
    assert sum(one.share * one.wrong for one in turns) == pytest.approx(wrong, rel=0.02)
    assert sum(one.share for one in turns if one.wrong > 0.3) >= 0.007 - 1e-9


def test_hard_steps_on_which_a_voter_is_mostly_flagged_are_separate():
    """A voter that is mostly flagged on hard steps keeps the share of these, and how often it is flagged there."""
    turns = voter_kinds(0.01, 10.0, [VoterTurns(0.002, 0.8, 0.9), VoterTurns(0.001, 0.8)])
    mute = [one for one in turns if one.mute > 0.0]
    assert [(one.share, one.wrong, one.mute) for one in mute] == [pytest.approx((0.002, 0.8, 0.9))]
    assert sum(one.share for one in turns) == pytest.approx(1.0)


def test_a_flagged_turn_is_neither_right_nor_wrong():
    """The probabilities of right and wrong votes at a turn are those of the turns that are not flagged."""
    assert StepKind(1.0, (0.25, 0.5), (0.0, 0.8)).turns == [(0.75, 0.25), pytest.approx((0.1, 0.1))]
    assert StepKind(1.0, (0.25,)).turns == [(0.75, 0.25)]


def test_independent_voters_are_wrong_together_as_often_as_by_chance():
    """The kinds of several voters are all combinations, so that means stay and joint errors are products."""
    one, two = voter_kinds(0.02, 1.0, [VoterTurns(0.01, 0.6, 0.5)]), voter_kinds(0.05, 5.0)
    kinds = independent_kinds([one, two])
    assert sum(kind.share for kind in kinds) == pytest.approx(1.0)
    for number, voter in enumerate((one, two)):
        mean = sum(each.share * each.wrong for each in voter)
        assert sum(kind.share * kind.wrong[number] for kind in kinds) == pytest.approx(mean)
        mute = sum(each.share * each.mute for each in voter)
        assert sum(kind.share * kind.mute[number] for kind in kinds) == pytest.approx(mute)
    both = sum(kind.share * kind.wrong[0] * kind.wrong[1] for kind in kinds)
    means = [sum(each.share * each.wrong for each in voter) for voter in (one, two)]
    assert both == pytest.approx(means[0] * means[1], rel=1e-3)


def test_kinds_are_scaled_by_share_alone():
    """A part of all steps has the same kinds with that part of their shares; a share of 0 has none."""
    kinds = beta_spread([0.1, 0.2], 3.0).kinds
    half = scaled_kinds(kinds, 0.5)
    assert [(2.0 * one.share, one.wrong) for one in half] == [(kind.share, kind.wrong) for kind in kinds]
    assert scaled_kinds(kinds, 0.0) == []


# --- what votes say of the spread


@settings(max_examples=60)
@given(st.floats(0.001, 0.9), st.floats(0.1, 1e4), st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30))))
def test_the_likelihood_is_that_of_beta_binomial_votes(mean, concentration, steps):
    """The log-likelihood of votes by step is scipy's, without the number of orders of the votes."""
    a, b = mean * concentration, (1.0 - mean) * concentration
    expected = sum(
        betabinom.logpmf(wrong, right + wrong, a, b) - log(special.comb(right + wrong, wrong))
        for right, wrong in steps
    )
    found = log_likelihood(mean, concentration, Counter(steps).items())
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)


def piloted(mean, concentration, steps, draw):
    """Votes by step of a pilot with LOOKS repeat samples where the first vote was wrong."""
    wrong = draw.beta(mean * concentration, (1.0 - mean) * concentration, steps)
    erred = draw.random(steps) < wrong
    later = draw.binomial(REPEAT_VOTES, wrong[erred])
    return Counter((REPEAT_VOTES - int(again), int(again) + 1) for again in later) + Counter(
        {(1, 0): int((~erred).sum())}
    )


@each("steps", [1500, 15_000])
@each(("mean", "concentration"), [(0.01, 10.0), (0.01, 50.0), (0.05, 5.0), (0.05, 30.0)])
def test_the_least_concentration_covers_the_true_one(mean, concentration, steps):
    """In 95 % of 200 pilots the least concentration is no larger than the true one.

    Seeded; the assertion allows for the fewer that one seed in a million has, if 95 % are right.
    """
    draw, n = np.random.default_rng(7), 200
    covered = sum(
        least_concentration([(mean, piloted(mean, concentration, steps, draw))]) <= concentration * (1.0 + 1e-9)
        for _ in range(n)
    )
    assert binom.cdf(covered, n, 0.95) > ALARM, covered / n


def test_the_least_concentration_comes_near_the_true_one():
    """It is no mere bound: in 95 of 100 long pilots it is above half of the true concentration."""
    draw = np.random.default_rng(8)
    found = [least_concentration([(0.02, piloted(0.02, 40.0, 30_000, draw))]) for _ in range(100)]
    assert sum(one > 20.0 for one in found) >= 95


@each("steps", [300, 5000, 300_000])
@each(("mean", "concentration"), [(0.02, 5.0), (0.02, 60.0), (0.2, 15.0)])
def test_the_least_concentration_is_the_first_that_is_plausible(mean, concentration, steps):
    """The least of 20,000 concentrations whose log-likelihood is within the drop of the largest is the one found.

    So too where the likelihood of a long pilot is narrower than the grid that it begins with.
    """
    seen = piloted(mean, concentration, steps, np.random.default_rng(9))
    evidence = [(votes, float(times)) for votes, times in seen.items()]
    erred = sum(times for (_, wrong), times in seen.items() if wrong)
    ((prior, stands_for),) = PRIOR_STEPS.items()
    evidence.append((prior, max(0.0, stands_for - erred)))
    tried = np.geomspace(CONCENTRATIONS[0], CONCENTRATIONS[-1], 20_000)
    near = tried[np.abs(np.log(tried / least_concentration([(mean, seen)]))) < 0.7]
    scores = np.array([log_likelihood(mean, c, evidence) for c in near])
    grid = np.array([log_likelihood(mean, c, evidence) for c in tried[::20]])
    plausible = near[scores >= max(scores.max(), grid.max()) - 1.353]
    assert least_concentration([(mean, seen)]) == pytest.approx(plausible[0], rel=2e-3)


def test_repeated_errors_mean_a_wide_spread_and_independent_ones_a_narrow_one():
    """Ten steps that are wrong every time, or never again, after 1,000 right ones make all the difference."""
    stubborn = least_concentration([(0.01, {(1, 0): 990, (0, REPEAT_VOTES + 1): 10})])
    scattered = least_concentration([(0.01, {(1, 0): 990, (REPEAT_VOTES, 1): 10})])
    assert stubborn < 1.0
    assert scattered > 30.0


def test_evidence_of_all_voters_counts_together():
    """Two voters with the same votes bound the spread closer than one; one that cannot err changes nothing."""
    seen = {(1, 0): 500, (REPEAT_VOTES, 1): 4, (REPEAT_VOTES - 1, 2): 1}
    alone = least_concentration([(0.01, seen)])
    assert least_concentration([(0.01, seen), (0.01, seen)]) > alone
    assert least_concentration([(0.01, seen), (0.0, {(1, 0): 500})]) == alone


def test_without_evidence_the_prior_decides():
    """A pilot without an error gives the spread of two errors that never came again."""
    assert PRIOR_STEPS == {(REPEAT_VOTES, 1): 2}
    nothing = least_concentration([(0.01, {})])
    assert least_concentration([(0.01, {(1, 0): 2000})]) == pytest.approx(nothing, rel=1e-5)
    assert least_concentration([(0.01, dict(PRIOR_STEPS))]) == pytest.approx(nothing, rel=1e-5)
    assert 1.0 < nothing < 100.0


def test_evidence_takes_the_place_of_the_prior():
    """Each step with errors replaces one of the prior's, so the prior does not hide a step of repeated errors."""
    often = {(1, 0): 990, (REPEAT_VOTES - 4, 5): 2}
    assert least_concentration([(0.01, often)]) < 0.7 * least_concentration([(0.01, often | PRIOR_STEPS)])


def test_the_least_concentration_is_where_the_likelihood_falls_by_so_much():
    """At the value found the likelihood is `drop` below its largest, to far less than a step of the grid."""
    seen = {(1, 0): 15_000, (REPEAT_VOTES, 1): 100, (REPEAT_VOTES - 1, 2): 60, (REPEAT_VOTES - 4, 5): 30}
    best = max(log_likelihood(0.02, c, seen.items()) for c in np.geomspace(1.0, 1000.0, 20_000))
    for drop in (0.5, 1.353, 3.0):
        found = least_concentration([(0.02, seen)], drop)
        assert log_likelihood(0.02, found, seen.items()) == pytest.approx(best - drop, abs=1e-3)
