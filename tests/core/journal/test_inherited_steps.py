"""Steps that a forked run takes over: before its first own sample, in order, from a named run."""

from dataclasses import replace

import pytest

from replay import replay
from tables import each
from unerring.core.journal.entries import Inherited, Opened, Voter
from unerring.core.journal.review_entries import Rejudged
from unerring.core.journal.state import MisplacedEntry
from unerring.core.voting.policy import Policy

OPENED = Opened("tale", {}, "made/up", Policy().to_json(), 0, "0", None, "test", 0.0)
FORKED = replace(OPENED, origin={"path": "run.db", "at": 3})
TAKEN = [Inherited(step, '"x"', f"{step + 1:032x}") for step in range(3)]


def test_steps_are_taken_over_one_after_the_other():
    """Each moves the run to the next state, and counts as decided without a sample."""
    state = replay([FORKED, *TAKEN])
    assert (state.committed, state.inherited, state.samples) == (3, 3, 0)
    assert state.last_digest == TAKEN[-1].state


@each("entries", [[TAKEN[1]], [TAKEN[0], TAKEN[0]], [TAKEN[0], TAKEN[2]]], ids=str)
def test_no_step_is_taken_over_out_of_turn(entries):
    """Only the next step can be taken over, whether or not the run has its own samples yet."""
    with pytest.raises(MisplacedEntry, match="out of turn"):
        replay([FORKED, *entries])


def test_no_step_is_taken_over_after_the_first_sample(script):
    """After its first own sample a run takes nothing over: it would pass for decided there."""
    script.tell(FORKED, Voter(0, "first"), TAKEN[0])
    script.vote(1, "a")
    with pytest.raises(MisplacedEntry, match="step 1 is taken over out of turn"):
        script.tell(TAKEN[1])


def test_no_step_is_taken_over_from_a_run_that_is_not_named():
    """Only a fork, whose opening entry has its origin, takes steps over."""
    with pytest.raises(MisplacedEntry, match="none is named"):
        replay([OPENED, TAKEN[0]])


def test_a_step_without_samples_is_not_judged_again():
    """A step without samples has nothing to read again."""
    with pytest.raises(MisplacedEntry, match="no samples that could be judged again"):
        replay([OPENED, Rejudged(0, (), 1.0)])
