"""The seal of a journal's file, and its files after it is closed."""

import asyncio
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from journal_files import entries_of

from tables import each
from unerring.adapters.sqlite import head as journal_head
from unerring.adapters.sqlite import writer as sqlite_journal
from unerring.adapters.sqlite.head import HeadFile, HighWaterMark, head_path, read_mark, seal_of
from unerring.adapters.sqlite.writer import SqliteJournal
from unerring.core.journal.entries import Committed, Finished, Opened, Paused, Resumed
from unerring.core.voting.policy import Policy
from unerring.errors import JournalDamaged

GOLDEN = Path(__file__).parents[2] / "golden"
OPENED = Opened("p", {}, "m", Policy().to_json(), 0, "[]", None, "tests", 0.0)


@each(
    ("data", "digest"),
    [
        (b"", "cae66941d9efbd404e4d88758ea67670"),
        (b"unerring", "8621d53f5412b452ae6387bfb990429f"),
        (bytes(range(256)) * 8192, "a255a755bb6eff1662a4709ca67a2f05"),
    ],
    ids=lambda value: f"{str(value)[:20]}",
)
def test_a_seal_is_the_blake2b_digest_of_sixteen_bytes(tmp_path, data, digest):
    """Neither the digest nor its length may change, so that journals sealed earlier keep their seals."""
    file = tmp_path / "journal.db"
    file.write_bytes(data)
    assert seal_of(file) == digest


def test_sealed_journals_of_earlier_releases_still_have_their_seals():
    """The stored seal of each golden journal equals the seal of its file now."""
    sealed = [path for path in sorted(GOLDEN.glob("*.db")) if (mark := read_mark(path)) and mark.seal]
    assert sealed
    assert {path.name: seal_of(path) for path in sealed} == {path.name: read_mark(path).seal for path in sealed}


@each("digits", [0, 30, 34, 64])
def test_a_head_whose_hash_has_another_length_is_damage(tmp_path, digits):
    """A running hash has 16 bytes; a head with a hash of another length is damaged."""
    journal = tmp_path / "journal.db"
    head_path(journal).write_text(f'{{"entries": 1, "hash": "{"a" * digits}", "seal": ""}}')
    with pytest.raises(JournalDamaged):
        read_mark(journal)


def finished(path):
    """A journal that is finished, closed and sealed."""
    journal = SqliteJournal.create(path)
    for entry in (OPENED, Finished(0, 1.0)):
        journal.append(entry)
    journal.close()
    assert read_mark(path).seal == seal_of(path)
    return path


def test_a_sealed_journal_loses_its_seal_before_anything_is_written_to_it(tmp_path, monkeypatch):
    """After a kill right after the first write, no seal may claim that the file alone is the whole journal.

    A repaired file is sealed before its run is finished; here such a file continues.
    """
    path, seals, connect = tmp_path / "journal.db", [], sqlite_journal.connect
    journal = SqliteJournal.create(path)
    for entry in (OPENED, Paused("interrupted", "", 1.0)):
        journal.append(entry)
    journal.close()
    mark, head = read_mark(path), HeadFile(path)
    head.mark(HighWaterMark(mark.entries, mark.hash, seal_of(path)))
    head.close()

    def connected(place):
        seals.append(read_mark(place).seal)
        return connect(place)

    monkeypatch.setattr(sqlite_journal, "connect", connected)
    journal, entries = SqliteJournal.reopen(path)
    assert len(list(entries)) == 2
    assert read_mark(path).seal, "reading it changes nothing"
    journal.append(Resumed(2.0))
    asyncio.run(journal.commit())
    assert seals == [""]
    assert read_mark(path).seal == ""
    journal.append(Committed(0, "x"))
    journal.close()
    assert read_mark(path).seal == ""
    assert len(entries_of(path)) == 4


def test_a_journal_that_is_only_reopened_and_closed_keeps_its_seal(tmp_path):
    """If nothing was written, the file and its seal are unchanged."""
    path = finished(tmp_path / "journal.db")
    before = (path.read_bytes(), head_path(path).read_bytes())
    journal, entries = SqliteJournal.reopen(path)
    assert len(list(entries)) == 2
    journal.close()
    assert (path.read_bytes(), head_path(path).read_bytes()) == before


@each("end", [Paused("interrupted", "", 1.0), Finished(0, 1.0)], ids=lambda entry: type(entry).__name__)
def test_the_head_is_on_disk_when_a_journal_is_closed(tmp_path, monkeypatch, end):
    """The final mark of the head is synced to disk before close returns."""
    path, done = tmp_path / "journal.db", []
    pwrite, fsync = os.pwrite, os.fsync

    def noted(name, call):
        def of(descriptor, *rest):
            done.append((name, os.readlink(f"/proc/self/fd/{descriptor}")))
            return call(descriptor, *rest)

        return of

    monkeypatch.setattr(journal_head.os, "pwrite", noted("write", pwrite))
    monkeypatch.setattr(journal_head.os, "fsync", noted("sync", fsync))
    journal = SqliteJournal.create(path)
    for entry in (OPENED, end):
        journal.append(entry)
    asyncio.run(journal.commit())
    journal.close()
    of_head = [name for name, file in done if file == str(head_path(path))]
    assert of_head.count("write") >= 2
    assert of_head[-1] == "sync"
    assert "write" not in of_head[of_head.index("sync") :] or of_head[-2:] == ["write", "sync"]


@each(("end", "head", "warned"), [(None, True, 0), (None, False, 1), ("done", True, 0), ("done", False, 0)])
def test_a_missing_head_is_warned_of_where_entries_may_be_missing(tmp_path, caplog, end, head, warned):
    """A reopened unfinished run without its head gets a warning, since entries may be missing.

    A finished one is known to be complete, and so is one that still has its head.
    """
    path = tmp_path / "journal.db"
    journal = SqliteJournal.create(path)
    journal.append(OPENED)
    journal.append(Finished(0, 1.0) if end else Paused("interrupted", "", 1.0))
    journal.close()
    if not head:
        head_path(path).unlink()
    journal, entries = SqliteJournal.reopen(path)
    assert len(list(entries)) == 2
    journal.close()
    assert [record.message.count("entries may be missing") for record in caplog.records] == [1] * warned


@each(
    ("done", "says"),
    [
        ("UPDATE entries SET body = x'ff' WHERE seq = ?", "was changed after it was written"),
        ("UPDATE entries SET hash = x'ff' WHERE seq = ?", "was changed after it was written"),
        ("DELETE FROM entries WHERE seq = ?", "is missing"),
    ],
)
@each("good", [0, 1, 2])
def test_the_first_bad_entry_is_named_by_its_number(tmp_path, good, done, says):
    """Entries are counted from 1: the first bad one is the one after those that are intact."""
    path = tmp_path / "journal.db"
    journal = SqliteJournal.create(path)
    for entry in [OPENED, *(Paused("interrupted", "", float(number)) for number in range(3))]:
        journal.append(entry)
    journal.close()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(done, (good + 1,))
    with pytest.raises(JournalDamaged, match=rf"entry {good + 1} {says}"):
        entries_of(path)
