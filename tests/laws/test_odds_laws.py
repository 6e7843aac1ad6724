"""The laws of the odds: closed forms against exact recursions, exact arithmetic and a seeded simulation."""

import random
from collections import defaultdict
from contextlib import suppress
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import cache
from itertools import pairwise
from math import exp, expm1, inf, log, sqrt

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tables import each
from unerring.core.voting.odds import (
    chain_probability,
    expected_votes,
    expected_votes_upper,
    k_min,
    log_odds,
    loss_probability,
    loss_probability_of,
)
from unerring.core.voting.race import AheadBy, Race, Won
from unerring.errors import InputError, NoKCanHelp

LAW = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])

GRID = (0.5001, 0.51, 0.6429, 0.9, 0.9642, 0.996, 0.9999, 0.9999999)
LOSING = (0.0001, 0.3, 0.4999)
MILLION = 2**20 - 1


def win_probability(p: float, k: int, m: int = 1) -> float:
    """The probability that the right choice wins (paper, equation 9 for m = 1), precise where it is tiny."""
    return loss_probability_of(-k * log_odds(p, m))


@cache
def walked(p: float, k: int) -> tuple[Fraction, Fraction, Fraction]:
    """Exact (P(right wins), P(wrong wins), mean votes) of a walk from 0 that ends at k or -k.

    Solves h(i) = p h(i+1) + q h(i-1) by forward elimination in fractions: h(i) = a(i) h(i+1), and for the mean t(i) =
    b(i) + a(i) t(i+1). Knows nothing of the closed form.
    """
    up = Fraction(p)
    return _hit(up, k)[0], _hit(1 - up, k)[0], _hit(up, k)[1]


def _hit(up: Fraction, k: int) -> tuple[Fraction, Fraction]:
    a = b = Fraction(0)
    eliminated = []
    for _ in range(-k + 1, k):
        pivot = 1 - (1 - up) * a
        a, b = up / pivot, (1 + (1 - up) * b) / pivot
        eliminated.append((a, b))
    reach, mean = Fraction(1), Fraction(0)
    for a, b in reversed(eliminated[k - 1 :]):
        reach, mean = a * reach, b + a * mean
    return reach, mean


@each("p", GRID + LOSING)
@each("k", [1, 2, 3, 4, 5, 7, 10, 16, 25, 40])
def test_the_closed_forms_agree_with_the_exact_walk(p, k):
    """Win and loss probability and mean votes equal the gambler's ruin solved in fractions, to 10 digits."""
    win, loss, votes = walked(p, k)
    assert win + loss == 1
    assert win_probability(p, k) == pytest.approx(float(win), rel=1e-10)
    assert loss_probability(p, k) == pytest.approx(float(loss), rel=1e-10)
    assert expected_votes(p, k) == pytest.approx(float(votes), rel=1e-10)


@each("k", range(1, 41))
def test_every_k_up_to_40_agrees_with_the_exact_walk(k):
    """The same holds for every k, at one p in the middle."""
    win, loss, votes = walked(0.6429, k)
    assert win_probability(0.6429, k) == pytest.approx(float(win), rel=1e-12)
    assert loss_probability(0.6429, k) == pytest.approx(float(loss), rel=1e-10)
    assert expected_votes(0.6429, k) == pytest.approx(float(votes), rel=1e-10)


def raced(p, k, draw):
    """One race of the package's own, right against one alternative, on random votes."""
    race = Race(AheadBy(k))
    while not isinstance(race.verdict, Won):
        race.tell(draw.random() < p)
    return race.verdict.choice, race.votes


@each(("p", "k"), [(0.5001, 3), (0.55, 4), (0.7, 1), (0.7, 3), (0.9, 2), (0.9642, 6)])
def test_the_closed_forms_agree_with_a_simulation(p, k):
    """4000 simulated races agree with win probability and mean votes. Seeded.

    Each bound is 4.9 standard errors, which by the central limit theorem one seed in a million breaks.
    """
    draw, n = random.Random(1048575), 4000
    races = [raced(p, k, draw) for _ in range(n)]
    wins = sum(right for right, _ in races) / n
    mean = sum(votes for _, votes in races) / n
    spread = sqrt(sum((votes - mean) ** 2 for _, votes in races) / n)
    win = win_probability(p, k)
    assert abs(wins - win) <= 4.9 * sqrt(win * (1 - win) / n)
    assert abs(mean - expected_votes(p, k)) <= 4.9 * spread / sqrt(n) + 1e-9


@cache
def split_race(shares, k, longest):
    """Exact distribution of a race of several candidates, by counts: (losses, wins, still open, mean votes so far).

    Candidate 0 is right. Only differences matter, so counts are kept relative to the smallest.
    """
    open_, wins, losses, votes = {(0,) * len(shares): 1.0}, 0.0, 0.0, 0.0
    for _ in range(longest):
        votes += sum(open_.values())
        following = defaultdict(float)
        for counts, chance in open_.items():
            for candidate, share in enumerate(shares):
                after = list(counts)
                after[candidate] += 1
                rest = max(after[:candidate] + after[candidate + 1 :])
                if after[candidate] - rest < k:
                    least = min(after)
                    following[tuple(count - least for count in after)] += chance * share
                elif candidate == 0:
                    wins += chance * share
                else:
                    losses += chance * share
        open_ = following
    return losses, wins, sum(open_.values()), votes


SPLITS = [
    (0.6, (0.2, 0.2)),
    (0.6, (0.3, 0.1)),
    (0.55, (0.25, 0.2)),
    (0.8, (0.1, 0.1)),
    (0.9, (0.09, 0.01)),
    (0.85, (0.05, 0.05, 0.05)),
]


@each(("p", "wrong"), SPLITS)
@each("k", [1, 2, 3])
def test_pooling_the_wrong_votes_bounds_the_chance_of_a_wrong_winner(p, wrong, k):
    """However the wrong votes split, a wrong choice wins at most as often as the closed form says."""
    losses, wins, still_open, _ = split_race((p, *wrong), k, 150 if len(wrong) == 2 else 36)
    assert losses + wins + still_open == pytest.approx(1)
    assert losses + still_open <= loss_probability(p, k) * (1 + 1e-9)


@each(("p", "wrong"), SPLITS)
@each("k", [1, 2, 3])
def test_the_papers_upper_estimate_bounds_the_votes_of_a_split_race(p, wrong, k):
    """However the wrong votes split, a race takes at most k / (2p - 1) votes on average (Wald's identity)."""
    *_, still_open, votes = split_race((p, *wrong), k, 150 if len(wrong) == 2 else 36)
    assert still_open < 1e-6
    assert votes <= expected_votes_upper(p, k)


def test_a_split_race_of_two_wrong_choices_meets_the_closed_form_when_one_gets_nothing():
    """With a single wrong choice the exact distribution of three candidates is the closed form."""
    losses, _, still_open, votes = split_race((0.7, 0.3, 0.0), 3, 200)
    assert still_open < 1e-12
    assert losses == pytest.approx(loss_probability(0.7, 3), rel=1e-9)
    assert votes == pytest.approx(expected_votes(0.7, 3), rel=1e-9)


PAPER = [
    ("gpt-4.1-nano", 0.3571, 29),
    ("gpt-4.1-mini, temperature 1.0", 0.0040, 4),
    ("gpt-4.1-mini, temperature 0.1", 0.0022, 3),
    ("o3-mini (low)", 0.0018, 3),
    ("gpt-oss-20B", 0.0358, 6),
]


@each(("model", "wrong", "k"), PAPER)
def test_k_min_reproduces_the_papers_table(model, wrong, k):
    """Each row of the paper's table at 2^20 - 1 steps and a target of 0.95 has its k."""
    assert k_min(1 - wrong, MILLION, 0.95) == k, model


def test_a_model_that_is_always_wrong_has_no_k():
    """The paper's llama-3.2-3B, always wrong, is refused; the message says why and what to do."""
    with pytest.raises(NoKCanHelp, match=r"no k can help: .*probability 0, .*more than 1/2.*better model"):
        k_min(0.0, MILLION, 0.95)


@each("p", [0.5, 0.4999999, 0.25, 1e-300, 0.0])
@each("m", [1, 3])
def test_half_or_less_has_no_k(p, m):
    """At p <= 1/2 no k can help, for any target, and the error is one of input."""
    with pytest.raises(NoKCanHelp, match="no k can help"):
        k_min(p, MILLION, 0.95, m)
    assert issubclass(NoKCanHelp, InputError)


def test_subtasks_of_many_steps_need_more_than_half_as_a_whole():
    """A step right with 0.9 has a k alone, and none where seven of them make one vote (0.9^7 < 1/2)."""
    assert k_min(0.9, MILLION, 0.95, 6) > k_min(0.9, MILLION, 0.95)
    with pytest.raises(NoKCanHelp, match="no k can help"):
        k_min(0.9, MILLION, 0.95, 7)


@each("m", [1, 2, 1000])
@each("steps", [0, 1, MILLION, 10**12, 1e300])
def test_perfect_votes_need_one(m, steps):
    """At p = 1 a single vote decides, for chains of any length."""
    assert k_min(1.0, steps, 0.999999, m) == 1


def log_chain_exactly(p, k, steps, m):
    """The logarithm of the whole chain's success probability in 60 digits, straight from the paper's equation 13."""
    q = Decimal(p) ** m
    return -(Decimal(steps) / m) * (1 + ((1 - q) / q) ** k).ln()


def assert_smallest(k, p, steps, target, m):
    with localcontext() as context:
        context.prec = 60
        goal = Decimal(target).ln()
        reached, short = log_chain_exactly(p, k, steps, m), log_chain_exactly(p, k - 1, steps, m)
        hair = abs(goal) * Decimal("1e-9")
        assert reached >= goal - hair
        assert k == 1 or short < goal + hair


@LAW
@given(
    st.floats(0.5001, 1, exclude_max=True),
    st.floats(1, 1e13),
    st.floats(1e-6, 1, exclude_max=True),
    st.integers(1, 50),
)
@example(p=1 - 1e-12, steps=1e12, target=0.95, m=1)
@example(p=1 - 2**-53, steps=1e13, target=1 - 2**-53, m=1)
@example(p=0.5001, steps=1e12, target=0.999999, m=1)
def test_k_min_is_the_smallest_by_its_definition(p, steps, target, m):
    """k_min reaches the target and k_min - 1 does not, by 60-digit arithmetic from the definition, for any m."""
    root = p ** (1 / m)
    if m <= 100 * steps and root < 1:
        assert_smallest(k_min(root, steps, target, m), root, steps, target, m)


def test_k_min_is_stable_where_floats_run_out():
    """A chain of 1e12 steps with p = 1 - 1e-12 needs 2, though 1 - P is far below the spacing of floats."""
    assert k_min(1 - 1e-12, 1e12, 0.95) == 2
    assert k_min(1 - 1e-12, 10**12, 0.95) == 2


def test_k_min_grows_with_the_logarithm_of_the_steps():
    """A thousand times the steps adds the same to k each time, within the rounding to whole numbers."""
    ks = [k_min(0.9, 10.0**power, 0.95) for power in range(3, 40, 3)]
    growth = 3 * log(10) / log_odds(0.9)
    assert all(abs((after - before) - growth) < 1 for before, after in pairwise(ks))


@LAW
@given(st.floats(0.51, 1, exclude_max=True), st.floats(1, 1e12), st.floats(0.01, 0.999))
def test_k_min_never_falls_with_more_steps_or_a_higher_target_and_never_rises_with_p(p, steps, target):
    """k_min is monotone in each of its arguments."""
    k = k_min(p, steps, target)
    assert k_min(p, steps * 2, target) >= k
    assert k_min(p, steps, (1 + target) / 2) >= k
    assert k_min((1 + p) / 2, steps, target) <= k


@LAW
@given(st.floats(0, 1), st.integers(1, 60), st.integers(1, 20))
def test_win_and_loss_are_complements(p, k, m):
    """P(right) and P(wrong) are probabilities that add up to one, and are exchanged at 1 - p."""
    win, loss = win_probability(p, k, m), loss_probability(p, k, m)
    assert 0 <= win <= 1
    assert win + loss == pytest.approx(1, abs=1e-12)
    if m == 1 and 1 - (1 - p) == p:
        assert loss_probability(1 - p, k) == pytest.approx(win, rel=1e-9)


@LAW
@given(st.floats(0, 1), st.integers(1, 30), st.integers(1, 20))
def test_a_subtask_of_m_steps_is_one_step_of_p_to_the_m(p, k, m):
    """The m of a subtask enters every formula only through p^m."""
    q = p**m
    if q < 1e-12:
        q = p = 0.0
    assert win_probability(p, k, m) == pytest.approx(win_probability(q, k), rel=1e-9, abs=1e-12)
    assert expected_votes(p, k, m) == pytest.approx(expected_votes(q, k), rel=1e-7)


@LAW
@given(st.floats(0, 1), st.integers(1, 60), st.integers(1, 10))
def test_a_race_takes_between_k_and_k_squared_votes(p, k, m):
    """The mean number of votes lies between k and k^2, and is finite for every p."""
    votes = expected_votes(p, k, m)
    assert k * (1 - 1e-9) <= votes <= k * k * (1 + 1e-9)


@LAW
@given(st.floats(0.5, 1, exclude_min=True), st.integers(1, 60))
def test_the_papers_estimate_of_votes_is_an_upper_one(p, k):
    """The estimate k / (2p - 1) is never below the exact mean."""
    assert expected_votes_upper(p, k) >= expected_votes(p, k) * (1 - 1e-9)


@LAW
@given(st.floats(0.5, 1, exclude_min=True), st.integers(1, 30), st.integers(1, 10**6))
def test_a_chain_is_the_product_of_its_races(p, k, steps):
    """The chain's probability is that of one race to the power of the number of races."""
    expected = exp(steps * log(win_probability(p, k))) if loss_probability(p, k) > 1e-9 else None
    if expected is None:
        assert -expm1(log(chain_probability(p, k, steps))) <= 1.000001 * steps * loss_probability(p, k) + 1e-15
    else:
        assert chain_probability(p, k, steps) == pytest.approx(expected, rel=1e-6, abs=1e-300)


def test_the_edges_of_p_are_plain_numbers():
    """At p = 0, 1/2 and 1 the formulas give the limits, without an overflow."""
    assert [win_probability(p, 7) for p in (0.0, 0.5, 1.0)] == [0.0, 0.5, 1.0]
    assert [loss_probability(p, 7) for p in (0.0, 0.5, 1.0)] == [1.0, 0.5, 0.0]
    assert [expected_votes(p, 7) for p in (0.0, 0.5, 1.0)] == [7.0, 49.0, 7.0]
    assert [log_odds(p) for p in (0.0, 0.5, 1.0)] == [-inf, 0.0, inf]
    assert [chain_probability(p, 7, 1e12) for p in (0.0, 0.5, 1.0)] == [0.0, 0.0, 1.0]
    assert loss_probability_of(1e9) == 0.0
    assert loss_probability_of(-1e9) == 1.0


@each("p", [-1e-9, 1.000001, float("nan"), inf])
def test_what_is_no_probability_is_refused(p):
    """A p outside [0, 1] is an input error everywhere."""
    for asked in (log_odds, lambda p: loss_probability(p, 3), lambda p: k_min(p, 10, 0.9)):
        with pytest.raises(InputError, match="p is a probability"):
            asked(p)


@each("target", [0.0, 1.0, -1.0, 2.0, float("nan")])
def test_a_target_of_0_or_1_is_refused(target):
    """A target must lie strictly between 0 and 1."""
    with pytest.raises(InputError, match="target"):
        k_min(0.9, 10, target)


@each(("k", "m"), [(0, 1), (-1, 1), (1, 0), (3, -2)])
def test_margins_and_subtasks_are_at_least_one(k, m):
    """A k or an m below 1 is an input error."""
    with pytest.raises(InputError, match="at least 1"):
        loss_probability(0.9, k, m)


def test_the_upper_estimate_refuses_a_margin_below_one():
    """`expected_votes_upper` checks k like the other functions."""
    with pytest.raises(InputError, match="at least 1"):
        expected_votes_upper(0.9, 0)


def test_a_chain_of_negative_length_is_refused():
    """`chain_probability` refuses a negative number of steps, as `k_min` does."""
    with pytest.raises(InputError, match="steps"):
        chain_probability(0.9, 3, -5)


@each(
    ("p", "steps", "target", "m"),
    [(0.9, 1, 5e-324, 1), (0.99999, 1, 0.3, 1000), (0.9, inf, 0.95, 1), (0.9, float("nan"), 0.95, 1)],
)
def test_k_min_answers_or_refuses_any_arguments(p, steps, target, m):
    """Extreme targets, subtasks longer than the chain and invalid lengths never end in a traceback."""
    with suppress(InputError):
        assert k_min(p, steps, target, m) >= 1
