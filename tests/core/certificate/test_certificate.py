"""The certificate of a run: what it claims, what it does not claim, and its warnings."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_votes import Counted, voted

from unerring.core.certificate.certificate import (
    ASSUME_INDEPENDENT,
    ASSUME_ONE_VOTER,
    WARN_DEPENDENT_VOTERS,
    WARN_FEW_VOTES,
    WARN_HARDLY_RIGHT,
    WARN_NO_STEPS,
    WARN_SINGLE_VOTES,
    CertifiedRun,
    certificate_of,
)
from unerring.core.certificate.expectations import Expectations
from unerring.core.certificate.fit import pooled_evidence
from unerring.core.certificate.vote_patterns import VoterTally, cast_votes, pooled
from unerring.core.voting.policy import Policy
from unerring.core.voting.race import AheadBy
from unerring.core.voting.redflag import FlagKind

KEYS = {
    *("expected_wrong", "zero_probability", "zero_probability_low", "wrong_interval", "voters", "repeat", "nearest"),
    *("assumptions", "warnings", "certifiable"),
}
FLAG = FlagKind.MALFORMED
SINGLE = Policy(AheadBy(1))
RECORD = Path(__file__).parents[3] / "docs" / "record" / "record.json"


def certificate(script):
    """The certificate in a report, which is JSON with finite numbers."""
    found = script.report()["certificate"]
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found.keys() == KEYS
    return found


NOT_PLANNED = Expectations()


def simulated(wrong, k, seed=1, steps=2000, expected=NOT_PLANNED):
    """The certificate of a simulated run of voters with these error probabilities."""
    run = voted(np.random.default_rng(seed), np.tile(wrong, (steps, 1)), k)
    return certificate_of(run, CertifiedRun(dict(enumerate(("first", "second", "third"))), expected))


def test_a_unanimous_run_is_certified(script):
    """A run without dissent has a small expected number of wrong steps, and P(zero errors) below 1."""
    script.open()
    for _ in range(50):
        script.decide("a", "a", "a")
    found = certificate(script)
    assert found["certifiable"]
    assert 0.0 < found["expected_wrong"] < 0.1
    assert 0.9 < found["zero_probability_low"] <= found["zero_probability"] < 1.0
    assert found["wrong_interval"] == [0, 0]
    assert found["nearest"] == found["warnings"] == []


def test_before_the_first_step_there_is_nothing_to_certify(script):
    """Before the first step the keys are present without values, with the reason."""
    found = certificate(script.open())
    assert (found["certifiable"], found["expected_wrong"], found["wrong_interval"]) == (False, 0.0, [0, 0])
    assert found["warnings"] == [WARN_NO_STEPS]


def test_single_votes_certify_nothing(script):
    """At k = 1 nothing is claimed: any number of steps may be wrong, and no p is estimated."""
    script.open(SINGLE)
    for _ in range(4):
        script.decide("a")
    found = certificate(script)
    assert (found["certifiable"], found["expected_wrong"], found["zero_probability"]) == (False, None, None)
    assert (found["wrong_interval"], found["zero_probability_low"]) == ([0, 4], 0.0)
    assert found["warnings"] == [WARN_SINGLE_VOTES]
    assert found["voters"] == [{"name": "first", "p": None, "votes": 4, "planned": None}]


def test_single_votes_are_judged_by_the_plan(script):
    """At k = 1 the expected number of wrong steps comes from the plan's p, and the certificate says so."""
    script.open(SINGLE, plan={"p": {"first": [0.7, 0.75, 0.8]}})
    for _ in range(4):
        script.decide("a")
    found = certificate(script)
    assert not found["certifiable"]
    assert found["expected_wrong"] == pytest.approx(1.0)
    assert found["zero_probability"] == pytest.approx(np.exp(-1.0))
    assert found["zero_probability_low"] == pytest.approx(np.exp(-1.2))
    assert found["wrong_interval"] == [0, 4]
    assert "plan" in found["assumptions"][0]


def test_no_more_steps_can_be_wrong_than_there_are(script):
    """At k = 1 the interval of a plan that expects most votes to be wrong ends at the number of steps."""
    script.open(SINGLE, plan={"p": {"first": [0.05, 0.1, 0.2]}})
    for _ in range(4):
        script.decide("a")
    assert certificate(script)["wrong_interval"][1] == 4


def test_a_plan_that_knows_only_some_voters_does_not_judge_single_votes(script):
    """At k = 1 nothing is claimed if the plan lacks the p of one voter."""
    script.open(SINGLE, plan={"p": {"first": [0.7, 0.75, 0.8]}}, voters=2)
    script.vote(0, FLAG, "a")
    script.decide()
    script.decide("a")
    assert certificate(script)["expected_wrong"] is None


def test_the_steps_most_at_risk_come_first(script):
    """Steps are sorted by probability of being wrong, then by smallest margin, most rounds and most flags."""
    script.open()
    script.decide("a", "a", "a")
    script.decide("b", "a", "a", "a", "a")
    script.decide("b", FLAG, "a", "b", "a", "a", "a", "a")
    script.decide("b", "a", FLAG, FLAG, "a", "a", "a")
    script.decide("a", FLAG, "a", "a")
    nearest = certificate(script)["nearest"]
    assert [step["step"] for step in nearest] == [2, 3, 1, 4]
    chances = [step.pop("wrong_probability") for step in nearest]
    assert chances == sorted(chances, reverse=True)
    assert 0.0 < chances[-1] < chances[0] < 0.5
    assert nearest[0] == {"step": 2, "tally": [5, 2], "margin": 3, "rounds": 3, "flags": 1}


def test_at_most_ten_steps_are_named(script):
    """The list has at most ten steps, however many had dissent."""
    script.open()
    for _ in range(15):
        script.decide("b", "a", "a", "a", "a")
    assert [step["step"] for step in certificate(script)["nearest"]] == list(range(10))


def test_a_vote_of_a_better_voter_counts_more(script):
    """Of two steps decided 4-1, the one with dissent from the better voter is more at risk."""
    script.open(voters=2)
    for _ in range(60):
        script.decide("a", "a", "a")
        script.decide("a", "b", "a", "a", "a")
    script.decide("b", "a", "a", "a", "a")
    worst = certificate(script)["nearest"][0]
    assert (worst["step"], worst["tally"]) == (120, [4, 1])


def test_each_voter_has_its_p_and_the_planned_one(script):
    """Each voter has its name, its p estimated from the votes, the number of votes, and the plan's interval."""
    script.open(plan={"p": {"second": [0.9, 0.95, 0.99]}}, voters=2)
    for _ in range(30):
        script.decide("a", "a", "a")
    first, second = certificate(script)["voters"]
    assert (first["name"], first["votes"], first["planned"]) == ("first", 60, None)
    assert (second["name"], second["votes"], second["planned"]) == ("second", 30, [0.9, 0.95, 0.99])
    assert 0.9 < first["p"] < 1.0


def test_p_is_estimated_from_the_votes_alone():
    """Of three voters that are right with 0.95, 0.85 and 0.75, each p is estimated within 0.02."""
    found = simulated([0.05, 0.15, 0.25], 3)
    assert [voter["p"] for voter in found["voters"]] == pytest.approx([0.95, 0.85, 0.75], abs=0.02)
    assert found["warnings"] == []


def test_a_voter_worse_than_planned_gets_a_warning():
    """The warning has the voter, how often it was outvoted, and the most that was planned."""
    planned = Expectations(p={"first": (0.985, 0.99, 0.995), "second": (0.89, 0.9, 0.91)})
    (warning,) = simulated([0.05, 0.1], 3, expected=planned)["warnings"]
    assert warning.startswith("first was outvoted ")
    assert "planned were " in warning


def test_a_voter_as_planned_gets_no_warning():
    """None of 40 simulated runs has a warning; even at the end of the planned range one in about 1000 would."""
    planned = Expectations(p={"first": (0.9, 0.92, 0.95)})
    assert [simulated([0.1], 3, seed, 500, planned)["warnings"] for seed in range(40)] == [[]] * 40


def test_voters_that_err_together_are_counted_as_one():
    """Voters that find the same steps hard count as one, with a warning, and the interval holds the truth."""
    draw = np.random.default_rng(4)
    run = voted(draw, np.repeat(draw.beta(0.25, 4.75, (3000, 1)), 3, 1), 3)
    found = certificate_of(run, CertifiedRun({0: "a", 1: "b", 2: "c"}, Expectations()))
    assert found["warnings"] == [WARN_DEPENDENT_VOTERS]
    assert ASSUME_INDEPENDENT not in found["assumptions"]
    low, high = found["wrong_interval"]
    assert low <= run.wrong <= high


def test_independent_voters_are_not_taken_for_one():
    """Of 40 simulated runs of three independent voters, at most four are taken to err together (see e^-3)."""
    found = [simulated([0.05, 0.05, 0.05], 3, seed, 500)["warnings"] for seed in range(40)]
    assert sum(WARN_DEPENDENT_VOTERS in warnings for warnings in found) <= 4


def test_votes_hardly_better_than_chance_get_a_warning():
    """If votes are only slightly more often right than wrong, a warning says that winners mean little."""
    assert WARN_HARDLY_RIGHT in simulated([0.45], 2)["warnings"]
    assert WARN_HARDLY_RIGHT not in simulated([0.2], 2)["warnings"]


def test_few_votes_are_not_called_bad():
    """One step of two equal votes gets a warning that says that votes are few."""
    assert simulated([0.0], 2, steps=1)["warnings"] == [WARN_FEW_VOTES]


def test_a_single_voter_has_an_assumption_of_its_own(script):
    """The assumptions say what a single voter's votes cannot show; several voters are assumed independent."""
    script.open().decide("a", "a", "a")
    assert certificate(script)["assumptions"][0] == ASSUME_ONE_VOTER
    other = type(script)().open(voters=3)
    other.decide("a", "a", "a")
    assert certificate(other)["assumptions"][0] == ASSUME_INDEPENDENT


def test_pooled_steps_are_counted_in_the_assumptions():
    """If there were too many vote patterns to keep by voter, the assumptions say on how many steps."""
    run = voted(np.random.default_rng(3), np.tile([0.1, 0.1], (500, 1)), 2)
    run.pooled_steps = 1234
    found = certificate_of(run, CertifiedRun({0: "a", 1: "b"}, Expectations()))
    assert found["assumptions"][-1].startswith("on 1,234 steps voters are not distinguished")


def record_patterns():
    """The published record's tallies as votes of its three voters in rotation, of which one alone dissents.

    On the step that ended 54-51 one voter was always right, one always wrong, and one nearly always in the wrong
    format.
    """
    steps, dissenter = Counter(), 0
    for tally, count in json.loads(RECORD.read_text())["report"]["tallies"].items():
        won, *lost = map(int, tally.split("-"))
        second, other = sum(lost[:1]), sum(lost[1:])
        most = 51 if won == 54 else (won + 1) // 2 if lost else 1
        for _ in range(count if lost else 1):
            dissenter = (dissenter + 1) % 3
            one, two = (voter for voter in range(3) if voter != dissenter)
            parts = [VoterTally(one, most, 0, 0), VoterTally(two, (won - most) if lost else 1, 0, 0)]
            parts.append(VoterTally(dissenter, 0, second, other) if lost else VoterTally(dissenter, 1, 0, 0))
            steps[tuple(sorted(parts))] += 1 if lost else count
    return dict(steps)


def shares_of(steps):
    """Votes against the winner and all votes, by voter."""
    lost, cast = Counter(), Counter()
    for pattern, count in steps.items():
        for voter, won, second, other in pattern:
            lost[voter] += count * (second + other)
            cast[voter] += count * (won + second + other)
    return {voter: (lost[voter], cast[voter]) for voter in sorted(cast)}


def test_the_record_is_certified_by_its_three_voters():
    """With three voters far less than one of a million steps is expected to be wrong; with one voter, dozens."""
    steps = record_patterns()
    assert sum(steps.values()) == 1_048_575
    run = CertifiedRun({0: "a", 1: "b", 2: "c"}, Expectations())
    found = certificate_of(Counted(steps, shares_of(steps), 0), run)
    assert found["expected_wrong"] < 0.1
    assert found["zero_probability_low"] > 0.9
    assert found["warnings"] == []
    alone = pooled_evidence(steps, shares_of(steps))
    assert certificate_of(Counted(alone.steps, {0: shares_of(alone.steps)[0]}, 0), run)["expected_wrong"] > 5


parts = st.tuples(st.integers(0, 3), st.integers(0, 40), st.integers(0, 40), st.integers(0, 40))
patterns = st.lists(parts, min_size=1, max_size=3, unique_by=lambda part: part[0]).map(
    lambda made: tuple(VoterTally(*part) for part in sorted(made))
)
voted_somehow = st.dictionaries(patterns, st.integers(1, 10**9) | st.integers(1, 5), max_size=8)


def possible(won, second, other):
    """Whether votes can be a step's: the winner has a vote, and the runner-up has one if others have."""
    return won >= 1 and (second >= 1 or not other)


@settings(max_examples=30, deadline=None)
@given(voted_somehow, st.integers(0, 3))
def test_any_votes_have_a_certificate(steps, pooled_from):
    """Any votes, such as those of a forged journal, give finite and consistent numbers."""
    steps = {pattern: count for pattern, count in steps.items() if possible(*cast_votes(pattern))}
    shares = shares_of({pattern: count for pattern, count in steps.items() if sum(cast_votes(pattern)) > 1})
    if pooled_from and shares:  # some steps are counted with all voters as one
        steps = {pooled(pattern) if i >= pooled_from else pattern: 1 + i for i, pattern in enumerate(steps)}
    run = CertifiedRun({voter: f"voter {voter}" for voter in range(4)}, Expectations())
    found = certificate_of(Counted(steps, shares, 0), run)
    json.dumps(found, allow_nan=False)
    low, high = found["wrong_interval"]
    assert 0 <= low <= high <= sum(steps.values())
    if found["expected_wrong"] is not None:
        assert 0 <= found["expected_wrong"] <= sum(steps.values()) * (1 + 1e-9)
        assert 0 <= found["zero_probability_low"] <= found["zero_probability"] <= 1 + 1e-9
    assert all(voter["p"] is None or 0 <= voter["p"] <= 1 for voter in found["voters"])
