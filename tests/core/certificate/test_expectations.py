"""A plan read back from a journal: valid parts are used, and malformed parts do no harm."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from entry_strategies import objects
from tables import each
from unerring.core.certificate.expectations import Expectations, expectations_from
from unerring.core.journal.entries import Opened, Voter
from unerring.core.journal.state import RunState
from unerring.core.reporting.report import RunSeries, report_of
from unerring.core.voting.policy import Policy

PLAN = {
    "k": 3,
    "rule": "ahead-by 3",
    "steps": 1000,
    "target": 0.95,
    "success": 0.97,
    "votes": 3.01,
    "p": {"one": [0.99, 0.995, 1], "two": [0.9, 0.95, 0.97]},
    "dissent": [0.001, 0.004],
}


def test_a_plan_is_read():
    """Steps, each voter's p and the band of dissent are read from it."""
    expected = Expectations(1000, {"one": (0.99, 0.995, 1.0), "two": (0.9, 0.95, 0.97)}, (0.001, 0.004))
    assert expectations_from(PLAN) == expected


def test_no_plan_expects_nothing():
    """A run without a plan is compared with nothing."""
    assert expectations_from(None) == expectations_from({}) == Expectations()


ODD_BANDS = [[0.1, 0.05], [-0.1, 0.5], [0.5, 1.5], [float("nan"), 0.5], [0.1], [True, True], ["0.1", "0.2"], 10**400]


@each("band", [*ODD_BANDS, [0, 10**400], {"low": 0.1}, None, "0.1-0.2"], ids=repr)
def test_an_invalid_band_is_not_used(band):
    """A band that is not two ascending probabilities is left out, and the rest is used."""
    expected = expectations_from(PLAN | {"dissent": band})
    assert expected.dissent is None
    assert expected.steps == 1000


@each("steps", [0, -1, 1.5, True, "1000", None, 10**400, float("inf")], ids=repr)
def test_an_invalid_number_of_steps_is_not_used(steps):
    """The number of steps must be a whole number of at least 1."""
    assert expectations_from(PLAN | {"steps": steps}).steps is None


def test_a_voter_with_an_invalid_p_is_left_out():
    """The other voters stay."""
    voters = {"one": [0.9, 0.8, 0.95], "two": PLAN["p"]["two"], "three": None}
    assert list(expectations_from(PLAN | {"p": voters}).p) == ["two"]
    assert expectations_from(PLAN | {"p": [1, 2, 3]}).p == {}


names = st.sampled_from(["k", "rule", "steps", "target", "success", "votes", "p", "dissent"])
anything = objects(st.text(max_size=4)).map(lambda made: [made, list(made.values())])
forged = st.dictionaries(names, anything.flatmap(st.sampled_from), max_size=8) | objects(st.text(max_size=4))


@settings(max_examples=80, deadline=None)
@given(forged)
def test_no_plan_makes_a_journal_unreadable(plan):
    """With anything in place of a plan, the run folds and its report is JSON with finite numbers."""
    state, series = RunState(), RunSeries()
    state.apply(Opened("tale", {}, "made/up", Policy().to_json(), 0, "0", 5, "test", 0.0, plan=plan))
    state.apply(Voter(0, "one"))
    report = report_of(state, series)
    json.dumps(report["certificate"], allow_nan=False)
    expected = expectations_from(plan)
    assert expected.dissent is None or 0 <= expected.dissent[0] <= expected.dissent[1] <= 1
