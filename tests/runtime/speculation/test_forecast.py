"""Forecasts of a step's choice, compared with Bayes' rule written out, and how many samples may be risked on them."""

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unerring.runtime.speculation.forecast import GRACE_SAMPLES, MAX_OBSERVATIONS, Forecaster, worth_risking

CHOICES = ("a", "b", "c", "d")
tallies = st.dictionaries(st.sampled_from(CHOICES), st.integers(1, 6), max_size=4)
guesses = st.sampled_from([None, *CHOICES])
steps = st.lists(st.tuples(st.sampled_from(CHOICES), guesses, tallies), max_size=30)


def taught(lessons):
    """A forecaster that has seen these steps, and the shares of right guesses and votes that it should know."""
    foresight, right, wrong, won, lost = Forecaster(), 1, 1, 9, 1
    for choice, guess, tally in lessons:
        foresight.learn(choice, guess, tally)
        right += guess == choice
        wrong += guess not in (None, choice)
        won += tally.get(choice, 0)
        lost += sum(tally.values()) - tally.get(choice, 0)
    return foresight, Fraction(right, right + wrong), Fraction(won, won + lost)


def bayes(tally, guess, q, p):
    """Each candidate's weight: the probability of the observations if it is right, over that if none of them is."""
    weights = {None: Fraction(1)}
    for choice in {*tally, guess} - {None}:
        weights[choice] = (p / (1 - p)) ** tally.get(choice, 0)
        if choice == guess:
            weights[choice] *= q / (1 - q)
    return weights


@given(steps, tallies, guesses)
def test_a_forecast_is_bayes_rule(lessons, tally, guess):
    """The forecast is the most probable candidate, with its odds against the next one or an unseen one."""
    foresight, q, p = taught(lessons)
    weights = bayes(tally, guess, q, p)
    best = max(weights, key=weights.__getitem__)
    chance = weights[best] / (
        weights[best] + max([w for choice, w in weights.items() if choice != best], default=0) or 1
    )
    forecast = foresight.forecast(tally, guess)
    if best is None or chance <= Fraction(1, 2) + Fraction(1, 10**9):
        assert forecast is None or forecast.probability == pytest.approx(0.5, abs=1e-6)
    else:
        assert forecast is not None
        assert weights[forecast.choice] == weights[best]
        assert forecast.probability == pytest.approx(float(chance), abs=1e-9)


@given(steps, tallies, guesses, st.sampled_from(CHOICES))
def test_a_vote_more_never_makes_its_choice_less_probable(lessons, tally, guess, choice):
    """While votes are more often right than wrong, one more for the forecast raises its probability."""
    foresight, _, p = taught(lessons)
    before, after = foresight.forecast(tally, guess), foresight.forecast(Counter(tally) + Counter([choice]), guess)
    if p > Fraction(1, 2) and before is not None and before.choice == choice:
        assert after is not None
        assert after.choice == choice
        assert after.probability >= before.probability


@given(steps, tallies, guesses)
def test_a_forecast_is_more_likely_than_not(lessons, tally, guess):
    """A forecast has a probability above 1/2, and was voted for or guessed."""
    forecast = taught(lessons)[0].forecast(tally, guess)
    if forecast is not None:
        assert 0.5 < forecast.probability <= 1.0
        assert forecast.choice in {*tally, guess}


def test_right_guesses_earn_trust_and_wrong_ones_lose_it():
    """A first guess is not relied on; after right guesses it is, more and more, and after as many wrong ones not."""
    foresight = Forecaster()
    assert foresight.forecast({}, "a") is None
    trust = []
    for _ in range(10):
        foresight.learn("a", "a", {})
        trust.append(foresight.forecast({}, "a").probability)
    assert trust == sorted(trust)
    assert trust[-1] == pytest.approx(11 / 12)
    for _ in range(10):
        foresight.learn("a", "b", {})
    assert foresight.forecast({}, "a") is None


def test_no_guess_teaches_nothing_of_guesses():
    """Steps without a guess do not change the estimated share of right guesses."""
    foresight = Forecaster()
    for _ in range(50):
        foresight.learn("a", None, {"a": 3})
    assert foresight.forecast({}, "a") is None


def test_old_mistakes_are_forgotten():
    """Old observations lose weight: a source of guesses that became good is relied on again."""
    foresight = Forecaster()
    for _ in range(MAX_OBSERVATIONS):
        foresight.learn("a", "b", {})
    for _ in range(5 * MAX_OBSERVATIONS):
        foresight.learn("a", "a", {})
    assert foresight.forecast({}, "a").probability > 0.95


def test_never_an_error_in_three_million_votes_is_no_certainty():
    """After any number of right votes a forecast stays below 1, and nothing overflows."""
    foresight = Forecaster()
    for _ in range(3000):
        foresight.learn("a", "a", {"a": 1000})
    for _ in range(3 * MAX_OBSERVATIONS):
        foresight.learn("a", "a", {})
    votes, guess = foresight.forecast({"a": 1}, None), foresight.forecast({}, "a")
    assert votes is not None
    assert 0.99 < votes.probability < 1 - 1e-5
    assert guess is not None
    assert 0.99 < guess.probability < 1 - 1e-5
    assert foresight.forecast({"a": 2, "b": 2}, None) is None


# --- what is worth risking

limits = st.floats(0.001, 1.0)
needed = st.integers(1, 20)


@given(limits, st.integers(0, 10**6), st.integers(0, 10**6), needed)
def test_the_risk_taken_expects_a_waste_between_less_than_half_the_limit_and_less_than_all(limit, wasted, more, votes):
    """The expected waste is 0.45 to 0.9 of the limit.

    One sample of a step's votes is at risk, half the bound on average.
    """
    expected = worth_risking(limit, wasted, wasted + more, votes) / 2 / votes
    assert 0.449 * limit <= expected <= 0.901 * limit


@given(limits, st.integers(0, 10**5), st.integers(0, 10**5), st.integers(0, 10**5), needed)
def test_the_more_was_wasted_the_less_is_risked(limit, samples, one, other, votes):
    """Of two runs of as many samples, the one that wasted more risks no more."""
    less, more = sorted((one, other))
    assert worth_risking(limit, more, samples, votes) <= worth_risking(limit, less, samples, votes)


@given(limits, st.integers(0, 10**6), needed)
def test_past_the_limit_the_least_is_risked(limit, samples, votes):
    """A run that has wasted its share still asks ahead as far as that lowers the share again."""
    spent = int(limit * (samples + GRACE_SAMPLES)) + 1
    assert worth_risking(limit, spent, samples, votes) == worth_risking(limit, 10 * spent, samples, votes)


@given(st.integers(0, 100), st.integers(0, 100), needed)
def test_without_any_waste_allowed_nothing_is_risked(wasted, samples, votes):
    """At a limit of 0 only what is certain is asked."""
    assert worth_risking(0.0, wasted, samples, votes) == 0.0
