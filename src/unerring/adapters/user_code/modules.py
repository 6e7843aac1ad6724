"""Import a user's modules by name, refuse the runs that these begin meanwhile, and make objects of their classes."""

import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread, current_thread
from threading import enumerate as live_threads
from typing import Any

from unerring.adapters.user_code.frames import error_with_place, own_frames
from unerring.core.functions.running import refuse_in_process
from unerring.core.voting.canonical import Json
from unerring.errors import InputError, UnerringError, UserCodeFailed


def import_object(object_name: str) -> Any:
    """Import `package.module:name`, also from the current directory; raises `InputError` with one line."""
    module_name, _, attribute = object_name.partition(":")
    if module_name.endswith(".py"):
        named = module_name.removesuffix(".py").lstrip("./").replace("/", ".")
        raise InputError(f"{object_name} names a file: leave out .py: {named}:{attribute}")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        with importing(module_name):
            target: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            target = getattr(target, part)
    except RunInImport:
        raise
    except (Exception, SystemExit) as error:
        raise _import_failed(error, object_name) from error
    return target


class RunInImport(UserCodeFailed):
    """A user's module began a run while it was imported."""


@dataclass(frozen=True, slots=True)
class _Import:
    """A user's module that is being imported by its name.

    module: its name.
    others: the threads that ran before, which it did not start.
    """

    module: str
    others: frozenset[Thread]


_IMPORTS: list[_Import] = []  # those in progress, in all threads


def require_run_allowed() -> None:
    """Raise where a run, or a calibration, would begin while a module is imported, or within a process's function."""
    refuse_in_import()
    refuse_in_process()


def refuse_in_import() -> None:
    """Raise `UserCodeFailed` while a user's module is being imported by its name: only a script begins runs.

    Otherwise a command that only reads would run the process to its end, with all its paid calls. Threads that the
    module starts are refused too; those that ran before the import are not.
    """
    for one in tuple(_IMPORTS):
        if current_thread() not in one.others:
            raise RunInImport(
                f"{_running_module() or one.module} starts a run when it is imported: "
                "put that under `if __name__ == '__main__':` in its file"
            )


def _running_module() -> str | None:
    """The module whose body runs in this thread, such as one that the user's module imports; None where none does."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_name != "<module>":
        frame = frame.f_back
    return None if frame is None else frame.f_globals.get("__name__")


@contextmanager
def importing(module: str) -> Iterator[None]:
    """Note the user's module that is imported meanwhile."""
    begun = _Import(module, frozenset(live_threads()) - {current_thread()})
    _IMPORTS.append(begun)
    try:
        yield
    finally:
        _IMPORTS.remove(begun)


def _import_failed(error: BaseException, object_name: str) -> InputError:
    """The error of an import: the user's own code failed, or the name does not exist."""
    if own_frames(error) or isinstance(error, SyntaxError):
        return UserCodeFailed(f"cannot import {object_name}: {error_with_place(error)}")
    return InputError(f"cannot import {object_name}: {_line(error)}")


def object_of_class(kind: type, arguments: Mapping[str, Json], name: str) -> Any:
    """An object of a user's class; raises `InputError` for arguments that it does not take, in one line."""
    wrong = f"{name} cannot be made with these parameters"
    try:
        signature = inspect.signature(kind)
    except (TypeError, ValueError):  # such as a class derived from dict: only calling it says what it takes
        try:
            return made_by(lambda: kind(**arguments), name)
        except UserCodeFailed as error:
            if isinstance(error.__cause__, TypeError) and not own_frames(error.__cause__):
                raise InputError(f"{wrong}: {error.__cause__}") from None
            raise
    try:
        signature.bind(**arguments)
    except TypeError as error:
        takes = ", ".join(signature.parameters) or "none"
        raise InputError(f"{wrong}: {error}; it takes {takes}") from None
    return made_by(lambda: kind(**arguments), name)


def made_by(make: Callable[[], Any], name: str) -> Any:
    """What a user's class or function makes; raises `UserCodeFailed` with the line where it fails."""
    try:
        return make()
    except UnerringError:
        raise
    except (Exception, SystemExit) as error:
        raise UserCodeFailed(f"{name} cannot be made: {error_with_place(error)}") from error


def _line(error: BaseException) -> str:
    """An exception in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")
