"""The repair of a damaged journal: what is intact goes into a new file, and that takes the damaged one's place."""

import os
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from unerring.adapters.sqlite.head import HeadFile, HighWaterMark, seal_of
from unerring.adapters.sqlite.schema import (
    LOG_SUFFIXES,
    add_entries,
    connect,
    log_path,
    make_journal_file,
    remove_logs,
)
from unerring.core.journal.codec import GENESIS_HASH, encode
from unerring.core.journal.entries import Entry

MAX_FILLED_BYTES = 1 << 40  # bytes that a cut file's header may claim


@contextmanager
def readable_copy(path: Path) -> Iterator[Path]:
    """A copy of a damaged journal, filled up to its full length: SQLite reads nothing of a file cut short."""
    with TemporaryDirectory(dir=path.resolve().parent) as folder:
        copy = Path(folder) / "copy.db"
        shutil.copyfile(path, copy)
        if log_path(path).exists():
            shutil.copyfile(log_path(path), log_path(copy))
        with copy.open("r+b") as file:
            start = file.read(32)
            page, pages = int.from_bytes(start[16:18], "big"), int.from_bytes(start[28:32], "big")
            if copy.stat().st_size < page * pages <= MAX_FILLED_BYTES:
                file.truncate(page * pages)
        yield copy


def replace_journal(path: Path, entries: list[Entry]) -> Path:
    """Put a journal of these entries in the place of a damaged one; returns the damaged file's new name."""
    path = path.resolve()
    head = HeadFile(path)
    try:
        draft = path.with_name(path.name + ".repaired")
        make_journal_file(draft)
        with closing(connect(draft)) as database:
            mark = add_entries(database, HighWaterMark(0, GENESIS_HASH), [encode(entry) for entry in entries])
        # A kill up to here, or while names are given aside, leaves the damaged journal as it was. After the seal it
        # leaves the damaged file and log with a head that does not fit: still damaged, and still all to be repaired.
        # After the draft took the place, the journal is the repaired one: beside a sealed file no log counts, and
        # its next writer removes what is left of the damaged one's.
        aside = _set_aside(path)
        head.mark(replace(mark, seal=seal_of(draft)))
        head.sync()
        draft.replace(path)
        remove_logs(path)
        head.mark(mark)
    finally:
        head.close()
    return aside


def _set_aside(path: Path) -> Path:
    """Give a damaged journal and its logs a second name."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    for suffix in ("", *LOG_SUFFIXES):
        file, other = f"{path}{suffix}", f"{aside}{suffix}"
        if os.path.exists(file):
            try:
                os.link(file, other)
            except OSError:  # a file system without hard links
                shutil.copy(file, other)
    return aside
