"""Weights of votes: from probabilities to whole millinats, by voter and log-probability, and back from JSON."""

import json
from math import exp, inf, nan, nextafter

import pytest

from tables import each
from unerring.core.voting.race import LogOdds
from unerring.core.voting.weights import (
    MAX_WEIGHT_MILLINATS,
    StepWeights,
    VoterWeights,
    Weights,
    millinats,
    voter_weights,
    weights_from,
)
from unerring.errors import InputError

EDGES = (-0.1, -0.01)
WEIGHTS = Weights(
    EDGES,
    (("b", VoterWeights((0, 2000, 7000), 1500)), ("a", VoterWeights((300, 200, 6000), 9000))),
)

# --- from probabilities


@each(
    ("p", "weight"),
    [(0.5, 0), (0.75, 1098), (0.9, 2197), (0.99, 4595), (0.999, 6906), (1 - 2e-4, 8516), (1 - 1e-9, 20723)],
)
def test_a_weight_is_the_log_odds_in_millinats_rounded_down(p, weight):
    """It is 1000 ln(p / (1 - p)), rounded down."""
    assert millinats(p) == weight
    assert 1 / (1 + exp(-weight / 1000)) <= p < 1 / (1 + exp(-(weight + 1) / 1000))


@each("p", [0.0, 1e-9, 0.21, 0.4999999, 0.5])
def test_a_vote_that_is_right_no_more_often_than_wrong_weighs_nothing(p):
    """Its weight is 0, not negative."""
    assert millinats(p) == 0


@each("p", [1.0, nextafter(1.0, 0.0), 1 - 1e-14])
def test_no_vote_weighs_more_than_the_maximum(p):
    """A vote that was never seen to be wrong has the maximum weight."""
    assert millinats(p) == MAX_WEIGHT_MILLINATS


@each("p", [-0.1, 1.1, nan, inf])
def test_what_is_no_probability_has_no_weight(p):
    """A value outside 0 to 1 is refused."""
    with pytest.raises(InputError, match="probability"):
        millinats(p)


@each(
    ("rates", "weights"),
    [
        (([0.9998], 0.75), VoterWeights((8516,), 0)),
        (([0.9998], 0.75, 5e-5), VoterWeights((8516,), 0, 287, 8515)),
        (([0.98], 0.02, 0.02), VoterWeights((3891,), 0, 3891, 3891)),
        (([0.3, 0.9, 0.99], 0.3, 0.001), VoterWeights((0, 2197, 4595), 0, 1122, 6514)),
        (([0.99], 0.3, 0.0), VoterWeights((4595,), 0, 1196, 29639)),
        (([0.98], 0.02), VoterWeights((3891,), 3891)),
        (([0.2], 0.8, 0.8), VoterWeights((0,), 0)),
        (([0.99], 1.0, 0.001), VoterWeights((4595,), 0)),
        (([0.99], 0.0, 0.001), VoterWeights((4595,), 0)),
        (([0.99], 0.0), VoterWeights((4595,), MAX_WEIGHT_MILLINATS)),
    ],
)
def test_weights_follow_from_the_rates_of_a_voter(rates, weights):
    """Independent errors give each repetition the same weight; the more they repeat, the less a second vote weighs."""
    assert voter_weights(*rates) == weights


@each("rates", [([1.2], 0.1), ([0.9], -0.1), ([0.9], nan, 0.1), ([0.9], 0.1, 1.1), ([0.9], 0.1, nan)])
def test_rates_that_are_no_probabilities_are_refused(rates):
    """Each rate is between 0 and 1."""
    with pytest.raises(InputError, match="probability"):
        voter_weights(*rates)


# --- by voter and log-probability


@each(
    ("logprob", "weight"),
    [(-1e300, 0), (-0.1001, 0), (-0.1, 2000), (-0.0101, 2000), (-0.01, 7000), (-0.005, 7000), (0, 7000), (0.0, 7000)],
)
def test_a_vote_weighs_as_its_bin_says(logprob, weight):
    """Edges separate the bins, the lowest log-probability first; a vote on an edge is in the bin above."""
    assert WEIGHTS.of("b", logprob, repeated=False) == weight


@each("logprob", [None, nan, inf, -inf])
def test_a_vote_without_a_log_probability_weighs_as_the_least_of_its_bins(logprob):
    """It has the smallest weight of all bins."""
    assert WEIGHTS.of("a", logprob, repeated=False) == 200
    assert WEIGHTS.of("b", logprob, repeated=False) == 0


def test_without_edges_the_log_probability_makes_no_difference():
    """All votes are in one bin."""
    weights = Weights((), (("a", VoterWeights((1000,), 0)),))
    assert [weights.of("a", logprob, repeated=False) for logprob in (None, -9.0, 0.0)] == [1000] * 3


def test_a_vote_of_an_unknown_voter_weighs_nothing():
    """A voter that was not measured has weight 0."""
    assert WEIGHTS.of("c", 0.0, repeated=False) == WEIGHTS.of("", None, repeated=True) == 0


def test_a_repeated_vote_weighs_its_bin_and_at_most_what_repeats_do():
    """`repeat` is a ceiling: a vote of a lighter bin keeps its weight."""
    assert [WEIGHTS.of("b", logprob, repeated=True) for logprob in (-0.5, -0.05, 0.0)] == [0, 1500, 1500]
    assert WEIGHTS.of("a", 0.0, repeated=True) == 6000


def weighed(weights, *votes):
    """The weights of these votes, counted on one step in this order."""
    weighing = StepWeights(weights)
    return [weighing.weigh(*vote) for vote in votes]


def test_only_a_voters_first_vote_on_a_step_is_not_repeated():
    """Voters are distinguished by name, and a vote of weight 0 is a first vote too."""
    assert weighed(WEIGHTS, ("b", -0.5, 0), ("a", 0.0, 0), ("b", 0.0, 0), ("b", 0.0, 1)) == [0, 6000, 1500, 1500]


@each(
    ("said", "weights"),
    [
        ([0, 0, 0, 0], [5000, 300, 0, 0]),
        ([0, 1, 0, 1], [5000, 4000, 0, 0]),
        ([0, 0, 2, 0], [5000, 300, 0, 0]),
        ([3, 1, 1, 2], [5000, 4000, 0, 0]),
    ],
)
def test_further_votes_weigh_by_what_their_voter_has_said(said, weights):
    """A second vote for the same weighs `again`, one for another choice `turn`, and a third nothing."""
    known = Weights((), (("a", VoterWeights((5000,), 100, again=300, turn=4000)),))
    others = [("b", None, candidate) for candidate in said]  # of a voter that is not known
    assert weighed(known, *others, *(("a", None, candidate) for candidate in said)) == [0] * 4 + weights


def test_a_voter_that_leaves_its_first_choice_weighs_no_more_than_it_did_for_that():
    """`turn` is at most the weight of the first vote, and a first vote of weight 0 gives 0."""
    known = Weights(EDGES, (("a", VoterWeights((0, 900, 5000), 100, again=300, turn=4000)),))
    assert weighed(known, ("a", -0.05, 0), ("a", 0.0, 0)) == [900, 300]
    assert weighed(known, ("a", -0.05, 0), ("a", 0.0, 1)) == [900, 900]
    assert weighed(known, ("a", 0.0, 0), ("a", -0.5, 1)) == [5000, 4000]
    assert weighed(known, ("a", -0.5, 0), ("a", 0.0, 0), ("a", 0.0, 1)) == [0, 0, 0]
    assert weighed(known, ("a", -0.5, 0), ("a", 0.0, 1)) == [0, 0]


def test_the_heaviest_vote_is_that_of_all_voters():
    """The heaviest vote of all voters gives the least number of votes that a race needs."""
    assert WEIGHTS.heaviest == 7000
    assert Weights((), ()).heaviest == 0


def test_weights_are_values():
    """They are equal in any order of voters, and hashable, so that a policy is."""
    other = Weights(EDGES, tuple(reversed(WEIGHTS.voters)))
    assert other == WEIGHTS
    assert hash(other) == hash(WEIGHTS)
    assert Weights((-0.2, -0.01), WEIGHTS.voters) != WEIGHTS


@each(
    ("bins", "repeat"),
    [
        ((), 0),
        ((1, -1), 0),
        ((1,), -1),
        ((1.0,), 0),
        ((True,), 0),
        ((1,), None),
        ((MAX_WEIGHT_MILLINATS + 1,), 0),
        ((1,), MAX_WEIGHT_MILLINATS + 1),
    ],
)
def test_an_invalid_weight_is_refused(bins, repeat):
    """Weights are whole numbers from 0 to the maximum, and there is at least one."""
    with pytest.raises(ValueError, match="whole number of millinats"):
        VoterWeights(bins, repeat)


@each("further", [(-1, 0), (0, -1), (1.0, 0), (0, True), (None, 0)])
def test_an_invalid_weight_of_a_further_vote_is_refused(further):
    """The same holds for weights of further votes."""
    with pytest.raises(ValueError, match="whole number of millinats"):
        VoterWeights((1,), 0, *further)


def test_saying_the_same_again_weighs_no_more_than_saying_it_first():
    """So the heaviest vote of all is a first one."""
    assert VoterWeights((0, 5), 9, again=5).again == 5
    with pytest.raises(ValueError, match="same again"):
        VoterWeights((0, 5), 9, again=6)


@each("edges", [(-0.1, -0.1), (-0.01, -0.1), (nan,), (-inf,), (-0.1, inf)])
def test_edges_that_do_not_rise_are_refused(edges):
    """Edges are numbers, each above the one before."""
    with pytest.raises(ValueError, match="ascending"):
        Weights(edges, (("a", VoterWeights((0,) * (len(edges) + 1), 0)),))


@each("bins", [(1,), (1, 2, 3)])
def test_a_voter_has_one_weight_for_each_bin(bins):
    """There is one more bin than there are edges."""
    with pytest.raises(ValueError, match="the edges make 2 bins, but a has"):
        Weights((-0.1,), (("a", VoterWeights(bins, 0)),))


def test_a_voter_is_weighed_once():
    """Two weights for one name are refused."""
    with pytest.raises(ValueError, match=r"^a has two sets of weights; give it one$"):
        Weights((), (("a", VoterWeights((1,), 0)), ("a", VoterWeights((2,), 0))))


# --- as JSON

VOTER = {"bins": [1], "repeat": 0, "again": 0, "turn": 0}


@each("weights", [WEIGHTS, Weights((), (("a", VoterWeights((5,), 5, 4, 3)),)), Weights((-1.5,), ())])
def test_weights_come_back_from_json(weights):
    """`weights_from` reads what `to_json` wrote, through JSON text."""
    assert weights_from(json.loads(json.dumps(weights.to_json()))) == weights


@each(
    "data",
    [
        *(None, [], {}, {"edges": []}, {"voters": {}}, {"edges": [], "voters": []}, {"edges": {}, "voters": {}}),
        *({"edges": [edge], "voters": {}} for edge in ("-1", None, True, [], nan, inf, 10**400)),
        *({"edges": [], "voters": {"a": voter}} for voter in (None, [], {}, {"bins": [1], "repeat": 1})),
        *({"edges": [], "voters": {"a": VOTER | {"bins": bins}}} for bins in (1, [], ["1"], [1.0], [True], [-1])),
        *({"edges": [], "voters": {"a": VOTER | {"repeat": repeat}}} for repeat in (None, "0", 1.0, True, -1)),
        *({"edges": [], "voters": {"a": VOTER | {"again": again}}} for again in (None, "0", 1.0, True, -1)),
        *({"edges": [0.0], "voters": {"a": VOTER | {"bins": bins}}} for bins in ([1], [1, "2"], [1, 2, 3])),
    ],
    ids=repr,
)
def test_invalid_weights_are_refused(data):
    """Data that `to_json` did not write is a ValueError."""
    with pytest.raises(ValueError, match=r"weights|edges"):
        weights_from(data)


# --- the rule


def rule(threshold, heaviest=1000):
    return LogOdds(threshold, Weights((), (("a", VoterWeights((heaviest,), 0)),)))


@each(
    ("threshold", "name"),
    [(12.67, "12.67"), (3, "3"), (30.0, "30"), (0.057, "0.057"), (1.0001, "1.001"), (1e-9, "0.001"), (16.86, "16.86")],
)
def test_a_threshold_is_kept_in_millinats_rounded_up(threshold, name):
    """A rule never asks for less than it was given, and its name has the threshold."""
    assert rule(threshold).name == f"log-odds {name}"
    assert rule(threshold) == rule(float(name))
    assert rule(threshold).threshold == float(name)


@each("threshold", [0, 0.0, -1.0, nan, inf, True, "3", None])
def test_a_threshold_of_0_is_refused(threshold):
    """A threshold of 0 would elect the first vote."""
    with pytest.raises(ValueError, match="number of nats above 0"):
        rule(threshold)


@each("voters", [(), (("a", VoterWeights((0,), 900)),)])
def test_a_rule_that_no_vote_can_move_is_refused(voters):
    """If no vote has a weight, no race could end, so the rule is refused before anything is asked."""
    with pytest.raises(ValueError, match="no vote weighs anything"):
        LogOdds(3.0, Weights((), voters))


@each(
    ("first", "second", "lacking"),
    [(0, 0, 3), (1, 0, 3), (500, 0, 2), (1500, 0, 1), (2499, 0, 1), (2500, 0, 0), (9, 9, 3)],
)
def test_a_race_lacks_as_many_of_the_heaviest_votes_as_close_the_gap(first, second, lacking):
    """It lacks the gap to the threshold over the heaviest vote, rounded up, and none if the gap is closed."""
    assert rule(2.5).lacking(first, second) == lacking
    assert rule(2.5).lacking(first + 77, second + 77) == lacking
