"""Helpers of tests that damage, forge and lock journals, and run commands on them."""

import asyncio
import io
import json
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import closing, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path

import unerring
from unerring.adapters.sqlite.head import head_path
from unerring.adapters.sqlite.reader import JournalReader
from unerring.adapters.sqlite.writer import SqliteJournal
from unerring.cli.main import command_line
from unerring.core.journal.codec import GENESIS_HASH, next_hash
from unerring.core.journal.entries import JOURNAL_VERSION, Entry
from unerring.errors import JournalError

NOISE = "noise/p=0.97,v=0.95,c=0"
SUFFIXES = ("", "-wal", "-shm", ".head")


@dataclass(frozen=True, slots=True)
class Ran:
    """The result of a command: exit code, stdout and stderr."""

    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line on stderr that starts with the program's name."""
        (line,) = [line for line in self.err.splitlines() if line.startswith("unerring: ")]
        return line


def cli(*arguments: object) -> Ran:
    """Run a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = command_line([str(argument) for argument in arguments])
    return Ran(code, out.getvalue(), err.getvalue())


def process(*arguments: object, before: str = "pass", timeout: float = 100) -> Ran:
    """Run a command in a process of its own, after some Python code, for example to set limits."""
    code = f"import sys\n{before}\nfrom unerring.cli.main import command_line\nsys.exit(command_line(sys.argv[1:]))"
    words = [str(argument) for argument in arguments]
    ran = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=timeout, check=False
    )
    return Ran(ran.returncode, ran.stdout, ran.stderr)


def start(path: Path, disks: int = 5, seed: int = 1, **options: object) -> unerring.Result:
    """Run a small puzzle with the noise sampler, to its end or to `max_steps`."""
    return unerring.run(unerring.Hanoi(disks), NOISE, path, k=3, seed=seed, options=unerring.Options(**options))


def entries_of(path: Path) -> list[Entry]:
    """All entries of an intact journal."""
    return list(JournalReader(path).entries())


def exported(path: Path, what: str = "votes") -> str:
    """The steps or votes of a journal as JSON lines."""
    ran = cli("export", path, "--what", what)
    assert ran.code == 0, ran.err
    return ran.out


def written(path: Path, entries: Sequence[Entry], group: int) -> SqliteJournal:
    """An open journal of these entries, committed in groups of one transaction each."""
    journal = SqliteJournal.create(path)

    async def in_groups() -> None:
        for first in range(0, len(entries), group):
            for entry in entries[first : first + group]:
                journal.append(entry)
            await journal.commit()

    try:
        asyncio.run(in_groups())
    except BaseException:
        with suppress(JournalError):
            journal.close()
        raise
    return journal


def killed(path: Path, entries: Sequence[Entry]) -> Path:
    """The files that a writer killed after its last commit leaves: a database, its log, and a head."""
    alive = path.with_name("alive-" + path.name)
    journal = written(alive, entries, group=7)
    for suffix in ("", "-wal", ".head"):
        shutil.copy(alive.with_name(alive.name + suffix), path.with_name(path.name + suffix))
    journal.close()
    return path


def copied(source: Path, target: Path) -> Path:
    """A copy of a journal with all its files."""
    for suffix in SUFFIXES:
        beside = source.with_name(source.name + suffix)
        if beside.exists():
            shutil.copy(beside, target.with_name(target.name + suffix))
    return target


def sql(path: Path, *statements: str) -> None:
    """Change a journal's database directly."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        for statement in statements:
            database.execute(statement)


def rows_of(path: Path) -> list[tuple[int, bytes, bytes]]:
    """The raw rows of a journal."""
    with closing(sqlite3.connect(path)) as database:
        return database.execute("SELECT seq, body, hash FROM entries ORDER BY seq").fetchall()


def put_rows(path: Path, rows: Iterable[tuple[int, object, object]]) -> None:
    """Replace all rows of a journal."""
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("DELETE FROM entries")
        database.executemany("INSERT INTO entries VALUES (?, ?, ?)", rows)


def interrupted_change(path: Path) -> bytes:
    """The rollback journal that a kill during a change leaves next to a finished file, which is not changed."""
    copy = path.with_name("changing.db")
    shutil.copy(path, copy)
    with closing(sqlite3.connect(copy, isolation_level=None)) as database:
        for statement in ("PRAGMA journal_mode = DELETE", "PRAGMA cache_size = 1", "BEGIN", "DELETE FROM entries"):
            database.execute(statement)
        many = [(seq, bytes(100), bytes(16)) for seq in range(1, 2000)]  # more than the cache holds
        database.executemany("INSERT INTO entries VALUES (?, ?, ?)", many)
        journal = Path(f"{copy}-journal").read_bytes()
        database.execute("ROLLBACK")
    assert int.from_bytes(journal[8:12], "big"), "it has nothing to undo"
    return journal


def forged(path: Path, bodies: Iterable[object], version: int = JOURNAL_VERSION) -> Path:
    """A journal made by another person: bodies of any type with matching hashes, and no head file."""
    SqliteJournal.create(path).close()
    head_path(path).unlink()
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        (table,) = database.execute("SELECT sql FROM sqlite_master").fetchone()
        database.executescript(
            f"PRAGMA journal_mode = DELETE; PRAGMA user_version = {version}; DROP TABLE entries;"
            "CREATE TABLE entries (seq INTEGER PRIMARY KEY, body, hash);"  # which takes anything
        )
        database.execute("BEGIN")
        running = GENESIS_HASH
        for seq, body in enumerate(bodies, start=1):
            running = next_hash(running, body) if isinstance(body, bytes) else running
            database.execute("INSERT INTO entries VALUES (?, ?, ?)", (seq, body, running))
        database.execute("COMMIT")
        database.execute("PRAGMA writable_schema = ON")
        database.execute("UPDATE sqlite_master SET sql = ?", (table,))  # and looks like the real one
    return path


POLICY = {
    "rule": "ahead-by 1",
    "vote_cap": 60,
    "flag_cap": 20,
    "temperatures": [0, 0],
    "max_output_tokens": 700,
    "min_logprob": None,
}


def opening(**fields: object) -> bytes:
    """The body of an opening entry of two disks, with some of its fields replaced."""
    usual = {
        "process": "hanoi",
        "parameters": {"disks": 2},
        "model": NOISE,
        "policy": POLICY,
        "seed": 0,
        "start": '{"last":null,"pegs":[[2,1],[],[]]}',
        "length": 3,
        "software": "unerring 0",
        "time": 0.0,
    }
    return json.dumps(["opened", JOURNAL_VERSION, usual | fields]).encode()


VOTER = b'["v",0,"voter"]'


def sample(choice: object = "1", step: object = 0, slot: object = 0, text: object = "text") -> bytes:
    """The body of a sample."""
    return json.dumps(["r", step, slot, text, choice, None, 1, 1, 0, None, 0]).encode()


PLACE = re.compile(r"entry \d+|entries \d+ to \d+|first entry|bytes of the file")


def assert_damaged(ran: Ran) -> str:
    """Assert that the command exited with 1 and one line on what is damaged and where; return the line."""
    assert ran.code == 1, ran
    assert "is damaged" in ran.line
    assert PLACE.search(ran.line), ran.line
    assert "Verified" not in ran.out
    return ran.line


def with_bytes(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def flipped(data: bytes, offset: int, mask: int) -> bytes:
    return data[:offset] + bytes([data[offset] ^ mask]) + data[offset + 1 :]
