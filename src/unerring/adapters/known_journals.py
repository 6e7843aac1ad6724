"""The list of runs that this user began on this machine: `unerring/known-journals` in the user's state directory.

A run is known by a digest of what its first entry names: process, parameters, model, seed, start, time and the fields
of its requests. So a journal stays known when it is moved, repaired or resumed, and another one cannot pass for it:
with the same digest it names the same code and the same hosts, which are the ones that this user chose. A model that
was named later, for a step drawn again, has a digest of its own.

Only the digests are kept, the last 10,000 of them. Where the list cannot be read or written, nothing is known.
"""

import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

from unerring.core.journal.entries import Opened
from unerring.core.voting.canonical import Json

STATE_HOME_VARIABLE = "XDG_STATE_HOME"  # specifications.freedesktop.org/basedir: a relative path counts as none
LIST_NAME = "known-journals"
MAX_KNOWN_RUNS = 10_000  # runs, the latest; the list is shortened to these when it has twice as many

_DIGEST = re.compile(rb"[0-9a-f]{32}")
_LINE_BYTES = 33


class StateUnusable(Exception):
    """The user's state directory cannot be used; the message says why."""


def digest_of_run(opened: Opened, model: str | None = None) -> bytes:
    """The digest by which a run is known; with `model`, that of the run with this model in the place of its own."""
    named: list[Json] = [opened.process, opened.parameters, opened.model, opened.seed, opened.start, opened.time]
    if opened.request:
        named.append(opened.request)
    text = json.dumps(named if model is None else [*named, model], sort_keys=True)
    return blake2b(text.encode(), digest_size=16, person=b"unerring").hexdigest().encode()


def is_known(opened: Opened, model: str | None = None, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether this user began the run on this machine; with `model`, whether the user named that model for it."""
    try:
        wanted = digest_of_run(opened, model)
        with _folder(environ, make=False) as folder:
            return wanted in _read(folder)
    except (StateUnusable, OSError, ValueError, RecursionError):
        return False


def remember(opened: Opened, model: str | None = None, environ: Mapping[str, str] = os.environ) -> None:
    """Note that this user began the run, or named the model for it.

    Raises `StateUnusable` where that cannot be noted.
    """
    line = digest_of_run(opened, model) + b"\n"
    try:
        with _folder(environ, make=True) as folder:
            fcntl.flock(folder, fcntl.LOCK_EX)  # dropped as the folder is closed
            known = _read(folder)
            if len(known) >= 2 * MAX_KNOWN_RUNS:
                _replace(folder, known[-MAX_KNOWN_RUNS:])
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            file = os.open(LIST_NAME, flags, 0o600, dir_fd=folder)
            try:
                os.write(file, line if _ends_whole(file) else b"\n" + line)
            finally:
                os.close(file)
    except OSError as error:
        raise StateUnusable(f"{_path(environ)}: {error.strerror or error}") from None


def _path(environ: Mapping[str, str]) -> Path:
    state, home = environ.get(STATE_HOME_VARIABLE, ""), environ.get("HOME", "")
    if os.path.isabs(state):
        return Path(state) / "unerring"
    if os.path.isabs(home):
        return Path(home) / ".local" / "state" / "unerring"
    raise StateUnusable(f"neither {STATE_HOME_VARIABLE} nor HOME names a directory")


@contextmanager
def _folder(environ: Mapping[str, str], make: bool) -> Iterator[int]:
    """Open the folder of the list. Raises `StateUnusable` for one that another user could write to."""
    path = _path(environ)
    if make:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        about = os.fstat(folder)
        if about.st_uid != os.geteuid() or about.st_mode & 0o022:
            raise StateUnusable(f"{path} belongs to another user, or others may write to it")
        yield folder
    finally:
        os.close(folder)


def _read(folder: int) -> list[bytes]:
    """The digests in the list, the latest last; a line that is no digest is passed over."""
    try:
        file = os.open(LIST_NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        return []
    with os.fdopen(file, "rb") as opened:
        size = os.fstat(opened.fileno()).st_size
        opened.seek(max(0, size - 4 * MAX_KNOWN_RUNS * _LINE_BYTES))
        return [line for line in opened.read().split(b"\n") if _DIGEST.fullmatch(line)]


def _replace(folder: int, known: list[bytes]) -> None:
    draft = f"{LIST_NAME}.new"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(draft, flags, 0o600, dir_fd=folder), "wb") as file:
        file.write(b"".join(line + b"\n" for line in known))
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, LIST_NAME, src_dir_fd=folder, dst_dir_fd=folder)


def _ends_whole(file: int) -> bool:
    """Whether the list ends with a whole line; a kill in the middle of one leaves less."""
    size = os.fstat(file).st_size
    return size % _LINE_BYTES == 0
