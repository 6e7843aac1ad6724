"""How a command ends: its exit code, and the one clear line that tells what went wrong and what to do."""

import shlex
import sysconfig
import traceback
from pathlib import Path

import click

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
    frame = (own_frames(error) or traceback.extract_tb(error.__traceback__))[-1]
    return f"{type(error).__name__}: {error} ({frame.filename}, line {frame.lineno})"
