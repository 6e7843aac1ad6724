"""Show failures of calls that are retried: the first of an account at once, later ones at growing intervals."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from unerring.core.reporting.summary import duration
from unerring.core.short_text import shortened
from unerring.errors import Interrupted, ProviderBusy
from unerring.runtime.config import RunConfig, StopRequest

FIRST_INTERVAL_SECONDS = 15.0  # between the first two notices of an account; each later interval is twice as long
MAX_FAILURE_CHARS = 200  # of a failure's text in a notice or in the reason of a stop

log = logging.getLogger("unerring")


class FailureNotices:
    """Shows passing failures, and keeps the last one of each account that has not answered since.

    They go to the run's `notice`, or are logged as warnings where there is none.
    """

    def __init__(self, config: RunConfig) -> None:
        self._clock = config.clock
        self._stop = config.stop
        self._total = config.patience.total
        self._show: Callable[[str], None] = config.notice or log.warning
        self._shown: dict[str, _Shown] = {}
        self._failing: dict[str, str] = {}

    def failed(self, account: str, name: str, failure: ProviderBusy) -> None:
        """Count a failed call to an account, and show it where a notice is due; `name` is the model's."""
        said = f"{name}: {shortened(' '.join(str(failure).split()), MAX_FAILURE_CHARS)}"
        self._failing.pop(account, None)
        self._failing[account] = said
        self._stop.last_failure = said
        shown, now = self._shown.get(account), self._clock.time()
        if shown is None:
            self._shown[account] = _Shown(now + FIRST_INTERVAL_SECONDS)
            self._show(f"{said}; trying again, for {duration(self._total)} at most (`patience`)")
            return
        shown.count += 1
        if now >= shown.due:
            failures = "1 more failure" if shown.count == 1 else f"{shown.count:,} more failures"
            self._show(f"{said} ({failures} since the last notice); trying again")
            shown.interval *= 2.0
            shown.due, shown.count = now + shown.interval, 0

    def answered(self, account: str) -> None:
        """Note that an account answers: its last failure no longer explains why the run waits."""
        if self._failing and self._failing.pop(account, None) is not None:
            self._stop.last_failure = next(reversed(self._failing.values()), None)


@dataclass(slots=True)
class _Shown:
    """When an account's next notice is due, the interval to it, and the failures since the last notice."""

    due: float
    count: int = 0
    interval: float = FIRST_INTERVAL_SECONDS


def name_last_failure(error: BaseException, stop: StopRequest) -> None:
    """Add the last failure that calls were waiting out, if any, to the error of an interrupted run."""
    if isinstance(error, Interrupted) and stop.last_failure is not None and stop.last_failure not in str(error):
        error.args = (f"{error}; the last failure: {stop.last_failure}",)
