"""The journal in one SQLite file: append-only, hash-chained, durable, with one writer.

WAL with synchronous=FULL: a commit returns after its fsync. Commits are shared: a thread of its own writes
whatever has gathered, at once where somebody waits for it and otherwise every 50 ms or 512 entries. All
writing and checkpointing is done by that one connection; readers open the file read-only. (SQLite before
3.51.3 has a race between checkpointing connections, sqlite.org/wal.html#walresetbug; one writer avoids it.)
"""

import asyncio
import shutil
import sqlite3
import threading
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from unerring.adapters.journal_head import Head, Mark, head_path, read_mark, seal_of
from unerring.core.entries import GENESIS, VERSION, Entry, Finished, Opened, chained, decode, encode
from unerring.errors import InputError, JournalBusy, JournalDamaged, JournalError, JournalTooNew, NotAJournal

APPLICATION_ID = 0x756E6572  # "uner", in bytes 68 to 71 of the file (sqlite.org/fileformat.html)
GROUP_SIZE = 512
GROUP_SECONDS = 0.05
MOST_FILLED = 1 << 40  # bytes that a cut file's header may claim

_SCHEMA = f"""
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
CREATE TABLE entries (seq INTEGER PRIMARY KEY, body BLOB NOT NULL, hash BLOB NOT NULL) STRICT;
"""


class SqliteJournal:
    """The writer's side of a journal file. Make one with `create` or `reopen`."""

    def __init__(self, path: Path, head: Head, mark: Mark) -> None:
        self.path = path
        self._head = head
        self._mark = mark
        self._finished = False
        self._plain = False
        self._buffer: list[Entry] = []
        self._appended = mark.entries
        self._waiting: list[_Waiter] = []
        self._wake = threading.Condition()
        self._closing = False
        self._failure: JournalError | None = None
        self._thread = threading.Thread(target=self._write_until_closed, name="unerring-journal", daemon=True)
        self._thread.start()

    @classmethod
    def create(cls, path: Path) -> "SqliteJournal":
        """Start a journal in a new file, or in one that holds no entry yet.

        Raises `InputError` where the file holds anything or cannot be made.
        """
        if path.exists():
            require_empty(path)
        try:
            head = Head(path)
        except OSError as error:
            raise InputError(f"cannot make a journal at {path}: {error.strerror}") from None
        try:
            if path.exists():  # another runner may have begun between the first look and the lock
                require_empty(path)
            else:
                _make(path)
            head.mark(Mark(0, GENESIS))
        except (sqlite3.Error, OSError) as error:
            head.close()
            raise InputError(f"cannot make a journal at {path}: {error}") from None
        except BaseException:
            head.close()
            raise
        return cls(path, head, Mark(0, GENESIS))

    @classmethod
    def reopen(cls, path: Path) -> tuple["SqliteJournal", Generator[Entry, None, None]]:
        """Take a journal up again: the writer, and its entries so far, which must be read to their end first.

        Raises `JournalBusy`, and while reading `JournalDamaged`.
        """
        probe(path)
        head = Head(path)
        journal = cls(path, head, Mark(0, GENESIS))
        return journal, journal._replayed()

    def _replayed(self) -> Generator[Entry, None, None]:
        running = Reader(self.path)
        yield from running.entries()
        self._mark = Mark(running.count, running.hash)
        self._appended = running.count

    @property
    def pending(self) -> int:
        return self._appended - self._mark.entries

    def append(self, entry: Entry) -> None:
        if self._failure is not None:
            raise self._failure
        with self._wake:
            self._buffer.append(entry)
            self._appended += 1
            if len(self._buffer) in (1, GROUP_SIZE):
                self._wake.notify()

    async def commit(self) -> None:
        loop = asyncio.get_running_loop()
        with self._wake:
            if self._failure is not None:
                raise self._failure
            if self.pending == 0:
                return
            waiter = _Waiter(self._appended, loop, loop.create_future())
            self._waiting.append(waiter)
            self._wake.notify()
        await waiter.durable

    def close(self) -> None:
        with self._wake:
            if self._closing:
                return
            self._closing = True
            self._wake.notify()
        self._thread.join()
        if self._plain and self._failure is None:
            self._head.mark(Mark(self._mark.entries, self._mark.hash, seal_of(self.path)))
        self._head.close()
        if self._failure is not None:
            raise self._failure

    def _write_until_closed(self) -> None:
        database: sqlite3.Connection | None = None
        try:
            while (group := self._gather()) is not None:
                database = database or _connect(self.path)
                self._write(database, group)
            if self._finished and database is not None:
                # a finished journal is one plain file, readable from read-only media too, and sealed as such;
                # while somebody reads it SQLite keeps the log beside it, and it is left at that
                with suppress(sqlite3.OperationalError):
                    database.execute("PRAGMA journal_mode=DELETE")
                    self._plain = True
        except Exception as error:  # whatever it was, nobody must wait for this thread for ever
            self._fail(
                JournalError(
                    f"cannot write to the journal {self.path}: {error}. What it holds is safe; mend that, then resume"
                )
            )
        finally:
            if database is not None:
                database.close()

    def _gather(self) -> list[Entry] | None:
        """The next group to write; None once closed and all is written."""
        with self._wake:
            self._wake.wait_for(lambda: self._buffer or self._closing)
            self._wake.wait_for(
                lambda: self._waiting or self._closing or len(self._buffer) >= GROUP_SIZE, timeout=GROUP_SECONDS
            )
            group, self._buffer = self._buffer, []
            return group or None

    def _write(self, database: sqlite3.Connection, group: list[Entry]) -> None:
        count, running = self._mark.entries, self._mark.hash
        rows = []
        for entry in group:
            body = encode(entry)
            running = chained(running, body)
            count += 1
            rows.append((count, body, running))
        with database:
            database.execute("BEGIN IMMEDIATE")
            database.executemany("INSERT INTO entries VALUES (?, ?, ?)", rows)
        mark = Mark(count, running)
        self._head.mark(mark)
        self._finished = isinstance(group[-1], Finished)
        with self._wake:
            self._mark = mark
            served = [waiter for waiter in self._waiting if waiter.entries <= count]
            self._waiting = [waiter for waiter in self._waiting if waiter.entries > count]
        for waiter in served:
            waiter.settle(None)

    def _fail(self, failure: JournalError) -> None:
        with self._wake:
            self._failure = failure
            waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.settle(failure)


@dataclass(frozen=True, slots=True)
class _Waiter:
    """Somebody on an event loop who waits until the first `entries` entries are durable."""

    entries: int
    loop: asyncio.AbstractEventLoop
    durable: "asyncio.Future[None]"

    def settle(self, failure: JournalError | None) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self.loop.call_soon_threadsafe(self._settle, failure)

    def _settle(self, failure: JournalError | None) -> None:
        if self.durable.done():
            return
        if failure is None:
            self.durable.set_result(None)
        else:
            self.durable.set_exception(failure)


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    return database


def _make(path: Path) -> None:
    """Put an empty journal in place at once, so that a crash leaves either none or a whole one."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    with closing(_connect(draft)) as database:
        database.executescript(_SCHEMA)
    for suffix in ("-wal", "-shm"):  # of a journal that was deleted: they must not be read into this one
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    draft.replace(path)


def require_empty(path: Path) -> None:
    """Raise `InputError` for a journal that holds a run already, or a file that is something else."""
    probe(path)
    first = next(Reader(path).entries(), None)
    if isinstance(first, Opened):
        raise InputError(
            f"{path} holds a run of {first.process} already; go on with it (unerring resume {path}) "
            "or choose another file"
        )


def replace_journal(path: Path, entries: list[Entry]) -> Path:
    """Put a journal of these entries in the place of a damaged one; returns the damaged file's new name."""
    head = Head(path)
    try:
        draft = path.with_name(path.name + ".new")
        running, rows = GENESIS, []
        for seq, entry in enumerate(entries, start=1):
            body = encode(entry)
            running = chained(running, body)
            rows.append((seq, body, running))
        _make(draft)
        with closing(_connect(draft)) as database, database:
            database.execute("BEGIN IMMEDIATE")
            database.executemany("INSERT INTO entries VALUES (?, ?, ?)", rows)
        number = 1
        while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
            number += 1
        for suffix in ("-wal", "-shm"):  # they belong to the damaged file, and must not be read into the new one
            log = path.with_name(path.name + suffix)
            if log.exists():
                log.replace(aside.with_name(aside.name + suffix))
        path.replace(aside)
        draft.replace(path)
        head.mark(Mark(len(rows), running))
    finally:
        head.close()
    return aside


@contextmanager
def readable_copy(path: Path) -> Iterator[Path]:
    """A copy of a damaged journal, filled up to its full length: SQLite reads nothing of a file cut short."""
    with TemporaryDirectory(dir=path.resolve().parent) as folder:
        copy = Path(folder) / "copy.db"
        shutil.copyfile(path, copy)
        log = path.with_name(path.name + "-wal")
        if log.exists():
            shutil.copyfile(log, copy.with_name(copy.name + "-wal"))
        with copy.open("r+b") as file:
            start = file.read(32)
            page, pages = int.from_bytes(start[16:18], "big"), int.from_bytes(start[28:32], "big")
            if copy.stat().st_size < page * pages <= MOST_FILLED:
                file.truncate(page * pages)
        yield copy


def probe(path: Path) -> None:
    """Raise `InputError` where there is no file, `NotAJournal` where it is something else."""
    try:
        with path.open("rb") as file:
            start = file.read(72)
    except OSError as error:
        raise InputError(f"cannot read the journal {path}: {error.strerror}") from None
    if start[:16] == b"SQLite format 3\0" and start[68:72] == APPLICATION_ID.to_bytes(4, "big"):
        return
    if head_path(path).exists() and read_mark(path) is not None:
        raise JournalDamaged(f"{path} is damaged: not even its first entry can be read", 0)
    raise NotAJournal(f"{path} is not an unerring journal")


class Reader:
    """Reads a journal from its first entry, checking each against the chain and the end against the head."""

    def __init__(self, path: Path, check_head: bool = True) -> None:
        if check_head:
            probe(path)
        self.path = path
        self.count = 0
        self.hash = GENESIS
        self.has_head = head_path(path).exists() and head_path(path).stat().st_size > 0
        self._check_head = check_head

    def entries(self) -> Iterator[Entry]:
        """The entries in order. Raises `JournalDamaged` at the first that is bad or missing."""
        # a running journal may grow between the two reads; the mark, read first, is then merely older
        mark = self._expected()
        for seq, body, running in self._rows():
            if seq != self.count + 1:
                raise self._damage(f"entry {self.count + 1} is missing", mark)
            if not isinstance(body, bytes) or running != chained(self.hash, body):
                raise self._damage(f"entry {seq} is not what was written: its hash does not fit", mark)
            try:
                entry = decode(body)
            except ValueError as error:
                raise self._damage(f"entry {seq} cannot be read ({error})", mark) from None
            self.count, self.hash = seq, running
            if mark is not None and seq == mark.entries and running != mark.hash:
                raise self._damage(f"entry {seq} is not the one that was written: the head file disagrees", mark)
            yield entry
        self._check_end(mark)

    def _rows(self) -> Iterator[tuple[int, bytes, bytes]]:
        try:
            with closing(sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro", uri=True)) as database:
                self._take_back(database)
                self._check_version(database)
                self._check_table(database)
                yield from database.execute("SELECT seq, body, hash FROM entries ORDER BY seq")
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise JournalBusy(f"{self.path} is locked by another program") from None
            raise self._damage(f"entry {self.count + 1} cannot be read ({error})", self._expected()) from None
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise self._damage(f"entry {self.count + 1} cannot be read ({error})", self._expected()) from None

    def _take_back(self, database: sqlite3.Connection) -> None:
        """Undo a change that a kill cut off while the run was finishing: only a writer can, and none is left."""
        try:
            database.execute("PRAGMA user_version").fetchone()
        except sqlite3.OperationalError as error:
            if "readonly" not in str(error):
                raise
            with closing(sqlite3.connect(self.path)) as writer:
                writer.execute("PRAGMA user_version").fetchone()

    def _check_version(self, database: sqlite3.Connection) -> None:
        """Raise `JournalTooNew` for a later version, unless the seal says that the header was changed."""
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version <= VERSION:
            return
        mark = self._expected()
        if mark is not None and mark.seal and mark.seal != seal_of(self.path):
            raise self._damage(f"bytes of the file were changed after the run: it claims version {version}", mark)
        raise JournalTooNew(f"{self.path} has version {version}; upgrade unerring to read it")

    def _check_table(self, database: sqlite3.Connection) -> None:
        """Refuse a view or a computed column in the place of the table: reading one would run what it says."""
        kinds = database.execute("SELECT type FROM sqlite_master WHERE name = 'entries'").fetchall()
        columns = [(row[1], row[6]) for row in database.execute("PRAGMA table_xinfo(entries)")]
        if kinds != [("table",)] or columns != [("seq", 0), ("body", 0), ("hash", 0)]:
            raise self._damage("its first entry cannot be read: the table of entries is not the journal's own", None)

    def _expected(self) -> Mark | None:
        return read_mark(self.path) if self._check_head else None

    def _check_end(self, mark: Mark | None) -> None:
        if mark is None:
            return
        if self.count < mark.entries:
            first = self.count + 1
            lost = f"entry {first} is" if mark.entries == first else f"entries {first} to {mark.entries} are"
            raise self._damage(f"{lost} missing at its end", mark)
        if mark.seal and mark.seal != seal_of(self.path):
            raise self._damage(
                "bytes of the file were changed after the run, though none that an entry is read from", mark
            )

    def _damage(self, what: str, mark: Mark | None) -> JournalDamaged:
        expected = mark.entries if mark else None
        known = f" of {expected}" if expected is not None else ""
        return JournalDamaged(
            f"{self.path} is damaged: {what}; {self.count}{known} entries are intact", self.count, expected
        )
