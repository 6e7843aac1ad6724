"""`verify` in Python: choices judged by the process, and notes on what was not; hashes are tested with the reader."""

import pytest

import unerring
from doubling import Doubling, double, stopped
from unerring import InputError


def test_verify_judges_by_the_chains_own_verifier(tmp_path):
    """A right run verifies; a run with wrong choices does not, and the step is named."""
    unerring.run(Doubling(), double, tmp_path / "right.db", k=2)
    found = unerring.verify(tmp_path / "right.db")
    assert (found.problem, found.judged, found.finished, found.steps) == (None, True, True, 4)
    unerring.run(Doubling(), lambda p, s: "7" if p == "Double 4." else double(p, s), tmp_path / "wrong.db", k=2)
    found = unerring.verify(tmp_path / "wrong.db")
    assert found.problem == "step 2: 7 is not twice 4"
    assert (found.ok, bool(found)) == (False, False)


def test_verify_says_when_there_was_no_verifier(tmp_path):
    """A chain that cannot be made again, or has no verifier, is checked for its hashes only; a note says so."""

    class Local(Doubling):
        pass

    class Unjudged(Doubling):
        verify = None

    unerring.run(Local(), double, tmp_path / "run.db", k=2)
    unerring.run(Unjudged(), double, tmp_path / "unjudged.db", k=2)
    found, unjudged = unerring.verify(tmp_path / "run.db"), unerring.verify(tmp_path / "unjudged.db", Unjudged())
    assert (found.judged, found.problem, unjudged.judged, unjudged.problem) == (False, None, False, None)
    assert found.notes[0].startswith("the steps were not judged: ")
    assert found.notes[0].endswith("or pass the process itself: `chain`")
    assert unjudged.notes == ("the steps were not judged: the process has no method verify()",)


def test_an_unfinished_run_is_verified_as_far_as_it_is(tmp_path):
    """A stopped run has no fault; the result says that it is not finished."""
    found = unerring.verify(stopped(tmp_path / "run.db"))
    assert (found.problem, found.judged, found.finished, found.steps) == (None, True, False, 2)


def test_another_process_is_no_judge(tmp_path):
    """A chain with another name than the run's process is refused."""
    with pytest.raises(InputError, match="holds a run of doubling:Doubling, not of hanoi"):
        unerring.verify(stopped(tmp_path / "run.db"), unerring.Hanoi(3))
