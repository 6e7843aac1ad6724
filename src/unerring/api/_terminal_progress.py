"""Progress of a run that Python started in a terminal: a line on stderr, written over in place."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from shutil import get_terminal_size
from typing import Any, TextIO

from unerring.core.journal.state import Decided, RunState
from unerring.core.reporting.progress import RunProgress
from unerring.core.reporting.summary import inert
from unerring.runtime.protocols import Observer

REFRESH_SECONDS = 0.2
PLAIN_SECONDS = 10.0  # between lines where stderr is no terminal
ERASED = "\r\x1b[K"

_SHOWING = threading.Lock()  # one run at a time has the line


class TerminalProgress:
    """Observer that shows a run's progress, and passes each step on to another observer."""

    def __init__(self, stream: TextIO, other: Observer | None, most_steps: int | None) -> None:
        self._stream = stream
        self._other = other
        self._live = stream.isatty()
        self._progress = RunProgress(most_steps)
        self._shown = time.monotonic()

    def decided(self, decided: Decided, state: RunState) -> None:
        """Count a step, and show how far the run is, now and then."""
        now = time.monotonic()
        self._progress.add(decided, now)
        if now - self._shown >= (REFRESH_SECONDS if self._live else PLAIN_SECONDS):
            self._shown = now
            line = "; ".join(self._progress.lines(state, now))
            columns = get_terminal_size().columns - 1
            self._stream.write(f"{ERASED}{line[:columns]}" if self._live else f"{line}\n")
            self._stream.flush()
        if self._other is not None:
            self._other.decided(decided, state)

    def notice(self, line: str) -> None:
        """Show a line about what takes a while in which no step is decided, above the one that is written over."""
        other = getattr(self._other, "notice", None)
        if other is not None:
            other(line)
            return
        self._stream.write(f"{ERASED if self._live else ''}{inert(line)}\n")
        self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        """What else an observer may have, such as `stopping`, is the other one's."""
        return getattr(self._other, name)

    def clear(self) -> None:
        """Take the line away."""
        if self._live:
            self._stream.write(ERASED)
            self._stream.flush()


@contextmanager
def showing(wanted: bool | None, observer: Observer | None, most_steps: int | None) -> Iterator[Observer | None]:
    """The observer of a run, with progress on stderr where it is wanted.

    None shows it where stderr is a terminal and there is no other observer. Of concurrent runs one is shown.
    """
    stream = sys.stderr
    if wanted is None:
        wanted = observer is None and stream is not None and stream.isatty()
    if not wanted or not _SHOWING.acquire(blocking=False):
        yield observer
        return
    shown = TerminalProgress(stream, observer, most_steps)
    try:
        yield shown
    finally:
        shown.clear()
        _SHOWING.release()
