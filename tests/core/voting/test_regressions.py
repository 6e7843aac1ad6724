"""Bugs seen in other implementations of voted steps, one test for each; those of a race alone are in test_race.py."""

import pytest

from replay import replay
from tables import each
from unerring.core.journal.entries import Committed, Replies
from unerring.core.journal.state import MisplacedEntry
from unerring.core.voting.canonical import canonical, parsed
from unerring.core.voting.copies import CopyDetector, SentCall
from unerring.core.voting.odds import chain_probability, k_min
from unerring.core.voting.policy import Policy
from unerring.core.voting.race import AheadBy, Continue, Race, Undecided, Won
from unerring.core.voting.redflag import FlagKind
from unerring.core.voting.sample import Sample
from unerring.errors import NoKCanHelp
from vote_lists import tell_all

FLAG = FlagKind.MALFORMED


def test_a_win_in_the_last_permitted_sample_of_a_step_counts(script):
    """A step whose last permitted vote wins is committed, though it has many flags."""
    script.open(Policy(AheadBy(2), vote_cap=4, flag_cap=1))
    script.decide("b", FLAG, "a", "a", FLAG, "a")
    assert script.series.hardest()[0].tally == (3, 1)


def test_the_same_action_with_different_next_states_does_not_merge(script):
    """A candidate is the whole answer: equal moves with different states are rivals."""
    right = canonical({"move": [1, 0, 2], "next_state": [[2], [], [1]]})
    wrong = canonical({"move": [1, 0, 2], "next_state": [[], [2], [1]]})
    script.open().vote(0, right, wrong, right)
    assert sorted(script.state.step(0).race.tally.values()) == [1, 2]
    assert isinstance(script.state.step(0).verdict, Continue)


def test_nested_winners_come_back_unchanged(script):
    """A winner with lists of lists, objects, text and null is returned unchanged."""
    choice = {"plan": [[1, [2, []]], {"b": None, "a": [True, 0.5]}], "why": 'a "quoted" [text], \n too \U0001f600'}
    script.open().decide(*[canonical(choice)] * 3)
    (decided,) = script.series.hardest()
    assert parsed(decided.choice) == choice


def test_the_order_of_json_keys_does_not_split_votes():
    """Answers that differ only in the order of keys, at any depth, are one candidate."""
    race = Race(AheadBy(2))
    race.tell(canonical({"move": [1], "state": {"a": 1, "b": 2}}))
    race.tell(canonical({"state": {"b": 2, "a": 1}, "move": [1]}))
    assert isinstance(race.verdict, Won)


def test_true_is_not_1():
    """Answers true, 1 and "1" are three candidates, in a list too."""
    race = Race(AheadBy(2))
    tell_all(race, map(canonical, (True, 1, "1", [True], [1])))
    assert sorted(race.tally.values()) == [1, 1, 1, 1, 1]


def test_perfect_votes_calibrate():
    """A p of 1, from a pilot without an error, has a plan: k = 1 and success 1."""
    assert k_min(1.0, 2**20 - 1, 0.95) == 1
    assert chain_probability(1.0, 1, 2**20 - 1) == 1.0


@each("p", [0.5, 0.3, 0.0])
def test_half_or_less_says_that_no_k_can_help(p):
    """A p of 1/2 or less gives a message, not a division by zero or a negative k."""
    with pytest.raises(NoKCanHelp, match="no k can help"):
        k_min(p, 2**20 - 1, 0.95)


def test_all_flagged_never_elects_candidate_0(script):
    """A step with only flagged samples ends undecided; there is no candidate to fall back to."""
    script.open(Policy(AheadBy(1), vote_cap=5, flag_cap=3)).vote(0, FLAG, FLAG, FLAG)
    step = script.state.step(0)
    assert step.verdict == Undecided(0)
    assert not step.race.tally
    with pytest.raises(MisplacedEntry, match="without having been won"):
        script.tell(Committed(0, "x"))


def test_a_rejected_sample_never_resets_the_state(script):
    """A sample flagged during a race leaves votes, order and earlier steps unchanged."""
    script.open().decide("x", "x", "x")
    script.vote(1, "a", "a", FlagKind.REJECTED)
    step = script.state.step(1)
    assert (script.state.committed, step.race.votes, step.wanted()) == (1, 2, [3])
    script.vote(1, "a")
    assert isinstance(step.verdict, Won)
    assert step.choice(step.verdict.choice) == "a"


def test_a_cached_reply_served_twice_is_one_vote(script):
    """A reply marked as a copy, or delivered twice, is recognized and does not vote."""
    copies, sent = CopyDetector(), SentCall("a question")
    first = Sample("a", reply_id=f"{1:016x}")
    assert copies.judge("m", sent, Sample("a", cached=True), text_known=False) is not None
    assert copies.judge("m", sent, first, text_known=False) is None
    assert copies.judge("m", sent, first, text_known=True) is not None
    script.open()
    script.tell(script.said(0, 0, "a", reply_id="r-1"))
    script.tell(script.said(0, 1, FlagKind.COPY, reply_id="r-1"))
    assert script.state.step(0).race.votes == 1
    assert script.state.flags[FlagKind.COPY] == 1


def test_a_replayed_run_decides_as_it_did(script):
    """A journal replayed gives the same winner, in whatever order its replies were received."""
    script.open(Policy(AheadBy(2), vote_cap=9)).vote(0, "a", "b")
    script.tell(script.said(0, 3, "b"), script.said(0, 2, "b"))
    script.tell(Committed(0, "x"))
    again = replay(script.entries)
    assert again.committed == 1
    assert [entry.replies[0].slot for entry in script.entries if isinstance(entry, Replies)] == [0, 1, 3, 2]
    assert script.series.hardest()[0].choice == "b"
