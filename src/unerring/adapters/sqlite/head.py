"""The head file next to a journal: the writer's lock, and the number of committed entries with the last hash.

SQLite drops a damaged end of its write-ahead log without an error, and a shorter chain of hashes is still a valid
chain. So both numbers are written to this other file after every commit. The journal may be ahead of its head (after a
crash between the two writes), never behind it.

The lock is `flock(2)` on this file: the kernel releases it when the process ends, in whichever way.
"""

import fcntl
import json
import os
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from shlex import quote

from unerring.errors import JournalBusy, JournalDamaged, JournalError

_HEAD_BYTES = 160


@dataclass(frozen=True, slots=True)
class HighWaterMark:
    """The end of a journal, as its head file notes it.

    entries: how many entries it has.
    hash: the running hash of the last one.
    seal: digest of the file, where the file alone is the journal: a log next to it is ignored. Else empty.
    """

    entries: int
    hash: bytes
    seal: str = ""


def head_path(journal: Path) -> Path:
    """The head file of a journal: next to the file itself, also where `journal` is a link to it."""
    journal = journal.resolve()
    return journal.with_name(journal.name + ".head")


def seal_of(journal: Path) -> str:
    """The digest of a journal's file, 32 hex digits."""
    digest = blake2b(digest_size=16)
    with journal.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def read_mark(journal: Path) -> HighWaterMark | None:
    """The mark in the head file, or None where there is none. Raises `JournalDamaged` where it cannot be read."""
    try:
        text = head_path(journal).read_bytes()
    except FileNotFoundError:
        return None
    if not text:
        return None
    try:
        fields = json.loads(text)
        mark = HighWaterMark(int(fields["entries"]), bytes.fromhex(fields["hash"]), str(fields["seal"]))
        if mark.entries < 0 or len(mark.hash) != 16:
            raise ValueError("not the head of a journal")
        return mark
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        raise JournalDamaged(
            f"{head_path(journal)} is damaged: it no longer says how long the journal is. The entries are in "
            f"{journal}: unerring resume {quote(str(journal))} --repair continues with all that are intact",
            0,
        ) from None


class HeadFile:
    """The head file of a journal, locked by its writer."""

    def __init__(self, journal: Path) -> None:
        """Take the lock; raises `JournalBusy` at once where another process has it."""
        self._path = head_path(journal)
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise JournalBusy(
                f"another runner is writing to {journal}; wait for it to end, or stop it, and try again"
            ) from None

        self._was_empty = os.fstat(self._file).st_size == 0
        if os.fstat(self._file).st_size > _HEAD_BYTES:  # another file was here before; its rest would damage the mark
            os.ftruncate(self._file, _HEAD_BYTES)

    def mark(self, mark: HighWaterMark) -> None:
        """Write the mark."""
        fields = {"entries": mark.entries, "hash": mark.hash.hex(), "seal": mark.seal}
        os.pwrite(self._file, json.dumps(fields).ljust(_HEAD_BYTES - 1).encode() + b"\n", 0)

    def require_in_place(self) -> None:
        """Raise `JournalError` where the file is gone or replaced: its lock no longer stops another writer."""
        locked = os.fstat(self._file)
        try:
            present = os.stat(self._path)
        except OSError:
            present = None
        if present is None or (present.st_dev, present.st_ino) != (locked.st_dev, locked.st_ino):
            raise JournalError(
                f"{self._path} was moved, replaced or removed while the run was writing, which stopped it: it is the "
                "lock of the journal. Nothing that was committed is lost; make sure nothing else writes, then resume"
            )

    def sync(self) -> None:
        """Sync the file to disk."""
        os.fsync(self._file)

    def remove_if_new(self) -> None:
        """Remove the file if it held no mark before: no journal was made that it could belong to."""
        if self._was_empty:
            self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Sync the file to disk and release the lock."""
        self.sync()
        os.close(self._file)
