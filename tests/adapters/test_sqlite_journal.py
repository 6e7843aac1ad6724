"""The SQLite journal as a writer: durable, in groups, alone, private, and readable all the while."""

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from journal_files import NOISE, cli, copied, entries_of, exported, killed, process, sql, start

import unerring
from unerring.adapters import sqlite_journal
from unerring.adapters.journal_head import Head, Mark, head_path, read_mark
from unerring.adapters.sqlite_journal import GROUP_SECONDS, GROUP_SIZE, Reader, SqliteJournal
from unerring.core.entries import Committed, Entry, Intent, Opened, Reply, Voter, decode
from unerring.core.replay import Decided, RunState
from unerring.core.sample import Sample, Settings
from unerring.errors import InputError, JournalBusy, JournalError, ProviderBusy
from unerring.reading import verify
from unerring.testing import FakeClock, NoisySampler


@dataclass
class Spy:
    """What was asked of the writer's connections."""

    modes: list[tuple[str, int]] = field(default_factory=list)
    statements: list[str] = field(default_factory=list)

    @property
    def transactions(self) -> int:
        return sum(statement.startswith("BEGIN") for statement in self.statements)


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Spy:
    seen, connect = Spy(), sqlite_journal._connect

    def connected(path: Path) -> sqlite3.Connection:
        database = connect(path)
        (mode,), (level,) = (
            database.execute("PRAGMA journal_mode").fetchone(),
            database.execute("PRAGMA synchronous").fetchone(),
        )
        seen.modes.append((mode, level))
        database.set_trace_callback(seen.statements.append)
        return database

    monkeypatch.setattr(sqlite_journal, "_connect", connected)
    return seen


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def journal(path: Path) -> Iterator[SqliteJournal]:
    made = SqliteJournal.create(path)
    yield made
    made.close()


def seen_from_outside(path: Path) -> int:
    """The number of entries that another connection sees."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
        return database.execute("SELECT count(*) FROM entries").fetchone()[0]


# Durability and groups


def test_every_writing_connection_is_wal_with_full_synchronisation(spy: Spy, path: Path):
    """All connections that write are in WAL mode with synchronous=FULL (2), so that a commit waits for its fsync."""
    start(path)
    assert set(spy.modes) == {("wal", 2)}


def test_many_appends_share_few_transactions(spy: Spy, path: Path):
    """Five thousand appended entries take about ten transactions: one for each full group or tick of the clock."""
    journal = SqliteJournal.create(path)
    since = time.monotonic()
    for step in range(5000):
        journal.append(Committed(step, ""))
    asyncio.run(journal.commit())
    most = 5000 / GROUP_SIZE + (time.monotonic() - since) / GROUP_SECONDS + 2
    assert 1 <= spy.transactions <= most
    journal.close()


def test_waiters_share_a_transaction(spy: Spy, path: Path):
    """A hundred tasks that commit at the same time wait for a few transactions, not for a hundred."""
    journal = SqliteJournal.create(path)

    async def one(step: int) -> None:
        journal.append(Committed(step, ""))
        await journal.commit()
        assert seen_from_outside(path) > step

    async def all_at_once() -> None:
        await asyncio.gather(*(one(step) for step in range(100)))

    asyncio.run(all_at_once())
    assert spy.transactions <= 3
    journal.close()


def test_a_commit_returns_once_another_connection_sees_its_entries(path: Path, journal: SqliteJournal):
    """After a commit returns, a second connection sees every entry appended before it."""

    async def go_on() -> None:
        for step in range(50):
            journal.append(Committed(step, ""))
            await journal.commit()
            assert seen_from_outside(path) == step + 1

    asyncio.run(go_on())


def test_appended_entries_become_durable_without_a_commit(path: Path, journal: SqliteJournal):
    """Entries nobody waits for are written by themselves within a moment."""
    journal.append(Committed(0, ""))
    deadline = time.monotonic() + 60
    while journal.pending and time.monotonic() < deadline:
        os.sched_yield()
    assert seen_from_outside(path) == 1


def test_a_given_up_commit_harms_no_other(path: Path, journal: SqliteJournal):
    """A task that is cancelled while it waits for a commit leaves the other waiters and the journal well."""

    async def go_on() -> None:
        journal.append(Committed(0, ""))
        waiting = [asyncio.ensure_future(journal.commit()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.gather(*waiting[1:])
        journal.append(Committed(1, ""))
        await journal.commit()

    asyncio.run(go_on())
    assert seen_from_outside(path) == 2


def test_the_head_never_tells_of_more_than_the_journal_holds(path: Path, monkeypatch: pytest.MonkeyPatch):
    """When the head notes a length, that many entries are durable already; so it is never ahead of the journal."""
    noted, mark = [], Head.mark

    def marked(head: Head, at: Mark) -> None:
        noted.append((at.entries, seen_from_outside(path)))
        mark(head, at)

    monkeypatch.setattr(Head, "mark", marked)
    start(path)
    assert len(noted) >= 3
    assert all(told <= held for told, held in noted)


@pytest.mark.timeout(30)
def test_an_entry_that_cannot_be_written_is_refused(path: Path):
    """An entry that has no form in bytes raises where it is appended or committed; nobody waits for it forever."""
    journal = SqliteJournal.create(path)

    async def write() -> None:
        journal.append(Voter(0, {1, 2}))  # type: ignore[arg-type]
        await journal.commit()

    with pytest.raises((TypeError, ValueError, JournalError)):
        asyncio.run(write())
    with suppress(JournalError):
        journal.close()
    assert entries_of(path) == []


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
def test_what_is_no_json_data_does_not_hang_a_run(path: Path, code: str):
    """Token counts or parameters of a foreign type end a run with an error, or are understood; it never hangs."""
    subprocess.run([sys.executable, "-c", "import sys, unerring\n" + code, path], timeout=30, check=False)


# One writer


def test_a_second_writer_in_the_same_process_is_refused(path: Path, journal: SqliteJournal):
    """While a journal is open, it can be neither reopened nor created again."""
    journal.append(Committed(0, ""))
    asyncio.run(journal.commit())
    with pytest.raises(JournalBusy, match="another runner is writing"):
        SqliteJournal.reopen(path)


def test_a_second_writer_in_another_process_is_refused_at_once(path: Path):
    """`unerring resume` on a journal that another process writes to says so in one line and exits with 2."""
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
    """`unerring run` on the journal of a running process exits with 2 and leaves it as it is."""
    with pytest.raises(unerring.Stopped):
        start(path, max_steps=3)
    journal, entries = SqliteJournal.reopen(path)
    held = list(entries)
    ran = cli("run", "hanoi", "--model", NOISE, "--k", 3, "--journal", path)
    journal.close()
    assert (ran.code, entries_of(path)) == (2, held)


def test_a_journal_has_one_writer_by_whatever_name(path: Path, journal: SqliteJournal):
    """A second writer that comes through a symbolic link is refused as well."""
    journal.append(Committed(0, ""))
    asyncio.run(journal.commit())
    link = path.with_name("link.db")
    link.symlink_to(path)
    with pytest.raises(JournalBusy):
        SqliteJournal.reopen(link)[0].close()


def test_one_of_two_that_create_at_the_same_time_wins(path: Path, monkeypatch: pytest.MonkeyPatch):
    """A run that came and went between another's check and its lock keeps its journal; the other is refused."""
    real = sqlite_journal.Head

    class Slow(real):  # type: ignore[valid-type, misc]
        def __init__(self, journal: Path) -> None:
            monkeypatch.setattr(sqlite_journal, "Head", real)
            start(journal, disks=2)
            super().__init__(journal)

    SqliteJournal.create(path).close()  # an empty journal, in which a run may be started
    monkeypatch.setattr(sqlite_journal, "Head", Slow)
    with pytest.raises(InputError):
        SqliteJournal.create(path).close()
    assert verify(path).finished
    assert read_mark(path).entries == len(entries_of(path))


HOLDER = """
import sys
from pathlib import Path
from unerring.adapters.sqlite_journal import SqliteJournal
journal, entries = SqliteJournal.reopen(Path(sys.argv[1]))
list(entries)
print("held", flush=True)
sys.stdin.read()
"""


def test_the_lock_goes_with_the_process_that_held_it(path: Path):
    """A writer that is killed with SIGKILL leaves no lock behind."""
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


# Files


def test_all_files_of_a_journal_are_private(path: Path):
    """Database, log, index and head have mode 0600 whatever the umask, while the journal is open and after."""
    before = os.umask(0)
    try:
        journal = SqliteJournal.create(path)
        journal.append(Committed(0, ""))
        asyncio.run(journal.commit())
        while_open = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
        journal.close()
        closed = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert while_open == dict.fromkeys(["journal.db", "journal.db-wal", "journal.db-shm", "journal.db.head"], 0o600)
    assert set(closed.values()) == {0o600}


def test_a_finished_journal_is_one_plain_file(path: Path):
    """Beside a finished journal lies only its head; there is no log left that could be lost on copying."""
    start(path)
    assert {file.name for file in path.parent.iterdir()} == {"journal.db", "journal.db.head"}


def test_a_finished_journal_is_read_without_being_written(path: Path):
    """Verifying, reporting, exporting and resuming a finished journal change no byte and leave no file behind."""
    start(path)
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    codes = [cli(*command, path).code for command in (["verify"], ["report"], ["export"], ["resume"])]
    assert codes == [0, 0, 0, 0]
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before


def test_a_log_left_by_a_deleted_journal_does_not_leak_into_a_new_one(tmp_path: Path, path: Path):
    """Where a killed run's journal was deleted but not its log, a new run at that place is whole and right."""
    start(tmp_path / "first.db")
    killed(path, entries_of(tmp_path / "first.db")[:40])
    path.unlink()
    start(path, disks=3, seed=9)
    found = verify(path)
    assert (found.steps, found.finished, found.problem) == (7, True, None)


def test_a_longer_head_left_behind_does_not_damage_a_new_journal(path: Path):
    """A new journal beside a stale, longer head file verifies."""
    head_path(path).write_bytes(b"x" * 1000)
    start(path, disks=2)
    assert cli("verify", path).code == 0


# Readers


class ReadsAlong:
    """An observer that verifies the journal while the run writes it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.read = 0

    def decided(self, decided: Decided, state: RunState) -> None:
        if decided.step % 5 == 0:
            found = verify(self._path)
            assert found.problem is None
            assert not found.finished
            assert self.read <= found.entries <= state.entries
            self.read = found.entries


def test_a_journal_can_be_verified_at_any_time_while_a_run_writes_it(path: Path):
    """Verifying from the middle of a run finds a whole, unfinished journal that only grows."""
    watcher = ReadsAlong(path)
    start(path, disks=6, observer=watcher)
    assert watcher.read > 0


def test_readers_beside_a_run_see_whole_journals_only(path: Path):
    """Readers in a loop of their own, beside a run of a thousand steps, never find the journal damaged or locked."""
    SqliteJournal.create(path).close()
    over, seen, problems = threading.Event(), [0], []

    def keep_reading() -> None:
        while not over.is_set():
            try:
                seen.append(sum(1 for _ in Reader(path).entries()))
            except JournalError as error:
                problems.append(str(error))

    reader = threading.Thread(target=keep_reading)
    reader.start()
    try:
        start(path, disks=9)
    finally:
        over.set()
        reader.join()
    assert not problems
    assert seen == sorted(seen)


def test_a_reader_that_stays_does_not_keep_a_run_from_finishing(path: Path):
    """A run whose journal somebody is still reading at its end finishes, and the journal verifies."""

    class Stays:
        reading: Generator[Entry] | None = None

        def decided(self, decided: Decided, state: RunState) -> None:
            if self.reading is None and seen_from_outside(path):
                self.reading = Reader(path).entries()
                next(self.reading)

    reader = Stays()
    try:
        result = start(path, disks=8, observer=reader)
    finally:
        reader.reading.close()
    assert result.steps == 255
    assert cli("verify", path).code == 0


# Intents


class Witness:
    """A paid model that looks, at each call, whether its intent is in the file already. Every fifth call fails."""

    paid = True
    compact = True
    name = "witness"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._noise = NoisySampler(unerring.Hanoi(4).rehearse, p=0.9, v=0.9)
        self.calls: list[Intent] = []

    async def sample(self, prompt: str, settings: Settings, n: int) -> Sequence[Sample]:
        call = Intent(settings.step, settings.slot, n)
        self.calls.append(call)
        with closing(sqlite3.connect(f"{self._path.as_uri()}?mode=ro", uri=True)) as database:
            bodies = database.execute("SELECT body FROM entries").fetchall()
        durable = [decode(body) for (body,) in bodies]
        assert durable.count(call) == self.calls.count(call), f"no intent is durable for {call}"
        if len(self.calls) % 5 == 0:
            raise ProviderBusy("busy")
        return await self._noise.sample(prompt, settings, n)


def test_no_paid_call_is_sent_before_its_intent_is_durable(path: Path):
    """At each call to a paid model, retries included, another connection sees an intent for exactly that call."""
    witness = Witness(path)
    unerring.run(unerring.Hanoi(4), witness, path, k=3, options=unerring.Options(clock=FakeClock()))
    intents = [entry for entry in entries_of(path) if isinstance(entry, Intent)]
    assert sorted(intents, key=repr) == sorted(witness.calls, key=repr)
    assert len(intents) > 30


def test_every_counted_sample_of_a_paid_run_was_announced(path: Path):
    """Each reply in a paid run's journal comes after an intent that names its step and number."""
    unerring.run(unerring.Hanoi(4), Witness(path), path, k=3, options=unerring.Options(clock=FakeClock()))
    announced: set[tuple[int, int]] = set()
    for entry in entries_of(path):
        if isinstance(entry, Intent):
            announced |= {(entry.step, entry.slot + i) for i in range(entry.count)}
        elif isinstance(entry, Reply):
            assert (entry.step, entry.slot) in announced


def test_a_run_goes_on_from_an_opening_entry_alone(tmp_path: Path, path: Path):
    """A journal cut by a kill right after its first entry is resumed to the same end as a run never cut."""
    start(tmp_path / "whole.db")
    (first, *_) = entries_of(tmp_path / "whole.db")
    assert isinstance(first, Opened)
    killed(path, [first])
    unerring.resume(path)
    assert exported(path) == exported(tmp_path / "whole.db")


def test_a_copy_taken_while_the_run_was_alive_is_resumed(tmp_path: Path, path: Path):
    """Database, log and head copied from under a writer after a commit hold everything, and go on to the same end."""
    start(tmp_path / "whole.db")
    entries = entries_of(tmp_path / "whole.db")
    killed(path, entries[:60])
    assert entries_of(copied(path, tmp_path / "copy.db")) == entries[:60]
    unerring.resume(path)
    assert exported(path) == exported(tmp_path / "whole.db")
    sql(path, "PRAGMA integrity_check")
