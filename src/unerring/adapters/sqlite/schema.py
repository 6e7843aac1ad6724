"""The SQLite file of a journal: create it, open it, add entries, and detect that it or its log was replaced or cut."""

import os
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from shlex import quote

from unerring.adapters.sqlite.head import HighWaterMark
from unerring.core.journal.codec import next_hash
from unerring.core.journal.entries import JOURNAL_VERSION
from unerring.errors import InputError, JournalError

APPLICATION_ID = 0x756E6572  # "uner", in bytes 68 to 71 of the file (sqlite.org/fileformat.html)
LOG_SUFFIXES = ("-wal", "-shm", "-journal")  # files that SQLite may keep next to a database, and reads

_SCHEMA = f"""
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {JOURNAL_VERSION};
CREATE TABLE entries (seq INTEGER PRIMARY KEY, body BLOB NOT NULL, hash BLOB NOT NULL) STRICT;
"""


def log_path(journal: Path) -> Path:
    """The write-ahead log of a journal: next to the file itself, also where `journal` is a link to it."""
    return Path(f"{journal.resolve()}-wal")


def index_path(journal: Path) -> Path:
    """The index of a journal's log, which SQLite makes next to it where there is none."""
    return Path(f"{journal.resolve()}-shm")


def connect(path: Path) -> sqlite3.Connection:
    """A connection that writes to a journal's file, which must exist: SQLite must not make an empty one."""
    database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute("PRAGMA journal_size_limit=-1")  # the log keeps its length: another program has cut a shorter one
    return database


def require_single_name(path: Path) -> None:
    """Raise `InputError` for a file with a hard link: each name would have its own log and lock for the same file."""
    if path.stat().st_nlink > 1:
        raise InputError(
            f"{path} has a second name (a hard link); writing to a journal under two names destroys it: "
            "copy it with cp, or remove the other name, then try again"
        )


def require_no_log(path: Path) -> None:
    """Raise `InputError` where a journal is missing whose log exists, with entries that only the log has."""
    log = log_path(path)
    if not path.exists() and log.exists() and log.stat().st_size > 0:
        raise InputError(
            f"{path} is missing, but its log {log} exists and may hold entries of a run: put the journal back "
            "next to it, or choose another file; only if you no longer need that run, remove the log"
        )


class FileIdentity:
    """The identity of a journal's file and log, to notice when they are moved, replaced or cut while they are written.

    SQLite would continue writing to files without a name or with another one, and would fill a cut file with zeros.
    Entries are only added, so the file never becomes shorter. The log is overwritten from its start after a
    checkpoint, but SQLite removes it only with the last connection.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log = log_path(path)
        self._file = _identity(path)
        self._log_file: tuple[int, int] | None = None  # before the first write there is none
        self._bytes: dict[Path, int] = {}  # after the last commit

    def require_unmoved(self) -> None:
        """Raise `JournalError` where another file, or none, now has the name of the journal."""
        if _identity(self._path) != self._file:
            raise JournalError(
                f"{self._path} was moved, replaced or removed while the run was writing to it, which stopped the run. "
                "Everything that was committed is in the file that lay there: put it back next to its "
                f"{self._log.name} and {self._path.name}.head, then resume"
            )

    def require_log_unmoved(self) -> None:
        """The same for the log; the first call only notes which file that is."""
        now = _identity(self._log)
        if self._log_file is None:
            self._log_file = now
        elif now != self._log_file:
            raise JournalError(
                f"{self._log} was moved, replaced or removed while the run was writing to it, which stopped the run. "
                f"Everything that was committed is in {self._path} now; continue with: "
                f"unerring resume {quote(str(self._path))}"
            )

    def require_uncut(self) -> None:
        """Raise `JournalError` where the file or its log is shorter than after the last commit."""
        for path, least in self._bytes.items():
            length = _length(path)
            if length is not None and length < least:
                raise JournalError(
                    f"{path} was cut from {least:,} to {length:,} bytes while the run was writing, which stopped "
                    "the run: entries that were committed are lost. Put a copy of the journal back, or see with "
                    f"unerring verify {quote(str(self._path))} what is left, and continue from there with: "
                    f"unerring resume {quote(str(self._path))} --repair"
                )

    def note_lengths(self) -> None:
        """Note how long the file and its log are, after a commit."""
        lengths = {path: _length(path) for path in (self._path, self._log)}
        self._bytes = {path: length for path, length in lengths.items() if length is not None}


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _length(path: Path) -> int | None:
    try:
        return os.stat(path).st_size
    except OSError:
        return None


def make_journal_file(path: Path) -> None:
    """Create an empty journal atomically: a crash leaves a whole one or none, a full disk no file at all."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    try:
        draft.touch(mode=0o600)  # and empty: SQLite then discards logs that a killed draft left
        with closing(connect(draft)) as database:
            database.executescript(_SCHEMA)
        remove_logs(path)  # those of a deleted journal
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        remove_logs(draft)
        raise


def remove_logs(path: Path) -> None:
    """Remove logs that SQLite would read into this file, and that belong to an earlier one of the same name."""
    for suffix in LOG_SUFFIXES:
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def add_entries(database: sqlite3.Connection, mark: HighWaterMark, bodies: Iterable[bytes]) -> HighWaterMark:
    """Write entries after those up to `mark`, in one transaction; returns the mark after them."""
    count, running, rows = mark.entries, mark.hash, []
    for body in bodies:
        count, running = count + 1, next_hash(running, body)
        rows.append((count, body, running))
    with database:
        database.execute("BEGIN IMMEDIATE")
        database.executemany("INSERT INTO entries VALUES (?, ?, ?)", rows)
    return HighWaterMark(count, running)
