"""Damage to a journal's files is always noticed: loudly, with the place, and never as a shorter run that passes."""

import json
import re
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from journal_files import (
    NOISE,
    Ran,
    cli,
    copied,
    entries_of,
    exported,
    killed,
    put_rows,
    rows_of,
    sql,
    start,
)

import unerring
from unerring.adapters.journal_head import head_path, read_mark
from unerring.adapters.sqlite_journal import SqliteJournal
from unerring.core.entries import GENESIS, Entry, Reply, chained, encode
from unerring.core.sample import Usage
from unerring.errors import JournalBusy, JournalDamaged

PLACE = re.compile(r"entry \d+|entries \d+ to \d+|first entry|bytes of the file")
DISKS = 5


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished journal, with its head. Not to be changed."""
    path = tmp_path_factory.mktemp("whole") / "journal.db"
    start(path, DISKS)
    return path


@pytest.fixture(scope="module")
def entries(whole: Path) -> list[Entry]:
    return entries_of(whole)


@pytest.fixture
def path(whole: Path, tmp_path: Path) -> Path:
    """A copy of the finished journal, to be damaged."""
    return copied(whole, tmp_path / "journal.db")


@pytest.fixture
def unfinished(entries: list[Entry], tmp_path: Path) -> Path:
    """What a run killed after its 70th entry left behind: most of it lies in the write-ahead log."""
    return killed(tmp_path / "unfinished.db", entries[:70])


def assert_damaged(ran: Ran) -> str:
    """The command exited with 1 and told in one line what is damaged, and where; returns the line."""
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


# Bytes


def test_a_flipped_byte_anywhere_in_a_finished_journal_is_noticed(path: Path):
    """Each of 150 bytes at random, and of the first 120, changed at random, makes verify exit with 1 and say where."""
    data, chance = path.read_bytes(), Random(1)
    for offset in [*range(120), *(chance.randrange(len(data)) for _ in range(150))]:
        ran = cli("verify", with_bytes(path, flipped(data, offset, chance.randrange(1, 256))))
        assert_damaged(ran)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_flip_of_any_byte_is_noticed(whole: Path, data: st.DataObject):
    """No single changed byte that Hypothesis finds passes, or ends in anything but one clear line."""
    intact = whole.read_bytes()
    offset, mask = data.draw(st.integers(0, len(intact) - 1)), data.draw(st.integers(1, 255))
    with TemporaryDirectory() as folder:
        path = copied(whole, Path(folder) / "journal.db")
        assert_damaged(cli("verify", with_bytes(path, flipped(intact, offset, mask))))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_overwritten_stretch_is_noticed(whole: Path, data: st.DataObject):
    """A stretch of the file that was overwritten, as by a failing disk, is noticed: zeros, ones or other bytes."""
    intact = whole.read_bytes()
    offset = data.draw(st.integers(0, len(intact) - 1))
    stretch = data.draw(
        st.binary(min_size=1, max_size=64)
        | st.sampled_from([bytes(512), bytes(4096), b"\xff" * 512, intact[:4096], intact[-4096:]])
    )
    changed = (intact[:offset] + stretch + intact[offset + len(stretch) :])[: len(intact)]
    if changed == intact:
        return
    with TemporaryDirectory() as folder:
        assert_damaged(cli("verify", with_bytes(copied(whole, Path(folder) / "journal.db"), changed)))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_byte_of_a_finished_journal_counts(path: Path):
    """Every single byte of the file, each changed at random, makes verify exit with 1 and say where."""
    data, chance = path.read_bytes(), Random(2)
    for offset in range(len(data)):
        assert_damaged(cli("verify", with_bytes(path, flipped(data, offset, chance.randrange(1, 256)))))


def test_a_finished_journal_cut_at_any_length_is_noticed(path: Path):
    """A finished journal cut to any of 80 lengths, from nothing to all but one byte, is damaged."""
    data, chance = path.read_bytes(), Random(3)
    page = 4096
    edges = [0, 1, 15, 16, 71, 72, 99, 100, page - 1, page, page + 1, len(data) - page, len(data) - 1]
    for length in [*edges, *(chance.randrange(len(data)) for _ in range(67))]:
        assert_damaged(cli("verify", with_bytes(path, data[:length])))


def test_a_finished_journal_with_bytes_added_is_noticed(path: Path):
    """Bytes appended to a finished journal are damage too."""
    data = path.read_bytes()
    for added in (b"\0", bytes(4096), data):
        assert_damaged(cli("verify", with_bytes(path, data + added)))


def test_every_command_that_reads_notices(path: Path):
    """Report, export and resume refuse a journal with a changed entry just as verify does."""
    data = path.read_bytes()
    with_bytes(path, flipped(data, len(data) // 2, 0x55))
    for command in (
        ["verify"],
        ["verify", "--json"],
        ["report"],
        ["export"],
        ["export", "--what", "votes"],
        ["resume"],
    ):
        ran = cli(*command, path)
        assert ran.code == 1
        assert "is damaged" in ran.line


# Rows


def test_entries_cut_from_the_end_are_counted(path: Path, entries: list[Entry]):
    """Rows deleted from the end are named: from which entry to which."""
    last = len(entries)
    put_rows(path, rows_of(path)[:-5])
    assert f"entries {last - 4} to {last} are missing" in assert_damaged(cli("verify", path))


def test_one_entry_cut_from_the_end_is_named(path: Path, entries: list[Entry]):
    """The last row alone deleted is named."""
    put_rows(path, rows_of(path)[:-1])
    assert f"entry {len(entries)} is missing" in assert_damaged(cli("verify", path))


def test_all_entries_cut_are_counted(path: Path, entries: list[Entry]):
    """All rows deleted: all are named as missing."""
    sql(path, "DELETE FROM entries")
    assert f"entries 1 to {len(entries)} are missing" in assert_damaged(cli("verify", path))


AT = 40


def changed(rows: list[tuple[int, bytes, bytes]]) -> list[tuple[int, bytes, bytes]]:
    seq, body, running = rows[AT - 1]
    rows[AT - 1] = (seq, body.replace(b",", b", ", 1) if body[:1] == b"[" else body + b"\0", running)
    return rows


def hash_changed(rows: list[tuple[int, bytes, bytes]]) -> list[tuple[int, bytes, bytes]]:
    seq, body, running = rows[AT - 1]
    rows[AT - 1] = (seq, body, flipped(running, 7, 1))
    return rows


def deleted(rows: list[tuple[int, bytes, bytes]]) -> list[tuple[int, bytes, bytes]]:
    return rows[: AT - 1] + rows[AT:]


def closed_up(rows: list[tuple[int, bytes, bytes]]) -> list[tuple[int, bytes, bytes]]:
    return rows[: AT - 1] + [(seq - 1, body, running) for seq, body, running in rows[AT:]]


def inserted(rows: list[tuple[int, bytes, bytes]]) -> list[tuple[int, bytes, bytes]]:
    _, *earlier = rows[AT - 10]
    return [*rows[: AT - 1], (AT, *earlier), *((seq + 1, body, running) for seq, body, running in rows[AT - 1 :])]


def inserted_with_a_fitting_hash(rows: list[tuple[int, bytes, bytes]]) -> list[tuple[int, bytes, bytes]]:
    body, before = b'["c",0,""]', rows[AT - 2][2]
    pushed = [(seq + 1, other, running) for seq, other, running in rows[AT - 1 :]]
    return [*rows[: AT - 1], (AT, body, chained(before, body)), *pushed]


def swapped(rows: list[tuple[int, bytes, bytes]]) -> list[tuple[int, bytes, bytes]]:
    (one, *first), (other, *second) = rows[AT - 1], rows[AT]
    rows[AT - 1], rows[AT] = (one, *second), (other, *first)
    return rows


def changed_with_a_fitting_hash(rows: list[tuple[int, bytes, bytes]]) -> list[tuple[int, bytes, bytes]]:
    seq, body, _ = changed(rows)[AT - 1]
    rows[AT - 1] = (seq, body, chained(rows[AT - 2][2], body))
    return rows


Tampering = Callable[[list[tuple[int, bytes, bytes]]], list[tuple[int, bytes, bytes]]]


@pytest.mark.parametrize("tamper", [changed, hash_changed, deleted, closed_up, inserted, swapped])
def test_tampering_with_a_row_names_its_entry(path: Path, tamper: Tampering):
    """A row changed, deleted, put in or exchanged with its neighbour by SQL is named by its number."""
    put_rows(path, tamper(rows_of(path)))
    assert re.search(rf"entry {AT}\b", assert_damaged(cli("verify", path)))


@pytest.mark.parametrize("tamper", [changed_with_a_fitting_hash, inserted_with_a_fitting_hash])
def test_a_row_with_a_recomputed_hash_breaks_the_chain_at_the_next(path: Path, tamper: Tampering):
    """A forged row with a hash recomputed to fit is found as well: the chain breaks at it or at the entry after it."""
    put_rows(path, tamper(rows_of(path)))
    assert re.search(rf"entry ({AT}|{AT + 1})\b", assert_damaged(cli("verify", path)))


def test_a_wholly_recomputed_chain_does_not_fit_the_head(path: Path, entries: list[Entry]):
    """Somebody who changes an entry and recomputes every hash after it is caught by the head file."""
    forged, running, rows = False, GENESIS, []
    for seq, entry in enumerate(entries, start=1):
        if isinstance(entry, Reply) and seq >= AT and not forged:
            entry, forged = replace(entry, usage=Usage(0, 0)), True  # noqa: PLW2901
        body = encode(entry)
        running = chained(running, body)
        rows.append((seq, body, running))
    put_rows(path, rows)
    line = assert_damaged(cli("verify", path))
    assert f"entry {len(entries)} " in line
    assert "head file disagrees" in line


def test_entries_added_after_the_end_are_noticed(path: Path, entries: list[Entry]):
    """A row appended to a finished journal, with a hash that fits, is named."""
    rows = rows_of(path)
    body = b'["c",0,""]'
    put_rows(path, [*rows, (len(rows) + 1, body, chained(rows[-1][2], body))])
    assert f"entry {len(entries) + 1}" in assert_damaged(cli("verify", path))


# The log of a run that was killed


def test_a_killed_run_is_whole_before_anything_is_lost(unfinished: Path):
    """The files that the next tests damage verify as they are: unfinished, and right as far as they go."""
    ran = cli("verify", unfinished)
    assert ran.code == 3
    assert "70 entries" in ran.out


def test_a_lost_log_is_noticed_by_verify_and_resume(unfinished: Path):
    """Where the write-ahead log of a killed run was deleted, both commands say which entries are missing."""
    Path(f"{unfinished}-wal").unlink()
    for command in ("verify", "resume", "report", "export"):
        ran = cli(command, unfinished)
        assert ran.code == 1
        assert "entries 1 to 70 are missing" in ran.line


def test_a_cut_log_is_noticed_at_any_length(unfinished: Path):
    """A log cut at any of 60 lengths, which SQLite reads as a shorter history without a word, is damage."""
    log, chance = Path(f"{unfinished}-wal"), Random(4)
    data = log.read_bytes()
    for length in [0, 31, 32, 33, len(data) - 1, *(chance.randrange(len(data)) for _ in range(55))]:
        log.write_bytes(data[:length])
        Path(f"{unfinished}-shm").unlink(missing_ok=True)
        assert re.search(r"to 70 are missing|entry 70 is missing", assert_damaged(cli("verify", unfinished)))


def test_a_flipped_byte_in_the_log_is_noticed(unfinished: Path):
    """A byte changed anywhere in the log either is noticed or takes no entry away: nothing is lost silently."""
    log, chance = Path(f"{unfinished}-wal"), Random(5)
    data = log.read_bytes()
    for _ in range(60):
        log.write_bytes(flipped(data, chance.randrange(len(data)), chance.randrange(1, 256)))
        Path(f"{unfinished}-shm").unlink(missing_ok=True)
        ran = cli("verify", unfinished)
        if ran.code != 3 or "70 entries" not in ran.out:
            assert_damaged(ran)


def test_a_damaged_log_is_not_resumed_shorter(unfinished: Path, entries: list[Entry]):
    """Resuming after the log was cut in half is refused, and nothing is written to the journal."""
    log = Path(f"{unfinished}-wal")
    log.write_bytes(log.read_bytes()[: log.stat().st_size // 2])
    before = (unfinished.read_bytes(), log.read_bytes(), head_path(unfinished).read_bytes())
    assert re.search(r"entries \d+ to 70 are missing", assert_damaged(cli("resume", unfinished)))
    assert (unfinished.read_bytes(), log.read_bytes(), head_path(unfinished).read_bytes()) == before


def test_a_journal_ahead_of_its_head_is_whole(unfinished: Path, whole: Path, entries: list[Entry]):
    """A kill between an entry's commit and its note in the head loses nothing: the journal is read to its own end."""
    folder = unfinished.parent
    earlier = killed(folder / "earlier.db", entries[:40])
    shutil.copy(head_path(earlier), head_path(unfinished))
    assert entries_of(unfinished) == entries[:70]
    assert cli("verify", unfinished).code == 3
    unerring.resume(unfinished)
    assert exported(unfinished) == exported(whole)


def test_the_rest_of_a_garbled_index_is_ignored(unfinished: Path, whole: Path):
    """The log's index (-shm) is rebuilt where a crash left garbage in it."""
    Path(f"{unfinished}-shm").write_bytes(Random(6).randbytes(32768))
    assert cli("verify", unfinished).code == 3
    unerring.resume(unfinished)
    assert exported(unfinished) == exported(whole)


# The head


def test_without_its_head_a_journal_verifies_with_a_note(path: Path):
    """A missing head file is not damage; verify says what can no longer be noticed."""
    head_path(path).unlink()
    ran = cli("verify", path)
    assert ran.code == 0
    assert "note: the head file is missing" in ran.err


def test_an_emptied_head_is_not_passed_over_in_silence(path: Path):
    """A head file without content is noted like a missing one, or is damage; it never just passes."""
    head_path(path).write_bytes(b"")
    ran = cli("verify", path)
    assert ran.code == 1 or "head file" in ran.err


def test_resuming_a_finished_run_does_not_hide_that_its_head_is_missing(path: Path):
    """After a resume that had nothing to do, verify still notes that the head is missing."""
    head_path(path).unlink()
    assert cli("resume", path).code == 0
    assert "head file" in cli("verify", path).err


HEADS = {
    "garbage": b"\x93\x00garbage\xff",
    "zeros": bytes(160),
    "no text": "{é".encode("utf-16"),
    "list": b"[]",
    "number": b"7",
    "null": b"null",
    "fields": b'{"entries": 5}',
    "negative": b'{"entries": -5, "hash": "00", "seal": ""}',
    "infinite": b'{"entries": Infinity, "hash": "00", "seal": ""}',
    "not a number": b'{"entries": NaN, "hash": "00", "seal": ""}',
    "huge": b'{"entries": ' + b"9" * 5000 + b', "hash": "00", "seal": ""}',
    "deep": b"[" * 200_000,
    "no hash": b'{"entries": 5, "hash": "xyz", "seal": ""}',
    "hash of a number": b'{"entries": 5, "hash": 5, "seal": ""}',
}


@pytest.mark.parametrize("content", HEADS.values(), ids=HEADS)
def test_a_garbled_head_is_damage(path: Path, content: bytes):
    """Whatever else the head holds is damage, said in one line by verify and by resume."""
    head_path(path).write_bytes(content)
    for command in ("verify", "resume"):
        ran = cli(command, path)
        assert ran.code == 1
        assert "is damaged" in ran.line


def test_a_head_that_is_a_directory_is_an_error_in_one_line(path: Path):
    """Something that is no file in the place of the head ends verify and resume with one line, not as a user's bug."""
    head_path(path).unlink()
    head_path(path).mkdir()
    for command in ("verify", "resume"):
        ran = cli(command, path)
        assert ran.code in (1, 2, 3)
        assert "own code" not in ran.line


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_changed_byte_of_the_head_is_noticed(whole: Path, data: st.DataObject):
    """A changed byte in the head is damage, unless it is in the blanks after its content."""
    head = head_path(whole).read_bytes()
    offset, byte = data.draw(st.integers(0, len(head.rstrip()) - 1)), data.draw(st.integers(0, 255))
    if head[offset] == byte:
        return
    with TemporaryDirectory() as folder:
        path = copied(whole, Path(folder) / "journal.db")
        head_path(path).write_bytes(head[:offset] + bytes([byte]) + head[offset + 1 :])
        ran = cli("verify", path)
        if ran.code == 0:  # a blank between two words of JSON
            assert json.loads(head_path(path).read_bytes()) == json.loads(head)
        else:
            assert ran.code == 1
            assert "is damaged" in ran.line


# Repair


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
    """Hashes that fit, and an entry that cannot stand where it stands, as a bug or a forger may leave it."""
    running, rows = GENESIS, []
    for seq, body, _ in rows_of(path):
        made = b'["c",9999,""]' if seq == 40 else body
        running = chained(running, made)
        rows.append((seq, made, running))
    put_rows(path, rows)
    head_path(path).unlink()


DAMAGES = [cut_in_the_middle, cut_at_the_end, cut_short, head_garbled, unused_byte_flipped, row_out_of_place]


@pytest.mark.parametrize("damage", DAMAGES)
def test_repair_keeps_what_is_intact_and_goes_on_to_the_end(
    path: Path, whole: Path, entries: list[Entry], damage: Callable[[Path], None]
):
    """`resume --repair` keeps the intact leading entries, sets the damaged file aside, and ends as an unharmed run."""
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
    """Where not one entry is left, repair says so, keeps the damaged file, and a new run may start in its place."""
    Path(f"{unfinished}-wal").unlink()
    ran = cli("resume", unfinished, "--repair")
    assert ran.code == 2
    assert "0 intact entries kept" in ran.err
    assert unfinished.with_name("unfinished.db.damaged-1").exists()
    again = cli("run", "hanoi", "--set", "disks=3", "--model", NOISE, "--k", 3, "--journal", unfinished)
    assert again.code == 0
    assert cli("verify", unfinished).code == 0


def test_repair_of_a_half_lost_log_goes_on_with_the_rest(unfinished: Path, whole: Path):
    """After half of the log was lost, repair goes on from the other half, and the old log leaks into nothing."""
    log = Path(f"{unfinished}-wal")
    log.write_bytes(log.read_bytes()[: log.stat().st_size // 2])
    assert cli("resume", unfinished, "--repair").code == 0
    assert cli("verify", unfinished).code == 0
    assert exported(unfinished) == exported(whole)


def test_a_second_repair_keeps_the_first_damaged_file(path: Path):
    """Each repair sets its damaged file aside under a name of its own."""
    for number in (1, 2):
        cut_in_the_middle(path)
        assert cli("resume", path, "--repair").code == 0
        assert path.with_name(f"journal.db.damaged-{number}").exists()


def test_what_is_not_damaged_is_not_repaired(path: Path, unfinished: Path):
    """Repairing a whole journal, finished or not, is refused with 2, and changes no byte."""
    for journal in (path, unfinished):
        before = journal.read_bytes()
        ran = cli("resume", journal, "--repair")
        assert ran.code == 2
        assert "not damaged" in ran.line
        assert journal.read_bytes() == before


def test_a_journal_that_somebody_writes_to_is_not_repaired(unfinished: Path):
    """Repair is refused while a writer holds the journal, and sets nothing aside."""
    journal, entries = SqliteJournal.reopen(unfinished)
    list(entries)
    head = head_path(unfinished).read_bytes()
    head_path(unfinished).write_bytes(b"garbage")
    with pytest.raises(JournalBusy):
        unerring.reading.repair(unfinished)
    head_path(unfinished).write_bytes(head)
    journal.close()
    assert not list(unfinished.parent.glob("*.damaged-*"))


def test_the_error_counts_what_is_intact(path: Path, entries: list[Entry]):
    """`JournalDamaged` carries how many leading entries hold, and how many there were."""
    sql(path, "UPDATE entries SET body = x'00' WHERE seq = 40")
    with pytest.raises(JournalDamaged) as caught:
        entries_of(path)
    assert (caught.value.intact, caught.value.expected) == (39, len(entries))
    assert read_mark(path).entries == len(entries)
    with pytest.raises(sqlite3.IntegrityError):
        sql(path, "INSERT INTO entries VALUES (40, x'00', x'00')")
