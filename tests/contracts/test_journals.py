"""Every journal that ships keeps the same contract, and all of them agree under random operations."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from journal_contract import JournalContract

from unerring.adapters.sqlite_journal import Reader, SqliteJournal
from unerring.core.entries import (
    Committed,
    Entry,
    Failed,
    Finished,
    Intent,
    Opened,
    Paused,
    Reply,
    Resumed,
    Voter,
    decode,
    encode,
)
from unerring.core.redflag import FlagKind
from unerring.core.sample import Finish, Usage
from unerring.testing import MemoryJournal


class InMemory:
    """The life of a `MemoryJournal`."""

    def create(self) -> MemoryJournal:
        self._journal = MemoryJournal()
        return self._journal

    def reopen(self) -> tuple[MemoryJournal, list[Entry]]:
        self._journal = MemoryJournal(self._journal.entries())
        return self._journal, self.read()

    def read(self) -> list[Entry]:
        return list(self._journal.entries())


class InFile:
    """The life of a `SqliteJournal`; its readers come through connections of their own."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "journal.db"

    def create(self) -> SqliteJournal:
        return SqliteJournal.create(self.path)

    def reopen(self) -> tuple[SqliteJournal, list[Entry]]:
        journal, entries = SqliteJournal.reopen(self.path)
        return journal, list(entries)

    def read(self) -> list[Entry]:
        return list(Reader(self.path).entries())


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


NUMBERS = st.integers(0, 2**63)
COUNTS = st.integers(0, 1000)
TIMES = st.floats(0, 1e12)
TEXTS = st.text(max_size=300)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
PARAMETERS = st.dictionaries(TEXTS, JSON, max_size=4)
CAPS = st.none() | NUMBERS
KINDS: dict[type, st.SearchStrategy[Entry]] = {
    Reply: st.builds(
        Reply,
        step=NUMBERS,
        slot=NUMBERS,
        text=TEXTS | NUMBERS,
        choice=st.none() | TEXTS | NUMBERS,
        flag=st.none() | st.sampled_from(FlagKind),
        usage=st.builds(Usage, NUMBERS, NUMBERS),
        finish=st.sampled_from(Finish),
        logprob=st.none() | st.floats(max_value=0, allow_nan=False),
        voter=NUMBERS,
        reply_id=st.none() | TEXTS,
    ),
    Opened: st.builds(
        Opened,
        process=TEXTS,
        parameters=PARAMETERS,
        model=TEXTS,
        policy=PARAMETERS,
        seed=st.integers(),
        start=TEXTS,
        length=CAPS,
        software=TEXTS,
        time=TIMES,
    ),
    Intent: st.builds(Intent, NUMBERS, NUMBERS, COUNTS),
    Voter: st.builds(Voter, NUMBERS, TEXTS),
    Failed: st.builds(Failed, NUMBERS, NUMBERS, COUNTS, TEXTS),
    Committed: st.builds(Committed, NUMBERS, TEXTS),
    Resumed: st.builds(Resumed, TIMES, CAPS, CAPS),
    Paused: st.builds(Paused, TEXTS, TEXTS, TIMES),
}
ENTRIES = st.one_of(*KINDS.values())


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
    """The machine appends every kind that a journal can hold, so that a new kind is not forgotten."""
    assert {*KINDS, Finished} == {*get_args(Entry)}


@pytest.mark.parametrize("entry", [Committed(1, "x" * 500), Intent(1, 2, 3)], ids=["deflated", "plain"])
def test_an_entry_is_the_same_after_bytes(entry: Entry):
    """Both forms of an entry's bytes, plain and deflated, read back to the entry."""
    assert decode(encode(entry)) == entry
