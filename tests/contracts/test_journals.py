"""Every journal that ships passes the same contract, and all agree under random operations."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from journal_contract import JournalContract

from entry_strategies import strategies
from unerring.adapters.sqlite.writer import JournalReader, SqliteJournal
from unerring.core.journal.codec import decode, encode
from unerring.core.journal.entries import Committed, Entry, Finished, Intent
from unerring.testing import MemoryJournal


class InMemory:
    """The store of a `MemoryJournal`."""

    def create(self) -> MemoryJournal:
        self._journal = MemoryJournal()
        return self._journal

    def reopen(self) -> tuple[MemoryJournal, list[Entry]]:
        self._journal = MemoryJournal(self._journal.entries())
        return self._journal, self.read()

    def read(self) -> list[Entry]:
        return list(self._journal.entries())


class InFile:
    """The store of a `SqliteJournal`; its readers have connections of their own."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "journal.db"

    def create(self) -> SqliteJournal:
        return SqliteJournal.create(self.path)

    def reopen(self) -> tuple[SqliteJournal, list[Entry]]:
        journal, entries = SqliteJournal.reopen(self.path)
        return journal, list(entries)

    def read(self) -> list[Entry]:
        return list(JournalReader(self.path).entries())


class TestMemoryJournal(JournalContract):
    """The journal without a file."""

    @pytest.fixture
    def store(self) -> InMemory:
        return InMemory()


class TestSqliteJournal(JournalContract):
    """The journal in a file."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> InFile:
        return InFile(tmp_path)


KINDS = strategies(st.text(max_size=300))
ENTRIES = st.one_of(*(drawn for kind, drawn in KINDS.items() if kind is not Finished))


class Agreement(RuleBasedStateMachine):
    """One history of operations, done to both journals. `Finished`, the last entry of a run, comes at the end."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = TemporaryDirectory()
        self._memory, self._file = InMemory(), InFile(Path(self._folder.name))
        self._journals = [self._memory.create(), self._file.create()]
        self._durable = 0
        self._seen = 0

    @rule(entries=st.lists(ENTRIES, min_size=1, max_size=6))
    def append(self, entries: list[Entry]) -> None:
        for entry in entries:
            for journal in self._journals:
                journal.append(entry)

    @rule(entry=ENTRIES, count=st.sampled_from([511, 512, 513, 1100]))
    def append_many(self, entry: Entry, count: int) -> None:
        for _ in range(count):
            for journal in self._journals:
                journal.append(entry)

    @rule()
    def commit(self) -> None:
        for journal in self._journals:
            asyncio.run(asyncio.wait_for(journal.commit(), 60))
            assert journal.pending == 0
        self._durable = len(self._memory.read())
        assert self._file.read() == self._memory.read()

    @rule()
    def close_and_reopen(self) -> None:
        for journal in self._journals:
            journal.close()
        assert self._file.read() == self._memory.read()
        (memory, kept), (file, found) = self._memory.reopen(), self._file.reopen()
        assert found == kept
        self._journals = [memory, file]
        self._durable = len(kept)

    @precondition(lambda self: self._memory.read())
    @rule()
    def read_while_it_is_written(self) -> None:
        """A reader gets a prefix: never less than was committed or seen before, never anything else."""
        found, written = self._file.read(), self._memory.read()
        assert found == written[: len(found)]
        assert len(found) >= max(self._durable, self._seen)
        self._seen = len(found)

    @invariant()
    def what_is_pending_is_not_more_than_what_was_not_committed(self) -> None:
        assert 0 <= self._journals[1].pending <= len(self._memory.read()) - self._durable

    def teardown(self) -> None:
        for journal in self._journals:
            journal.append(Finished(0, 1.0))
            journal.close()
        assert self._file.read() == self._memory.read()
        self._folder.cleanup()


TestAgreement = Agreement.TestCase
TestAgreement.settings = settings(max_examples=15, stateful_step_count=15, deadline=None)


def test_every_kind_of_entry_is_drawn():
    """The state machine appends every kind of entry, so that no new kind is forgotten."""
    assert {*KINDS} == {*get_args(Entry)}


@pytest.mark.parametrize("entry", [Committed(1, "x" * 500), Intent(1, 2, 3)], ids=["deflated", "plain"])
def test_an_entry_is_the_same_after_bytes(entry: Entry):
    """Both forms of an entry's bytes, plain and compressed, read back to the entry."""
    assert decode(encode(entry)) == entry
