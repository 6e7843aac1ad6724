"""Journals that earlier releases wrote open, verify, report, export and resume."""

import json
import shutil
from pathlib import Path

import pytest

import unerring
from doubling import Doubling
from parked_runs import torn
from unerring import Hanoi, Options
from unerring.api.journals import history as reading
from unerring.api.journals.export import step_records, vote_records
from unerring.api.journals.verify import verify
from unerring.errors import InputError, StepUndecided
from unerring.testing import NoisySampler

GOLDEN = Path(__file__).parent
NAMES = sorted(path.stem for path in GOLDEN.glob("*.json"))
SENTENCES = {"/certificate/assumptions", "/certificate/warnings"}  # written for each report, not stored in a journal
FINISHED = {"finished", "embedded", "log-odds", "multiply", "endpoint", "shortlist"}


@pytest.fixture
def journal(tmp_path):
    """A copy of a golden journal: one that is read must not change, and one that is resumed does."""

    def copied(name):
        for file in GOLDEN.glob(f"{name}.db*"):
            shutil.copy(file, tmp_path)
        return tmp_path / f"{name}.db"

    return copied


def test_there_is_a_journal_of_each_kind():
    """The table of the README names exactly the journals in the folder."""
    table = (GOLDEN / "README.md").read_text().partition("|---|---|\n")[2].partition("\n\n")[0]
    named = [name for line in table.splitlines() for name in line.split("|")[1].strip().split(", ")]
    assert sorted(named) == NAMES
    assert set(NAMES) > FINISHED


@pytest.mark.parametrize("name", NAMES)
def test_it_is_read_as_it_was_written(journal, name):
    """Report, steps and votes are the same; a report may have more keys, and other wordings of its assumptions."""
    path, expected = journal(name), json.loads((GOLDEN / f"{name}.json").read_text())
    assert _within(reading.report(path), expected["report"]) == []
    for records, then in ((step_records, "steps"), (vote_records, "votes")):
        now = json.loads(json.dumps(list(records(reading.History(path)))))
        assert [_only(one, other) for one, other in zip(now, expected[then], strict=False)] == expected[then]


def _only(now, then):
    return {key: now[key] for key in then}


def _within(now, then, at=""):
    """The places where a report differs from what it had."""
    if isinstance(then, dict):
        missing = [f"{at}/{key}" for key in then if key not in now]
        return missing + [bad for key in then if key in now for bad in _within(now[key], then[key], f"{at}/{key}")]
    if at in SENTENCES:  # a release may word them in another way, but not drop one
        now, then = len(now), len(then)
    same = now == pytest.approx(then) if isinstance(then, float) else now == then
    return [] if same else [f"{at}: {then!r} is now {now!r}"]


@pytest.mark.parametrize("name", NAMES)
def test_it_verifies(journal, name):
    """Every entry is intact, and the steps are judged right."""
    found = verify(journal(name))
    assert found.problem is None
    assert found.finished is (name in FINISHED)


def test_a_paused_run_continues(journal):
    """It ends right, with its earlier votes."""
    path = journal("paused")
    result = unerring.resume(path)
    assert result.steps == 63
    assert verify(path).problem is None


def test_a_killed_run_continues(journal):
    """Calls that were in flight stay charged at their worst; a stand-in of the same name answers the rest."""
    path = journal("killed")
    before = reading.report(path)["samples"]
    with pytest.raises(InputError, match="holds a run of the model openai/m@"):
        unerring.resume(path, Hanoi(5), "noise/p=0.99")
    result = unerring.resume(path, Hanoi(5), StandIn(unerring.report(path)["model"]))
    assert result.steps == 31
    assert result.report["samples"]["unknown"] > before["unknown"]


class StandIn(NoisySampler):
    """A model of the name that a journal has, which is not there any more."""

    name = None

    def __init__(self, name):
        super().__init__(Hanoi(5).rehearse)
        self.name = name


@pytest.mark.parametrize("name", ["undecided", "ruled", "redrawn"])
def test_a_reviewed_step_continues(journal, name):
    """An undecided step stays so; one that was decided, or is to be answered again, is settled."""
    path = journal(name)
    if name != "ruled":  # the model of then is of two minds on the same samples
        with pytest.raises(StepUndecided):
            unerring.resume(path, Doubling(), torn)
        return
    result = unerring.resume(path, Doubling(), torn, Options(max_steps=10))
    assert result.report["ruled"]["count"] == 1


@pytest.mark.parametrize("name", sorted(FINISHED - {"shortlist"}))
def test_a_finished_run_is_returned(journal, name):
    """No model is asked."""
    report = json.loads((GOLDEN / f"{name}.json").read_text())["report"]
    assert unerring.resume(journal(name)).steps == report["steps"]
