"""`resume --repair` keeps intact entries, keeps the damaged file under another name, and continues."""

import re
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from journal_files import (
    NOISE,
    cli,
    copied,
    entries_of,
    exported,
    flipped,
    interrupted_change,
    process,
    put_rows,
    rows_of,
    sql,
)

import unerring
from unerring.adapters.sqlite.head import head_path, read_mark
from unerring.adapters.sqlite.reader import JournalReader
from unerring.adapters.sqlite.repair import readable_copy
from unerring.adapters.sqlite.schema import log_path
from unerring.adapters.sqlite.writer import SqliteJournal
from unerring.core.journal.codec import GENESIS_HASH, next_hash
from unerring.core.journal.entries import Entry
from unerring.errors import JournalBusy, JournalDamaged


@pytest.fixture
def path(whole: Path, tmp_path: Path) -> Path:
    """A copy of the finished journal, to be damaged."""
    return copied(whole, tmp_path / "journal.db")


def cut_in_the_middle(path: Path) -> None:
    sql(path, "UPDATE entries SET body = x'00' WHERE seq = 40")


def cut_at_the_end(path: Path) -> None:
    sql(path, "DELETE FROM entries WHERE seq >= 40")


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4096])


def head_garbled(path: Path) -> None:
    head_path(path).write_bytes(b"garbage")


def unused_byte_flipped(path: Path) -> None:
    path.write_bytes(flipped(path.read_bytes(), 70 - 1 + 23, 1))  # in the reserved part of the file's header


def row_out_of_place(path: Path) -> None:
    """A journal with matching hashes and an entry that may not follow the one before it."""
    running, rows = GENESIS_HASH, []
    for seq, body, _ in rows_of(path):
        made = b'["c",9999,""]' if seq == 40 else body
        running = next_hash(running, made)
        rows.append((seq, made, running))
    put_rows(path, rows)
    head_path(path).unlink()


DAMAGES = [cut_in_the_middle, cut_at_the_end, cut_short, head_garbled, unused_byte_flipped, row_out_of_place]


@pytest.mark.parametrize("damage", DAMAGES)
def test_repair_keeps_what_is_intact_and_continues_to_the_end(
    path: Path, whole: Path, entries: list[Entry], damage: Callable[[Path], None]
):
    """It keeps the intact first entries, renames the damaged file, and ends like an undamaged run."""
    damage(path)
    damaged = path.read_bytes()
    assert cli("verify", path).code == 1
    assert cli("resume", path).code == 1
    ran = cli("resume", path, "--repair")
    assert ran.code == 0, ran.err
    kept = int(re.search(r": ([\d,]+) intact entries kept", ran.err)[1].replace(",", ""))
    assert kept >= 1
    assert entries_of(path)[:kept] == entries[:kept]
    assert path.with_name("journal.db.damaged-1").read_bytes() == damaged
    assert cli("verify", path).code == 0
    assert exported(path, "steps") == exported(whole, "steps")
    assert exported(path, "votes") == exported(whole, "votes")


def test_repair_of_a_lost_log_says_that_nothing_is_left(unfinished: Path):
    """If no entry is left, repair says so and keeps the damaged file, and a new run may start in its place."""
    Path(f"{unfinished}-wal").unlink()
    ran = cli("resume", unfinished, "--repair")
    assert ran.code == 2
    assert "0 intact entries kept" in ran.err
    assert unfinished.with_name("unfinished.db.damaged-1").exists()
    again = cli("run", "hanoi", "--set", "disks=3", "--model", NOISE, "--k", 3, "--journal", unfinished)
    assert again.code == 0
    assert cli("verify", unfinished).code == 0


def test_repair_of_a_half_lost_log_continues_with_the_rest(unfinished: Path, whole: Path):
    """After half of the log was lost, repair continues from the other half, and the old log is not read again."""
    log = Path(f"{unfinished}-wal")
    log.write_bytes(log.read_bytes()[: log.stat().st_size // 2])
    assert cli("resume", unfinished, "--repair").code == 0
    assert cli("verify", unfinished).code == 0
    assert exported(unfinished) == exported(whole)


@pytest.mark.parametrize("damage", [cut_in_the_middle, head_garbled])
def test_repair_moves_the_rollback_journal_of_the_damaged_file(
    path: Path, whole: Path, damage: Callable[[Path], None]
):
    """SQLite's rollback journal of the damaged file is kept with it, and not applied to the repaired one."""
    damage(path)
    rollback = interrupted_change(path)
    Path(f"{path}-journal").write_bytes(rollback)
    ran = cli("resume", path, "--repair")
    assert ran.code == 0, ran.err
    assert Path(f"{path}.damaged-1-journal").read_bytes() == rollback
    assert cli("verify", path).code == 0
    assert exported(path) == exported(whole)


# kills the process at the n-th of its steps that gives a file another name, or takes one away
KILL = """
import os, signal
left = {0}
def step(event, arguments):
    global left
    if event in ("os.rename", "os.link", "os.remove") and "journal.db" in str(arguments[0]):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(step)
"""


@pytest.mark.parametrize("stride", [3, pytest.param(1, marks=pytest.mark.slow)])
def test_a_repair_killed_at_any_step_leaves_the_damaged_or_the_repaired_journal(
    unfinished: Path, whole: Path, entries: list[Entry], stride: int
):
    """After each kill the journal is repaired or can be, with all intact entries, and the damaged files are kept."""
    log = log_path(unfinished)
    log.write_bytes(log.read_bytes()[: log.stat().st_size // 2])
    with readable_copy(unfinished) as copy:
        intact = len(list(JournalReader(copy, check_head=False).entries()))
    assert 10 < intact < 70
    number, left = 1 - stride, {1: 0, 3: 0}
    while True:
        number += stride
        folder = unfinished.parent / f"{number}"
        folder.mkdir()
        path = copied(unfinished, folder / "journal.db")
        ran = process("resume", "--repair", path, before=KILL.format(number))
        if ran.code != -signal.SIGKILL:
            break
        code = cli("verify", path).code
        if code == 1:
            again = cli("resume", path, "--repair")
            assert again.code == 0, again.err
            assert f": {intact} intact entries kept" in again.err
        else:
            assert entries_of(path)[:intact] == entries[:intact]
            unerring.resume(path)
        left[code] += 1
        aside = max(folder.glob("journal.db.damaged-?"))  # a second repair sets all of it aside again
        assert aside.read_bytes() == unfinished.read_bytes()
        assert log_path(aside).read_bytes() == log.read_bytes()
        assert not [file.name for file in folder.glob("journal.db-*")]
        assert cli("verify", path).code == 0
        assert exported(path) == exported(whole)
    assert min(left.values()) > 2 // stride, left


def test_repair_of_a_journal_behind_a_link_repairs_the_file_itself(path: Path, whole: Path):
    """If the journal was named by a symbolic link, the link stays, and head and journal stay together."""
    cut_in_the_middle(path)
    link = path.with_name("link.db")
    link.symlink_to(path)
    assert cli("resume", link, "--repair").code == 0
    assert link.is_symlink()
    ran = cli("verify", link)
    assert (ran.code, "head file" in ran.err) == (0, False)
    assert exported(path) == exported(whole)


def test_a_second_repair_keeps_the_first_damaged_file(path: Path):
    """Each repair gives its damaged file a new name."""
    for number in (1, 2):
        cut_in_the_middle(path)
        assert cli("resume", path, "--repair").code == 0
        assert path.with_name(f"journal.db.damaged-{number}").exists()


def test_an_intact_journal_is_not_repaired(path: Path, unfinished: Path):
    """Repairing an intact journal, finished or not, is refused with exit code 2, and changes no byte."""
    for journal in (path, unfinished):
        before = journal.read_bytes()
        ran = cli("resume", journal, "--repair")
        assert ran.code == 2
        assert "not damaged" in ran.line
        assert journal.read_bytes() == before


def test_a_journal_with_a_writer_is_not_repaired(unfinished: Path):
    """Repair is refused while a writer holds the journal, and renames nothing."""
    journal, entries = SqliteJournal.reopen(unfinished)
    list(entries)
    head = head_path(unfinished).read_bytes()
    head_path(unfinished).write_bytes(b"garbage")
    with pytest.raises(JournalBusy):
        unerring.api.journals.repair.repair(unfinished)
    head_path(unfinished).write_bytes(head)
    journal.close()
    assert not list(unfinished.parent.glob("*.damaged-*"))


def test_the_error_counts_what_is_intact(path: Path, entries: list[Entry]):
    """`JournalDamaged` has the number of intact first entries and the number of all entries."""
    sql(path, "UPDATE entries SET body = x'00' WHERE seq = 40")
    with pytest.raises(JournalDamaged) as caught:
        entries_of(path)
    assert (caught.value.intact, caught.value.expected) == (39, len(entries))
    assert read_mark(path).entries == len(entries)
    with pytest.raises(sqlite3.IntegrityError):
        sql(path, "INSERT INTO entries VALUES (40, x'00', x'00')")
