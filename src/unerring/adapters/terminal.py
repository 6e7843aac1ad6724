"""Progress lines on a stream: replaced in place on a terminal, written now and then to a log."""

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Self, TextIO

from unerring.core.reporting.summary import counted, printable

REFRESH_SECONDS = 0.2  # between two pictures on a terminal
LOG_SECONDS = 10.0  # between two lines of a log
BAR_CHARS = 60


class ProgressLines:
    """Lines that say how far something is. Use it as a context manager: what is shown in place is erased at its end.

    `quiet` shows nothing at all, and `worded` makes a notice fit to be shown.
    """

    def __init__(
        self, stream: TextIO | None = None, quiet: bool = False, worded: Callable[[str], str] = printable
    ) -> None:
        self._stream = stream or sys.stderr
        self._quiet = quiet
        self._worded = worded
        self._in_place = not quiet and self._stream.isatty()
        self._display: Any = None
        self._shown_at = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._display is not None:
            self._display.stop()
            self._display = None

    def due(self, now: float) -> bool:
        """Whether lines are to be shown at the time `now`, in seconds: not too often to be read."""
        return now - self._shown_at >= (REFRESH_SECONDS if self._in_place else LOG_SECONDS)

    def show(self, lines: Sequence[str], now: float, share: float | None = None) -> None:
        """Show lines; on a terminal in place of the last ones, with a bar where the `share` that is done is known."""
        self._shown_at = now
        if self._in_place:
            self._draw(lines, share)
        else:
            self.write("; ".join(lines))

    def notice(self, line: str) -> None:
        """Show a line about what takes a while; on a terminal it stays above the lines that are replaced."""
        self.write(self._worded(line))

    def stopping(self, calls: int, seconds: float) -> None:
        """Count down on a terminal while calls in flight are waited for; elsewhere one line of the log is enough."""
        if self._in_place:
            self._draw([awaited_line(calls, seconds)])

    def write(self, line: str) -> None:
        """Write a line that stays, unless nothing is to be shown."""
        if self._display is not None:
            self._display.console.print(line, markup=False, highlight=False, soft_wrap=True)
        elif not self._quiet:
            print(line, file=self._stream, flush=True)

    def _draw(self, lines: Sequence[str], share: float | None = None) -> None:
        from rich.console import Console, Group
        from rich.live import Live
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        if self._display is None:
            # prints of the user's own code stay above the lines, unless they go to a file
            redirected = sys.stdout is not None and sys.stdout.isatty()
            console = Console(file=self._stream)
            self._display = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=redirected)
            self._display.start()
        bar = [] if share is None else [ProgressBar(1.0, share, BAR_CHARS)]
        texts = (Text(line, overflow="ellipsis", no_wrap=True) for line in lines)
        self._display.update(Group(*texts, *bar), refresh=True)


def awaited_line(calls: int, seconds: float) -> str:
    """What is waited for after a first Ctrl-C."""
    if not calls:
        return "stopping; Ctrl-C again stops at once"
    awaited = f"{counted(calls, 'call')} in flight, {seconds:.0f} s at most"
    return f"stopping: waiting for {awaited}; Ctrl-C again stops at once"
