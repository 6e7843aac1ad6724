"""The contract of journals, for any store. Tests of a new kind inherit `JournalContract`.

A test class gives a fixture `store`: one journal's whole life, from its creation on.
"""

import asyncio

import pytest

from unerring.core.journal.entries import (
    DRAFT_SLOT,
    PROBE_SLOT,
    Allowed,
    Cancelled,
    Committed,
    Drafted,
    Entry,
    Failed,
    Finished,
    Intent,
    Opened,
    Paused,
    Probed,
    Replies,
    Reply,
    Resumed,
    Served,
    Shortlisted,
    Voter,
)
from unerring.core.journal.review_entries import Redrawn, Ruled
from unerring.core.journal.spend import Charge, SpendLimits, Tariff
from unerring.core.voting.redflag import FlagKind
from unerring.core.voting.sample import Finish, Usage
from unerring.errors import FailureKind
from unerring.testing.contracts import JournalContract as Published
from unerring.testing.contracts import JournalStore as Store

AWKWARD = (
    "",
    "plain",
    "\x00\x01\x1b[31m\x7f",
    "'); DROP TABLE entries; --",
    'quote " backslash \\ slash / newline \n',
    "ünïcödé \u202e right to left \U0001f600",
    "\ud800 a lone surrogate",
    "[" * 3000,
    "x" * 200_000,
)


def opened(text: str = "hanoi") -> Opened:
    """An opening entry with a text in every field that takes one."""
    return Opened(
        process=text,
        parameters={text: [1, 2.5, None, True, {text: text}]},
        model=text,
        policy={"rule": text},
        seed=2**63,
        start=text,
        length=None,
        software=text,
        time=1.25,
    )


def sample(text: str | int, step: int = 0, slot: int = 0) -> Reply:
    """A sample that votes."""
    return Reply(step, slot, text, text, None, Usage(1, 2), Finish.STOP, -0.001, 0, str(text))


def call(text: str, step: int = 0, slot: int = 0) -> Replies:
    """A call that returned one sample."""
    return Replies((sample(text, step, slot),))


def one_of_each(text: str) -> list[Entry]:
    """An entry of every kind, with and without its optional fields."""
    flagged = Reply(0, 2, text, None, FlagKind.TRUNCATED, Usage(), Finish.LENGTH, None, 0)
    return [
        opened(text),
        Allowed(SpendLimits(10**12, None, 7, 0.5), {text: Tariff(1, 2, 3)}),
        Allowed(SpendLimits()),
        Allowed(SpendLimits(7, strict=True)),
        Voter(0, text),
        Served(0, text),
        Intent(0, PROBE_SLOT, 2, None, Charge(5, 6, 7)),
        Probed(0, text, Charge(5, 6, None)),
        Intent(0, 0, 3),
        Failed(0, 0, 3, text),
        Replies((sample(text), sample(0, slot=1), flagged)),
        Intent(1, DRAFT_SLOT, 1, text),
        Drafted(1, Usage(3, 4), text),
        Drafted(1, Usage()),
        Intent(1, 0, 2, text),
        Replies((sample(text, step=1),), text),
        Failed(1, 1, 1, text, text),
        Failed(1, 1, 1, text, None, FailureKind.UNKNOWN),
        Failed(1, 1, 1, text, text, FailureKind.RATE_LIMITED, Charge(1, 2, 3)),
        Drafted(1, Usage(3, 4), None, Charge(3, 4, 5)),
        Redrawn(1, 1.5),
        Redrawn(1, 1.5, text),
        Shortlisted(1),
        Ruled(1, text, 2.5),
        Cancelled(1, 1, 1, text),
        Cancelled(1, 1, 1),
        Committed(0, text[:12]),
        Paused(text, text, 2.5),
        Resumed(3.5, 10, None),
        Paused(text, text, 4.5, 0.125),
        Finished(1, 1e9, 1.5),
    ]


class JournalContract(Published):
    """The promises of a journal to its users, for all kinds of entries."""

    def test_a_new_journal_is_empty(self, store: Store):
        """A new journal has no entry, and none that is pending."""
        journal = store.create()
        assert (journal.pending, store.read()) == (0, [])
        journal.close()

    def test_every_commit_covers_all_that_was_appended_before_it(self, store: Store):
        """A reader after a commit sees every entry appended before it, at each of many commits."""
        journal = store.create()

        async def commit_each() -> None:
            for step in range(40):
                journal.append(Intent(step, 0, 1))
                journal.append(Committed(step, ""))
                await journal.commit()
                assert len(store.read()) == 2 * (step + 1)

        asyncio.run(commit_each())
        journal.close()

    def test_commits_may_wait_side_by_side(self, store: Store):
        """Several tasks waiting for a commit all continue, each with its own entry stored."""
        journal = store.create()

        async def one(step: int) -> int:
            journal.append(Intent(step, 0, 1))
            await journal.commit()
            return [entry.step for entry in store.read() if isinstance(entry, Intent)].count(step)

        async def all_at_once() -> list[int]:
            return await asyncio.gather(*(one(step) for step in range(20)))

        assert asyncio.run(all_at_once()) == [1] * 20
        journal.close()

    def test_a_commit_of_nothing_returns(self, store: Store):
        """A commit with nothing appended returns at once, before the first entry and after the last."""
        journal = store.create()
        asyncio.run(asyncio.wait_for(journal.commit(), 30))
        journal.append(opened())
        asyncio.run(asyncio.wait_for(journal.commit(), 30))
        asyncio.run(asyncio.wait_for(journal.commit(), 30))
        assert store.read() == [opened()]
        journal.close()

    def test_closing_keeps_what_was_never_committed(self, store: Store):
        """Closing makes all appended entries durable, without a commit."""
        journal = store.create()
        for entry in one_of_each("x"):
            journal.append(entry)
        journal.close()
        assert store.read() == one_of_each("x")

    def test_a_reopened_journal_continues_where_it_ended(self, store: Store):
        """Reopening gives all entries so far, and further ones follow them, five times over."""
        written: list[Entry] = [opened()]
        journal = store.create()
        journal.append(written[0])
        journal.close()
        for life in range(5):
            journal, found = store.reopen()
            assert found == written
            for entry in (Resumed(float(life)), Committed(life, "")):
                journal.append(entry)
                written.append(entry)
            asyncio.run(journal.commit())
            journal.close()
        assert store.read() == written

    def test_reopening_alone_changes_nothing(self, store: Store):
        """A journal that is reopened and closed has the same entries."""
        journal = store.create()
        journal.append(opened())
        journal.close()
        for _ in range(3):
            journal, found = store.reopen()
            assert (found, journal.pending) == ([opened()], 0)
            journal.close()
        assert store.read() == [opened()]

    @pytest.mark.parametrize("text", AWKWARD, ids=range(len(AWKWARD)))
    def test_any_text_in_any_kind_of_entry_comes_back(self, store: Store, text: str):
        """Entries of every kind are read back equal, with any text in them."""
        journal = store.create()
        for entry in one_of_each(text):
            journal.append(entry)
        journal.close()
        journal, found = store.reopen()
        journal.close()
        assert found == one_of_each(text)

    def test_many_entries_come_back(self, store: Store):
        """Ten thousand entries, far more than one transaction takes, are read back in order."""
        journal, entries = store.create(), [call(f"{slot}", slot // 7, slot % 7) for slot in range(10_000)]
        for entry in entries:
            journal.append(entry)
        asyncio.run(journal.commit())
        journal.close()
        assert store.read() == entries

    def test_what_was_read_once_stays(self, store: Store):
        """What a reader saw is a prefix of what every later reader sees."""
        journal, seen = store.create(), []
        for step in range(200):
            journal.append(Committed(step, ""))
            now = store.read()
            assert now[: len(seen)] == seen
            seen = now
        journal.close()
        assert store.read()[: len(seen)] == seen
