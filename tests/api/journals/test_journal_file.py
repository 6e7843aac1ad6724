"""`unerring.open`: one object that reads, checks and changes the run in a journal."""

import io
import json
from dataclasses import asdict

import pytest

import unerring
from doubling import Doubling, double, stopped
from parked_runs import parked
from unerring.errors import NotAJournal


def test_an_opened_journal_reads_what_the_functions_read(tmp_path):
    """Steps, report, verification and review are those of the public functions with the same path."""
    path = stopped(tmp_path / "run.db")
    opened = unerring.open(path)
    assert [step.to_dict() for step in opened.steps()] == [step.to_dict() for step in unerring.steps(path)]
    assert opened.report().to_dict() == unerring.report(path).to_dict()
    assert opened.verify() == unerring.verify(path)
    assert opened.review() == unerring.review(path)
    assert opened.rejudge(dry_run=True) == unerring.rejudge(path, dry_run=True)


def test_an_opened_journal_is_shown_in_one_line_and_in_notebooks_as_a_table(tmp_path):
    """The line and the table name the file; the table has process, model and rule, while these can be read."""
    opened = unerring.open(stopped(tmp_path / "run.db"))
    assert str(opened) == repr(opened) == f"unerring.open({str(tmp_path / 'run.db')!r})"
    for words in (str(tmp_path / "run.db"), "Doubling with ", "ahead-by 2", "4 steps"):
        assert words in opened._repr_html_()
    opened.path.unlink()
    assert str(tmp_path / "run.db") in opened._repr_html_()


def test_an_opened_journal_resumes_and_shows_the_run_as_it_grows(tmp_path):
    """The object reads the file each time, so that after a resume it has the new steps."""
    opened = unerring.open(stopped(tmp_path / "run.db"))
    assert len(list(opened.steps())) == 2
    assert opened.resume(model=double).steps == 4 == len(list(opened.steps()))


def test_an_opened_journal_forks(tmp_path):
    """A fork takes over the steps before its own and is opened like any journal."""
    opened = unerring.open(stopped(tmp_path / "run.db"))
    fork = opened.fork(1, tmp_path / "fork.db")
    assert (fork.step, [step.choice for step in unerring.open(fork.journal).steps()]) == (1, [2])


def test_a_step_is_reviewed_and_decided(tmp_path):
    """A decision is recorded, and the review shows it."""
    opened = unerring.open(parked(tmp_path / "run.db"))
    assert opened.review().parked.ruled is None
    assert opened.decide(answer=4).choice == "4" == opened.review().parked.ruled


@pytest.mark.parametrize(("what", "rows"), [("steps", 2), ("votes", 4)])
def test_an_export_goes_to_a_file_or_a_stream(tmp_path, what, rows):
    """The file has exactly the text that a stream gets, one JSON object a line."""
    opened = unerring.open(stopped(tmp_path / "run.db"))
    stream = io.StringIO()
    opened.export(stream, what)
    opened.export(tmp_path / "out.jsonl", what)
    assert (tmp_path / "out.jsonl").read_text() == stream.getvalue()
    assert [json.loads(line)["index"] for line in stream.getvalue().splitlines()][-1] == 1
    assert len(stream.getvalue().splitlines()) == rows


def test_an_export_of_something_else_is_refused(tmp_path):
    """A name that is none of steps, votes and acts, or no known form, is named."""
    opened = unerring.open(stopped(tmp_path / "run.db"))
    with pytest.raises(unerring.InputError, match="steps, votes or acts, as jsonl or csv; got 'moves' as 'jsonl'"):
        opened.export(io.StringIO(), "moves")


def test_a_damaged_journal_is_opened_and_repaired(tmp_path):
    """The intact first entries are kept, and the run continues from there."""
    path = tmp_path / "run.db"
    unerring.run(Doubling(), double, path, k=2)
    data = bytearray(path.read_bytes())
    data[data.rindex(b"double")] ^= 1  # in the name of a voter
    path.write_bytes(data)
    opened = unerring.open(path)
    with pytest.raises(unerring.JournalDamaged) as damage:
        opened.verify()
    kept, aside = opened.repair()
    assert kept == damage.value.intact
    assert aside.exists()
    assert asdict(opened.verify())["problem"] is None


def test_what_is_no_journal_is_not_opened(tmp_path):
    """A missing file and a file of another kind are refused at once."""
    with pytest.raises(unerring.InputError, match="cannot read the journal"):
        unerring.open(tmp_path / "missing.db")
    (tmp_path / "text.txt").write_text("text")
    with pytest.raises(NotAJournal):
        unerring.open(tmp_path / "text.txt")
