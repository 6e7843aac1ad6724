"""Entries that may not follow the ones before them are each `MisplacedEntry`, with the reason."""

from dataclasses import replace

import pytest

from replay import replay
from tables import each
from unerring.core.journal.call_totals import MAX_SAMPLES_PER_CALL
from unerring.core.journal.entries import (
    DRAFT_SLOT,
    Cancelled,
    Committed,
    Drafted,
    Failed,
    Finished,
    Intent,
    Opened,
    Paused,
    Resumed,
    Voter,
)
from unerring.core.journal.function_entries import ActBegun, ActEnded, ActErred
from unerring.core.journal.state import MisplacedEntry, RunState
from unerring.core.voting.policy import Policy
from unerring.core.voting.race import AheadBy, Undecided, Won
from unerring.core.voting.redflag import FlagKind
from unerring.core.voting.sample import Usage

FLAG = FlagKind.MALFORMED
SECOND_OPENING = Opened("tale", {}, "made/up", Policy().to_json(), 0, "0", None, "test", 0.0)


@each("entry", [Voter(0, "a"), Committed(0, "x"), Resumed(1.0), Finished(0, 1.0)], ids=repr)
def test_the_opening_entry_is_first(entry):
    """An entry before the opening entry is misplaced."""
    with pytest.raises(MisplacedEntry, match="one opening entry, its first"):
        RunState().apply(entry)


def test_samples_of_two_questions_never_meet_in_one_race(script):
    """All samples of a step have the digest of one question."""
    script.open()
    script.tell(replace(script.said(0, 0, "a"), question="one"))
    script.tell(replace(script.said(0, 1, "a"), question="one"))
    with pytest.raises(MisplacedEntry, match="step 0 has samples of two different questions"):
        script.tell(replace(script.said(0, 2, "a"), question="another"))


def test_a_journal_is_opened_once(script):
    """A second opening entry is misplaced."""
    script.open()
    with pytest.raises(MisplacedEntry, match="one opening entry, its first"):
        script.tell(SECOND_OPENING)


@each("policy", [{}, {"rule": "ahead-by 3"}, Policy().to_json() | {"rule": "plurality 1"}])
def test_an_opening_entry_without_a_policy_cannot_be_used(policy):
    """An opening entry with an invalid policy is misplaced."""
    with pytest.raises(MisplacedEntry, match="opening entry cannot be used"):
        replay([Opened("tale", {}, "made/up", policy, 0, "0", None, "test", 0.0)])


def test_an_opening_entry_with_an_impossible_cap_cannot_be_used():
    """A cap under which no race could be won is the journal's fault, not the user's input."""
    with pytest.raises(MisplacedEntry):
        replay([Opened("tale", {}, "made/up", Policy().to_json() | {"vote_cap": 1}, 0, "0", None, "test", 0.0)])


@pytest.mark.parametrize("entry", [Voter(1, "b"), Resumed(1.0), Paused("a", "b", 1.0), Finished(1, 2.0)], ids=repr)
def test_nothing_follows_the_end(script, entry):
    """A finished run takes no more entries."""
    script.open().decide("a", "a", "a")
    script.tell(Finished(1, 1.0))
    with pytest.raises(MisplacedEntry, match="after the end"):
        script.tell(entry)


@pytest.mark.parametrize("steps", [0, 2])
def test_the_end_counts_the_committed_steps(script, steps):
    """The last entry must have the number of committed steps."""
    script.open().decide("a", "a", "a")
    with pytest.raises(MisplacedEntry, match=f"after {steps} steps, not 1"):
        script.tell(Finished(steps, 1.0))


def test_a_sample_needs_a_named_voter(script):
    """A reply of a voter that was not named before is misplaced."""
    script.open()
    with pytest.raises(MisplacedEntry, match="unnamed voter"):
        script.tell(script.said(0, 0, "a", voter=1))


def test_a_sample_comes_once(script):
    """A second reply with the same number is misplaced, counted or not."""
    script.open()
    script.tell(script.said(0, 1, "a"))
    with pytest.raises(MisplacedEntry, match="came twice"):
        script.tell(script.said(0, 1, "a"))


def test_a_counted_sample_comes_once(script):
    """A second reply for a vote already counted is misplaced."""
    script.open().vote(0, "a")
    with pytest.raises(MisplacedEntry, match="came twice"):
        script.tell(script.said(0, 0, "b"))


@pytest.mark.parametrize("slot", [3, 100, -1])
def test_a_sample_must_have_been_asked_for(script, slot):
    """A reply beyond the current round is misplaced."""
    script.open()
    with pytest.raises(MisplacedEntry, match="was not asked for"):
        script.tell(script.said(0, slot, "a"))


def test_a_won_step_takes_no_more_samples(script):
    """After its last vote a step accepts no samples."""
    script.open().vote(0, "a", "a", "a")
    with pytest.raises(MisplacedEntry, match="was not asked for"):
        script.tell(script.said(0, 3, "a"))


def test_an_undecided_step_takes_no_more_samples(script):
    """A step at its cap accepts no samples until a cap is raised."""
    script.open(Policy(AheadBy(2), vote_cap=3)).vote(0, "a", "b", "c")
    with pytest.raises(MisplacedEntry, match="was not asked for"):
        script.tell(script.said(0, 3, "a"))


@pytest.mark.parametrize("slot", [1, 0, 5])
def test_a_text_given_by_number_must_be_there(script, slot):
    """A reply may not refer to the text of a sample that has not been received, itself included."""
    script.open()
    with pytest.raises(MisplacedEntry, match="refers to a text"):
        script.tell(script.said(0, 0, "a", text=slot))


def test_a_choice_given_by_number_must_be_there(script):
    """A reply may not take its choice from a sample that has not been received."""
    script.open()
    with pytest.raises(MisplacedEntry, match="refers to a choice"):
        script.tell(script.said(0, 0, "a", choice=2))


def test_a_text_is_given_by_the_number_of_its_first_sample(script):
    """A reference to a sample that only has a reference itself is misplaced."""
    script.open().vote(0, "a", "a")
    assert script.state.step(0).replies[1].text == 0
    with pytest.raises(MisplacedEntry, match="refers to a text"):
        script.tell(script.said(0, 2, "b", text=1))


@pytest.mark.parametrize("choice", ["a", FLAG])
def test_a_choice_is_given_by_the_number_of_its_first_sample(script, choice):
    """A choice may not refer to a sample that has a reference itself, or was flagged."""
    script.open().vote(0, "a", choice)
    with pytest.raises(MisplacedEntry, match="refers to a choice"):
        script.tell(script.said(0, 2, "b", choice=1))


def test_a_flagged_sample_cannot_vote(script):
    """A flagged reply with a choice is misplaced."""
    script.open()
    with pytest.raises(MisplacedEntry):
        script.tell(script.said(0, 0, "a", flag=FLAG))


def test_a_sample_without_choice_says_why(script):
    """A reply with neither choice nor flag is misplaced."""
    script.open()
    with pytest.raises(MisplacedEntry):
        script.tell(script.said(0, 0, "a", choice=None))


def test_a_choice_written_out_again_never_splits_the_vote(script):
    """Equal choices are one candidate also if both are written out, or the entry is misplaced."""
    script.open()
    try:
        for slot in range(3):
            script.tell(script.said(0, slot, "a", text="t" * (slot + 1), choice='"a"'))
    except MisplacedEntry:
        return
    assert isinstance(script.state.step(0).verdict, Won)


def test_a_committed_step_takes_no_more_samples(script):
    """A late reply for a committed step is misplaced."""
    script.open().decide("a", "a", "a")
    with pytest.raises(MisplacedEntry, match="step 0 is committed already"):
        script.tell(script.said(0, 3, "a"))


def test_a_step_is_committed_only_when_won(script):
    """Committing an open step is misplaced."""
    script.open().vote(0, "a", "a")
    with pytest.raises(MisplacedEntry, match="without having been won"):
        script.tell(Committed(0, "x"))


def test_an_undecided_step_is_never_committed(script):
    """A step at its cap is not committed with its plurality."""
    script.open(Policy(AheadBy(3), vote_cap=4)).vote(0, "a", "a", "b", "a")
    assert script.state.step(0).verdict == Undecided(4)
    with pytest.raises(MisplacedEntry, match="without having been won"):
        script.tell(Committed(0, "x"))


def test_a_step_without_samples_is_never_committed(script):
    """Committing a step without samples is misplaced."""
    script.open()
    with pytest.raises(MisplacedEntry, match="without having been won"):
        script.tell(Committed(0, "x"))


def test_steps_are_committed_in_order(script):
    """A later step that is won waits for the earlier ones."""
    script.open().vote(1, "a", "a", "a", at=script.after(0))
    with pytest.raises(MisplacedEntry, match="step 1 is committed without"):
        script.tell(Committed(1, "x"))


def test_a_step_is_committed_once(script):
    """A second commit of the same step is misplaced."""
    script.open().decide("a", "a", "a")
    with pytest.raises(MisplacedEntry, match="without having been won"):
        script.tell(Committed(0, "x"))


def test_a_resumption_under_an_impossible_cap_is_misplaced(script):
    """A cap under which no race could be won is the journal's fault, not the reader's input."""
    script.open()
    with pytest.raises(MisplacedEntry):
        script.tell(Resumed(1.0, vote_cap=1))


@pytest.mark.parametrize("caps", [{"vote_cap": 3}, {"vote_cap": 4}], ids=repr)
def test_a_resumption_with_a_lower_cap_does_not_crash(script, caps):
    """A vote cap below the votes counted is refused as an entry, or understood."""
    script.open().vote(0, "a", "b", "a", "b", "c")
    try:
        script.tell(Resumed(1.0, **caps))
    except MisplacedEntry:
        return
    assert isinstance(script.state.step(0).verdict, Undecided)


def test_a_resumption_with_a_lower_flag_cap_does_not_crash(script):
    """A flag cap below the flags counted is refused as an entry, or understood."""
    script.open(Policy(flag_cap=5)).vote(0, *[FLAG] * 8)
    try:
        script.tell(Resumed(1.0, flag_cap=1))
    except MisplacedEntry:
        return
    assert isinstance(script.state.step(0).verdict, Undecided)


def test_naming_a_voter_again_keeps_its_figures(script):
    """A voter named a second time keeps its figures, or the entry is misplaced."""
    script.open().vote(0, "a", FLAG)
    try:
        script.tell(Voter(0, "first"))
    except MisplacedEntry:
        return
    assert (script.state.voters[0].votes, script.state.voters[0].flags) == (1, 1)


# --- steps asked ahead

PLACELESS = [
    lambda script, step: script.said(step, 0, "a"),
    lambda _, step: Intent(step, 0, 3),
    lambda _, step: Failed(step, 0, 3, "busy"),
    lambda _, step: Cancelled(step, 0, 3),
    lambda _, step: Drafted(step, Usage()),
]
KINDS = ["replies", "intent", "failed", "cancelled", "drafted"]


@pytest.mark.parametrize("entry", PLACELESS, ids=KINDS)
def test_a_step_asked_ahead_says_from_which_state(script, entry):
    """For a step that the chain has not reached, an entry without the state it was asked from is misplaced."""
    script.open()
    with pytest.raises(MisplacedEntry, match="step 1 is not reached yet"):
        script.tell(entry(script, 1))


@pytest.mark.parametrize("entry", PLACELESS, ids=KINDS)
def test_a_late_sample_says_from_which_state(script, entry):
    """For a committed step, an entry without the state it was asked from is misplaced."""
    script.open().decide("a", "a", "a")
    with pytest.raises(MisplacedEntry, match="step 0 is committed already"):
        script.tell(entry(script, 0))


def test_samples_that_come_too_late_are_wasted(script):
    """Samples of a committed step asked from a wrong state are counted and decide nothing."""
    script.open().decide("a", "a", "a")
    script.tell(script.call(0, 0, "b", FLAG, "b", at="elsewhere"))
    assert (script.state.wasted, script.state.samples, script.state.committed) == (3, 6, 1)
    assert (script.state.voters[0].votes, script.state.voters[0].flags) == (5, 1)
    assert script.state.calls.usage == Usage(60, 30)


def test_a_late_sample_needs_a_named_voter(script):
    """A late sample has a voter that was named before."""
    script.open().decide("a", "a", "a")
    with pytest.raises(MisplacedEntry, match="unnamed voter"):
        script.tell(script.said(0, 0, "b", at="elsewhere", voter=1))


def test_a_sample_comes_once_from_each_state(script):
    """The same number may occur for two guessed states, but only once for each."""
    script.open()
    script.tell(script.said(1, 0, "a", at="here"), script.said(1, 0, "a", at="there"))
    with pytest.raises(MisplacedEntry, match="came twice"):
        script.tell(script.said(1, 0, "a", at="here"))


def test_a_sample_asked_ahead_comes_once(script):
    """A sample received before its step was reached cannot come again afterwards."""
    script.open()
    script.tell(script.said(1, 0, "a", at=script.after(0)))
    script.decide("a", "a", "a")
    with pytest.raises(MisplacedEntry, match="came twice"):
        script.tell(script.said(1, 0, "a"))


def test_a_text_given_by_number_must_be_of_the_same_state(script):
    """A sample may not refer to one that was asked from another state."""
    script.open()
    script.tell(script.said(1, 0, "a", at="here"))
    with pytest.raises(MisplacedEntry, match="refers to a text"):
        script.tell(script.said(1, 1, "a", at="there", text=0))


def test_votes_from_another_state_never_win_a_step(script):
    """A step is committed only by samples asked from the chain's own state."""
    script.open().vote(0, "a", "a", "a", at="elsewhere")
    with pytest.raises(MisplacedEntry, match="without having been won"):
        script.tell(Committed(0, "x"))


def test_votes_from_two_states_never_add_up(script):
    """Two votes from one state and one from another are not three votes."""
    script.open().vote(0, "a", "a")
    script.vote(0, "a", at="elsewhere")
    with pytest.raises(MisplacedEntry, match="without having been won"):
        script.tell(Committed(0, "x"))


@pytest.mark.parametrize("kind", [Intent, Cancelled])
@pytest.mark.parametrize("count", [0, -1, MAX_SAMPLES_PER_CALL + 1])
def test_a_call_has_a_possible_number_of_samples(script, kind, count):
    """A call for no sample, or for more than could be asked for, is misplaced."""
    script.open()
    with pytest.raises(MisplacedEntry, match="is impossible"):
        script.tell(kind(0, 0, count))


def test_a_draft_is_never_a_sample(script):
    """A sample with the number that marks drafts is misplaced, since drafts do not vote."""
    script.open()
    with pytest.raises(MisplacedEntry, match="was not asked for"):
        script.tell(script.said(0, DRAFT_SLOT, "a"))


BEGUN = ActBegun(0, "send", "key", False, 1.0)


@each(
    "entries, said",
    [
        ([ActEnded(0, "1", "x", 1.0)], "a side effect ends that was not begun"),
        ([replace(BEGUN, step=1)], "a side effect before step 1 is out of turn"),
        ([BEGUN, replace(BEGUN, key="other")], "side effect other is begun while key has not ended"),
        ([BEGUN, ActEnded(0, "{not", "x", 1.0)], "the side effect before step 0 has a result that is not JSON"),
        ([BEGUN, ActEnded(0, "[" * 100_000, "x", 1.0)], "the side effect before step 0 has a result that is not JSON"),
        ([BEGUN, ActErred(0, "gone", 1.0), Finished(0, 1.0)], "the run ends while the side effect before it has not"),
    ],
)
def test_side_effects_begin_and_end_in_turn(entries, said):
    """A forged journal has no result that a function cannot be given, and no end within a side effect."""
    opened = Opened("tale", {}, "made/up", Policy(AheadBy(2)).to_json(), 0, "0", None, "test", 0.0)
    with pytest.raises(MisplacedEntry, match=said):
        replay([opened, *entries])
