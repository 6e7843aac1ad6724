"""Repair a damaged journal: write its intact entries to a new file, which replaces the damaged one."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from unerring.adapters.sqlite.head import HeadFile, seal_of
from unerring.adapters.sqlite.new_file import fill_journal
from unerring.adapters.sqlite.schema import LOG_SUFFIXES, log_path, make_journal_file, remove_logs
from unerring.core.journal.entries import Entry

MAX_FILLED_BYTES = 1 << 40  # length in a cut file's header up to which it is filled up


@contextmanager
def readable_copy(path: Path) -> Iterator[Path]:
    """A copy of a damaged journal, filled up to its full length, since SQLite cannot read a file that was cut."""
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
    """Replace a damaged journal by one of these entries; returns the new name of the damaged file."""
    path = path.resolve()
    head = HeadFile(path)
    try:
        draft = path.with_name(path.name + ".repaired")
        make_journal_file(draft)
        mark = fill_journal(draft, entries)
        # A kill up to here, or while the damaged files get their second names, leaves the damaged journal as it was.
        # A kill after the seal leaves it with a head that does not match: still damaged, and repaired from the start.
        # Once the draft has replaced it, the journal is the repaired one: next to a sealed file a log is ignored, and
        # the next writer removes the damaged one's.
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
    """Give a damaged journal and its logs second names; returns that of the journal."""
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
