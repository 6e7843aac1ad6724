"""Steps and report of a journal, and the errors for other files."""

import pytest

import unerring
from doubling import HANOI, Doubling, double, noise, stopped
from unerring import InputError
from unerring.errors import NotAJournal
from unerring.testing import ScriptedSampler

# --- what a journal tells


def test_steps_lists_what_was_decided(tmp_path):
    """Each decided step has its choice as a value, its tally, and its votes and flags."""
    path = tmp_path / "run.db"
    unerring.run(Doubling(2), ScriptedSampler({0: ["eh", "2", "3", "2", "2"], 1: ["4", "4"]}), path, k=2)
    listed = [(d.step, d.choice, d.tally, d.votes, d.flags, d.rounds) for d in unerring.steps(path)]
    assert listed == [(0, 2, (3, 1), 4, 1, 3), (1, 4, (2,), 2, 0, 1)]


def test_a_report_adds_up(tmp_path):
    """Received samples are votes and flags, of decided steps or wasted; the histograms cover every step."""
    path = tmp_path / "run.db"
    unerring.run(HANOI, noise(HANOI, 0.7, 0.7), path, k=3)
    report = unerring.report(path)
    samples = report["samples"]
    assert samples["received"] == samples["voted"] + samples["flagged"] == samples["sent"]
    assert sum(report["votes_histogram"].values()) == sum(report["rounds_histogram"].values()) == report["steps"] == 15
    decided = list(unerring.steps(path))
    votes = sum(int(votes) * steps for votes, steps in report["votes_histogram"].items())
    assert votes == sum(d.votes for d in decided)
    assert sum(d.votes + d.flags for d in decided) + report["speculation"]["wasted"] == samples["received"]
    assert sum(report["flags"].values()) == samples["flagged"]


def test_the_report_of_a_stopped_run_says_why(tmp_path):
    """An unfinished journal has a report so far, with the reason of the stop."""
    report = unerring.report(stopped(tmp_path / "run.db"))
    assert (report["status"], report["steps"], report["length"]) == ("paused", 2, 4)
    assert report["stopped"]["kind"] == "step limit"


# --- the files themselves


def test_a_reader_does_not_keep_a_run_from_its_end(tmp_path):
    """A run finishes though its journal is being read, and the journal verifies during that and after."""
    path = stopped(tmp_path / "run.db")
    reading = unerring.steps(path)
    next(reading)
    assert unerring.resume(path, model=double).state["value"] == 16
    assert unerring.verify(path).problem is None
    assert len(list(reading)) == 1
    assert unerring.verify(path).problem is None
    assert unerring.resume(path).state["value"] == 16


def test_a_users_file_is_not_overwritten(tmp_path):
    """Every function refuses a file that is no journal, neither changes it nor writes a file next to it."""
    path = tmp_path / "thesis.txt"
    path.write_text("four years of work")
    for use in (
        lambda: unerring.run(Doubling(), double, path, k=2),
        lambda: unerring.resume(path),
        lambda: unerring.report(path),
        lambda: unerring.verify(path),
        lambda: list(unerring.steps(path)),
    ):
        with pytest.raises(NotAJournal, match=r"thesis.txt is not an unerring journal"):
            use()
    assert path.read_text() == "four years of work"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_journal_is_not_made_by_reading_it(tmp_path):
    """Reading or resuming a missing journal is an InputError and makes no file."""
    for use in (unerring.resume, unerring.report, unerring.verify, lambda path: list(unerring.steps(path))):
        with pytest.raises(InputError, match="No such file"):
            use(tmp_path / "missing.db")
    assert list(tmp_path.iterdir()) == []
