"""A journal that is moved, replaced, linked or partly copied is reported in one line, and no entry is lost."""

import asyncio
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace as replaced
from pathlib import Path
from random import Random

import pytest
from journal_files import assert_damaged, cli, copied, entries_of, exported, killed, start, written

import unerring
from unerring.adapters.sqlite.head import head_path
from unerring.adapters.sqlite.reader import opening_entry
from unerring.adapters.sqlite.schema import connect
from unerring.adapters.sqlite.writer import SqliteJournal
from unerring.core.journal.entries import Entry
from unerring.errors import InputError, JournalError


def acknowledged_after(journal: SqliteJournal, entries: Sequence[Entry]) -> int:
    """How many of these further entries a writer acknowledges as durable before it stops."""

    async def each() -> int:
        for number, entry in enumerate(entries):
            try:
                journal.append(entry)
                await journal.commit()
            except JournalError:
                return number
        return len(entries)

    return asyncio.run(each())


def move(path: Path) -> None:
    path.rename(path.with_name("moved.db"))


def replace(path: Path) -> None:
    path.rename(path.with_name("moved.db"))
    SqliteJournal.create(path.with_name("other.db")).close()
    path.with_name("other.db").rename(path)


def move_all(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", ".head"):
        path.with_name(path.name + suffix).rename(path.with_name("moved.db" + suffix))


def remove_log(path: Path) -> None:
    Path(f"{path}-wal").unlink()


def remove_head(path: Path) -> None:
    head_path(path).unlink()


@pytest.mark.parametrize("change", [move, replace, move_all, remove_log, remove_head])
def test_a_journal_that_is_moved_under_its_writer_stops_the_run(path: Path, entries: list[Entry], change):
    """The next commit fails with a line that says what happened, and every acknowledged entry is kept."""
    journal = written(path, entries[:40], group=7)
    change(path)
    assert acknowledged_after(journal, entries[40:50]) == 0
    with pytest.raises(JournalError, match="was moved, replaced or removed while") as raised:
        journal.close()
    assert str(raised.value).isprintable()
    if change in {move, replace}:  # as the message says: the file goes back to its log and head
        path.unlink(missing_ok=True)
        path.with_name("moved.db").rename(path)
    found = path.with_name("moved.db") if change is move_all else path
    assert entries_of(found)[:40] == entries[:40]
    assert unerring.resume(found).steps == 31
    assert cli("verify", found).code == 0


@pytest.mark.parametrize("suffix", ["", "-wal"])
@pytest.mark.parametrize("continues", [True, False], ids=["at-the-next-commit", "at-the-end"])
def test_a_journal_that_is_cut_under_its_writer_stops_the_run(path: Path, entries: list[Entry], suffix, continues):
    """If the file or its log is truncated, the next commit or the end of the run fails with a line that says so."""
    journal = written(path, entries[:40], group=7)
    os.truncate(f"{path}{suffix}", 0)
    if continues:
        assert acknowledged_after(journal, entries[40:50]) == 0
    with pytest.raises(JournalError, match=r"was cut from .* to 0 bytes while the run was writing") as raised:
        journal.close()
    assert str(raised.value).isprintable()
    assert f"{path}{suffix} was cut" in str(raised.value)
    assert cli("verify", path).code != 0


def test_checkpoints_are_not_taken_for_truncation(path: Path, entries: list[Entry]):
    """A log restarted by checkpoints, several times, is not taken for a truncated one."""
    journal, noise = SqliteJournal.create(path), Random(0)
    sizes = set()

    async def grow() -> None:
        for _ in range(20):
            for _ in range(10):
                journal.append(replaced(entries[0], parameters={"noise": f"{noise.getrandbits(400_000):x}"}))
            await journal.commit()
            sizes.add(path.stat().st_size)

    asyncio.run(grow())
    journal.close()
    assert len(sizes) >= 3, "fewer than two checkpoints were made"
    assert len(entries_of(path)) == 200


def test_the_command_stops_with_one_line(tmp_path: Path):
    """A run whose journal is moved ends with exit code 3 and one line, at any point."""
    path = tmp_path / "run.db"

    class Mover:
        def decided(self, decided, state):
            if decided.step == 3:
                path.rename(tmp_path / "moved.db")

    with pytest.raises(JournalError, match=r"run\.db was moved"):
        start(path, observer=Mover())
    assert not path.exists(), "SQLite made an empty file in its place"


def test_a_process_may_change_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A journal given by a relative path stays the same file when the process changes its folder."""
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)

    class Goer:
        def decided(self, decided, state):
            os.chdir(tmp_path / "other")

    assert start(Path("run.db"), observer=Goer()).steps == 31
    monkeypatch.chdir(tmp_path)
    assert cli("verify", "run.db").code == 0


def test_sqlite_never_makes_a_file_in_a_journals_place(path: Path):
    """If the file is missing, a writing connection fails instead of creating an empty one."""
    with pytest.raises(Exception, match="unable to open"):
        connect(path)
    assert not path.exists()


def test_a_log_left_behind_is_not_overwritten_by_a_new_run(unfinished: Path, entries: list[Entry]):
    """If a journal was moved without its log, no run starts in its place: the log may hold all its entries."""
    moved = unfinished.with_name("moved.db")
    unfinished.rename(moved)
    ran = cli("run", "hanoi", "--model", "noise/p=1,v=1,c=0", "--k", 1, "--journal", unfinished)
    assert ran.code == 2
    assert "-wal" in ran.line
    moved.rename(unfinished)
    assert entries_of(unfinished) == entries[:70]


def test_a_copy_without_its_log_is_not_taken_for_a_journal_to_begin_in(unfinished: Path, tmp_path: Path):
    """A copy of an unfinished run's file without its log is reported, and no message advises to overwrite it."""
    alone, with_head = tmp_path / "alone.db", tmp_path / "copy.db"
    shutil.copy(unfinished, alone)
    shutil.copy(unfinished, with_head)
    shutil.copy(head_path(unfinished), head_path(with_head))
    for words in (["verify"], ["resume"], ["report"], ["review"]):
        ran = cli(words[0], alone)
        assert ran.code == 2
        assert "without its log" in ran.line
        assert "start one" not in ran.line
        assert "copy.db-wal missing?" in assert_damaged(cli(words[0], with_head))
        head_path(alone).unlink(missing_ok=True)  # of the resume
    ran = cli("run", "hanoi", "--model", "noise/p=1,v=1,c=0", "--k", 1, "--journal", alone)
    assert ran.code == 2
    assert "choose another file" in ran.line


def test_a_journal_without_its_head_is_resumed_with_a_warning(entries, path: Path, caplog: pytest.LogCaptureFixture):
    """Resuming an unfinished journal without its head warns first that entries at its end may be missing."""
    written(path, entries[:40], group=7).close()
    head_path(path).unlink()
    unerring.resume(path)
    assert "entries may be missing at its end" in caplog.text


def test_a_zero_filled_head_is_repaired(unfinished: Path, whole: Path):
    """A head full of zeros after a power cut is named, with the command that continues and loses no entry."""
    head_path(unfinished).write_bytes(bytes(160))
    for command in ("verify", "resume", "report"):
        assert "resume" in cli(command, unfinished).line
        assert "--repair" in cli(command, unfinished).line
    ran = cli("run", "hanoi", "--model", "noise/p=1,v=1,c=0", "--k", 1, "--journal", unfinished)
    assert ran.code == 1
    assert "--repair" in ran.line
    ran = cli("resume", unfinished, "--repair")
    assert ran.code == 0, ran.err
    assert "70 intact entries kept" in ran.err
    assert exported(unfinished) == exported(whole)


def test_a_journal_with_two_names_has_no_second_writer(path: Path, entries: list[Entry]):
    """A journal with a hard link has two possible logs and locks, so no writer is accepted, during a run or after."""
    journal = written(path, entries[:40], group=7)
    other = path.with_name("other.db")
    os.link(path, other)
    for command in ("resume", "review"):
        words = ["--choose", 1] if command == "review" else []
        ran = cli(command, other, *words)
        assert ran.code == 2
        assert "second name" in ran.line
    journal.close()
    assert "second name" in cli("verify", other).err
    with pytest.raises(InputError, match="second name"):
        SqliteJournal.reopen(path)
    other.unlink()
    assert unerring.resume(path).steps == 31


def test_a_copy_of_all_its_files_is_a_journal(unfinished: Path, whole: Path, tmp_path: Path):
    """The file, its log and its head copied together are resumed like the original."""
    copy = copied(unfinished, tmp_path / "whole copy.db")
    unerring.resume(copy)
    assert exported(copy) == exported(whole)


@pytest.mark.parametrize("in_log", [True, False])
def test_looking_at_the_first_entry_makes_no_file(path: Path, entries: list[Entry], in_log: bool):
    """Also beside a journal that was copied with its log but without the log's index, which SQLite would make."""
    if in_log:
        killed(path, entries[:1])
    else:
        written(path, entries[:40], group=7).close()
        Path(f"{path}-wal").touch()
    files = sorted(one.name for one in path.parent.iterdir())
    assert f"{path.name}-shm" not in files
    assert opening_entry(path) == entries[0]
    assert sorted(one.name for one in path.parent.iterdir()) == files
