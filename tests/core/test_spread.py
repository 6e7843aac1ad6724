"""How error probabilities differ between steps: which kinds of steps are distinguished."""

from math import exp, inf

import pytest

from tables import each
from unerring.core.planning.spread import VoterTurns, voter_kinds


def chance(odds):
    """The probability with these log-odds."""
    return 1.0 / (1.0 + exp(-odds))


@each("odds", [-5, -4, 0, 3])
def test_steps_on_which_a_voter_errs_now_and_then_are_a_kind(odds):
    """Steps that are wrong once in 150 samples or more, a tenth of all, are separated from those that never are."""
    hard, calm = voter_kinds(0.0, inf, [VoterTurns(0.1, chance(odds))])
    assert hard == VoterTurns(pytest.approx(0.1), pytest.approx(chance(odds)))
    assert calm == VoterTurns(pytest.approx(0.9), 0.0)


@each("odds", [-6, -7, -12])
def test_steps_on_which_a_voter_hardly_errs_are_one_kind_with_those_where_it_never_does(odds):
    """Errors once in 400 samples or fewer are spread over both kinds of steps, and none is lost."""
    (calm,) = voter_kinds(0.0, inf, [VoterTurns(0.1, chance(odds))])
    assert calm == VoterTurns(1.0, pytest.approx(0.1 * chance(odds)))
