"""Policies: what is refused, and what is read back from a journal."""

import json

import pytest

from tables import each
from unerring.core.voting.policy import Policy, policy_from
from unerring.core.voting.race import AheadBy, FirstTo, LogOdds, Majority
from unerring.core.voting.redflag import FlagRules
from unerring.core.voting.weights import VoterWeights, Weights
from unerring.errors import InputError

WEIGHTS = Weights((-0.1,), (("b", VoterWeights((0, 7000), 900)), ("a", VoterWeights((10, 6000), 0))))


def test_the_default_policy_is_the_papers():
    """First to lead by 3, temperatures 0 then 0.1, and at most 750 output tokens."""
    policy = Policy()
    assert policy.rule == AheadBy(3)
    assert [policy.temperature(slot) for slot in range(3)] == [0.0, 0.1, 0.1]
    assert policy.flags.max_output_tokens == 750


def test_a_temperature_of_0_is_raised_by_flagged_samples():
    """Each flagged sample of earlier rounds raises it, up to 1; the first sample and other temperatures stay."""
    cold, warm = Policy(later_temperature=0.0), Policy()
    assert [cold.temperature(5, flagged) for flagged in (0, 1, 3, 99)] == [0.0, 0.1, pytest.approx(0.3), 1.0]
    assert [cold.temperature(0, 7), warm.temperature(5, 7)] == [0.0, 0.1]


@each(
    "policy",
    [
        Policy(),
        Policy(AheadBy(7), 100, 3, 0.5, 1.0),
        Policy(FirstTo(2), 9, flags=FlagRules(100, -1.5)),
        Policy(Majority(11), 6, 1, flags=FlagRules(1, 0)),
        Policy(LogOdds(16.86, WEIGHTS), 40),
    ],
)
def test_a_policy_comes_back_from_json(policy):
    """`policy_from` reads what `to_json` wrote, through JSON text."""
    assert policy_from(json.loads(json.dumps(policy.to_json()))) == policy


def test_a_policy_that_weighs_no_votes_is_written_without_weights():
    """If every vote counts alike, a journal's bytes are the same as before weights existed."""
    assert json.dumps(Policy(vote_cap=9).to_json()) == (
        '{"rule": "ahead-by 3", "vote_cap": 9, "flag_cap": 20, "temperatures": [0.0, 0.1], '
        '"max_output_tokens": 750, "min_logprob": null}'
    )
    assert Policy(LogOdds(3, WEIGHTS)).to_json() == Policy().to_json() | {
        "rule": "log-odds 3",
        "weights": WEIGHTS.to_json(),
    }


def test_a_policy_is_hashable_with_its_weights():
    """Equal policies are one key."""
    assert len({Policy(LogOdds(3, WEIGHTS)), Policy(LogOdds(3.0, WEIGHTS)), Policy()}) == 2


@each(
    ("rule", "needs"),
    [(AheadBy(3), 3), (FirstTo(4), 4), (Majority(9), 5), (AheadBy(1), 1), (LogOdds(16.86, WEIGHTS), 3)],
)
def test_a_cap_that_no_race_could_win_under_is_refused(rule, needs):
    """The vote cap is at least what the rule needs, and the message names the rule."""
    assert Policy(rule, vote_cap=needs).vote_cap == needs
    with pytest.raises(InputError, match=rule.name if needs > 1 else "vote_cap"):
        Policy(rule, vote_cap=needs - 1)


@each("cap", [0, -1])
def test_a_flag_cap_below_one_is_refused(cap):
    """At least one flagged sample must be allowed for each vote."""
    with pytest.raises(InputError, match="flag_cap"):
        Policy(flag_cap=cap)


@each("temperatures", [(-0.1, 0.1), (0.0, -1.0), (float("nan"), 0.1), (0.0, float("nan"))])
def test_an_invalid_temperature_is_refused(temperatures):
    """A temperature is a number from 0."""
    with pytest.raises(InputError, match="temperature"):
        Policy(first_temperature=temperatures[0], later_temperature=temperatures[1])


@each("tokens", [0, -1])
def test_a_length_limit_that_flags_every_answer_is_refused(tokens):
    """A limit below one token is refused, since it would flag every answer."""
    with pytest.raises(InputError, match="max_output_tokens"):
        Policy(flags=FlagRules(max_output_tokens=tokens))


def without(key):
    return {name: value for name, value in Policy().to_json().items() if name != key}


@each(
    "data",
    [
        {},
        *(without(key) for key in Policy().to_json()),
        Policy().to_json() | {"vote_cap": "60"},
        Policy().to_json() | {"vote_cap": None},
        Policy().to_json() | {"temperatures": [0.0]},
        Policy().to_json() | {"temperatures": "01"},
        Policy().to_json() | {"rule": 3},
        Policy().to_json() | {"rule": "plurality 3"},
        Policy().to_json() | {"rule": "ahead-by 0"},
        Policy().to_json() | {"max_output_tokens": 1.5},
        Policy().to_json() | {"min_logprob": "-1"},
        Policy().to_json() | {"rule": "log-odds 3"},
        Policy().to_json() | {"rule": "log-odds 3", "weights": None},
        Policy().to_json() | {"rule": "log-odds 3", "weights": {"edges": [], "voters": {"a": 1}}},
        Policy().to_json() | {"rule": "log-odds 3", "weights": {"edges": [], "voters": {}}},
        Policy().to_json() | {"weights": WEIGHTS.to_json()},
        None,
        [],
    ],
)
def test_an_invalid_policy_is_refused(data):
    """Data that `to_json` did not write is a ValueError."""
    with pytest.raises(ValueError, match=r"policy|rule|whole number|weigh"):
        policy_from(data)


@each("change", [{"vote_cap": 0}, {"vote_cap": 2}, {"flag_cap": 0}, {"temperatures": [-1, 0]}])
def test_impossible_figures_in_a_journals_policy_are_a_value_error(change):
    """Impossible figures of a policy from a journal are the journal's fault, hence a ValueError."""
    with pytest.raises(ValueError, match=r"."):
        policy_from(Policy().to_json() | change)
