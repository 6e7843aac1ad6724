"""A journal's files are private and few, and can be read at any time, also during the run."""

import asyncio
import json
import os
import sqlite3
import stat
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from journal_files import cli, copied, entries_of, exported, interrupted_change, killed, start, written

from unerring.adapters.sqlite.head import head_path, read_mark, seal_of
from unerring.adapters.sqlite.reader import JournalReader
from unerring.adapters.sqlite.schema import log_path
from unerring.adapters.sqlite.writer import SqliteJournal
from unerring.api.journals.verify import verify
from unerring.core.journal.decided_step import DecidedStep
from unerring.core.journal.entries import Committed, Entry
from unerring.core.journal.state import RunState
from unerring.errors import InputError, JournalBusy, JournalError


def seen_from_outside(path: Path) -> int:
    """The number of entries that another connection reads."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
        return database.execute("SELECT count(*) FROM entries").fetchone()[0]


def test_all_files_of_a_journal_are_private(path: Path):
    """Database, log, index and head have mode 0600 whatever the umask, while the journal is open and after."""
    before = os.umask(0)
    try:
        journal = SqliteJournal.create(path)
        journal.append(Committed(0, ""))
        asyncio.run(journal.commit())
        while_open = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
        journal.close()
        closed = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert while_open == dict.fromkeys(["journal.db", "journal.db-wal", "journal.db-shm", "journal.db.head"], 0o600)
    assert set(closed.values()) == {0o600}


def test_a_finished_journal_is_one_plain_file(path: Path):
    """A finished journal is one file with its head, and no log that a copy could miss."""
    start(path)
    assert {file.name for file in path.parent.iterdir()} == {"journal.db", "journal.db.head"}


def contents(folder: Path) -> dict[str, bytes]:
    """The names and bytes of all files."""
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_a_finished_journal_is_read_without_being_written(path: Path):
    """Verify, report, export and resume of a finished journal change no byte and leave no file."""
    start(path)
    before = contents(path.parent)
    codes = [cli(*command, path).code for command in (["verify"], ["report"], ["export"], ["resume"])]
    assert codes == [0, 0, 0, 0]
    assert contents(path.parent) == before


def test_a_finished_journal_alone_is_read_without_being_written(path: Path):
    """A finished journal without its head, as on read-only media, is read without a new file."""
    start(path)
    head_path(path).unlink()
    before = contents(path.parent)
    codes = [cli(*command, path).code for command in (["verify"], ["report"], ["export"])]
    assert codes == [0, 0, 0]
    assert contents(path.parent) == before


def assert_sealed(path: Path) -> None:
    """Assert that the journal is one plain file whose head has the seal."""
    assert not [file.name for file in path.parent.glob(f"{path.name}-*")]
    assert read_mark(path).seal == seal_of(path)
    assert cli("verify", path).code == 0


def test_a_run_killed_after_its_last_entry_is_sealed_on_resuming(path: Path, whole: Path, entries: list[Entry]):
    """If a kill left the whole run in its log, resuming leaves one sealed file that can be copied alone."""
    killed(path, entries)
    assert cli("verify", path).code == 0
    assert cli("resume", path).code == 0
    assert_sealed(path)
    head_path(path).unlink()
    assert exported(path) == exported(whole)


def test_a_run_killed_before_its_seal_is_sealed_on_resuming(path: Path):
    """If a kill came after the log was merged and before the seal was written, resuming writes the seal."""
    start(path)
    fields = json.loads(head_path(path).read_bytes())
    head_path(path).write_text(json.dumps(fields | {"seal": ""}))
    assert cli("resume", path).code == 0
    assert_sealed(path)


def test_a_killed_run_without_its_head_gets_no_seal(path: Path, entries: list[Entry]):
    """Resuming a finished run without its head merges its log, and writes no seal."""
    killed(path, entries)
    head_path(path).unlink()
    assert cli("resume", path).code == 0
    assert not log_path(path).exists()
    assert read_mark(path) is None
    assert "head file is missing" in cli("verify", path).err


def test_a_run_read_at_its_end_is_sealed_on_resuming(path: Path, entries: list[Entry]):
    """If a reader kept the log of a finished journal open, resuming after the reader has gone merges it."""
    journal = written(path, entries, group=7)
    reader = JournalReader(path).entries()
    next(reader)
    journal.close()
    assert log_path(path).exists()
    reader.close()
    assert cli("resume", path).code == 0
    assert_sealed(path)


def test_a_sealed_journal_that_is_added_to_is_read_with_its_log(path: Path):
    """The seal is removed before anything is written, so that after a kill both the file and its log count."""
    start(path.with_name("sealed.db"))
    journal, entries = SqliteJournal.reopen(path.with_name("sealed.db"))
    held = list(entries)
    journal.append(Committed(0, ""))
    asyncio.run(journal.commit())
    copied(path.with_name("sealed.db"), path)
    journal.close()
    assert entries_of(path) == [*held, Committed(0, "")]


def test_a_log_left_by_a_deleted_journal_does_not_leak_into_a_new_one(tmp_path: Path, path: Path):
    """If a journal was deleted without its log, no new run starts there until the log is removed."""
    start(tmp_path / "first.db")
    killed(path, entries_of(tmp_path / "first.db")[:40])
    path.unlink()
    with pytest.raises(InputError, match="put the journal back"):
        start(path, disks=3, seed=9)
    Path(f"{path}-wal").unlink()
    start(path, disks=3, seed=9)
    found = verify(path)
    assert (found.steps, found.finished, found.problem) == (7, True, None)


def test_a_log_left_by_a_killed_beginning_does_not_leak_into_a_new_journal(path: Path, entries: list[Entry]):
    """The log of a journal killed while it was created is not read into the next one."""
    killed(path.with_name("journal.db.new"), entries[:40])
    start(path, disks=3, seed=9)
    found = verify(path)
    assert (found.steps, found.finished, found.problem) == (7, True, None)


def test_a_rollback_journal_left_by_a_deleted_journal_does_not_leak_into_a_new_one(tmp_path: Path, path: Path):
    """If a run was killed while finishing and only its file was deleted, a new run in its place is right."""
    start(tmp_path / "first.db", disks=7)
    Path(f"{path}-journal").write_bytes(interrupted_change(tmp_path / "first.db"))
    start(path, disks=3, seed=9)
    found = verify(path)
    assert (found.steps, found.finished, found.problem) == (7, True, None)


def test_a_longer_head_left_behind_does_not_damage_a_new_journal(path: Path):
    """A new journal next to an old, longer head file verifies."""
    head_path(path).write_bytes(b"x" * 1000)
    start(path, disks=2)
    assert cli("verify", path).code == 0


class ReadsAlong:
    """An observer that verifies the journal while the run writes it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.read = 0

    def decided(self, decided: DecidedStep, state: RunState) -> None:
        if decided.step % 5 == 0:
            found = verify(self._path)
            assert found.problem is None
            assert not found.finished
            assert self.read <= found.entries <= state.entries
            self.read = found.entries


def test_a_journal_can_be_verified_at_any_time_while_a_run_writes_it(path: Path):
    """Verifying during a run finds an intact, unfinished journal that only grows."""
    watcher = ReadsAlong(path)
    start(path, disks=6, observer=watcher)
    assert watcher.read > 0


def test_readers_during_a_run_see_intact_journals_only(path: Path):
    """Readers during a run of a thousand steps never see the journal damaged or locked."""
    SqliteJournal.create(path).close()
    over, seen, problems = threading.Event(), [0], []

    def keep_reading() -> None:
        while not over.is_set():
            try:
                seen.append(sum(1 for _ in JournalReader(path).entries()))
            except JournalError as error:
                problems.append(str(error))

    reader = threading.Thread(target=keep_reading)
    reader.start()
    try:
        start(path, disks=9)
    finally:
        over.set()
        reader.join()
    assert not problems
    assert seen == sorted(seen)


def test_a_lock_is_recognized_by_its_code(whole: Path, monkeypatch: pytest.MonkeyPatch):
    """A journal that another program has locked is busy, not damaged, in whatever words SQLite says so."""

    def busy(*_: object) -> None:
        error = sqlite3.OperationalError("busy")
        error.sqlite_errorcode = sqlite3.SQLITE_BUSY_SNAPSHOT
        raise error

    monkeypatch.setattr(JournalReader, "_selected", busy)
    with pytest.raises(JournalBusy, match="is locked by another program"):
        list(JournalReader(whole).entries())


def test_a_reader_may_continue_and_be_closed_in_another_thread(whole: Path, entries: list[Entry]):
    """Web servers hand generators between threads, and Python's collector closes a dropped one in any thread."""
    read, dropped = JournalReader(whole).entries(), JournalReader(whole).entries()
    first = [next(read)]
    assert next(dropped) == first[0]
    with ThreadPoolExecutor(1) as other:
        assert first + other.submit(list, read).result() == entries
        other.submit(dropped.close).result()


def test_a_reader_that_stays_does_not_keep_a_run_from_finishing(path: Path):
    """A run whose journal is being read at its end finishes, and the journal verifies."""

    class Stays:
        reading: Generator[Entry] | None = None

        def decided(self, decided: DecidedStep, state: RunState) -> None:
            if self.reading is None and seen_from_outside(path):
                self.reading = JournalReader(path).entries()
                next(self.reading)

    reader = Stays()
    try:
        result = start(path, disks=8, observer=reader)
    finally:
        reader.reading.close()
    assert result.steps == 255
    assert cli("verify", path).code == 0
