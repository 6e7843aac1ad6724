"""A full or failing disk stops the run with one line; acknowledged entries are kept, and the run can be resumed."""

import errno
import sqlite3
from functools import cache
from pathlib import Path

import pytest
from journal_files import NOISE, cli, entries_of, exported, process, start, written

import unerring
from unerring.adapters.sqlite import writer as sqlite_journal
from unerring.adapters.sqlite.head import HeadFile, HighWaterMark, read_mark
from unerring.core.journal.codec import encode
from unerring.errors import InputError, JournalError

DISKS = 7


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The journal of an uninterrupted run."""
    path = tmp_path_factory.mktemp("whole") / "journal.db"
    start(path, DISKS)
    return path


untouched = cache(exported)  # of a journal that does not change any more


def assert_continues(path: Path, whole: Path) -> None:
    """Assert that the journal kept its entries over a resume, which ends as the uninterrupted run did."""
    mark = read_mark(path)
    held = [encode(entry) for entry in entries_of(path)]
    assert len(held) >= (mark.entries if mark else 0)
    assert cli("verify", path).code in (0, 3)
    unerring.resume(path)
    assert [encode(entry) for entry in entries_of(path)][: len(held)] == held
    assert cli("verify", path).code == 0
    for what in ("steps", "votes"):
        assert exported(path, what) == untouched(whole, what)


@pytest.mark.parametrize("kilobytes", [34, 39, 44])
def test_a_file_that_may_not_grow_stops_the_run_resumable(path: Path, whole: Path, kilobytes: int):
    """A run whose journal reaches the file size limit exits with 3 and one line, and continues once there is space."""
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({kilobytes << 10}, {kilobytes << 10}))"
    options = ["--set", f"disks={DISKS}", "--model", NOISE, "--k", 3, "--seed", 1, "--journal", path]
    ran = process("run", "hanoi", *options, before=limit)
    assert ran.code == 3
    assert ran.err.splitlines() == [ran.line]
    assert f"cannot write to the journal {path}" in ran.line
    assert "resume" in ran.line
    assert_continues(path, whole)


def test_a_full_database_stops_the_run_resumable(path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch):
    """A run whose database has no free page raises `JournalError`, and continues once there is space."""
    connect = sqlite_journal.connect

    def cramped(at: Path) -> sqlite3.Connection:
        database = connect(at)
        database.execute("PRAGMA max_page_count = 8")
        return database

    with monkeypatch.context() as cramping:
        cramping.setattr(sqlite_journal, "connect", cramped)
        with pytest.raises(JournalError, match="cannot write to the journal"):
            start(path, DISKS)
    assert_continues(path, whole)


class Failing(sqlite3.Connection):
    """A connection whose n-th statement starting with some word fails, as on a failing disk."""

    word = ""
    left = 0

    def execute(self, statement: str, *values: object) -> sqlite3.Cursor:
        self._count(statement)
        return super().execute(statement, *values)

    def executemany(self, statement: str, rows: object) -> sqlite3.Cursor:
        self._count(statement)
        return super().executemany(statement, rows)

    def commit(self) -> None:
        self._count("COMMIT")
        super().commit()

    def __exit__(self, kind: object, error: object, trace: object) -> bool:
        try:
            if error is None:
                self._count("COMMIT")
        except sqlite3.OperationalError:
            self.rollback()
            raise
        return super().__exit__(kind, error, trace)

    def _count(self, statement: str) -> None:
        if not statement.startswith(Failing.word):
            return
        Failing.left -= 1
        if Failing.left == 0:
            raise sqlite3.OperationalError("disk I/O error")


@pytest.mark.parametrize("number", range(1, 7))
@pytest.mark.parametrize("word", ["BEGIN", "INSERT", "COMMIT"])
def test_whichever_write_fails_nothing_acknowledged_is_lost(
    path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch, word: str, number: int
):
    """When any of the first writes fails, the writer raises, keeps what is committed, and can continue."""
    connect, entries = sqlite3.connect, entries_of(whole)

    def failing(*arguments: object, **options: object) -> sqlite3.Connection:
        return connect(*arguments, **options, factory=Failing)

    monkeypatch.setattr(Failing, "word", word)
    monkeypatch.setattr(Failing, "left", number)
    with monkeypatch.context() as patching:
        patching.setattr(sqlite3, "connect", failing)
        with pytest.raises(JournalError, match="disk I/O error"):
            written(path, entries, group=20)
    assert entries_of(path) == entries[: 20 * (number - 1)]
    if number == 1:  # there is no run yet
        start(path, DISKS)
        assert exported(path) == exported(whole)
    else:
        assert_continues(path, whole)


@pytest.mark.parametrize("number", range(1, 7))
def test_a_head_that_cannot_be_written_stops_the_writer_resumable(
    path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch, number: int
):
    """If the head file cannot be written, the writer raises, and the run continues once that is resolved."""
    mark, left = HeadFile.mark, [number]

    def failing(head: HeadFile, at: HighWaterMark) -> None:
        left[0] -= at.entries > 0
        if left[0] == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        mark(head, at)

    with monkeypatch.context() as patching:
        patching.setattr(HeadFile, "mark", failing)
        with pytest.raises(JournalError, match="No space left"):
            written(path, entries_of(whole), group=20)
    assert_continues(path, whole)


def test_no_room_for_a_journal_at_all_is_bad_input(path: Path, monkeypatch: pytest.MonkeyPatch):
    """If not even an empty journal fits, the run raises `InputError`, and no partial journal is left."""

    def full(head: HeadFile, at: HighWaterMark) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patching:
        patching.setattr(HeadFile, "mark", full)
        with pytest.raises(InputError, match="No space left"):
            start(path, DISKS)
    assert list(path.parent.iterdir()) == []
    start(path, DISKS)
    assert cli("verify", path).code == 0


def test_a_journal_that_does_not_fit_leaves_no_file(path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch):
    """On a full disk neither a run nor a fork leaves a temporary file or a head file."""

    class Full(sqlite3.Connection):
        def executescript(self, script: str, /) -> sqlite3.Cursor:
            super().executescript(script)
            raise sqlite3.OperationalError("database or disk is full")

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *given, **named: connect(*given, **named, factory=Full))
    with pytest.raises(InputError, match="disk is full"):
        start(path, DISKS)
    assert list(path.parent.iterdir()) == []
    with pytest.raises(InputError, match="disk is full"):
        unerring.fork(whole, 2, path)
    assert list(path.parent.iterdir()) == []
