"""The report on a short history written by hand: its keys are stable and its figures right."""

import json

import pytest

from replay import replay
from unerring.core.journal.decided_step import DecidedStep
from unerring.core.journal.entries import (
    DRAFT_SLOT,
    Cancelled,
    Drafted,
    Failed,
    Finished,
    Intent,
    Opened,
    Paused,
    Resumed,
    Voter,
)
from unerring.core.journal.state import RunState
from unerring.core.reporting.report import MAX_HARDEST, RunSeries, report_of, status_of
from unerring.core.voting.policy import Policy
from unerring.core.voting.race import AheadBy
from unerring.core.voting.redflag import FlagKind
from unerring.core.voting.sample import Usage

FLAG = FlagKind.MALFORMED
KEYS = {
    *("process", "parameters", "model", "seed", "software", "policy", "request", "status", "stopped", "steps"),
    "length",
    *("sessions", "started", "ended", "samples", "flags", "tokens", "voters", "votes_per_step"),
    *("votes_histogram", "rounds_histogram", "tallies", "disagreements", "collisions", "hardest"),
    *(
        "speculation",
        "plan",
        "certificate",
        "spend",
        "served",
        "findings",
        "ruled",
        "undecided",
        "acts",
        "redrawn",
        "shortlisted",
    ),
    *("changes", "set_aside", "rejudged", "inherited", "origin", "flag_reasons", "doubtful", "open_step"),
    "failure_reasons",
}


@pytest.fixture
def history(script):
    """Four steps: unanimous, one lost vote, a collision with two flags, unanimous with one flag."""
    script.open()
    script.decide("a", "a", "a")
    script.decide("b", "a", "a", "a", "a")
    script.decide("b", "c", FLAG, "a", FlagKind.TOO_LONG, "a", "a", "a")
    script.decide("a", FLAG, "a", "a")
    return script


def test_the_keys_are_stable(script, history):
    """Programs depend on these keys; they are all present before the first step too."""
    assert history.report().keys() == KEYS
    fresh = type(script)().open()
    assert fresh.report().keys() == KEYS


def test_a_report_is_json(history):
    """It can be written as JSON and read back unchanged."""
    assert json.loads(json.dumps(history.report(), allow_nan=False)) == history.report()


def test_a_report_says_what_was_run(history):
    """Process, model, seed and policy are those of the opening entry."""
    report = history.report()
    assert (report["process"], report["parameters"], report["model"]) == ("tale", {"size": 3}, "made/up")
    assert (report["seed"], report["software"], report["length"]) == (7, "test", 5)
    assert report["started"] == 100.0
    assert report["policy"] == Policy().to_json()


def test_samples_and_tokens_are_counted(history):
    """20 samples of 10 and 5 tokens were received, 17 voted, 3 were flagged."""
    report = history.report()
    assert report["samples"] == {
        "sent": 20,
        "received": 20,
        "voted": 17,
        "flagged": 3,
        "unknown": 0,
        "given_up": 0,
        "failed_calls": 0,
    }
    assert report["tokens"] == {"input": 200, "output": 100}
    assert report["flags"] == {"malformed": 2, "too long": 1}


def test_the_distributions_are_counted(history):
    """Votes, rounds and tallies count committed steps, and the mean is over them."""
    report = history.report()
    assert report["steps"] == 4
    assert report["votes_histogram"] == {"3": 2, "5": 1, "6": 1}
    assert report["tallies"] == {"3": 2, "4-1": 1, "4-1-1": 1}
    assert report["votes_per_step"] == 17 / 4
    assert report["rounds_histogram"] == {"1": 1, "2": 2, "3": 1}


def test_disagreements_and_collisions_are_counted_separately(history):
    """Two steps had a lost vote; only in one were the first two votes both lost, flags not counted."""
    assert history.report()["disagreements"] == 2
    assert history.report()["collisions"] == 1


@pytest.mark.parametrize(
    ("samples", "collision"),
    [
        (("b", "b", "a", "a", "a", "a", "a"), True),
        ((FLAG, "b", FLAG, "c", "a", "a", "a", "a"), True),
        (("b", "a", "b", "a", "a", "a", "a"), False),
        (("a", "b", "b", "a", "a", "a", "a"), False),
        ((FLAG, "b", "a", "b", "a", "a", "a", "a"), False),
        (("a", "a", "b", "a", "a"), False),
        (("a", FLAG, "a", "a"), False),
    ],
)
def test_a_collision_is_two_lost_votes_first(script, samples, collision):
    """The first two votes were both against the verdict, equal or not."""
    script.open().decide(*samples)
    assert script.report()["collisions"] == int(collision)


def test_the_hardest_steps_come_first(history):
    """Steps are ranked by votes and flags together, the earlier first among equals."""
    assert history.report()["hardest"] == [
        {"step": 2, "tally": [4, 1, 1], "flags": 2, "rounds": 3},
        {"step": 1, "tally": [4, 1], "flags": 0, "rounds": 2},
        {"step": 3, "tally": [3], "flags": 1, "rounds": 2},
        {"step": 0, "tally": [3], "flags": 0, "rounds": 1},
    ]


def test_each_voter_has_its_own_figures(script):
    """Votes and flags are counted by voter, in the order of naming."""
    script.open()
    script.tell(Voter(1, "second"))
    script.tell(script.said(0, 0, "a", voter=1), script.said(0, 1, FLAG, voter=1), script.said(0, 2, "b"))
    assert script.report()["voters"] == [
        {"name": "first", "votes": 1, "flags": 0, "dissents": 0, "dissent": None},
        {"name": "second", "votes": 1, "flags": 1, "dissents": 0, "dissent": None},
    ]


def test_calls_with_unknown_outcome_count_as_sent(script):
    """Samples in flight count as sent, also after a crash, when their outcome is unknown; failed calls do not."""
    script.open()
    script.tell(Intent(0, 0, 3), script.said(0, 0, "a"), Failed(0, 1, 1, "busy"))
    assert script.report()["samples"] | {"voted": None} == {
        "sent": 2,
        "received": 1,
        "voted": None,
        "flagged": 0,
        "unknown": 0,
        "given_up": 0,
        "failed_calls": 1,
    }
    script.tell(Resumed(1.0))
    assert script.report()["samples"]["sent"] == 2
    assert script.report()["samples"]["unknown"] == 1
    assert script.report()["sessions"] == 2


def test_an_abandoned_call_counts_as_sent(script):
    """Samples of a cancelled call are sent with an unknown outcome, and are not awaited."""
    script.open()
    script.tell(Intent(1, 0, 3, "guessed"), Cancelled(1, 0, 3, "guessed"))
    samples = script.report()["samples"]
    assert (samples["sent"], samples["received"], samples["unknown"]) == (3, 0, 3)
    assert script.state.calls.in_flight == set()


def test_the_status_is_one_word(script):
    """A run is unfinished, paused, unfinished again once resumed, and finished."""
    script.open().decide("a", "a", "a")
    assert status_of(script.state) == "unfinished"
    script.tell(Paused("undecided", "step 1 met its cap", 2.0))
    assert status_of(script.state) == "paused"
    assert script.report()["stopped"] == {"kind": "undecided", "reason": "step 1 met its cap"}
    script.tell(Resumed(3.0))
    assert status_of(script.state) == "unfinished"
    assert script.report()["stopped"] is None
    script.tell(Finished(1, 4.0))
    assert status_of(script.state) == "finished"
    assert script.report()["ended"] == 4.0


def test_a_report_of_nothing_has_no_mean(script):
    """Before the first step there is no mean of votes, and no division by zero."""
    report = script.open().report()
    assert report["votes_per_step"] is None
    assert report["hardest"] == []


def test_raised_caps_show_in_the_policy(script):
    """The reported policy is the one in force, not that of the opening entry."""
    script.open(Policy(AheadBy(3), vote_cap=5, flag_cap=2))
    script.tell(Resumed(1.0, vote_cap=50))
    assert script.report()["policy"]["vote_cap"] == 50
    script.tell(Resumed(1.0, flag_cap=9))
    assert script.report()["policy"]["vote_cap"] == 50
    assert script.report()["policy"]["flag_cap"] == 9


def test_the_report_of_a_replay_is_the_report_of_the_run(history):
    """Replayed from the same entries, the state reports the same."""
    assert report_of(replay(history.entries), history.series) == history.report()


PLAN = {"steps": 1000, "dissent": [0.001, 0.004]}


def test_the_plan_is_in_the_report(script):
    """The plan is reported as the journal has it."""
    assert script.open(plan=PLAN).report()["plan"] == PLAN
    assert type(script)().open().report()["plan"] is None


def test_dissent_outside_the_planned_band_is_in_the_report(script):
    """The report of a journal also says since when dissent was off plan."""
    script.open(plan=PLAN)
    for step in range(150):
        script.decide(*("aaa" if step < 100 else "baaaa"))
    (warning,) = script.report()["certificate"]["warnings"]
    assert warning.startswith("dissent left the planned band at about step 100: 100% of the ")
    assert script.series.watch.alarms[0].since == 100


def test_a_series_that_begins_late_watches_from_there():
    """Steps that a series did not get do not count as steps without dissent."""
    state, series = RunState(), RunSeries()
    state.apply(Opened("tale", {}, "made/up", Policy().to_json(), 0, "0", 5, "test", 0.0, plan=PLAN))
    for step in range(700, 800):
        series.add(DecidedStep(step, '"a"', (4, 1), 0, 2, ()), state)
    assert series.watch.alarms[0].since == 700


def decided(step, votes, flags=0):
    return DecidedStep(step, '"a"', (votes,), flags, 1, ())


def test_a_series_keeps_the_ten_hardest_of_many():
    """The ten steps with the most samples are kept, the earliest among equals."""
    series = RunSeries()
    efforts = [(step * 7919) % 50 + 1 for step in range(300)]
    for step, effort in enumerate(efforts):
        series.add(decided(step, effort, flags=0))
    expected = sorted(range(300), key=lambda step: (-efforts[step], step))[:MAX_HARDEST]
    assert [d.step for d in series.hardest()] == expected


def test_a_series_of_equal_steps_keeps_the_first():
    """Of equal steps the first ten stay."""
    series = RunSeries()
    for step in range(100):
        series.add(decided(step, 3))
    assert [d.step for d in series.hardest()] == list(range(10))


def test_a_series_counts_flags_as_effort():
    """A step with few votes and many flags is harder than one with a few more votes."""
    series = RunSeries()
    series.add(decided(0, 5))
    series.add(decided(1, 3, flags=9))
    assert [d.step for d in series.hardest()] == [1, 0]
    assert sum(votes * steps for votes, steps in series.votes.items()) == 8


# --- asking ahead


def ahead(script, step, *choices):
    """A step asked from the state after the step before it, which is not committed yet."""
    script.vote(step, *choices, at=script.after(step - 1))


def test_a_run_without_speculation_has_zero_figures(history):
    """Without speculation no step was asked ahead, nothing was wasted, and no speed-up was measured."""
    assert history.report()["speculation"] == {
        "steps_ahead": 0,
        "accepted_runs": 0,
        "mean_run": None,
        "longest_run": 0,
        "wasted": 0,
        "waste": 0.0,
        "drafts": 0,
        "speed_up": None,
    }


def test_runs_of_steps_asked_ahead_are_counted(script):
    """Two steps asked ahead in a row are a run of two, ended by a step that was not; the current run counts too."""
    script.open()
    for step in (1, 2, 4):
        ahead(script, step, "a", "a")
    script.decide("a", "a", "a")
    script.decide("a")
    script.decide("a")
    script.decide("a", "a", "a")
    script.decide("a")
    figures = script.report()["speculation"]
    assert (
        figures["steps_ahead"],
        figures["accepted_runs"],
        figures["mean_run"],
        figures["longest_run"],
    ) == (3, 2, 1.5, 2)
    assert (figures["wasted"], figures["waste"]) == (0, 0.0)


def test_one_sample_asked_ahead_makes_a_step_asked_ahead(script):
    """A step counts as asked ahead if any of its samples was."""
    script.open()
    ahead(script, 1, "a")
    script.decide("a", "a", "a")
    script.decide("a", "a")
    assert script.report()["speculation"]["steps_ahead"] == 1


def test_a_wrong_guess_ends_a_run_and_its_samples_are_wasted(script):
    """A step first asked from a wrong state begins a new run, and its samples from there are waste."""
    script.open()
    ahead(script, 1, "a", "a", "a")
    ahead(script, 2, "a", "a", "a")
    script.vote(2, "a", FLAG, at="elsewhere")
    script.decide("a", "a", "a")
    script.decide()
    script.decide()
    figures = script.report()["speculation"]
    assert (figures["steps_ahead"], figures["accepted_runs"], figures["longest_run"]) == (2, 2, 1)
    assert (figures["wasted"], figures["waste"]) == (2, 2 / 11)


def test_what_the_end_leaves_behind_is_wasted(script):
    """Steps asked beyond the end of the chain are waste once the end is reached."""
    script.open()
    ahead(script, 1, "a", "a")
    script.decide("a", "a", "a")
    assert script.report()["speculation"]["wasted"] == 0
    script.tell(Finished(1, 200.0))
    assert script.report()["speculation"]["wasted"] == 2


def test_drafts_are_counted_and_paid_for(script):
    """A draft is no sample, and its tokens count like any others."""
    script.open()
    script.tell(Intent(1, DRAFT_SLOT, 1, "guessed"), Drafted(1, Usage(7, 3), "guessed"), Drafted(0, Usage(3, 2)))
    report = script.report()
    assert report["speculation"]["drafts"] == 2
    assert report["tokens"] == {"input": 10, "output": 5}
    assert (report["samples"]["sent"], report["samples"]["received"]) == (0, 0)


def test_the_speed_up_is_over_one_call_a_round(script):
    """Three rounds of calls of 2 s each, done within 3 s, are twice as fast as one after the other."""
    script.open().decide("a", "a", "a")
    script.decide("a", "a", "b", "a", "a")
    script.tell(Finished(2, 103.0, 2.0))
    assert script.report()["speculation"]["speed_up"] == 2.0


def test_the_speed_up_is_over_all_sessions_that_ended_well(script):
    """Time between sessions, killed sessions and sessions without calls are not counted."""
    script.open().decide("a", "a", "a")
    script.tell(Paused("interrupted", "asked to", 101.0, 3.0), Resumed(1000.0))
    script.decide("a", "a", "a")
    script.tell(Resumed(2000.0), Paused("interrupted", "asked to", 2500.0), Resumed(3000.0))
    script.decide("a", "a", "a")
    script.tell(Finished(3, 3002.0, 1.5))
    assert script.report()["speculation"]["speed_up"] == (3.0 + 1.5) / (1.0 + 2.0)
