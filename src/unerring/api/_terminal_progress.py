"""Show the progress of a run on stderr, where a Python program started it in a terminal."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from unerring.adapters.terminal import ProgressLines
from unerring.core.journal.decided_step import DecidedStep
from unerring.core.journal.state import RunState
from unerring.core.reporting.progress import RunProgress
from unerring.runtime.protocols import Observer

_ONE_SHOWN = threading.Lock()  # of several runs at a time only one shows its progress


class TerminalProgress:
    """Observer that shows a run's progress, and passes each step on to another observer."""

    def __init__(self, stream: TextIO, other: Observer | None, max_steps: int | None) -> None:
        self.lines = ProgressLines(stream)
        self._other = other
        self._progress = RunProgress(max_steps)

    def decided(self, decided: DecidedStep, state: RunState) -> None:
        """Count a step, and show how far the run is, now and then."""
        now = time.monotonic()
        self._progress.add(decided, now)
        if self.lines.due(now):
            self.lines.show(self._progress.lines(state, now), now)
        if self._other is not None:
            self._other.decided(decided, state)

    def __getattr__(self, name: str) -> Any:
        """Notices, and what else an observer may have: the other observer's where it has that, else of the lines."""
        return getattr(self._other if hasattr(self._other, name) else self.lines, name)


@contextmanager
def progress_observer(
    wanted: bool | None, observer: Observer | None, max_steps: int | None
) -> Iterator[Observer | None]:
    """The observer of a run, with progress on stderr where it is wanted.

    None shows it where stderr is a terminal and there is no other observer. Of concurrent runs one is shown.
    """
    stream = sys.stderr
    if wanted is None:
        wanted = observer is None and stream is not None and stream.isatty()
    if not wanted or not _ONE_SHOWN.acquire(blocking=False):
        yield observer
        return
    shown = TerminalProgress(stream, observer, max_steps)
    try:
        with shown.lines:
            yield shown
    finally:
        _ONE_SHOWN.release()
