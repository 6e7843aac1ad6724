"""Damage to a journal's file is always reported with the entry, and never accepted as a whole run."""

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from journal_files import (
    assert_damaged,
    cli,
    copied,
    flipped,
    put_rows,
    rows_of,
    sql,
    with_bytes,
)

from unerring.core.journal.codec import GENESIS_HASH, encode, next_hash
from unerring.core.journal.entries import Entry, Replies
from unerring.core.voting.sample import Usage

AT = 40  # the entry that is damaged, where it is one
Damaging = Callable[[bytes, list[tuple[int, bytes, bytes]]], bytes]


@pytest.fixture
def path(whole: Path, tmp_path: Path) -> Path:
    """A copy of the finished journal, to be damaged."""
    return copied(whole, tmp_path / "journal.db")


def test_a_flipped_byte_anywhere_in_a_finished_journal_is_noticed(path: Path):
    """For each of 60 random bytes and the first 120, a random change makes verify exit with 1 and say where."""
    data, chance = path.read_bytes(), Random(1)
    for offset in [*range(120), *(chance.randrange(len(data)) for _ in range(60))]:
        ran = cli("verify", with_bytes(path, flipped(data, offset, chance.randrange(1, 256))))
        assert_damaged(ran)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_flip_of_any_byte_is_noticed(whole: Path, data: st.DataObject):
    """No single changed byte that Hypothesis tries is accepted, or gives anything but one clear line."""
    intact = whole.read_bytes()
    offset, mask = data.draw(st.integers(0, len(intact) - 1)), data.draw(st.integers(1, 255))
    with TemporaryDirectory() as folder:
        path = copied(whole, Path(folder) / "journal.db")
        assert_damaged(cli("verify", with_bytes(path, flipped(intact, offset, mask))))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_overwritten_stretch_is_noticed(whole: Path, data: st.DataObject):
    """A range overwritten with zeros, ones or other bytes, as by a failing disk, is noticed."""
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


def test_bytes_that_are_no_text_in_the_description_of_the_table_are_noticed(path: Path):
    """A byte that is not UTF-8 in what SQLite keeps as text is reported as damage."""
    data = path.read_bytes()
    start = data.index(b"CREATE TABLE")
    for offset in range(start - 20, data.index(b"STRICT", start) + 6):
        for byte in (b"\x80", b"\xff"):
            assert_damaged(cli("verify", with_bytes(path, data[:offset] + byte + data[offset + 1 :])))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_byte_of_a_finished_journal_counts(path: Path):
    """For every byte of the file, a random change makes verify exit with 1 and say where."""
    data, chance = path.read_bytes(), Random(2)
    for offset in range(len(data)):
        assert_damaged(cli("verify", with_bytes(path, flipped(data, offset, chance.randrange(1, 256)))))


def test_a_finished_journal_cut_at_any_length_is_noticed(path: Path):
    """A finished journal cut to any of 80 lengths, from none to all but one byte, is reported as damaged."""
    data, chance = path.read_bytes(), Random(3)
    page = 4096
    edges = [0, 1, 15, 16, 71, 72, 99, 100, page - 1, page, page + 1, len(data) - page, len(data) - 1]
    for length in [*edges, *(chance.randrange(len(data)) for _ in range(67))]:
        assert_damaged(cli("verify", with_bytes(path, data[:length])))


def test_a_finished_journal_with_bytes_added_is_noticed(path: Path):
    """Bytes appended to a finished journal are reported as damage."""
    data = path.read_bytes()
    for added in (b"\0", bytes(4096), data):
        assert_damaged(cli("verify", with_bytes(path, data + added)))


def text_for_bytes(data: bytes, rows: list[tuple[int, bytes, bytes]]) -> bytes:
    """The hash of one entry declared to be text, which it is not."""
    _, body, running = rows[AT - 1]
    declared = data.index(body + running) - 1  # the last byte of the row's header is the type of its last column
    assert data[declared] == 12 + 2 * len(running), "not the type of a blob of that length: sqlite.org/fileformat.html"
    return data[:declared] + bytes([data[declared] + 1]) + data[declared + 1 :]


def page_for_another(data: bytes, rows: list[tuple[int, bytes, bytes]]) -> bytes:
    """A page of entries overwritten with zeros."""
    start = data.index(rows[AT - 1][1]) // 4096 * 4096
    return data[:start] + bytes(4096) + data[start + 4096 :]


@pytest.mark.parametrize(("damage", "error"), [(text_for_bytes, "decode"), (page_for_another, "malformed")])
def test_an_error_of_sqlite_names_the_first_entry_that_cannot_be_read(path: Path, damage: Damaging, error: str):
    """If SQLite fails between entries, the line names the first lost entry and counts those before it."""
    rows = rows_of(path)
    with_bytes(path, damage(path.read_bytes(), rows))
    lost = next(seq for seq, *_ in rows if not readable(path, seq))
    assert 1 < lost <= AT
    line = assert_damaged(cli("verify", path))
    assert re.search(rf"entry {lost} cannot be read \(.*{error}", line), line
    assert f"; {lost - 1} of {len(rows)} entries are intact" in line


def readable(path: Path, seq: int) -> bool:
    """Whether SQLite returns one row when asked for it alone."""
    with closing(sqlite3.connect(path)) as database:
        try:
            return database.execute("SELECT * FROM entries WHERE seq = ?", (seq,)).fetchone() is not None
        except sqlite3.Error:
            return False


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
    """If rows are deleted at the end, the range of missing entries is named."""
    last = len(entries)
    put_rows(path, rows_of(path)[:-5])
    assert f"entries {last - 4} to {last} are missing" in assert_damaged(cli("verify", path))


def test_one_entry_cut_from_the_end_is_named(path: Path, entries: list[Entry]):
    """If only the last row is deleted, it is named."""
    put_rows(path, rows_of(path)[:-1])
    assert f"entry {len(entries)} is missing" in assert_damaged(cli("verify", path))


def test_all_entries_cut_are_counted(path: Path, entries: list[Entry]):
    """If all rows are deleted, all are named as missing."""
    sql(path, "DELETE FROM entries")
    assert f"entries 1 to {len(entries)} are missing" in assert_damaged(cli("verify", path))


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
    return [*rows[: AT - 1], (AT, body, next_hash(before, body)), *pushed]


def swapped(rows: list[tuple[int, bytes, bytes]]) -> list[tuple[int, bytes, bytes]]:
    (one, *first), (other, *second) = rows[AT - 1], rows[AT]
    rows[AT - 1], rows[AT] = (one, *second), (other, *first)
    return rows


def changed_with_a_fitting_hash(rows: list[tuple[int, bytes, bytes]]) -> list[tuple[int, bytes, bytes]]:
    seq, body, _ = changed(rows)[AT - 1]
    rows[AT - 1] = (seq, body, next_hash(rows[AT - 2][2], body))
    return rows


Tampering = Callable[[list[tuple[int, bytes, bytes]]], list[tuple[int, bytes, bytes]]]


@pytest.mark.parametrize("tamper", [changed, hash_changed, deleted, closed_up, inserted, swapped])
def test_tampering_with_a_row_names_its_entry(path: Path, tamper: Tampering):
    """A row changed, deleted, inserted or swapped with its neighbour by SQL is named by its number."""
    put_rows(path, tamper(rows_of(path)))
    assert re.search(rf"entry {AT}\b", assert_damaged(cli("verify", path)))


@pytest.mark.parametrize("tamper", [changed_with_a_fitting_hash, inserted_with_a_fitting_hash])
def test_a_row_with_a_recomputed_hash_breaks_the_chain_at_the_next(path: Path, tamper: Tampering):
    """A changed row with a recomputed hash breaks the chain at this entry or at the next."""
    put_rows(path, tamper(rows_of(path)))
    assert re.search(rf"entry ({AT}|{AT + 1})\b", assert_damaged(cli("verify", path)))


def test_a_wholly_recomputed_chain_does_not_fit_the_head(path: Path, entries: list[Entry]):
    """A changed entry with all later hashes recomputed does not match the head file."""
    forged, running, rows = False, GENESIS_HASH, []
    for seq, entry in enumerate(entries, start=1):
        if isinstance(entry, Replies) and seq >= AT and not forged:
            first = entry.replies[0]._replace(usage=Usage(0, 0))
            entry, forged = replace(entry, replies=(first, *entry.replies[1:])), True  # noqa: PLW2901
        body = encode(entry)
        running = next_hash(running, body)
        rows.append((seq, body, running))
    put_rows(path, rows)
    line = assert_damaged(cli("verify", path))
    assert f"entry {len(entries)} " in line
    assert "head file has another hash" in line


def test_entries_added_after_the_end_are_noticed(path: Path, entries: list[Entry]):
    """A row appended to a finished journal with a matching hash is named."""
    rows = rows_of(path)
    body = b'["c",0,""]'
    put_rows(path, [*rows, (len(rows) + 1, body, next_hash(rows[-1][2], body))])
    assert f"entry {len(entries) + 1}" in assert_damaged(cli("verify", path))
