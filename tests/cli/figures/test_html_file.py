"""The file of an HTML report is the same for the same journal, and replaces nothing but an older page of a report."""

import os
import sys

import pytest
from command_runs import process

from unerring.cli.figures.html import write_report
from unerring.errors import InputError


def test_the_same_journal_has_the_same_page(journal, tmp_path):
    """Another process, with other hash seeds, writes the same page byte for byte."""
    environment = os.environ | {"PYTHONHASHSEED": "77"}
    done = process("report", journal, "--html", "again.html", cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    write_report(journal, tmp_path / "first.html")
    assert (tmp_path / "again.html").read_bytes() == (tmp_path / "first.html").read_bytes()


def test_the_command_prints_the_same_and_where_the_page_is(cli, journal):
    """`--html` leaves stdout unchanged, as text and as JSON, and adds one line to stderr."""
    for more in ((), ("--json",)):
        plain, paged = cli("report", journal, *more), cli("report", journal, "--html", "out.html", *more)
        assert (paged.code, paged.out) == (0, plain.out)
        assert paged.err == "written: out.html\n"


def test_a_page_is_replaced_once_the_new_one_is_whole(journal, tmp_path, monkeypatch):
    """An older page is kept if writing the new one fails, and no partial file is left."""
    out = tmp_path / "out.html"
    write_report(journal, out)
    old = out.read_text() + "old"
    out.write_text(old)
    monkeypatch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(InputError, match=r"cannot write the page .*out\.html: No space left"):
        write_report(journal, out)
    assert [path.name for path in tmp_path.iterdir()] == ["out.html"]
    assert out.read_text() == old
    monkeypatch.undo()
    write_report(journal, out)
    assert out.read_text() == old.removesuffix("old")
    assert [path.name for path in tmp_path.iterdir()] == ["out.html"]


def test_a_journal_is_never_written_over(cli, journal, tmp_path):
    """Neither this journal under any name, nor its companion files, nor another journal is overwritten by a page."""
    copy, other = tmp_path / "run.db", tmp_path / "other.db"
    for path in (copy, other):
        path.write_bytes(journal.read_bytes())
        path.with_name(path.name + ".head").write_bytes(journal.with_name("run.db.head").read_bytes())
    (tmp_path / "link").symlink_to(copy)
    before = copy.read_bytes()
    for out in ("run.db", "./run.db", "link", "run.db.head", "run.db-wal", "other.db"):
        done = cli("report", "run.db", "--html", out)
        assert (done.code, done.out) == (2, "")
        assert done.line.endswith("; give the page another name")
    assert copy.read_bytes() == other.read_bytes() == before
    assert cli("report", "run.db").code == 0


def test_a_file_that_is_no_page_of_a_report_is_never_written_over(cli, journal, tmp_path):
    """A program, notes or another HTML page are not overwritten; an empty file is."""
    for name, text in (("labels.py", "x = 1\n"), ("notes.html", "<!DOCTYPE html>\n<p>mine"), ("data.bin", "\0")):
        (tmp_path / name).write_text(text)
        done = cli("report", journal, "--html", name)
        assert (done.code, done.out) == (2, "")
        assert f"{name} exists and is no page of a report; give the page another name" in done.line
        assert (tmp_path / name).read_text() == text
    (tmp_path / "empty.html").touch()
    assert cli("report", journal, "--html", "empty.html").code == 0
    assert cli("report", journal, "--html", "empty.html").code == 0


@pytest.mark.parametrize("out", [".", "/dev/null", "missing/out.html", "run.db/out.html"])
def test_a_place_where_no_page_can_be_written_is_refused(cli, journal, tmp_path, out):
    """A folder, a device or a path in a missing folder ends with exit code 2, one line, and empty stdout."""
    (tmp_path / "run.db").write_bytes(journal.read_bytes())
    done = cli("report", journal, "--html", out)
    assert (done.code, done.out) == (2, "")
    assert done.line.startswith("unerring: cannot write the page ")


def test_without_matplotlib_the_extra_is_named(cli, journal, tmp_path, monkeypatch):
    """Without matplotlib one line names the extra to install, and no page is written."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = cli("report", journal, "--html", "out.html")
    assert (done.code, done.out) == (2, "")
    assert "pip install 'unerring[plots]'" in done.line
    assert list(tmp_path.iterdir()) == []
    assert cli("report", journal).code == 0
