"""The head file beside a journal: the writer's lock, and how far the journal was known to reach.

SQLite drops a damaged tail of its write-ahead log without a word, and a shorter chain of hashes is still a
valid chain. So after every commit the number of entries and the last running hash are noted here, in another
file. The journal may run ahead of its head (a crash between the two writes), never behind it.

The lock is `flock(2)` on this file: the kernel drops it with the process, whatever ends that.
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
    """A journal's length in entries and its last running hash.

    The seal is the digest of a file that is the whole journal alone: nobody writes to it, and no log beside it counts.
    """

    entries: int
    hash: bytes
    seal: str = ""


def head_path(journal: Path) -> Path:
    """Where the head of a journal lies: beside the file itself, whatever link leads there."""
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
    """The last mark, or None where there is none. Raises `JournalDamaged` for a head that cannot be read."""
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
            raise ValueError("no journal has such a head")
        return mark
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        raise JournalDamaged(
            f"{head_path(journal)} is damaged: it no longer says how long the journal is. The entries are in "
            f"{journal}: unerring resume {quote(str(journal))} --repair goes on with all that are intact",
            0,
        ) from None


class HeadFile:
    """The head of a journal held by its one writer."""

    def __init__(self, journal: Path) -> None:
        """Take the lock; raises `JournalBusy` at once where another runner has it."""
        self._path = head_path(journal)
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise JournalBusy(
                f"another runner is writing to {journal}; wait for it to end, or stop it, and try again"
            ) from None

        if os.fstat(self._file).st_size > _HEAD_BYTES:  # something else once lay here; its rest would garble a mark
            os.ftruncate(self._file, _HEAD_BYTES)

    def mark(self, mark: HighWaterMark) -> None:
        """Note how far the journal reaches."""
        fields = {"entries": mark.entries, "hash": mark.hash.hex(), "seal": mark.seal}
        os.pwrite(self._file, json.dumps(fields).ljust(_HEAD_BYTES - 1).encode() + b"\n", 0)

    def require_in_place(self) -> None:
        """Raise `JournalError` where the file is gone or replaced: its lock keeps no other writer away any more."""
        held = os.fstat(self._file)
        try:
            there = os.stat(self._path)
        except OSError:
            there = None
        if there is None or (there.st_dev, there.st_ino) != (held.st_dev, held.st_ino):
            raise JournalError(
                f"{self._path} was moved, replaced or removed while the run was writing, which stopped it: it is the "
                "lock of the journal. Nothing that was committed is lost; make sure nothing else writes, then resume"
            )

    def sync(self) -> None:
        """Write the head to disk."""
        os.fsync(self._file)

    def close(self) -> None:
        """Write the head to disk and let go of the lock."""
        self.sync()
        os.close(self._file)
