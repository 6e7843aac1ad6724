"""The writer of a journal in a SQLite file: append-only, hash-chained, durable, one writer at a time.

WAL with synchronous=FULL: a commit returns after its fsync. Commits are shared: a thread writes the entries that have
gathered, at once where a caller waits for a commit, else after 50 ms or 512 entries. Its one connection does all
writing and checkpointing; readers open the file read-only. (SQLite before 3.51.3 has a race between checkpointing
connections, sqlite.org/wal.html#walresetbug; one writer avoids it.)
"""

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from unerring.adapters.sqlite.head import HeadFile, HighWaterMark, head_path, read_mark, seal_of
from unerring.adapters.sqlite.reader import JournalReader, require_empty, require_journal
from unerring.adapters.sqlite.schema import (
    FileIdentity,
    add_entries,
    connect,
    log_path,
    make_journal_file,
    remove_logs,
    require_no_log,
    require_single_name,
)
from unerring.core.journal.codec import GENESIS_HASH, encode
from unerring.core.journal.entries import Entry, Finished
from unerring.errors import InputError, JournalError

MAX_GROUP_ENTRIES = 512  # entries that gather before they are written, where no caller waits
MAX_GROUP_SECONDS = 0.05  # for which entries gather, where no caller waits

log = logging.getLogger("unerring")


class SqliteJournal:
    """Writes to a journal file. Make one with `create` or `reopen`."""

    def __init__(self, path: Path, head: HeadFile, mark: HighWaterMark) -> None:
        self.path = path.absolute()  # the process may change its working directory
        self._head = head
        self._mark = mark
        self._identity = FileIdentity(self.path)
        self._finished = False
        self._buffer: list[bytes] = []
        self._appended = mark.entries
        self._waiting: list[_CommitWaiter] = []
        self._wake = threading.Condition()
        self._closing = False
        self._failure: JournalError | None = None
        self._thread = threading.Thread(target=self._write_until_closed, name="unerring-journal", daemon=True)
        self._thread.start()

    @classmethod
    def create(cls, path: Path) -> "SqliteJournal":
        """Begin a journal in a new file, or in one without entries.

        Raises `InputError` where the file has other contents or cannot be made.
        """
        if path.exists():
            require_empty(path)
        elif path.is_symlink():
            raise InputError(f"{path} is a link to a file that does not exist: name that file itself")
        try:
            head = HeadFile(path)
        except OSError as error:
            raise InputError(f"cannot make a journal at {path}: {error.strerror}") from None
        made = False
        try:
            if path.exists():  # another process may have begun one between the first check and the lock
                require_empty(path)
                require_single_name(path)
            else:
                require_no_log(path)
                make_journal_file(path)
                made = True
            head.mark(HighWaterMark(0, GENESIS_HASH))
        except BaseException as error:
            if made:
                path.unlink(missing_ok=True)
            if not path.exists():
                head.remove_if_new()
            head.close()
            if isinstance(error, sqlite3.Error | OSError):
                raise InputError(f"cannot make a journal at {path}: {error}") from None
            raise
        return cls(path, head, HighWaterMark(0, GENESIS_HASH))

    @classmethod
    def reopen(cls, path: Path) -> tuple["SqliteJournal", Generator[Entry, None, None]]:
        """Open an existing journal: the writer, and the entries so far, which must be read to their end first.

        Raises `JournalBusy`, and while reading `JournalDamaged`.
        """
        require_journal(path)
        require_single_name(path)
        head = HeadFile(path)
        journal = cls(path, head, HighWaterMark(0, GENESIS_HASH))
        return journal, journal._replayed()

    def _replayed(self) -> Generator[Entry, None, None]:
        reader = JournalReader(self.path)
        last: Entry | None = None
        for last in reader.entries():
            yield last
        mark = read_mark(self.path)
        if mark is not None and mark.seal:
            remove_logs(self.path.resolve())  # left by a repair that was killed: they belong to the damaged file
        self._mark = HighWaterMark(reader.count, reader.hash, mark.seal if mark else "")
        self._appended = reader.count
        self._finished = isinstance(last, Finished)
        if not reader.has_head and not self._finished:
            log.warning(
                "%s has no %s.head next to it: if it was copied during a run, entries may be missing at its end",
                self.path,
                self.path.name,
            )

    @property
    def pending(self) -> int:
        return self._appended - self._mark.entries

    def append(self, entry: Entry) -> None:
        if self._failure is not None:
            raise self._failure
        body = encode(entry)  # here, so that an entry that cannot be encoded fails its own caller
        with self._wake:
            self._buffer.append(body)
            self._appended += 1
            self._finished = isinstance(entry, Finished)
            if len(self._buffer) in (1, MAX_GROUP_ENTRIES):
                self._wake.notify()

    async def commit(self) -> None:
        loop = asyncio.get_running_loop()
        with self._wake:
            if self._failure is not None:
                raise self._failure
            if self.pending == 0:
                return
            waiter = _CommitWaiter(self._appended, loop, loop.create_future())
            self._waiting.append(waiter)
            self._wake.notify()
        await waiter.durable

    def close(self) -> None:
        if self._end_writing():
            self._head.close()
            if self._failure is not None:
                raise self._failure

    def discard(self) -> None:
        """Close the journal and remove its files, while its lock is held; not where its name is another file's now."""
        if self._end_writing():
            try:
                self._identity.require_unmoved()
                self.path.unlink()
                remove_logs(self.path)
                head_path(self.path).unlink(missing_ok=True)
            except JournalError:
                log.warning("%s was moved or replaced, and is left as it is", self.path)
            finally:
                self._head.close()

    def _end_writing(self) -> bool:
        """Have everything written, and end the thread; False where that was done before."""
        with self._wake:
            if self._closing:
                return False
            self._closing = True
            self._wake.notify()
        self._thread.join()
        return True

    def _write_until_closed(self) -> None:
        try:
            self._write_groups()
            if self._finished and not self._mark.seal:
                self._seal()
        except JournalError as error:
            self._fail(error)
        except Exception as error:  # any error: callers must not wait for this thread forever
            self._fail(
                JournalError(
                    f"cannot write to the journal {self.path}: {error}. Its entries are safe; solve that, then resume"
                )
            )

    def _write_groups(self) -> None:
        database: sqlite3.Connection | None = None
        try:
            while (group := self._gather()) is not None:
                database = database or self._connected()
                self._write(database, group)
            self._identity.require_uncut()
        finally:
            if database is not None:
                database.close()

    def _connected(self) -> sqlite3.Connection:
        if self._mark.seal:  # SQLite may change the file from here on
            self._mark = replace(self._mark, seal="")
            self._head.mark(self._mark)
        self._identity.require_unmoved()
        return connect(self.path)

    def _seal(self) -> None:
        """Note in the head file that the file alone is the journal.

        The last connection has moved the log into the file and removed it, unless the run was killed before: that is
        done here. Where another process is reading the journal, sealing is left to the next writer.
        """
        self._identity.require_unmoved()
        wal = log_path(self.path)
        if wal.exists():
            with suppress(sqlite3.OperationalError):
                connect(self.path).close()
        # a journal without its head gets none: entries missing at its end could not have been noticed
        if not wal.exists() and read_mark(self.path) is not None:
            self._head.mark(replace(self._mark, seal=seal_of(self.path)))

    def _gather(self) -> list[bytes] | None:
        """The next entries to write; None once closed and all is written."""
        with self._wake:
            self._wake.wait_for(lambda: self._buffer or self._closing)
            self._wake.wait_for(
                lambda: self._waiting or self._closing or len(self._buffer) >= MAX_GROUP_ENTRIES,
                timeout=MAX_GROUP_SECONDS,
            )
            group, self._buffer = self._buffer, []
            return group or None

    def _write(self, database: sqlite3.Connection, group: list[bytes]) -> None:
        self._identity.require_uncut()  # before the write, which would make a cut file long again
        mark = add_entries(database, self._mark, group)
        # after the commit and before it is acknowledged: entries in a file without a name are lost
        self._identity.require_unmoved()
        self._identity.require_log_unmoved()
        self._identity.require_uncut()
        self._identity.note_lengths()
        self._head.require_in_place()
        self._head.mark(mark)
        with self._wake:
            self._mark = mark
            served = [waiter for waiter in self._waiting if waiter.entries <= mark.entries]
            self._waiting = [waiter for waiter in self._waiting if waiter.entries > mark.entries]
        for waiter in served:
            waiter.settle(None)

    def _fail(self, failure: JournalError) -> None:
        with self._wake:
            self._failure = failure
            waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.settle(failure)


@contextmanager
def reopened(path: Path) -> Iterator[tuple[SqliteJournal, Generator[Entry, None, None]]]:
    """An existing journal as `SqliteJournal.reopen` opens it, closed at the end."""
    journal, entries = SqliteJournal.reopen(path)
    try:
        yield journal, entries
    finally:
        entries.close()
        journal.close()


@dataclass(frozen=True, slots=True)
class _CommitWaiter:
    """A caller that waits for a commit.

    entries: how many entries must be durable.
    loop: the caller's event loop.
    durable: the future that it waits for.
    """

    entries: int
    loop: asyncio.AbstractEventLoop
    durable: "asyncio.Future[None]"

    def settle(self, failure: JournalError | None) -> None:
        with suppress(RuntimeError):  # the loop is closed: no caller waits on it
            self.loop.call_soon_threadsafe(self._settle, failure)

    def _settle(self, failure: JournalError | None) -> None:
        if self.durable.done():
            return
        if failure is None:
            self.durable.set_result(None)
        else:
            self.durable.set_exception(failure)
