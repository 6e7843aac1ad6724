"""Journals for tests of the SQLite adapter."""

from pathlib import Path

import pytest
from journal_files import entries_of, killed, start

from unerring.core.journal.entries import Entry


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished journal, with its head. Not to be changed."""
    path = tmp_path_factory.mktemp("whole") / "journal.db"
    start(path)
    return path


@pytest.fixture(scope="module")
def entries(whole: Path) -> list[Entry]:
    """Its entries."""
    return entries_of(whole)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a journal can be made."""
    return tmp_path / "journal.db"


@pytest.fixture
def unfinished(entries: list[Entry], tmp_path: Path) -> Path:
    """What a run killed after its 70th entry left behind: most of it lies in the write-ahead log."""
    return killed(tmp_path / "unfinished.db", entries[:70])
