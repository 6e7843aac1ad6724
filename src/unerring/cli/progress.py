"""Progress of a run: a live line on a terminal, a quiet plain line now and then elsewhere. Always on stderr."""

import sys
import time
from typing import Any, TextIO

from unerring.cli.exits import notice_text
from unerring.core.certificate.dissent_alarm import DissentAlarm, DissentWatch, watch_of
from unerring.core.certificate.expectations import expectations_from
from unerring.core.journal.state import Decided, RunState
from unerring.core.reporting.progress import RunProgress
from unerring.core.reporting.summary import counted

REFRESH_SECONDS = 0.2
PLAIN_SECONDS = 10.0


def awaited_line(calls: int, seconds: float) -> str:
    """What is waited for after a first Ctrl-C."""
    if not calls:
        return "stopping; Ctrl-C again stops at once"
    awaited = f"{counted(calls, 'call')} under way, {seconds:.0f} s at most"
    return f"stopping: waiting for {awaited}; Ctrl-C again stops at once"


class Progress:
    """An observer that shows how a run gets on. Use it as a context manager around the run."""

    def __init__(
        self, stream: TextIO | None = None, quiet: bool = False, journal: str = "", most_steps: int | None = None
    ) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty() and not quiet
        self._quiet = quiet
        self._journal = journal
        self._display: Any = None
        self._shown = time.monotonic()
        self._progress = RunProgress(most_steps)
        self._watch: DissentWatch | None = None

    def __enter__(self) -> "Progress":
        if self._live:
            from rich.console import Console
            from rich.live import Live

            self._display = Live(console=Console(file=self._stream), refresh_per_second=8, transient=True)
            self._display.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._display is not None:
            self._display.stop()

    def notice(self, line: str) -> None:
        """Show a line about what takes a while in which no step is decided."""
        line = notice_text(line)
        if self._display is not None:
            self._display.console.print(line, markup=False, highlight=False, soft_wrap=True)
        elif not self._quiet:
            print(line, file=self._stream, flush=True)

    def stopping(self, calls: int, seconds: float) -> None:
        """Count down on a terminal while calls under way are waited for; elsewhere one line of the log is enough."""
        if self._display is not None:
            from rich.text import Text

            self._display.update(Text(awaited_line(calls, seconds)))
            self._display.refresh()

    def decided(self, decided: Decided, state: RunState) -> None:
        if self.steps == 0:
            self._begin(decided, state)
        now = time.monotonic()
        self._progress.add(decided, now)
        if self._watch is not None and (alarm := self._watch.add(len(decided.tally) > 1)) is not None:
            self._warn(alarm)
        if now - self._shown < (REFRESH_SECONDS if self._live else PLAIN_SECONDS):
            return
        self._shown = now
        if self._display is not None:
            self._display.update(self._bar(state, now))
        elif not self._quiet:
            print("; ".join(self._progress.lines(state, now)), file=self._stream, flush=True)

    @property
    def steps(self) -> int:
        """Steps that were decided."""
        return self._progress.steps

    def _begin(self, decided: Decided, state: RunState) -> None:
        if self._journal:
            print(f"journal: {self._journal}", file=self._stream, flush=True)
        if state.opened is not None:
            self._watch = watch_of(expectations_from(state.opened.plan), decided.step)

    def _warn(self, alarm: DissentAlarm) -> None:
        """One plain line, which stays above what is written over in place."""
        if self._display is not None:
            self._display.console.print(f"warning: {alarm.sentence}", markup=False, highlight=False, soft_wrap=True)
        elif not self._quiet:
            print(f"warning: {alarm.sentence}", file=self._stream, flush=True)

    def _bar(self, state: RunState, now: float) -> Any:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        end = self._progress.end(state)
        lines = [Text(line, overflow="ellipsis", no_wrap=True) for line in self._progress.lines(state, now)]
        return Group(*lines) if end is None else Group(*lines, ProgressBar(end, state.committed, 60))
