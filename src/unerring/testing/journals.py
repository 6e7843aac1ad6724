"""The contract of journals, as tests that you run on your own; part of `unerring.testing.contracts`."""

import asyncio
from pathlib import Path
from typing import Protocol

import pytest

from unerring.core.journal.entries import Committed, Entry, Intent
from unerring.runtime.protocols import Journal

ENTRIES_PER_COMMIT = (1, 3, 700, 5000)


class JournalStore(Protocol):
    """One journal through its life: created once, then closed and reopened any number of times."""

    def create(self) -> Journal:
        """Start the journal."""

    def reopen(self) -> tuple[Journal, list[Entry]]:
        """Open the closed journal again: returns the writer, and the entries so far."""

    def read(self) -> list[Entry]:
        """The entries that would be left if the writer were killed now; not read through the writer."""


class JournalContract:
    """The contract of every journal. Subclasses have `make(folder)`, which returns a `JournalStore` in a folder."""

    # Not abstract: pytest skips abstract classes silently, and a subclass without make() has to fail.
    @staticmethod
    def make(folder: Path) -> JournalStore:
        """Make the store of a journal that does not exist yet."""
        raise NotImplementedError("say how a journal is made: a static method make(folder)")

    @pytest.fixture
    def store(self, tmp_path: Path) -> JournalStore:
        """A store of its own for each test."""
        return self.make(tmp_path)

    def test_a_commit_returns_once_all_that_was_appended_is_durable(self, store: JournalStore) -> None:
        """At the moment a commit returns, a kill loses nothing that was appended before it: paid calls rely on it."""
        journal, written = store.create(), 0

        async def grow() -> None:
            nonlocal written
            for group in ENTRIES_PER_COMMIT:
                for _ in range(group):
                    journal.append(Intent(written, 0, 1))
                    written += 1
                await journal.commit()
                found = len(store.read())  # before anything else has a turn
                assert found == written, f"a commit returned, and of {written} entries {found} are durable"
                assert journal.pending == 0, f"a commit returned, and {journal.pending} entries are pending"

        asyncio.run(grow())
        journal.close()

    def test_commits_side_by_side_each_cover_what_was_appended_before_them(self, store: JournalStore) -> None:
        """Of many tasks that append and commit at once, each finds its own entries durable when its commit returns."""
        journal = store.create()

        async def one(step: int) -> None:
            for part in range(8):
                for _ in range(10):
                    journal.append(Intent(step, part, 1))
                await asyncio.sleep(0)  # others append and commit in between
                await journal.commit()
                mine = [entry for entry in store.read() if isinstance(entry, Intent) and entry.step == step]
                assert len(mine) >= 10 * (part + 1), "a commit returned before its own entries were durable"

        async def all_at_once() -> None:
            await asyncio.gather(*(one(step) for step in range(5)))

        asyncio.run(all_at_once())
        journal.close()
        assert len(store.read()) == 5 * 8 * 10

    def test_a_commit_that_is_given_up_leaves_the_journal_usable(self, store: JournalStore) -> None:
        """A cancelled commit cancels no entry: the next commit covers what the first one was to cover."""
        journal = store.create()

        async def given_up() -> None:
            for step in range(100):
                journal.append(Intent(step, 0, 1))
            first = asyncio.ensure_future(journal.commit())
            await asyncio.sleep(0)
            first.cancel()
            await asyncio.wait([first])
            journal.append(Intent(100, 0, 1))
            await journal.commit()
            assert [entry.step for entry in store.read() if isinstance(entry, Intent)] == list(range(101))

        asyncio.run(given_up())
        journal.close()

    def test_entries_come_back_in_the_order_in_which_they_were_appended(self, store: JournalStore) -> None:
        """What was committed is read back whole and in order, while the journal is open and after it was closed."""
        journal, entries = store.create(), [Committed(step, f"{step:x}") for step in range(1000)]
        for entry in entries:
            journal.append(entry)
        asyncio.run(journal.commit())
        assert store.read() == entries
        journal.close()
        assert store.read() == entries

    def test_closing_makes_everything_durable_and_may_be_done_twice(self, store: JournalStore) -> None:
        """What was appended and never committed is there after closing; a second close does nothing."""
        journal = store.create()
        for step in range(600):
            journal.append(Committed(step, ""))
        journal.close()
        journal.close()
        assert store.read() == [Committed(step, "") for step in range(600)]

    def test_a_reopened_journal_continues_where_it_ended(self, store: JournalStore) -> None:
        """Reopening gives every entry so far, and further ones follow them."""
        journal = store.create()
        journal.append(Committed(0, "a"))
        journal.close()
        for life in range(1, 4):
            journal, found = store.reopen()
            assert found == [Committed(step, "a") for step in range(life)]
            journal.append(Committed(life, "a"))
            asyncio.run(journal.commit())
            journal.close()
        assert store.read() == [Committed(step, "a") for step in range(4)]
