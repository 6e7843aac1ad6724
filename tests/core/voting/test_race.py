"""Races by example: when each rule has a winner, what happens at the cap, and the names of rules.

What holds for all votes is in tests/laws/test_race_laws.py.
"""

import pytest

from tables import each
from unerring.core.voting.race import AheadBy, Continue, FirstTo, LogOdds, Majority, Race, Undecided, Won, rule_named
from unerring.core.voting.weights import VoterWeights, Weights
from vote_lists import tell_all

WEIGHTS = Weights((-0.1,), (("b", VoterWeights((0, 7000), 900)), ("a", VoterWeights((10, 6000), 0))))
EQUAL = Weights((), (("one", VoterWeights((1000,), 1000)),))

# --- winners


@each(
    ("rule", "won"),
    [
        (AheadBy(2), [None, None, None, "a"]),
        (FirstTo(2), [None, None, "a", "a"]),
        (Majority(3), [None, None, "a", "a"]),
        (LogOdds(2.0, EQUAL), [None, None, None, "a"]),
    ],
    ids=lambda one: getattr(one, "name", ""),
)
def test_each_rule_has_its_own_moment(rule, won):
    """Each rule decides a-b-a-a at its own vote: a lead of two, two votes, more than half of three, two nats."""
    race = Race(rule)
    verdicts = [race.tell(choice, 1000 if isinstance(rule, LogOdds) else 1) for choice in "abaa"]
    assert [getattr(verdict, "choice", None) for verdict in verdicts] == won


@each("k", [1, 2, 3, 5, 8])
def test_unanimous_votes_win_at_exactly_k(k):
    """K equal votes win and one fewer does not: a missing runner-up has no votes."""
    race = Race(AheadBy(k))
    for _ in range(k - 1):
        assert isinstance(race.tell("a"), Continue)
    assert race.tell("a") == Won("a")


def test_a_margin_of_5_never_accepts_3_to_2():
    """K is a margin, not a number of votes: with k = 5, 3-2 is open, and so is every lead below 5."""
    race = Race(AheadBy(5))
    tell_all(race, "aabba")
    assert race.verdict == Continue(4)
    tell_all(race, "aaa")
    assert (race.margin, race.verdict) == (4, Continue(1))
    assert race.tell("a") == Won("a")


@each(("rule", "cap"), [(AheadBy(2), 4), (FirstTo(3), 4), (Majority(4), None)])
def test_a_win_in_the_last_permitted_vote_counts(rule, cap):
    """The vote that reaches the cap may win."""
    race = Race(rule, cap)
    tell_all(race, "baa")
    assert isinstance(race.verdict, Continue)
    assert race.tell("a") == Won("a")
    assert race.votes == 4


@each("rule", [AheadBy(3), FirstTo(5), Majority(7)])
def test_an_undecided_race_never_returns_an_answer(rule):
    """At the cap the verdict has no choice, even if one candidate leads."""
    race = Race(rule, cap=7)
    tell_all(race, "aabbcca")
    assert race.verdict == Undecided(7)
    assert not hasattr(race.verdict, "choice")
    assert race.missing() == 0


def test_ties_never_go_to_the_first_candidate():
    """At every tie up to the cap no candidate wins, whichever came first."""
    race = Race(AheadBy(1), cap=1)
    assert race.tell("a") == Won("a")
    even = Race(AheadBy(2), cap=8)
    tell_all(even, "abababab")
    assert even.verdict == Undecided(8)


# --- names


@each(("name", "rule"), [("ahead-by 3", AheadBy(3)), ("first-to 1", FirstTo(1)), ("majority 15", Majority(15))])
def test_a_rule_is_read_from_its_name(name, rule):
    """The three rules are read from the names that the command line takes."""
    assert rule_named(name) == rule
    assert rule.name == name


@each(
    "name",
    [
        *("", "ahead-by", "ahead-by ", "ahead-by  3", "ahead-by 3 ", "ahead-by three", "ahead-by -1", "ahead-by 1.5"),
        *("ahead-by ²", "ahead-by 0", "Ahead-By 3", "plurality 3", "majority 0", "3", "ahead-by 3 3"),
        "ahead-by " + "9" * 5000,
        *("log-odds", "log-odds 0", "log-odds -1", "log-odds 1e3", "log-odds inf", "log-odds .", "log-odds 1.2.3"),
    ],
    ids=repr,
)
def test_an_invalid_rule_is_refused(name):
    """Any other text than a rule's name is a ValueError, with weights and without."""
    for weights in (None, WEIGHTS):
        with pytest.raises(ValueError, match=r"."):
            rule_named(name, weights)


def test_a_log_odds_rule_is_read_from_its_name_and_its_weights():
    """The name alone does not have the weights, and the other rules do not use weights."""
    assert rule_named("log-odds 16.86", WEIGHTS) == LogOdds(16.86, WEIGHTS)
    with pytest.raises(ValueError, match="none are given"):
        rule_named("log-odds 16.86")
    with pytest.raises(ValueError, match="counts every vote alike"):
        rule_named("ahead-by 3", WEIGHTS)


def test_an_unknown_rule_lists_the_rules():
    """The message lists the rules."""
    with pytest.raises(ValueError, match="ahead-by K, first-to K, majority N, log-odds NATS"):
        rule_named("borda 3")


@each("rule", [AheadBy, FirstTo, Majority])
@each("number", [0, -1, True, 1.0, "3", None])
def test_a_margin_is_a_whole_number_of_at_least_one(rule, number):
    """Any other value, `True` included, makes no rule."""
    with pytest.raises(ValueError, match="whole number from 1 to"):
        rule(number)
