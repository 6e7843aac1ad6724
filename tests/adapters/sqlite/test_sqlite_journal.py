"""The SQLite writer: durable, in groups, single, private, and readable meanwhile."""

import asyncio
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from journal_files import NOISE, cli, entries_of, process, start

import unerring
from unerring.adapters.sqlite import schema as journal_file
from unerring.adapters.sqlite import writer as sqlite_journal
from unerring.adapters.sqlite.head import HeadFile, HighWaterMark, read_mark
from unerring.adapters.sqlite.writer import MAX_GROUP_ENTRIES, MAX_GROUP_SECONDS, SqliteJournal
from unerring.api.journals.verify import verify
from unerring.core.journal.entries import Committed, Voter
from unerring.errors import InputError, JournalBusy, JournalError


@dataclass
class Spy:
    """The statements sent to the writer's connections."""

    modes: list[tuple[str, int]] = field(default_factory=list)
    statements: list[str] = field(default_factory=list)

    @property
    def transactions(self) -> int:
        return sum(statement.startswith("BEGIN") for statement in self.statements)


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Spy:
    seen, connect = Spy(), journal_file.connect

    def connected(path: Path) -> sqlite3.Connection:
        database = connect(path)
        (mode,), (level,) = (
            database.execute("PRAGMA journal_mode").fetchone(),
            database.execute("PRAGMA synchronous").fetchone(),
        )
        seen.modes.append((mode, level))
        database.set_trace_callback(seen.statements.append)
        return database

    for module in (journal_file, sqlite_journal):
        monkeypatch.setattr(module, "connect", connected)
    return seen


@pytest.fixture
def journal(path: Path) -> Iterator[SqliteJournal]:
    made = SqliteJournal.create(path)
    yield made
    made.close()


def seen_from_outside(path: Path) -> int:
    """The number of entries that another connection reads."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
        return database.execute("SELECT count(*) FROM entries").fetchone()[0]


# Durability and groups


def test_every_writing_connection_is_wal_with_full_synchronisation(spy: Spy, path: Path):
    """Every writing connection has WAL mode and synchronous=FULL (2), so that a commit waits for its fsync."""
    start(path)
    assert set(spy.modes) == {("wal", 2)}


def test_many_appends_share_few_transactions(spy: Spy, path: Path):
    """Five thousand appended entries take about ten transactions: one for each full group or clock tick."""
    journal = SqliteJournal.create(path)
    since = time.monotonic()
    for step in range(5000):
        journal.append(Committed(step, ""))
    asyncio.run(journal.commit())
    most = 5000 / MAX_GROUP_ENTRIES + (time.monotonic() - since) / MAX_GROUP_SECONDS + 2
    assert 1 <= spy.transactions <= most
    journal.close()


def test_waiters_share_a_transaction(spy: Spy, path: Path):
    """A hundred tasks that commit at the same time share a few transactions."""
    journal = SqliteJournal.create(path)

    async def one(step: int) -> None:
        journal.append(Committed(step, ""))
        await journal.commit()
        assert seen_from_outside(path) > step

    async def all_at_once() -> None:
        await asyncio.gather(*(one(step) for step in range(100)))

    asyncio.run(all_at_once())
    assert spy.transactions < 30
    journal.close()


def test_a_commit_returns_once_another_connection_sees_its_entries(path: Path, journal: SqliteJournal):
    """After a commit returns, a second connection reads every entry appended before it."""

    async def commit_each() -> None:
        for step in range(50):
            journal.append(Committed(step, ""))
            await journal.commit()
            assert seen_from_outside(path) == step + 1

    asyncio.run(commit_each())


def test_appended_entries_become_durable_without_a_commit(path: Path, journal: SqliteJournal):
    """Entries that no task waits for are written within a moment."""
    journal.append(Committed(0, ""))
    deadline = time.monotonic() + 60
    while journal.pending and time.monotonic() < deadline:
        os.sched_yield()
    assert seen_from_outside(path) == 1


def test_a_cancelled_commit_does_not_affect_others(path: Path, journal: SqliteJournal):
    """If a task is cancelled while it waits for a commit, other tasks and the journal are unaffected."""

    async def cancel_one() -> None:
        journal.append(Committed(0, ""))
        waiting = [asyncio.ensure_future(journal.commit()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.gather(*waiting[1:])
        journal.append(Committed(1, ""))
        await journal.commit()

    asyncio.run(cancel_one())
    assert seen_from_outside(path) == 2


def test_the_head_is_never_ahead_of_the_journal(path: Path, monkeypatch: pytest.MonkeyPatch):
    """When the head has a length, that many entries are durable already."""
    noted, mark = [], HeadFile.mark

    def marked(head: HeadFile, at: HighWaterMark) -> None:
        noted.append((at.entries, seen_from_outside(path)))
        mark(head, at)

    monkeypatch.setattr(HeadFile, "mark", marked)
    start(path)
    assert len(noted) >= 3
    assert all(marked_length <= held for marked_length, held in noted)


@pytest.mark.timeout(30)
def test_an_entry_that_cannot_be_written_is_refused(path: Path):
    """An entry that cannot be encoded raises where it is appended or committed, and no task waits for it."""
    journal = SqliteJournal.create(path)

    async def write() -> None:
        journal.append(Voter(0, {1, 2}))  # type: ignore[arg-type]
        await journal.commit()

    with pytest.raises((TypeError, ValueError, JournalError)):
        asyncio.run(write())
    with suppress(JournalError):
        journal.close()
    assert entries_of(path) == []


def test_an_entry_that_cannot_be_written_loses_no_other(path: Path):
    """It raises its own error where it is appended, and the entries before and after it are kept."""
    journal = SqliteJournal.create(path)
    journal.append(Committed(0, ""))
    with pytest.raises(TypeError, match="not JSON serializable"):
        journal.append(Voter(0, {1, 2}))  # type: ignore[arg-type]
    journal.append(Committed(1, ""))
    assert journal.pending <= 2
    journal.close()
    assert entries_of(path) == [Committed(0, ""), Committed(1, "")]


TOKENS = """
from decimal import Decimal
def answer(prompt, settings):
    text = "move = [1, 0, 2]\\nnext_state = [[], [], [1]]"
    return unerring.Sample(text, unerring.Usage(Decimal(1), Decimal(2)))
unerring.run(unerring.Hanoi(1), answer, sys.argv[1], k=1)
"""
PARAMETERS = """
class Odd(unerring.Hanoi):
    def parameters(self):
        return {"disks": {1, 2}}
unerring.run(Odd(2), "noise/p=1", sys.argv[1], k=1)
"""


@pytest.mark.parametrize("code", [TOKENS, PARAMETERS], ids=["token counts", "parameters"])
def test_values_that_are_not_json_do_not_hang_a_run(path: Path, code: str):
    """Token counts or parameters of a foreign type end a run with an error or are converted."""
    subprocess.run([sys.executable, "-c", "import sys, unerring\n" + code, path], timeout=30, check=False)


# One writer


def test_a_second_writer_in_the_same_process_is_refused(path: Path, journal: SqliteJournal):
    """An open journal can be neither reopened nor created again."""
    journal.append(Committed(0, ""))
    asyncio.run(journal.commit())
    with pytest.raises(JournalBusy, match="another runner is writing"):
        SqliteJournal.reopen(path)


def test_a_second_writer_in_another_process_is_refused_at_once(path: Path):
    """`unerring resume` on a journal with a writer says so in one line and exits with 2."""
    with pytest.raises(unerring.Stopped):
        start(path, max_steps=3)
    journal, entries = SqliteJournal.reopen(path)
    held = list(entries)
    since = time.monotonic()
    ran = process("resume", path)
    assert ran.code == 2
    assert ran.err.splitlines() == [ran.line]
    assert "another runner is writing to" in ran.line
    assert time.monotonic() - since < 30  # it does not wait for the lock
    journal.close()
    assert entries_of(path) == held


def test_a_running_journal_is_not_started_again(path: Path):
    """`unerring run` on the journal of a running process exits with 2 and leaves it unchanged."""
    with pytest.raises(unerring.Stopped):
        start(path, max_steps=3)
    journal, entries = SqliteJournal.reopen(path)
    held = list(entries)
    ran = cli("run", "hanoi", "--model", NOISE, "--k", 3, "--journal", path)
    journal.close()
    assert (ran.code, entries_of(path)) == (2, held)


def test_a_journal_has_one_writer_by_whatever_name(path: Path, journal: SqliteJournal):
    """A second writer through a symbolic link is refused as well."""
    journal.append(Committed(0, ""))
    asyncio.run(journal.commit())
    link = path.with_name("link.db")
    link.symlink_to(path)
    with pytest.raises(JournalBusy):
        SqliteJournal.reopen(link)[0].close()


def test_one_of_two_that_create_at_the_same_time_wins(path: Path, monkeypatch: pytest.MonkeyPatch):
    """If a run came and went between another's check and its lock, its journal is kept and the other is refused."""
    real = sqlite_journal.HeadFile

    class Slow(real):  # type: ignore[valid-type, misc]
        def __init__(self, journal: Path) -> None:
            monkeypatch.setattr(sqlite_journal, "HeadFile", real)
            start(journal, disks=2)
            super().__init__(journal)

    SqliteJournal.create(path).close()  # an empty journal, in which a run may be started
    monkeypatch.setattr(sqlite_journal, "HeadFile", Slow)
    with pytest.raises(InputError):
        SqliteJournal.create(path).close()
    assert verify(path).finished
    assert read_mark(path).entries == len(entries_of(path))


HOLDER = """
import sys
from pathlib import Path
from unerring.adapters.sqlite.writer import SqliteJournal
journal, entries = SqliteJournal.reopen(Path(sys.argv[1]))
list(entries)
print("held", flush=True)
sys.stdin.read()
"""


def test_the_lock_ends_with_its_process(path: Path):
    """A writer killed with SIGKILL leaves no lock."""
    with pytest.raises(unerring.Stopped):
        start(path, max_steps=3)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(JournalBusy):
            SqliteJournal.reopen(path)
        holder.kill()
        holder.wait(60)
        assert unerring.resume(path).steps == 31
