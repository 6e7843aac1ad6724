"""Read a journal, also while it is written: each entry is checked by the hash chain, the end by the head file."""

import shlex
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from unerring.adapters.sqlite.head import HighWaterMark, head_path, read_mark, seal_of
from unerring.adapters.sqlite.schema import APPLICATION_ID, index_path, log_path
from unerring.core.journal.codec import GENESIS_HASH, decode, next_hash
from unerring.core.journal.entries import JOURNAL_VERSION, Entry, Opened
from unerring.errors import InputError, JournalBusy, JournalDamaged, JournalTooNew, NotAJournal, UnerringError


def require_journal(path: Path) -> None:
    """Raise `InputError` where there is no file, `NotAJournal` where it is not a journal."""
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


def require_empty(path: Path) -> None:
    """Raise `InputError` for a journal with a run in it, or a file that is not a journal."""
    require_journal(path)
    first = next(JournalReader(path).entries(), None)
    if isinstance(first, Opened):
        raise InputError(
            f"{path} holds a run of {first.process} already; continue it (unerring resume {shlex.quote(str(path))}) "
            "or choose another file"
        )
    if not head_path(path).exists():  # every new run makes one first
        raise InputError(f"{without_entries(path)}. To begin a run, choose another file")


def opening_entry(path: Path) -> Opened | None:
    """The first entry of the run in a journal; None where there is no file, or no run in it yet.

    No file is made beside the journal.
    """
    if not path.exists():
        return None
    require_journal(path)
    first = None
    if not _lacks_index(path):
        first = next(JournalReader(path, first_only=True).entries(), None)
    else:
        with suppress(JournalDamaged):
            first = next(JournalReader(path, first_only=True).entries(), None)
        first = first or _first_in_log(path)
    return first if isinstance(first, Opened) else None


def _lacks_index(path: Path) -> bool:
    """Whether a journal has a log without its index, which SQLite would make to read it."""
    return log_path(path).exists() and not index_path(path).exists()


def _first_in_log(path: Path) -> Entry | None:
    """The first entry of a small journal whose entries are all in its log: SQLite makes the index beside a copy."""
    with suppress(JournalDamaged, OSError), TemporaryDirectory() as folder:
        copy = Path(folder) / "copy.db"
        for source, target in ((path, copy), (log_path(path), log_path(copy))):
            shutil.copyfile(source, target)
        return next(JournalReader(copy, check_head=False).entries(), None)
    return next(JournalReader(path).entries(), None)  # which says what is wrong


def without_entries(path: Path) -> str:
    """The message about a journal without entries."""
    name = path.name
    return (
        f"{path} has no entries: no run was begun in it, or it was copied or moved from a running one without its log "
        f"(the journal of a run in progress is {name}, {name}-wal and {name}.head together)"
    )


def entry_count(path: Path) -> int:
    """How many entries a journal has, without checking them; 0 where none can be read."""
    with suppress(UnerringError, sqlite3.Error):
        require_journal(path)
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as database:
            return int(database.execute("SELECT coalesce(max(seq), 0) FROM entries").fetchone()[0])
    return 0


def latest_entries(path: Path) -> Iterator[Entry]:
    """The entries of a journal from the last one back, without checking them; none where none can be read."""
    with suppress(UnerringError, sqlite3.Error, ValueError, TypeError):
        require_journal(path)
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as database:
            for (body,) in database.execute("SELECT body FROM entries ORDER BY seq DESC"):
                if not isinstance(body, bytes):
                    return
                yield decode(body)


class JournalReader:
    """Reads a journal from its first entry, and checks it.

    count: the entries read so far.
    hash: the running hash of the last one.
    """

    def __init__(self, path: Path, check_head: bool = True, first_only: bool = False) -> None:
        """With `first_only` its first entry is read, and no file is made beside the journal.

        That entry never changes. Where it is in a log without an index, it is not read.
        """
        if check_head:
            require_journal(path)
        self.path = path
        self.count = 0
        self.hash = GENESIS_HASH
        self.has_head = head_path(path).exists() and head_path(path).stat().st_size > 0
        self._check_head = check_head
        self._first_only = first_only

    def entries(self) -> Iterator[Entry]:
        """The entries in order. Raises `JournalDamaged` at the first one that is damaged or missing."""
        # the journal of a run in progress may grow between the two reads; the mark, read first, is then only older
        mark = read_mark(self.path) if self._check_head else None
        for seq, body, running in self._rows(mark):
            if seq != self.count + 1:
                raise self._damage(f"entry {self.count + 1} is missing", mark)
            if not isinstance(body, bytes) or running != next_hash(self.hash, body):
                raise self._damage(f"entry {seq} was changed after it was written: its hash does not match", mark)
            try:
                entry = decode(body)
            except ValueError as error:
                raise self._damage(f"entry {seq} cannot be read ({error})", mark) from None
            self.count, self.hash = seq, running
            if mark is not None and seq == mark.entries and running != mark.hash:
                raise self._damage(
                    f"entry {seq} was changed after it was written: the head file has another hash", mark
                )
            yield entry
        self._check_end(mark)

    def _rows(self, mark: HighWaterMark | None) -> Iterator[tuple[int, bytes, bytes]]:
        try:
            with closing(self._connected(mark)) as database:
                self._check_version(database, mark)
                self._check_table(database)
                yield from self._selected(database)
        except sqlite3.OperationalError as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without the detail in the higher bits
            if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
                raise JournalBusy(f"{self.path} is locked by another program") from None
            raise self._damage(f"entry {self.count + 1} cannot be read ({error})", mark) from None
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise self._damage(f"entry {self.count + 1} cannot be read ({error})", mark) from None

    def _selected(self, database: sqlite3.Connection) -> Iterator[tuple[int, bytes, bytes]]:
        """All rows in order. Where that fails, the last intact row is read again, by its number."""
        try:
            yield from database.execute("SELECT seq, body, hash FROM entries ORDER BY seq")
        except sqlite3.Error:
            # Python's cursor reads the next row before it returns one, which is lost where that read fails.
            yield from database.execute("SELECT seq, body, hash FROM entries WHERE seq = ?", (self.count + 1,))
            raise

    def _connected(self, mark: HighWaterMark | None) -> sqlite3.Connection:
        # No process writes to a sealed journal, nor to one without a head, which every writer makes first. Such a file
        # is read without a lock and without a log, so from read-only media too.
        sealed = mark is not None and bool(mark.seal)
        unwritten = self._first_only or not head_path(self.path).exists()
        unread = not log_path(self.path).exists() or (self._first_only and _lacks_index(self.path))
        immutable = sealed or (unwritten and unread)
        options = "mode=ro&immutable=1" if immutable else "mode=ro"
        # A reader may be read on, or closed by the garbage collector, in another thread than the one that began.
        return sqlite3.connect(f"{self.path.absolute().as_uri()}?{options}", uri=True, check_same_thread=False)

    def _check_version(self, database: sqlite3.Connection, mark: HighWaterMark | None) -> None:
        """Raise `JournalTooNew` for a later version, unless the seal shows that the header was changed."""
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version <= JOURNAL_VERSION:
            return
        if mark is not None and mark.seal and mark.seal != seal_of(self.path):
            raise self._damage(f"bytes of the file were changed after the run: it claims version {version}", mark)
        raise JournalTooNew(f"{self.path} has version {version}; upgrade unerring to read it")

    def _check_table(self, database: sqlite3.Connection) -> None:
        """Refuse a view or a computed column in the place of the table: reading it would run its SQL."""
        kinds = database.execute("SELECT type FROM sqlite_master WHERE name = 'entries'").fetchall()
        columns = [(row[1], row[6]) for row in database.execute("PRAGMA table_xinfo(entries)")]
        if kinds != [("table",)] or columns != [("seq", 0), ("body", 0), ("hash", 0)]:
            raise self._damage("its first entry cannot be read: its table of entries is not that of a journal", None)

    def _check_end(self, mark: HighWaterMark | None) -> None:
        if mark is None:
            return
        if self.count < mark.entries:
            first = self.count + 1
            missing = f"entry {first} is" if mark.entries == first else f"entries {first} to {mark.entries} are"
            log = log_path(self.path)  # SQLite makes an empty one where there was none
            has_log = log.exists() and log.stat().st_size > 0
            hint = "" if mark.seal or has_log else f" (is {self.path.name}-wal missing?)"
            raise self._damage(f"{missing} missing at its end{hint}", mark)
        if mark.seal and mark.seal != seal_of(self.path):
            raise self._damage("bytes of the file were changed after the run, but none of an entry", mark)

    def _damage(self, what: str, mark: HighWaterMark | None) -> JournalDamaged:
        expected = mark.entries if mark else None
        of_all = f" of {expected}" if expected is not None else ""
        return JournalDamaged(
            f"{self.path} is damaged: {what}; {self.count}{of_all} entries are intact", self.count, expected
        )
