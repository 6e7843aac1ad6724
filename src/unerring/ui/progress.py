"""Progress of a run: a live line on a terminal, a quiet plain line now and then elsewhere. Always on stderr."""

import sys
import time
from typing import Any, TextIO

from unerring.core.account import dollars_text, in_dollars
from unerring.core.certifying.expectations import expectations_from
from unerring.core.certifying.watch import Alarm, Watch, watch_of
from unerring.core.replay import Decided, RunState
from unerring.core.report import spend_of

REFRESH_SECONDS = 0.2
PLAIN_SECONDS = 10.0


class Progress:
    """An observer that shows how a run gets on. Use it as a context manager around the run."""

    def __init__(self, stream: TextIO | None = None, quiet: bool = False, journal: str = "") -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty() and not quiet
        self._quiet = quiet
        self._journal = journal
        self._display: Any = None
        self._since = self._shown = time.monotonic()
        self._votes = 0
        self.steps = 0
        self._disagreements = 0
        self._watch: Watch | None = None

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
        if self._display is not None:
            self._display.console.print(line, markup=False, highlight=False, soft_wrap=True)
        elif not self._quiet:
            print(line, file=self._stream, flush=True)

    def decided(self, decided: Decided, state: RunState) -> None:
        if self.steps == 0:
            self._begin(decided, state)
        self.steps += 1
        self._votes += decided.votes
        self._disagreements += len(decided.tally) > 1
        if self._watch is not None and (alarm := self._watch.add(len(decided.tally) > 1)) is not None:
            self._warn(alarm)
        now = time.monotonic()
        if now - self._shown < (REFRESH_SECONDS if self._live else PLAIN_SECONDS):
            return
        self._shown = now
        if self._display is not None:
            self._display.update(self._bar(state))
        elif not self._quiet:
            print("; ".join(self._lines(state)), file=self._stream, flush=True)

    def _begin(self, decided: Decided, state: RunState) -> None:
        if self._journal:
            print(f"journal: {self._journal}", file=self._stream, flush=True)
        if state.opened is not None:
            self._watch = watch_of(expectations_from(state.opened.plan), decided.step)

    def _warn(self, alarm: Alarm) -> None:
        """One plain line, which stays above what is written over in place."""
        if self._display is not None:
            self._display.console.print(f"warning: {alarm.sentence}", markup=False, highlight=False, soft_wrap=True)
        elif not self._quiet:
            print(f"warning: {alarm.sentence}", file=self._stream, flush=True)

    def _lines(self, state: RunState) -> list[str]:
        """How far, how it goes, and what it costs where calls are paid for: lines that fit on 80 columns."""
        length = state.opened.length if state.opened else None
        rate = self.steps / max(time.monotonic() - self._since, 1e-9)
        pace = f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"
        total = f" of {length:,} ({state.committed / length:.0%})" if length else ""
        eta = (
            f", {_duration((length - state.committed) / rate)} to go"
            if length and rate and state.committed <= length
            else ""
        )
        lines = [
            f"step {state.committed:,}{total}: {pace} steps/s{eta}",
            f"{self._votes / self.steps:.2f} votes a step, {state.flags.total():,} flagged, "
            f"{self._disagreements:,} steps with dissent",
        ]
        return [*lines, *_spent(state)]

    def _bar(self, state: RunState) -> Any:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        length = state.opened.length if state.opened else None
        lines = [Text(line, overflow="ellipsis", no_wrap=True) for line in self._lines(state)]
        return Group(*lines) if length is None else Group(*lines, ProgressBar(length, state.committed, 60))


def _spent(state: RunState) -> list[str]:
    account = state.account
    if not account.calls:
        return []
    spend = spend_of(state)
    told = f"{account.calls:,} calls"
    if isinstance(spend["dollars"], float):
        told += f", {dollars_text(spend['dollars'])} spent"
        if account.limits.money is not None:
            told += f" of {dollars_text(in_dollars(account.limits.money))}"
        if isinstance(spend["forecast"], float):
            told += f", {dollars_text(spend['forecast'])} foreseen"
    if account.lost:
        told += f"; {account.lost:,} with unknown outcome"
    return [told]


def _duration(seconds: float) -> str:
    """A length of time in the two units that matter."""
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {left} s" if minutes else f"{left} s"
