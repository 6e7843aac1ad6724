"""Journals for tests of the SQLite adapter."""

from pathlib import Path

import pytest
from journal_files import entries_of, killed, start

from unerring.core.journal.entries import Entry


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished journal with its head file; tests must not change it."""
    path = tmp_path_factory.mktemp("whole") / "journal.db"
    start(path)
    return path


@pytest.fixture(scope="module")
def entries(whole: Path) -> list[Entry]:
    """Its entries."""
    return entries_of(whole)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a journal yet to be made."""
    return tmp_path / "journal.db"


@pytest.fixture
def unfinished(entries: list[Entry], tmp_path: Path) -> Path:
    """The files of a run killed after its 70th entry, most of which are in the write-ahead log."""
    return killed(tmp_path / "unfinished.db", entries[:70])
