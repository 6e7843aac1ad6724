"""An output file never replaces an input, and an older one stays until the new one is complete."""

import json
import os
import stat
from pathlib import Path

import pytest
from command_runs import ran

from unerring import InputError
from unerring.adapters.files.output_file import OutputFile, write_whole

PROBLEMS = '{"id": 1, "question": "2 * 3"}\n{"id": 2, "question": "4 * 5"}\n{"id": 3, "question": "6 * 7"}\n'
SOLVE = ("solve", "--input", "in.jsonl", "--k", "1")


@pytest.fixture
def problems(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text(PROBLEMS)
    return path


def test_answers_never_replace_what_is_read(cli, problems, tmp_path):
    """An --out that is the --input or --prices file, by name, path, link or hard link, or a journal is refused."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(problems)
    os.link(problems, tmp_path / "hard")
    (tmp_path / "prices.toml").write_text("")
    (tmp_path / "notes.txt").write_text("of mine\n")
    (tmp_path / "rows.jsonl").write_text('{"row": 1}\n')
    ran(cli)
    journal = (tmp_path / "run.db").read_bytes()
    for out in ("in.jsonl", "folder/../in.jsonl", "link", "hard", "prices.toml", "run.db", "notes.txt", "rows.jsonl"):
        done = cli(*SOLVE, "--prices", "prices.toml", "--out", out)
        assert done.code == 2, out
        assert "another name" in done.line
    assert problems.read_text() == PROBLEMS
    assert (tmp_path / "run.db").read_bytes() == journal
    assert (tmp_path / "notes.txt").read_text() == "of mine\n"
    assert not list(tmp_path.glob("*.journals"))


def test_earlier_answers_stay_until_there_are_new_ones(cli, problems, tmp_path):
    """A stopped call keeps its answers, and earlier answers to the problems that it did not reach."""
    out = tmp_path / "out.jsonl"
    assert cli(*SOLVE, "--out", "out.jsonl").code == 0
    answers = [json.loads(line)["answer"] for line in out.read_text().splitlines()]
    assert answers == [6, 20, 42]
    second = sorted((tmp_path / "out.jsonl.journals").glob("2-*.db"))[0]
    whole = second.read_bytes()
    second.write_bytes(b"no journal any more")
    assert cli(*SOLVE, "--out", "out.jsonl").code != 0
    assert [json.loads(line)["answer"] for line in out.read_text().splitlines()] == answers
    second.write_bytes(whole)
    with problems.open("a") as file:
        file.write('{"id": 4, "question": "8 * 9"}\n')
    with out.open() as reading:
        assert cli(*SOLVE, "--out", "out.jsonl").code == 0
        seen = [json.loads(line)["answer"] for line in reading]
    assert seen == answers  # whoever had it open still reads the whole of before
    assert [json.loads(line)["answer"] for line in out.read_text().splitlines()] == [*answers, 72]
    assert not list(tmp_path.glob(".*.part"))


def test_a_file_is_replaced_once_the_new_one_is_whole(tmp_path):
    """Until the new file is complete the old one stays, with its permissions and links; so it does after a failure."""
    path, link = tmp_path / "out.txt", tmp_path / "link"
    path.write_text("old")
    path.chmod(0o640)
    link.symlink_to(path)
    with OutputFile(link) as file:
        file.write("half")
    assert path.read_text() == "old"
    write_whole(link, "new\n")
    assert path.read_text() == "new\n"
    assert link.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert sorted(one.name for one in tmp_path.iterdir()) == ["link", "out.txt"]


def test_a_device_or_a_folder_is_never_replaced(tmp_path):
    """A device or a folder given as an output is refused in one line before anything is written."""
    for place in ("/dev/null", tmp_path, tmp_path / "missing" / "file", tmp_path / ("x" * 300)):
        with pytest.raises(InputError, match="cannot write the calibration"):
            write_whole(place, "text", "the calibration")
    assert Path("/dev/null").is_char_device()
