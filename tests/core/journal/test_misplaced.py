"""Entries that cannot stand where they stand: each is `MisplacedEntry`, with a message that says why."""

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
from unerring.core.journal.state import MisplacedEntry, RunState
from unerring.core.voting.policy import Policy
from unerring.core.voting.race import AheadBy, Undecided, Won
from unerring.core.voting.redflag import FlagKind
from unerring.core.voting.sample import Usage

FLAG = FlagKind.MALFORMED
SECOND_OPENING = Opened("tale", {}, "made/up", Policy().to_json(), 0, "0", None, "test", 0.0)


@each("entry", [Voter(0, "a"), Committed(0, "x"), Resumed(1.0), Finished(0, 1.0)], ids=repr)
def test_nothing_stands_before_the_opening_entry(entry):
    """The first entry opens the journal."""
    with pytest.raises(MisplacedEntry, match="one opening entry, its first"):
        RunState().apply(entry)


def test_samples_of_two_questions_never_meet_in_one_race(script):
    """A step's samples carry the digest of one question."""
    script.open()
    script.tell(replace(script.said(0, 0, "a"), question="one"))
    script.tell(replace(script.said(0, 1, "a"), question="one"))
    with pytest.raises(MisplacedEntry, match="step 0 has samples of two different questions"):
        script.tell(replace(script.said(0, 2, "a"), question="another"))


def test_a_journal_is_opened_once(script):
    """A second opening entry cannot follow."""
    script.open()
    with pytest.raises(MisplacedEntry, match="one opening entry, its first"):
        script.tell(SECOND_OPENING)


@each("policy", [{}, {"rule": "ahead-by 3"}, Policy().to_json() | {"rule": "plurality 1"}])
def test_an_opening_entry_without_a_policy_cannot_be_used(policy):
    """An opening entry whose policy is not one is misplaced."""
    with pytest.raises(MisplacedEntry, match="opening entry cannot be used"):
        replay([Opened("tale", {}, "made/up", policy, 0, "0", None, "test", 0.0)])


def test_an_opening_entry_with_an_impossible_cap_cannot_be_used():
    """A cap that no race could win under, in a journal, is the journal's fault and not the user's input."""
    with pytest.raises(MisplacedEntry):
        replay([Opened("tale", {}, "made/up", Policy().to_json() | {"vote_cap": 1}, 0, "0", None, "test", 0.0)])


@pytest.mark.parametrize("entry", [Voter(1, "b"), Resumed(1.0), Paused("a", "b", 1.0), Finished(1, 2.0)], ids=repr)
def test_nothing_stands_after_the_end(script, entry):
    """A finished run takes no more entries."""
    script.open().decide("a", "a", "a")
    script.tell(Finished(1, 1.0))
    with pytest.raises(MisplacedEntry, match="after the end"):
        script.tell(entry)


@pytest.mark.parametrize("steps", [0, 2])
def test_the_end_counts_the_committed_steps(script, steps):
    """The last entry must name the number of steps that were committed."""
    script.open().decide("a", "a", "a")
    with pytest.raises(MisplacedEntry, match=f"after {steps} steps, not 1"):
        script.tell(Finished(steps, 1.0))


def test_a_sample_needs_a_named_voter(script):
    """A reply of a voter that was never named cannot follow."""
    script.open()
    with pytest.raises(MisplacedEntry, match="unnamed voter"):
        script.tell(script.said(0, 0, "a", voter=1))


def test_a_sample_comes_once(script):
    """A second reply for the same number cannot follow, counted or not."""
    script.open()
    script.tell(script.said(0, 1, "a"))
    with pytest.raises(MisplacedEntry, match="came twice"):
        script.tell(script.said(0, 1, "a"))


def test_a_sample_that_was_told_comes_once(script):
    """A second reply for a vote already counted cannot follow."""
    script.open().vote(0, "a")
    with pytest.raises(MisplacedEntry, match="came twice"):
        script.tell(script.said(0, 0, "b"))


@pytest.mark.parametrize("slot", [3, 100, -1])
def test_a_sample_must_have_been_asked_for(script, slot):
    """A reply beyond the current round cannot follow."""
    script.open()
    with pytest.raises(MisplacedEntry, match="was not asked for"):
        script.tell(script.said(0, slot, "a"))


def test_a_won_step_takes_no_more_samples(script):
    """After its last vote a step has nothing left to ask."""
    script.open().vote(0, "a", "a", "a")
    with pytest.raises(MisplacedEntry, match="was not asked for"):
        script.tell(script.said(0, 3, "a"))


def test_an_undecided_step_takes_no_more_samples(script):
    """A step at its cap asks for nothing until a cap is raised."""
    script.open(Policy(AheadBy(2), vote_cap=3)).vote(0, "a", "b", "c")
    with pytest.raises(MisplacedEntry, match="was not asked for"):
        script.tell(script.said(0, 3, "a"))


@pytest.mark.parametrize("slot", [1, 0, 5])
def test_a_text_given_by_number_must_be_there(script, slot):
    """A reply may not refer to a sample that has not come in, itself included."""
    script.open()
    with pytest.raises(MisplacedEntry, match="refers to a text"):
        script.tell(script.said(0, 0, "a", text=slot))


def test_a_choice_given_by_number_must_be_there(script):
    """A reply may not take its choice from a sample that has not come in."""
    script.open()
    with pytest.raises(MisplacedEntry, match="refers to a choice"):
        script.tell(script.said(0, 0, "a", choice=2))


def test_a_text_is_given_by_the_number_of_its_first_sample(script):
    """A reference to a sample that only refers on itself cannot follow."""
    script.open().vote(0, "a", "a")
    assert script.state.step(0).replies[1].text == 0
    with pytest.raises(MisplacedEntry, match="refers to a text"):
        script.tell(script.said(0, 2, "b", text=1))


@pytest.mark.parametrize("choice", ["a", FLAG])
def test_a_choice_is_given_by_the_number_of_its_first_sample(script, choice):
    """A choice cannot be taken from a sample that refers on itself, or was flagged."""
    script.open().vote(0, "a", choice)
    with pytest.raises(MisplacedEntry, match="refers to a choice"):
        script.tell(script.said(0, 2, "b", choice=1))


def test_a_flagged_sample_cannot_vote(script):
    """A reply that is flagged and carries a choice all the same is misplaced: its vote must not count."""
    script.open()
    with pytest.raises(MisplacedEntry):
        script.tell(script.said(0, 0, "a", flag=FLAG))


def test_a_sample_without_choice_says_why(script):
    """A reply with neither choice nor flag is misplaced: no figure could count it."""
    script.open()
    with pytest.raises(MisplacedEntry):
        script.tell(script.said(0, 0, "a", choice=None))


def test_a_choice_written_out_again_never_splits_the_vote(script):
    """Equal choices are one candidate even where a writer spelled them out twice, or the entry is misplaced."""
    script.open()
    try:
        for slot in range(3):
            script.tell(script.said(0, slot, "a", text="t" * (slot + 1), choice='"a"'))
    except MisplacedEntry:
        return
    assert isinstance(script.state.step(0).verdict, Won)


def test_a_committed_step_takes_no_more_samples(script):
    """A late reply for a step that is part of the chain cannot follow."""
    script.open().decide("a", "a", "a")
    with pytest.raises(MisplacedEntry, match="step 0 is committed already"):
        script.tell(script.said(0, 3, "a"))


def test_a_step_is_committed_only_when_won(script):
    """A step still open cannot be committed."""
    script.open().vote(0, "a", "a")
    with pytest.raises(MisplacedEntry, match="without having been won"):
        script.tell(Committed(0, "x"))


def test_an_undecided_step_is_never_committed(script):
    """A step at its cap cannot be committed for its plurality."""
    script.open(Policy(AheadBy(3), vote_cap=4)).vote(0, "a", "a", "b", "a")
    assert script.state.step(0).verdict == Undecided(4)
    with pytest.raises(MisplacedEntry, match="without having been won"):
        script.tell(Committed(0, "x"))


def test_a_step_without_samples_is_never_committed(script):
    """A step that nobody was asked about cannot be committed."""
    script.open()
    with pytest.raises(MisplacedEntry, match="without having been won"):
        script.tell(Committed(0, "x"))


def test_steps_are_committed_in_order(script):
    """A later step that is won must wait for the earlier ones."""
    script.open().vote(1, "a", "a", "a", at=script.after(0))
    with pytest.raises(MisplacedEntry, match="step 1 is committed without"):
        script.tell(Committed(1, "x"))


def test_a_step_is_committed_once(script):
    """The same commit cannot follow again."""
    script.open().decide("a", "a", "a")
    with pytest.raises(MisplacedEntry, match="without having been won"):
        script.tell(Committed(0, "x"))


def test_a_resumption_under_an_impossible_cap_is_misplaced(script):
    """A cap that no race could win under is the journal's fault, not an error of the reader's input."""
    script.open()
    with pytest.raises(MisplacedEntry):
        script.tell(Resumed(1.0, vote_cap=1))


@pytest.mark.parametrize("caps", [{"vote_cap": 3}, {"vote_cap": 4}], ids=repr)
def test_a_resumption_under_a_lower_cap_is_misplaced_or_understood(script, caps):
    """Lowering a cap below the votes already counted is refused as an entry, never a crash of the reader."""
    script.open().vote(0, "a", "b", "a", "b", "c")
    try:
        script.tell(Resumed(1.0, **caps))
    except MisplacedEntry:
        return
    assert isinstance(script.state.step(0).verdict, Undecided)


def test_a_resumption_under_a_lower_flag_cap_is_misplaced_or_understood(script):
    """Lowering the cap on flags below the flags already drawn is refused as an entry, never a crash."""
    script.open(Policy(flag_cap=5)).vote(0, *[FLAG] * 8)
    try:
        script.tell(Resumed(1.0, flag_cap=1))
    except MisplacedEntry:
        return
    assert isinstance(script.state.step(0).verdict, Undecided)


def test_naming_a_voter_again_keeps_its_figures(script):
    """A voter named a second time keeps what it contributed, or the entry is misplaced."""
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
    """Of a step that the chain has not reached, an entry without the state that it was asked from cannot follow."""
    script.open()
    with pytest.raises(MisplacedEntry, match="step 1 is not reached yet"):
        script.tell(entry(script, 1))


@pytest.mark.parametrize("entry", PLACELESS, ids=KINDS)
def test_what_comes_late_says_from_which_state(script, entry):
    """Of a committed step, an entry without the state that it was asked from cannot follow."""
    script.open().decide("a", "a", "a")
    with pytest.raises(MisplacedEntry, match="step 0 is committed already"):
        script.tell(entry(script, 0))


def test_samples_that_come_too_late_are_wasted(script):
    """Samples of a committed step, asked from a state that was not to be, are counted and decide nothing."""
    script.open().decide("a", "a", "a")
    script.tell(script.call(0, 0, "b", FLAG, "b", at="elsewhere"))
    assert (script.state.wasted, script.state.samples, script.state.committed) == (3, 6, 1)
    assert (script.state.voters[0].votes, script.state.voters[0].flags) == (5, 1)
    assert script.state.calls.usage == Usage(60, 30)


def test_a_late_sample_needs_a_named_voter(script):
    """A sample that comes too late to matter still has a voter."""
    script.open().decide("a", "a", "a")
    with pytest.raises(MisplacedEntry, match="unnamed voter"):
        script.tell(script.said(0, 0, "b", at="elsewhere", voter=1))


def test_a_sample_comes_once_from_each_state(script):
    """The same number may come from two guessed states, and from neither of them twice."""
    script.open()
    script.tell(script.said(1, 0, "a", at="here"), script.said(1, 0, "a", at="there"))
    with pytest.raises(MisplacedEntry, match="came twice"):
        script.tell(script.said(1, 0, "a", at="here"))


def test_a_sample_asked_ahead_comes_once(script):
    """A sample that came before its step was reached cannot come again after, under no name of the same state."""
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
    """A step is committed by samples asked from where the chain stands, whoever was agreed elsewhere."""
    script.open().vote(0, "a", "a", "a", at="elsewhere")
    with pytest.raises(MisplacedEntry, match="without having been won"):
        script.tell(Committed(0, "x"))


def test_votes_from_two_states_never_add_up(script):
    """Two votes here and one there are no three."""
    script.open().vote(0, "a", "a")
    script.vote(0, "a", at="elsewhere")
    with pytest.raises(MisplacedEntry, match="without having been won"):
        script.tell(Committed(0, "x"))


@pytest.mark.parametrize("kind", [Intent, Cancelled])
@pytest.mark.parametrize("count", [0, -1, MAX_SAMPLES_PER_CALL + 1])
def test_a_call_is_for_some_samples_and_not_for_millions(script, kind, count):
    """A call for no sample, or for more than could ever be asked for, is misplaced."""
    script.open()
    with pytest.raises(MisplacedEntry, match="is impossible"):
        script.tell(kind(0, 0, count))


def test_a_draft_is_never_a_sample(script):
    """What would be a sample under the number of drafts cannot follow: drafts do not vote."""
    script.open()
    with pytest.raises(MisplacedEntry, match="was not asked for"):
        script.tell(script.said(0, DRAFT_SLOT, "a"))
