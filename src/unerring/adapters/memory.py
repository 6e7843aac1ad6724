"""Journal in memory, for runs that need not survive their process."""

from collections.abc import Iterable, Iterator

from unerring.core.journal.entries import Entry


class MemoryJournal:
    """A journal that lasts as long as the process. Entries are committed as they are appended."""

    pending = 0

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._entries = list(entries)

    def append(self, entry: Entry) -> None:
        self._entries.append(entry)

    async def commit(self) -> None:
        pass

    def close(self) -> None:
        pass

    def entries(self) -> Iterator[Entry]:
        """The entries so far, in order."""
        return iter(tuple(self._entries))
