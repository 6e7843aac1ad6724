"""Progress of a run and of a pilot on stderr."""

import time
from typing import TextIO

from unerring.adapters.terminal import ProgressLines
from unerring.cli.hints import notice_text
from unerring.core.certificate.dissent_alarm import DissentWatch, watch_of
from unerring.core.certificate.expectations import expectations_from
from unerring.core.journal.decided_step import DecidedStep
from unerring.core.journal.state import RunState
from unerring.core.planning.calibration import Calibration
from unerring.core.reporting.progress import RunProgress


class Progress(ProgressLines):
    """Observer of a run: shows steps, votes and cost, and warns of dissent that was not planned."""

    def __init__(
        self, stream: TextIO | None = None, quiet: bool = False, journal: str = "", most_steps: int | None = None
    ) -> None:
        """`journal` is a file to name at the first step; `most_steps` are those that the session stops after."""
        super().__init__(stream, quiet, notice_text)
        self._journal = journal
        self._progress = RunProgress(most_steps)
        self._watch: DissentWatch | None = None

    @property
    def steps(self) -> int:
        """Steps that were decided."""
        return self._progress.steps

    def decided(self, decided: DecidedStep, state: RunState) -> None:
        """Count a step, and show how far the run is, now and then."""
        if self.steps == 0:
            if self._journal:
                print(f"journal: {self._journal}", file=self._stream, flush=True)
            if state.opened is not None:
                self._watch = watch_of(expectations_from(state.opened.plan), decided.step)
        now = time.monotonic()
        self._progress.add(decided, now)
        if self._watch is not None and (alarm := self._watch.add(len(decided.tally) > 1)) is not None:
            self.write(f"warning: {alarm.sentence}")
        if self.due(now):
            end = self._progress.end(state)
            self.show(self._progress.lines(state, now), now, state.committed / end if end else None)


class PilotProgress(ProgressLines):
    """Shows the samples, steps and wrong votes of a pilot."""

    def __init__(self, quiet: bool) -> None:
        super().__init__(quiet=quiet, worded=notice_text)

    def seen(self, calibration: Calibration) -> None:
        """Show the counts, now and then."""
        now = time.monotonic()
        if not self.due(now):
            return
        done, total = calibration.samples, calibration.asked_for
        wrong = sum(voter.wrong for voter in calibration.voters)
        lines = [f"{done:,} of {total:,} samples", f"{calibration.steps:,} steps, {wrong:,} votes wrong"]
        self.show(lines, now, min(1.0, done / max(1, total)))
