"""The SQLite file that a journal is: how it is made, opened for writing and added to, and what lies beside it."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from unerring.adapters.journal_head import Mark
from unerring.core.encoding import chained
from unerring.core.entries import VERSION

APPLICATION_ID = 0x756E6572  # "uner", in bytes 68 to 71 of the file (sqlite.org/fileformat.html)
LOGS = ("-wal", "-shm", "-journal")  # what SQLite may keep beside a file, and reads into it

_SCHEMA = f"""
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
CREATE TABLE entries (seq INTEGER PRIMARY KEY, body BLOB NOT NULL, hash BLOB NOT NULL) STRICT;
"""


def log_path(journal: Path) -> Path:
    """Where the write-ahead log of a journal lies: beside the file itself, whatever link leads there."""
    return Path(f"{journal.resolve()}-wal")


def connect(path: Path) -> sqlite3.Connection:
    """A connection that writes to a journal's file."""
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    return database


def make(path: Path) -> None:
    """Put an empty journal in place at once, so that a crash leaves either none or a whole one."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)  # and empty: beside such a file SQLite throws away what a killed draft left
    with closing(connect(draft)) as database:
        database.executescript(_SCHEMA)
    remove_logs(path)  # of a journal that was deleted
    draft.replace(path)


def remove_logs(path: Path) -> None:
    """Remove what SQLite would read into the file at this place, where it belongs to another that lay there before."""
    for suffix in LOGS:
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def add(database: sqlite3.Connection, mark: Mark, bodies: Iterable[bytes]) -> Mark:
    """Write entries after those up to `mark`, in one transaction; returns the mark after them."""
    count, running, rows = mark.entries, mark.hash, []
    for body in bodies:
        count, running = count + 1, chained(running, body)
        rows.append((count, body, running))
    with database:
        database.execute("BEGIN IMMEDIATE")
        database.executemany("INSERT INTO entries VALUES (?, ?, ?)", rows)
    return Mark(count, running)
