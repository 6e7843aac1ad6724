"""The head file reveals a lost log, which SQLite reads as a shorter history; a damaged head is reported."""

import re
import shutil
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from journal_files import (
    assert_damaged,
    cli,
    copied,
    entries_of,
    exported,
    flipped,
    killed,
)

import unerring
from unerring.adapters.sqlite.head import head_path, read_mark
from unerring.core.journal.entries import Entry


@pytest.fixture
def path(whole: Path, tmp_path: Path) -> Path:
    """A copy of the finished journal, to be damaged."""
    return copied(whole, tmp_path / "journal.db")


def test_the_killed_run_verifies_before_it_is_damaged(unfinished: Path):
    """The files that the next tests damage verify as unfinished and right so far."""
    ran = cli("verify", unfinished)
    assert ran.code == 3
    assert "70 journal entries" in ran.out


def test_a_lost_log_is_noticed_by_verify_and_resume(unfinished: Path):
    """If the write-ahead log of a killed run was deleted, both commands say which entries are missing."""
    Path(f"{unfinished}-wal").unlink()
    for command in ("verify", "resume", "report", "export"):
        ran = cli(command, unfinished)
        assert ran.code == 1
        assert "entries 1 to 70 are missing" in ran.line


def test_a_cut_log_is_noticed_at_any_length(unfinished: Path):
    """A log cut to any of 60 lengths, which SQLite reads as a shorter history without an error, is damage."""
    log, chance = Path(f"{unfinished}-wal"), Random(4)
    data = log.read_bytes()
    for length in [0, 31, 32, 33, len(data) - 1, *(chance.randrange(len(data)) for _ in range(55))]:
        log.write_bytes(data[:length])
        Path(f"{unfinished}-shm").unlink(missing_ok=True)
        assert re.search(r"to 70 are missing|entry 70 is missing", assert_damaged(cli("verify", unfinished)))


def test_a_flipped_byte_in_the_log_is_noticed(unfinished: Path):
    """A changed byte in the log is either noticed or loses no entry."""
    log, chance = Path(f"{unfinished}-wal"), Random(5)
    data = log.read_bytes()
    for _ in range(60):
        log.write_bytes(flipped(data, chance.randrange(len(data)), chance.randrange(1, 256)))
        Path(f"{unfinished}-shm").unlink(missing_ok=True)
        ran = cli("verify", unfinished)
        if ran.code != 3 or "70 entries" not in ran.out:
            assert_damaged(ran)


def test_a_damaged_log_is_not_resumed_shorter(unfinished: Path, entries: list[Entry]):
    """Resuming with half of the log cut off is refused, and nothing is written to the journal."""
    log = Path(f"{unfinished}-wal")
    log.write_bytes(log.read_bytes()[: log.stat().st_size // 2])
    before = (unfinished.read_bytes(), log.read_bytes(), head_path(unfinished).read_bytes())
    assert re.search(r"entries \d+ to 70 are missing", assert_damaged(cli("resume", unfinished)))
    assert (unfinished.read_bytes(), log.read_bytes(), head_path(unfinished).read_bytes()) == before


def test_a_journal_ahead_of_its_head_is_whole(unfinished: Path, whole: Path, entries: list[Entry]):
    """A kill between an entry's commit and its mark in the head loses nothing: the journal is read to its own end."""
    folder = unfinished.parent
    earlier = killed(folder / "earlier.db", entries[:40])
    shutil.copy(head_path(earlier), head_path(unfinished))
    assert entries_of(unfinished) == entries[:70]
    assert cli("verify", unfinished).code == 3
    unerring.resume(unfinished)
    assert exported(unfinished) == exported(whole)


def test_a_garbled_index_is_rebuilt(unfinished: Path, whole: Path):
    """The log's index (-shm) is rebuilt if a crash left garbage in it."""
    Path(f"{unfinished}-shm").write_bytes(Random(6).randbytes(32768))
    assert cli("verify", unfinished).code == 3
    unerring.resume(unfinished)
    assert exported(unfinished) == exported(whole)


# The head


def test_without_its_head_a_journal_verifies_with_a_note(path: Path):
    """A missing head file is not damage; verify says what can no longer be noticed."""
    head_path(path).unlink()
    ran = cli("verify", path)
    assert ran.code == 0
    assert "note: the head file is missing" in ran.err


def test_an_empty_head_is_reported(path: Path):
    """An empty head file is noted like a missing one, or is damage."""
    head_path(path).write_bytes(b"")
    ran = cli("verify", path)
    assert ran.code == 1 or "head file" in ran.err


def test_resuming_a_finished_run_does_not_hide_that_its_head_is_missing(path: Path):
    """After a resume with nothing to do, verify still notes that the head is missing."""
    head_path(path).unlink()
    assert cli("resume", path).code == 0
    assert "head file" in cli("verify", path).err


HEADS = {
    "garbage": b"\x93\x00garbage\xff",
    "zeros": bytes(160),
    "no text": "{é".encode("utf-16"),
    "list": b"[]",
    "number": b"7",
    "null": b"null",
    "fields": b'{"entries": 5}',
    "negative": b'{"entries": -5, "hash": "00", "seal": ""}',
    "infinite": b'{"entries": Infinity, "hash": "00", "seal": ""}',
    "not a number": b'{"entries": NaN, "hash": "00", "seal": ""}',
    "huge": b'{"entries": ' + b"9" * 5000 + b', "hash": "00", "seal": ""}',
    "deep": b"[" * 200_000,
    "no hash": b'{"entries": 5, "hash": "xyz", "seal": ""}',
    "hash of a number": b'{"entries": 5, "hash": 5, "seal": ""}',
}


@pytest.mark.parametrize("content", HEADS.values(), ids=HEADS)
def test_a_garbled_head_is_damage(path: Path, content: bytes):
    """Any other content of the head is damage, reported in one line by verify and by resume."""
    head_path(path).write_bytes(content)
    for command in ("verify", "resume"):
        ran = cli(command, path)
        assert ran.code == 1
        assert "is damaged" in ran.line


def test_a_head_that_is_a_directory_is_an_error_in_one_line(path: Path):
    """If the head is a directory, verify and resume end with one line that does not blame the user's code."""
    head_path(path).unlink()
    head_path(path).mkdir()
    for command in ("verify", "resume"):
        ran = cli(command, path)
        assert ran.code in (1, 2, 3)
        assert "own code" not in ran.line


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_changed_byte_of_the_head_is_noticed(whole: Path, data: st.DataObject):
    """A changed byte in the head is damage, unless it is in the blanks after its content."""
    head = head_path(whole).read_bytes()
    offset, byte = data.draw(st.integers(0, len(head.rstrip()) - 1)), data.draw(st.integers(0, 255))
    if head[offset] == byte:
        return
    with TemporaryDirectory() as folder:
        path = copied(whole, Path(folder) / "journal.db")
        head_path(path).write_bytes(head[:offset] + bytes([byte]) + head[offset + 1 :])
        ran = cli("verify", path)
        if ran.code == 0:  # a blank between two words of JSON, or a hexadecimal digit in the other case
            assert read_mark(path) == read_mark(whole)
        else:
            assert ran.code == 1
            assert "is damaged" in ran.line
