"""Figures of runs draw what the report and the timeline have."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

import unerring
from unerring.cli.figures.run_plots import (
    MAX_BARS,
    DissentRate,
    WrongVoteRates,
    dissent_of,
    flags_of,
    run_panels,
    undecided_of,
    votes_of,
    wrongs_of,
)
from unerring.core.planning.estimates import IntervalEstimate
from unerring.core.planning.intervals import interval
from unerring.core.reporting.timeline import Timeline
from unerring.testing import NoisySampler


def timeline(dissents):
    """The timeline of steps with and without dissent."""
    found = Timeline()
    for dissented in dissents:
        found.add(dissented)
    return found


def certified(*voters, repeat=0.0, steps=1000):
    """The voters' part of a report, from (p, votes, planned) for each."""
    known = [{"name": "one", "p": p, "votes": votes, "planned": planned} for p, votes, planned in voters]
    return {"steps": steps, "certificate": {"repeat": repeat, "voters": known}}


@pytest.fixture(scope="module")
def report():
    chain = unerring.Hanoi(disks=5)
    return unerring.run(chain, NoisySampler(chain.rehearse, 0.8, 0.8), k=3, seed=4).report


COUNTS = st.dictionaries(st.integers(1, 5000), st.integers(1, 10**6), max_size=40)


@given(COUNTS)
def test_every_step_is_in_one_bar(counts):
    """Bars have one width and do not overlap, and each step is counted in the bar of its votes."""
    bars = votes_of({"votes_histogram": {str(votes): steps for votes, steps in counts.items()}})
    assert len(bars) <= MAX_BARS
    assert len({bar.high - bar.low for bar in bars}) <= 1
    assert all(before.high < after.low for before, after in pairwise(bars))
    assert [bar.steps for bar in bars] == [
        sum(steps for votes, steps in counts.items() if bar.low <= votes <= bar.high) for bar in bars
    ]
    assert sum(bar.steps for bar in bars) == sum(counts.values())


@given(st.dictionaries(st.integers(1, 60), st.integers(1, 10**6), max_size=20))
def test_steps_undecided_after_a_round_took_more_rounds(counts):
    """The share after a round is that of the steps that took more rounds; it starts at 1 and ends above 0."""
    shares = undecided_of({"rounds_histogram": {str(rounds): steps for rounds, steps in counts.items()}})
    total = sum(counts.values())
    assert shares == pytest.approx(
        [sum(steps for rounds, steps in counts.items() if rounds > r) / total for r in range(max(counts, default=0))]
    )


def test_dissent_is_shown_in_windows_wide_enough_to_count():
    """Windows are wide enough to hold several dissents each, but there are ten of them if possible."""
    often = dissent_of(timeline(step % 2 == 0 for step in range(10_000)))
    assert {one.steps for one in often[:-1]} == {64}
    assert often[0] == DissentRate(0, 64, IntervalEstimate.of(32, 64))
    seldom = dissent_of(timeline(step % 5_000 == 0 for step in range(10_000)))
    assert 5 <= len(seldom) <= 10
    assert sum(one.steps for one in seldom) == 10_000
    assert dissent_of(timeline([])) == []
    assert len(dissent_of(timeline([True]))) == 1


def test_a_voters_interval_is_exact_where_errors_do_not_repeat():
    """50 wrong of 1,000 votes have the Clopper-Pearson interval; the plan's p is shown as an error rate."""
    (one,) = wrongs_of(certified((0.95, 1000, [0.9, 0.96, 0.99])))
    assert one.measured.estimate == pytest.approx(0.05)
    assert (one.measured.low, one.measured.high) == pytest.approx(interval(50, 1000))
    planned = one.planned
    assert (planned.low, planned.estimate, planned.high) == pytest.approx((0.01, 0.04, 0.1))


def test_a_voters_interval_is_wider_where_errors_repeat():
    """If a voter's error surely repeats, all its votes on a step count as one."""
    (one,) = wrongs_of(certified((0.95, 4000, None), repeat=1.0))
    assert (one.measured.low, one.measured.high) == pytest.approx(interval(50, 1000))


def test_less_than_one_wrong_vote_has_no_lower_bound():
    """If less than one wrong vote is expected, only an upper bound is drawn."""
    (one,) = wrongs_of(certified((0.9999, 1000, None)))
    assert one.measured.low == 0.0
    assert one.measured.high == pytest.approx(interval(0.1, 1000)[1])


def test_a_voter_without_votes_or_plan_is_not_drawn():
    """A voter with neither votes nor a plan has no line; one with a plan alone has one."""
    assert wrongs_of(certified((None, 1000, None))) == []
    assert wrongs_of({"steps": 3}) == []
    (one,) = wrongs_of(certified((None, 1000, [0.5, 0.5, 0.5])))
    assert one == WrongVoteRates("one", None, IntervalEstimate(0.5, 0.5, 0.5))


def test_flags_are_shown_most_frequent_first():
    """Causes of flags are sorted by count, and by name if counts are equal."""
    assert list(flags_of({"flags": {"b": 1, "a": 1, "c": 5}})) == ["c", "a", "b"]


def test_a_run_has_all_its_figures(report):
    """A run with votes, dissent and flags has every figure, each with a caption."""
    panels = run_panels(report, timeline([True, False] * 15))
    assert list(panels) == ["p", "votes", "undecided", "dissent", "flags"]
    assert all(panel.svg and panel.caption.endswith(".") for panel in panels.values())


def test_the_planned_band_is_drawn(report):
    """A plan's band of dissent is drawn and named in the caption."""
    seen = timeline([True, False] * 15)
    panel = run_panels(report | {"plan": {"dissent": [0.25, 0.5]}}, seen)["dissent"]
    assert panel.caption.endswith(" The plan expects 25 % to 50 % of the steps.")
    assert "planned" in panel.svg
    assert panel.svg != run_panels(report, seen)["dissent"].svg


def test_a_missing_figure_has_a_sentence(report):
    """A run without steps or without dissent has sentences in place of figures."""
    nothing = {"steps": 0, "votes_histogram": {}, "rounds_histogram": {}, "flags": {}, "certificate": None}
    panels = run_panels(report | nothing, timeline([]))
    assert all(panel.svg is None and panel.caption.endswith(".") for panel in panels.values())
    unanimous = {"votes_histogram": {"3": 9}, "rounds_histogram": {"1": 9}, "plan": {"dissent": [0.001, 0.002]}}
    panels = run_panels(report | unanimous, timeline([False] * 9))
    assert panels["undecided"].caption == "Every step was decided in its first round."
    assert panels["dissent"].caption == "No step had dissent. The plan expects 0.1 % to 0.2 % of the steps."
