"""Write a new journal with all its entries atomically: a crash leaves the whole file or none."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from itertools import islice
from pathlib import Path

from unerring.adapters.sqlite.head import HeadFile, HighWaterMark
from unerring.adapters.sqlite.schema import (
    LOG_SUFFIXES,
    add_entries,
    connect,
    make_journal_file,
    remove_logs,
    require_no_log,
)
from unerring.core.journal.codec import GENESIS_HASH, encode
from unerring.core.journal.entries import Entry
from unerring.errors import InputError

TRANSACTION_ENTRIES = 4096


def write_journal(path: Path, entries: Iterable[Entry]) -> None:
    """Write a journal of these entries to a new file, from which a run can continue.

    Raises `InputError` where the file exists already, or cannot be made. An interruption leaves no journal there.
    """
    if path.exists():
        raise InputError(f"{path} exists already: choose another file")
    draft = path.with_name(path.name + ".draft")
    try:
        require_no_log(path)
        head = HeadFile(path)
        try:
            make_journal_file(draft)
            mark = fill_journal(draft, entries)
            if path.exists():  # another program may have been faster
                raise InputError(f"{path} exists already: choose another file")
            remove_logs(path)
            head.mark(mark)
            head.sync()
            draft.replace(path)
        except BaseException:
            if not path.exists():
                head.remove_if_new()
            raise
        finally:
            head.close()
            for suffix in ("", *LOG_SUFFIXES):
                draft.with_name(draft.name + suffix).unlink(missing_ok=True)
    except (sqlite3.Error, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot make a journal at {path}: {reason}") from None


def fill_journal(draft: Path, entries: Iterable[Entry]) -> HighWaterMark:
    """Add the entries to an empty journal; returns its mark."""
    mark, bodies = HighWaterMark(0, GENESIS_HASH), (encode(entry) for entry in entries)
    with closing(connect(draft)) as database:
        while group := list(islice(bodies, TRANSACTION_ENTRIES)):
            mark = add_entries(database, mark, group)
    return mark
