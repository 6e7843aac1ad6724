"""Atomic file output: write a temporary file, sync it, rename it.

A kill or a full disk leaves the previous file, and a command never truncates a file that it still reads.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from unerring.errors import InputError

_DATABASE = b"SQLite format 3"


class OutputFile:
    """A temporary text file; `keep` renames it into place, and without that the previous file stays.

    Raises `InputError` where it cannot be written; `what` names it in the message.
    """

    def __init__(self, path: str | Path, what: str = "") -> None:
        self._path = path
        self._what = f"{what} " if what else ""
        try:
            self._place = Path(path).resolve()  # a link is kept, and leads to the new file
            if self._place.exists() and not self._place.is_file():
                raise InputError(f"cannot write {self._what}{path}: it is not a file")
            self._draft = self._place.with_name(f".{self._place.name[:100]}.{os.getpid()}.part")
            self._draft.unlink(missing_ok=True)
            self._file = self._draft.open("x", encoding="utf-8", newline="\n")
            if self._place.exists():
                self._draft.chmod(self._place.stat().st_mode & 0o777)
        except (OSError, ValueError) as error:
            raise unwritable(self._what, self._path, error) from None

    def __enter__(self) -> "OutputFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self._draft.unlink(missing_ok=True)

    def write(self, text: str) -> None:
        """Append text."""
        try:
            self._file.write(text)
        except OSError as error:
            raise unwritable(self._what, self._path, error) from None

    def keep(self) -> None:
        """Sync the file to disk and rename it over the previous one."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._draft.replace(self._place)
        except OSError as error:
            raise unwritable(self._what, self._path, error) from None
        with suppress(OSError):  # where a folder can be opened, the rename is synced as well
            folder = os.open(self._place.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


def unwritable(what: str, path: str | Path, error: Exception) -> InputError:
    """The error of a file that cannot be written; `what` names it, and ends with a blank."""
    return InputError(f"cannot write {what}{path}: {getattr(error, 'strerror', None) or error}")


def write_whole(path: str | Path, text: str, what: str = "") -> None:
    """Write a file atomically. Raises `InputError` where it cannot be written."""
    with OutputFile(path, what) as file:
        file.write(text)
        file.keep()


def require_writable(path: str | Path, what: str = "") -> None:
    """Raise `InputError` where a file cannot be written, before its contents are computed."""
    with OutputFile(path, what):
        pass


def require_own_file(option: str, out: str | Path, inputs: Iterable[tuple[str, str | Path | None]]) -> None:
    """Raise `InputError` where the output would replace an input, a journal, or something that is not a file.

    `inputs` are the options that name files to read, with those files; links to them count as well.
    """
    own = Path(out)
    if own.exists() and not own.is_file():  # a device may never end
        raise InputError(f"cannot write {option} {out}: it is not a file")
    for name, path in inputs:
        if path is not None and _same(own, Path(path)):
            raise InputError(f"{option} {out} is also the file of {name}, which would be lost; give it another name")
    try:
        if own.is_file():
            with own.open("rb") as file:
                if file.read(len(_DATABASE)) == _DATABASE:
                    raise InputError(f"{option} {out} is a database, perhaps a journal; give it another name")
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror or error}") from None


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:  # one of them does not exist yet
        with suppress(OSError):
            return one.resolve() == other.resolve()
    return False
