"""Fixtures of all tests: a state directory of their own, and no reply ids and no modules from other tests."""

import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from unerring.core.voting.reply_ids import ReplyIds
from unerring.runtime import config as limits


@pytest.fixture(scope="session", autouse=True)
def open_files() -> None:
    """Raise the limit on open files, since hundreds of connections, at both of their ends, need many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 8192 if hard == resource.RLIM_INFINITY else min(8192, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


@pytest.fixture(scope="session", autouse=True)
def state_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """XDG_STATE_HOME is a temporary directory, for all processes that the tests start as well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(autouse=True)
def no_known_replies() -> Iterator[None]:
    """Each test knows no reply that another test received."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "_PROCESS_REPLIES", ReplyIds())
        yield


@pytest.fixture(autouse=True)
def no_modules_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """After each test, `sys.path` is as before it, and a module that was imported from a temporary file is unknown."""
    path, known = [*sys.path], set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - known:
        file = getattr(sys.modules[name], "__file__", None)
        if file is not None and Path(file).is_relative_to(tmp_path_factory.getbasetemp()):
            del sys.modules[name]
