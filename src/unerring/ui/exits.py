"""How a command ends: its exit code, and the one clear line that tells what went wrong and what to do."""

import shlex
import sysconfig
import traceback
from pathlib import Path

import click

from unerring.core.user_code import WrongReturn, place_of
from unerring.ui.text import inert

DONE, WRONG, BAD_INPUT, STOPPED = 0, 1, 2, 3


def failed(code: int, message: str) -> int:
    """Print the line on stderr; returns the code."""
    click.echo("unerring: " + inert(" ".join(message.split())), err=True)
    return code


def quoted(path: Path) -> str:
    """A path as it can be pasted into a shell."""
    return shlex.quote(str(path))


def own_frames(error: Exception) -> list[traceback.FrameSummary]:
    """The frames of an error that lie in the user's own files, outermost first."""
    ours = tuple({str(Path(__file__).parents[1]), *sysconfig.get_paths().values()})
    return [one for one in traceback.extract_tb(error.__traceback__) if not one.filename.startswith((*ours, "<"))]


def placed(error: Exception) -> str:
    """An error and the place in the user's own files that it came from."""
    if isinstance(error, WrongReturn):  # which says where the method is
        return str(error)
    own, note = own_frames(error), place_of(error)
    said = f"{type(error).__name__}: {error}" + (f", {note}" if note else "")
    if note and not own:  # the call itself failed, and the note says where the method is
        return said
    frame = (own or traceback.extract_tb(error.__traceback__))[-1]
    return f"{said} ({frame.filename}, line {frame.lineno})"
