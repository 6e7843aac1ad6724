"""The published contract of journals fails for journals that break it."""

import asyncio

import pytest

from tables import each
from unerring.testing.contracts import JournalContract

DURABLE = "test_a_commit_returns_once_all_that_was_appended_is_durable"
SIDE_BY_SIDE = "test_commits_side_by_side_each_cover_what_was_appended_before_them"
GIVEN_UP = "test_a_commit_that_is_given_up_leaves_the_journal_usable"
IN_ORDER = "test_entries_come_back_in_the_order_in_which_they_were_appended"
CLOSED = "test_closing_makes_everything_durable_and_may_be_done_twice"
REOPENED = "test_a_reopened_journal_continues_where_it_ended"


class Kept:
    """A journal in two lists: what was appended, and what would be there after a kill."""

    def __init__(self, disk):
        self.disk, self.buffer = disk, []

    @property
    def pending(self):
        return len(self.buffer)

    def append(self, entry):
        self.buffer.append(entry)

    async def commit(self):
        await asyncio.sleep(0)
        self.flush()

    def flush(self):
        self.disk += self.buffer
        self.buffer = []

    def close(self):
        self.flush()


class Early(Kept):
    """Returns from a commit before its entries are durable."""

    async def commit(self):
        asyncio.get_running_loop().call_soon(self.flush)


class Unheard(Kept):
    """Takes a commit in progress for the commit of later entries too."""

    busy = False

    async def commit(self):
        if self.busy:
            return
        self.busy = True
        group, self.buffer = self.buffer, []
        await asyncio.sleep(0)
        self.disk += group
        self.busy = False


class Half(Kept):
    """Loses the entries of a cancelled commit."""

    async def commit(self):
        group, self.buffer = self.buffer, []
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self.disk += group


class Shuffling(Kept):
    def flush(self):
        self.disk += reversed(self.buffer)
        self.buffer = []


class Forgetful(Kept):
    def close(self):
        self.buffer = []


class Once(Kept):
    def close(self):
        self.flush()
        self.flush = None


class Recreated(Kept):
    """Starts from nothing each time."""

    def __init__(self, disk):
        disk.clear()
        super().__init__(disk)


def store_of(kind):
    """A store of a kind of journal, as a user writes one."""

    class Store:
        def __init__(self):
            self.disk = []

        def create(self):
            return kind(self.disk)

        def reopen(self):
            return kind(self.disk), list(self.disk)

        def read(self):
            return list(self.disk)

    return Store()


BROKEN = [
    (Early, DURABLE),
    (Unheard, SIDE_BY_SIDE),
    (Half, GIVEN_UP),
    (Shuffling, IN_ORDER),
    (Forgetful, CLOSED),
    (Once, CLOSED),
    (Recreated, REOPENED),
]


@each(("kind", "name"), BROKEN, ids=lambda one: getattr(one, "__name__", one))
def test_a_promise_that_is_broken_is_found(kind, name):
    """The test for a promise fails for a journal that breaks it, and passes for one that keeps it."""
    getattr(JournalContract(), name)(store_of(Kept))
    with pytest.raises((AssertionError, TypeError)):
        getattr(JournalContract(), name)(store_of(kind))


def test_every_promise_is_broken_once():
    """Every test of the contract has a journal that fails it."""
    promises = {name for name in dir(JournalContract) if name.startswith("test_")}
    assert promises == {name for _, name in BROKEN}


def test_a_contract_without_a_journal_fails(tmp_path):
    """A contract that does not say how a journal is made fails with that message."""
    with pytest.raises(NotImplementedError, match="make"):
        JournalContract.make(tmp_path)
