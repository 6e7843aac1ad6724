"""Keep the file that lists the runs that this user began on this machine.

It is `unerring/known-journals` in the user's state directory.

A run is identified by a digest of its first entry: process, parameters, model, seed, start, time and the fields of its
requests. So a journal stays known when it is moved, repaired or resumed, and no other journal can pass for it: with
the same digest it names the same code and the same hosts, which this user chose. A model that was named later, to
draw a step again, has its own digest.

Only digests are kept, the last 10,000 of them. Where the list cannot be read or written, no run is known.
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
MAX_KNOWN_RUNS = 10_000  # the list is shortened to the latest ones when it has twice as many

_DIGEST = re.compile(rb"[0-9a-f]{32}")
_LINE_BYTES = 33


class StateUnusable(Exception):
    """The user's state directory cannot be used; the message says why."""


def digest_of_run(opened: Opened, model: str | None = None) -> bytes:
    """The digest that identifies a run; with `model`, of the run together with a model named later."""
    fields: list[Json] = [opened.process, opened.parameters, opened.model, opened.seed, opened.start, opened.time]
    if opened.request:
        fields.append(opened.request)
    text = json.dumps(fields if model is None else [*fields, model], sort_keys=True)
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
    """Add a run that this user began, or one with a model that the user named for it.

    Raises `StateUnusable` where the list cannot be written.
    """
    line = digest_of_run(opened, model) + b"\n"
    try:
        with _folder(environ, make=True) as folder:
            fcntl.flock(folder, fcntl.LOCK_EX)  # released as the folder is closed
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
    """Open the folder of the list. Raises `StateUnusable` where another user could write to it."""
    path = _path(environ)
    if make:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        status = os.fstat(folder)
        if status.st_uid != os.geteuid() or status.st_mode & 0o022:
            raise StateUnusable(f"{path} belongs to another user, or others may write to it")
        yield folder
    finally:
        os.close(folder)


def _read(folder: int) -> list[bytes]:
    """The digests in the list, the latest last; lines that are not digests are ignored."""
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
    """Whether the list ends with a whole line: a kill may have cut the last one."""
    size = os.fstat(file).st_size
    return size % _LINE_BYTES == 0
