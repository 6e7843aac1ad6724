"""A race three times over: closed form, dynamic programme, and the package's own `Race` on random votes.

Means and squares are checked against linear equations that know nothing of either: for every value of the lead and
every voter whose turn it is, the votes to come are one vote and those after it.
"""

import random
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from itertools import product
from math import prod, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from tables import each
from unerring.core.planning.walk import closed_form_race, walk_race
from unerring.core.voting.odds import expected_votes, loss_probability
from unerring.core.voting.race import AheadBy, Race, Won
from vote_lists import tell_all

GRID = (0.5001, 0.51, 0.6429, 0.9, 0.9642, 0.9978, 0.9999, 0.9999999)
EVERY_K = tuple(range(1, 41))
ALARM = 1e-6  # how often a test of a simulation may fail for a seed, though all is well


@dataclass(frozen=True)
class Solved:
    """A race by linear equations: losses, and the mean and mean square of the votes."""

    wrong: float
    votes: float
    squared: float


@cache
def solved(turns, lead):
    """Solve a race of voters in turn.

    Each vote is a tuple of (what it adds to the right choice's lead, its probability).
    """
    places = range(-lead + 1, lead)
    number = {state: i for i, state in enumerate(product(places, range(len(turns))))}
    on, lost = np.zeros((len(number), len(number))), np.zeros(len(number))
    for (place, turn), i in number.items():
        for gained, chance in turns[turn]:
            after = (place + gained, (turn + 1) % len(turns))
            if after in number:
                on[i, number[after]] += chance
            elif gained < 0:
                lost[i] += chance
    still = np.eye(len(number)) - on
    mean = np.linalg.solve(still, np.ones(len(number)))
    square = np.linalg.solve(still, 1.0 + 2.0 * on @ mean)
    first = number[0, 0]
    return Solved(np.linalg.solve(still, lost)[first], mean[first], square[first])


def vote(p):
    """One vote that is right with probability p and counts 1."""
    return ((1, p), (-1, 1.0 - p))


def walked(turns, lead, **limits):
    """The dynamic programme, with voters in turn."""
    return walk_race(lambda number: turns[number % len(turns)], lead, **limits)


# --- closed form and dynamic programme


@each("p", GRID)
def test_the_closed_form_of_a_race_solves_its_equations(p):
    """For every k up to 40, losses and mean votes of `closed_form_race` are those of the linear equations."""
    for k in EVERY_K:
        found, expected = closed_form_race(p, k), solved((vote(p),), k)
        assert found.wrong == pytest.approx(expected.wrong, rel=1e-6, abs=1e-14)
        assert found.votes == pytest.approx(expected.votes, rel=1e-7)
        assert (found.wrong, found.votes) == (loss_probability(p, k), expected_votes(p, k))
        assert found.undecided == 0.0


@each("p", [*GRID, 0.5, 0.50049, 0.50051, 0.505])
def test_the_mean_square_of_the_votes_solves_its_equations(p):
    """The same for the mean square, from which the spread of costs follows; to 2 parts in 1000 near p = 1/2."""
    near = 2e-3 if p < 0.502 else 1e-6
    for k in EVERY_K:
        assert closed_form_race(p, k).votes_squared == pytest.approx(solved((vote(p),), k).squared, rel=near), k


@each("p", [0.5001, 0.6429, 0.9, 0.9978, 0.9999999])
@each("k", [1, 2, 3, 5, 8])
def test_the_dynamic_programme_agrees_with_the_closed_form(p, k):
    """Both have the same losses, votes, squares of votes, and probability that all votes agree."""
    found, expected = walked([vote(p)], k), closed_form_race(p, k)
    assert found.wrong == pytest.approx(expected.wrong, rel=1e-9, abs=1e-13)
    assert found.votes == pytest.approx(expected.votes, rel=1e-8)
    assert found.votes_squared == pytest.approx(expected.votes_squared, rel=1e-5 if p < 0.51 else 1e-8)
    assert found.unanimous == pytest.approx(expected.unanimous, rel=1e-9)
    assert found.undecided <= 1e-13


@each("p", [0.6429, 0.9, 0.9642, 0.9999999])
def test_the_dynamic_programme_agrees_up_to_a_margin_of_40(p):
    """In long races too, the tail left open is far below what the test allows."""
    for k in (13, 29, 40):
        found, expected = walked([vote(p)], k), closed_form_race(p, k)
        assert found.wrong == pytest.approx(expected.wrong, rel=1e-6, abs=1e-12)
        assert found.votes == pytest.approx(expected.votes, rel=1e-8)
        assert found.votes_squared == pytest.approx(expected.votes_squared, rel=1e-8)


def test_a_race_at_even_odds_to_a_margin_of_40_is_walked_to_its_end():
    """At p = 0.5001 and k = 40 a race takes 1,600 votes on average, and 10,000 leave one in 2,000 open at most."""
    found, expected = walked([vote(0.5001)], 40, most=10_000), closed_form_race(0.5001, 40)
    assert found.longest == 10_000
    assert 0.0 < found.undecided < 1.0 / 1700.0
    assert found.wrong <= expected.wrong <= found.wrong + found.undecided
    assert found.votes <= expected.votes <= found.votes + 2500.0 * found.undecided


@each("p", [0.6, 0.9642, 0.9978])
@each("k", [1, 3, 12])
def test_practically_no_race_is_longer_than_the_closed_form_says(p, k):
    """After the longest race of `closed_form_race`, at most the share that it calls negligible is open."""
    for negligible in (1e-3, 1e-9):
        longest = closed_form_race(p, k, negligible).longest
        assert walked([vote(p)], k, negligible=0.0, most=longest).undecided <= 2.0 * negligible


def test_a_walk_that_is_cut_short_says_what_is_open():
    """The undecided share of a walk is what is neither won nor lost: after 4 votes of a margin of 3 at p = 0.6."""
    found = walked([vote(0.6)], 3, most=4)
    lost = 0.4**3  # the fourth vote ends no race: the lead is odd after an odd number of votes
    won = 0.6**3
    assert found.longest == 4
    assert found.wrong == pytest.approx(lost)
    assert found.undecided == pytest.approx(1.0 - lost - won)
    assert found.unanimous == pytest.approx(lost + won)


# --- voters that take turns, and votes of different weight

probability = st.floats(0.05, 0.999)
places = st.lists(st.tuples(st.integers(-5, 5), st.floats(0.01, 1.0)), min_size=1, max_size=4)


@settings(max_examples=40, deadline=None)
@given(st.lists(probability, min_size=1, max_size=4), st.integers(1, 6))
def test_voters_who_take_turns_solve_their_equations(ps, k):
    """Voters with different errors, in a fixed order, race as their equations say."""
    turns = tuple(vote(p) for p in ps)
    found, expected = walked(turns, k), solved(turns, k)
    assert found.wrong == pytest.approx(expected.wrong, abs=1e-11)
    assert found.votes == pytest.approx(expected.votes, rel=1e-8)
    assert found.votes_squared == pytest.approx(expected.squared, rel=1e-7)
    first = [ps[number % len(ps)] for number in range(k)]
    assert found.unanimous == pytest.approx(prod(first) + prod(1.0 - p for p in first), rel=1e-9)


def shared(parts):
    """A vote whose probabilities add up to 1, in these proportions."""
    whole = sum(part for _, part in parts)
    return tuple((gained, part / whole) for gained, part in parts)


@settings(max_examples=40, deadline=None)
@given(st.lists(places, min_size=1, max_size=3), st.integers(1, 12))
def test_votes_of_different_weight_solve_their_equations(raw, lead):
    """A vote may add anything to the lead, also 0, and overshoot the end."""
    turns = tuple(shared([*one, (1, 0.2)]) for one in raw)
    found, expected = walked(turns, lead), solved(turns, lead)
    assert found.wrong == pytest.approx(expected.wrong, abs=1e-9)
    assert found.votes == pytest.approx(expected.votes, rel=1e-6)
    assert found.votes_squared == pytest.approx(expected.squared, rel=1e-5)


def test_a_voter_that_is_mostly_wrong_can_be_outvoted():
    """Two voters at 0.95 outvote one at 0.3: a margin of 6 loses less than one race in a thousand."""
    turns = [vote(0.95), vote(0.3), vote(0.95)]
    assert walked(turns, 6).wrong < 1e-3
    assert walked(turns, 6).wrong > loss_probability(0.95, 6)


# --- simulation


def race(k, draw, shares):
    """One race of the package's own; vote number i falls on candidate c with `shares[i % n][c]`, 0 is right."""
    held = Race(AheadBy(k))
    while not isinstance(held.verdict, Won):
        held.tell(draw.choices(range(len(shares[0])), shares[held.votes % len(shares)])[0])
    return held.verdict.choice == 0, held.votes


def simulated(k, shares, n, seed):
    draw = random.Random(seed)
    races = [race(k, draw, shares) for _ in range(n)]
    return sum(right for right, _ in races), sum(votes for _, votes in races) / n


@each(
    ("ps", "k"), [((0.5001,), 4), ((0.6429,), 3), ((0.9,), 2), ((0.99, 0.6), 3), ((0.9, 0.3, 0.8), 3), ((0.7, 0.6), 5)]
)
def test_the_packages_own_races_come_out_as_computed(ps, k):
    """Of 3,000 real races, wins and mean votes are those of closed form and dynamic programme. Seeded.

    Wins lie within the exact binomial bounds that one seed in a million exceeds; so do mean votes within 4.9 standard
    errors, by the central limit theorem.
    """
    n, exact = 3000, walked([vote(p) for p in ps], k)
    wins, mean = simulated(k, [(p, 1.0 - p) for p in ps], n, 20)
    assert binom.cdf(wins, n, 1.0 - exact.wrong) > ALARM / 2
    assert binom.sf(wins - 1, n, 1.0 - exact.wrong) > ALARM / 2
    assert abs(mean - exact.votes) <= 4.9 * sqrt((exact.votes_squared - exact.votes**2) / n)
    if len(ps) == 1:
        assert exact.wrong == pytest.approx(loss_probability(ps[0], k))


@each(("p", "k"), [(0.5001, 2), (0.6, 3), (0.8, 2), (0.9, 1)])
@each("first", [0.5, 0.9])
def test_the_right_choice_wins_at_least_as_often_against_two_wrong_ones(p, k, first):
    """Of 3,000 real races with scattered wrong votes, at least as many are won as the closed form says for one.

    Seeded; one seed in a million, at most, has fewer wins than the exact binomial bound.
    """
    n = 3000
    wins, _ = simulated(k, [(p, (1.0 - p) * first, (1.0 - p) * (1.0 - first))], n, 21)
    assert binom.cdf(wins, n, 1.0 - loss_probability(p, k)) > ALARM


def tallied(k, shares, longest):
    """Exact probabilities that each candidate has won within so many votes, and that none has, by tallies."""
    open_, won = {(0,) * len(shares): 1.0}, [0.0] * len(shares)
    for _ in range(longest):
        following = defaultdict(float)
        for tally, chance in open_.items():
            for candidate, share in enumerate(shares):
                after = [*tally]
                after[candidate] += 1
                if after[candidate] >= k + max(after[:candidate] + after[candidate + 1 :]):
                    won[candidate] += chance * share
                else:
                    following[tuple(after)] += chance * share
        open_ = following
    return [*won, sum(open_.values())]


@each("k", [1, 2, 3])
@each("shares", [(0.6, 0.3, 0.1), (0.5, 0.25, 0.25), (0.34, 0.33, 0.33)])
def test_a_race_of_three_is_what_its_tallies_say(k, shares):
    """Over all 3^8 orders of eight votes, `Race` elects each candidate as often as the sum over tallies says."""
    chances = [0.0] * 4
    for votes in product(range(3), repeat=8):
        verdict = tell_all(Race(AheadBy(k)), votes)
        chances[verdict.choice if isinstance(verdict, Won) else 3] += prod(shares[one] for one in votes)
    assert chances == pytest.approx(tallied(k, shares, 8))


@each("p", [0.5001, 0.7, 0.95])
@each("k", [1, 2, 3, 4])
def test_scattered_wrong_votes_win_less_often(p, k):
    """By the exact sum over tallies, two wrong choices together win no more often than one with all wrong votes."""
    for first in (0.5, 0.8, 0.99):
        _, *lost, _ = tallied(k, (p, (1.0 - p) * first, (1.0 - p) * (1.0 - first)), 40)
        assert sum(lost) <= walked([vote(p)], k, negligible=0.0, most=40).wrong + 1e-12
