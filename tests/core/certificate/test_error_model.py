"""The probability that a step was decided wrongly, from its votes and the voters' errors: formulas and laws."""

from math import comb, exp, isclose, lgamma, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import betaln
from scipy.stats import betabinom
from scipy.stats import poisson as scipy_poisson
from simulated_votes import voted

from tables import each
from unerring.core.certificate.error_model import (
    MIN_LOG_THETA,
    ErrorModel,
    PatternEvidence,
    likelihoods_of,
    scatter_likelihoods,
)
from unerring.core.certificate.fit import fit_error_model, poisson_quantile, pooled_evidence
from unerring.core.certificate.vote_patterns import VoterTally, cast_votes
from unerring.core.voting.odds import loss_probability, loss_probability_of

LAW = settings(max_examples=150, deadline=None)
votes = st.integers(0, 60)
means = st.floats(1e-9, 0.5)
repeats = st.floats(1e-9, 0.98)


def wrong_probability(pattern, erring):
    """The probability that a step was decided wrongly, given its votes and the voters' errors."""
    winner, runner_up = scatter_likelihoods(*cast_votes(pattern), erring.scatter)
    for if_winner, if_runner_up in likelihoods_of(pattern, erring):
        winner += if_winner
        runner_up += if_runner_up
    return loss_probability_of(winner - runner_up)


@st.composite
def steps(draw):
    """A step's votes by up to three voters, and the error distributions of these."""
    voters = draw(st.integers(1, 3))
    pattern = tuple(VoterTally(voter, draw(votes), draw(votes), draw(votes)) for voter in range(voters))
    erring = ErrorModel({voter: draw(means) for voter in range(voters)}, draw(repeats), draw(st.floats(0, 100)))
    return pattern, erring


@LAW
@given(steps())
def test_the_chance_of_a_wrong_step_is_a_probability(step):
    """It lies between 0 and 1 inclusive for any votes."""
    assert 0.0 <= wrong_probability(*step) <= 1.0


@LAW
@given(votes, votes, means, repeats)
def test_a_larger_margin_is_surer(second, margin, mean, repeat):
    """One more vote for the winner of a single voter never makes an error more probable."""
    erring = ErrorModel({0: mean}, repeat)
    less, more = ((VoterTally(0, second + lead, second, 0),) for lead in (margin, margin + 1))
    assert wrong_probability(more, erring) <= wrong_probability(less, erring) * (1 + 1e-9) + 1e-12


@LAW
@given(votes, votes, st.floats(0.01, 0.49))
def test_equal_error_probabilities_give_the_gamblers_ruin(second, margin, q):
    """With the same error probability q on every step it is 1 / (1 + (p/q)^margin), whatever the number of votes."""
    if margin == second == 0:
        return
    found = wrong_probability((VoterTally(0, second + margin, second, 0),), ErrorModel({0: q}, 1e-11))
    assert isclose(found, loss_probability(1 - q, margin) if margin else 0.5, rel_tol=1e-5)


@LAW
@given(st.integers(0, 30), st.integers(0, 30), st.floats(1e-3, 0.5), st.floats(1e-3, 0.9))
def test_the_likelihood_is_the_beta_binomial(right, wrong, mean, repeat):
    """Up to the number of orders of the votes, the likelihood is scipy's."""
    erring = ErrorModel({0: mean}, repeat)
    ((if_winner, if_runner_up),) = likelihoods_of([VoterTally(0, right, wrong, 0)], erring)
    a, b = mean * erring.concentration, (1 - mean) * erring.concentration
    orders = log(comb(right + wrong, wrong))
    assert isclose(if_winner + orders, betabinom.logpmf(wrong, right + wrong, a, b), abs_tol=1e-7, rel_tol=1e-7)
    assert isclose(if_runner_up, betaln(a + right, b + wrong) - betaln(a, b), abs_tol=1e-7, rel_tol=1e-7)


def test_voters_are_independent():
    """The odds of a step are the product of the odds from each voter's votes."""
    erring = ErrorModel({0: 0.01, 1: 0.1, 2: 0.3}, 0.2)
    pattern = (VoterTally(0, 2, 0, 0), VoterTally(1, 0, 1, 0), VoterTally(2, 1, 1, 0))
    product = 1.0
    for part in pattern:
        alone = wrong_probability((part,), erring)
        product *= alone / (1 - alone)
    together = wrong_probability(pattern, erring)
    assert isclose(together / (1 - together), product, rel_tol=1e-12)


def test_the_chance_to_err_again_is_that_of_a_second_error():
    """The probability to err again is the mean of q^2 over the mean of q, for q from the beta distribution."""
    erring = ErrorModel({0: 0.1}, 0.25)
    a, b = 0.1 * erring.concentration, 0.9 * erring.concentration
    squared, _ = quad(lambda q: q ** (a + 1) * (1 - q) ** (b - 1) / exp(betaln(a, b)), 0, 1)
    assert isclose(erring.again(0), squared / 0.1, rel_tol=1e-6)


def test_scattered_votes_are_by_ewens_formula():
    """At theta = 1, three of four wrong votes for one choice and one for another have probability 2! / 4!."""
    if_winner, if_runner_up = scatter_likelihoods(5, 3, 1, 1.0)
    assert isclose(exp(if_winner), 2 / 24)
    assert isclose(exp(if_runner_up), exp(lgamma(5) - lgamma(7)))


@LAW
@given(st.integers(2, 20), st.integers(0, 10), st.integers(0, 5), st.floats(0.001, 50))
def test_scattered_votes_make_agreement_less_likely_to_be_wrong(margin, second, other, theta):
    """If wrong votes scatter over choices, a winner is more probably right than if they all agree."""
    pattern = (VoterTally(0, second + margin, second, other),)
    scattering = wrong_probability(pattern, ErrorModel({0: 0.1}, 0.1, theta))
    assert scattering <= wrong_probability(pattern, ErrorModel({0: 0.1}, 0.1)) * (1 + 1e-9)


@LAW
@given(st.floats(0, 1e5), st.sampled_from([0.025, 0.5, 0.975]))
def test_the_quantiles_of_a_poisson_variable_are_exact(mean, share):
    """They equal scipy's wherever the sum does not meet the share exactly."""
    found = poisson_quantile(mean, share)
    assert scipy_poisson.cdf(found, mean) >= share - 1e-9
    assert found == 0 or scipy_poisson.cdf(found - 1, mean) <= share + 1e-9


def test_a_fit_finds_the_parameters_of_expected_counts():
    """From the counts expected for p = 0.9 at k = 3, the fit has p, no repeated errors, and the ruin's odds."""
    p, q = 0.9, 0.1
    orders = [1, 3, 9, 27, 81, 243]  # ways for the loser to get so many votes without the race ending before
    steps = {
        (VoterTally(0, 3 + lost, lost, 0),): round(1e6 * ways * (p**3 + q**3) * (p * q) ** lost)
        for lost, ways in enumerate(orders)
    }
    lost = sum(count * part.second for (part,), count in steps.items())
    cast = sum(count * (part.won + part.second) for (part,), count in steps.items())
    estimate = fit_error_model(PatternEvidence(steps, {0: (lost, cast)}))
    assert estimate.wrong[0] == pytest.approx(q, rel=0.01)
    assert estimate.again == pytest.approx(q, rel=0.02)
    assert estimate.outlook.wrong == pytest.approx(sum(steps.values()) * loss_probability(p, 3), rel=0.05)
    assert estimate.low.wrong < estimate.outlook.wrong < estimate.high.wrong


@each(("apart", "agreeing"), [(30, 0), (30, 9), (3, 19), (0, 40)])
def test_the_scatter_of_wrong_votes_is_fitted_by_likelihood(apart, agreeing):
    """Two wrong votes agree with 1 / (1 + theta), by Ewens' formula: theta is the odds, with one pair added."""
    steps = {(VoterTally(0, 5, 1, 1),): apart, (VoterTally(0, 5, 2, 0),): agreeing, (VoterTally(0, 3, 0, 0),): 1000}
    wrong = 2 * (apart + agreeing)
    evidence = PatternEvidence(steps, {0: (wrong, wrong + 5 * (apart + agreeing) + 3000)})
    least = exp(MIN_LOG_THETA)
    assert evidence.erring(0.0, 0.1).scatter == pytest.approx(max(least, apart / (agreeing + 1)), rel=0.02)


def test_voters_are_fitted_separately():
    """Error rates of 1 % and 9 % are each fitted within a fifth, from 20,000 steps at k = 2."""
    run = voted(np.random.default_rng(5), np.tile([0.01, 0.09], (20_000, 1)), 2)
    estimate = fit_error_model(PatternEvidence(run.counted(), run.shares()))
    assert estimate.wrong == pytest.approx({0: 0.01, 1: 0.09}, rel=0.2)


@each("steps", [1, 100, 10_000, 1_000_000])
def test_agreement_alone_does_not_make_sure(steps):
    """However many steps one voter decided 3-0, a probability remains that it was always wrong on some."""
    estimate = fit_error_model(PatternEvidence({(VoterTally(0, 3, 0, 0),): steps}, {0: (0, 3 * steps)}))
    assert 0.001 < estimate.outlook.wrong < 0.5
    assert estimate.outlook.none > 0.5


def test_three_voters_that_agree_are_surer_than_one():
    """Unanimous votes of three voters leave far fewer expected wrong steps than as many votes of one."""
    steps = {(VoterTally(0, 1, 0, 0), VoterTally(1, 1, 0, 0), VoterTally(2, 1, 0, 0)): 1000}
    shares = dict.fromkeys(range(3), (0, 1000))
    assert (
        fit_error_model(PatternEvidence(steps, shares)).outlook.wrong
        < 0.001 * fit_error_model(pooled_evidence(steps, shares)).outlook.wrong
    )
