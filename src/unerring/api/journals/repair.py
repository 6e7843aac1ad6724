"""Repair a damaged journal: keep its intact leading entries, and set the damaged file aside."""

from contextlib import suppress
from pathlib import Path

from unerring.adapters.sqlite.reader import JournalReader
from unerring.adapters.sqlite.repair import readable_copy, replace_journal
from unerring.api.journals.history import History
from unerring.core.arguments import require_path
from unerring.core.journal.entries import Entry
from unerring.core.journal.state import RunState
from unerring.core.voting.step import MisplacedEntry
from unerring.errors import InputError, JournalDamaged


def repair(journal: str | Path) -> tuple[int, Path]:
    """Keep the intact leading entries of a damaged journal, and set the damaged file aside.

    Returns how many were kept and the new name of the damaged file. Raises `InputError` where nothing is damaged.
    """
    require_path("journal", journal)
    path = Path(journal)
    with suppress(JournalDamaged):
        for _ in History(path).steps():
            pass
        raise InputError(f"{path} is not damaged; there is nothing to repair")
    kept: list[Entry] = []
    state = RunState()
    with readable_copy(path) as copy, suppress(JournalDamaged, MisplacedEntry):
        for entry in JournalReader(copy, check_head=False).entries():
            state.apply(entry)
            kept.append(entry)
    return len(kept), replace_journal(path, kept)
