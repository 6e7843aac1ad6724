"""Notices of failed calls that are tried again: an account's first at once, later ones at widening intervals."""

import logging
from collections.abc import Callable

from unerring.core.numbers import MOST_SECONDS
from unerring.core.short_text import shortened
from unerring.errors import Interrupted, ProviderBusy
from unerring.runtime.config import RunConfig, StopRequest

FIRST_INTERVAL_SECONDS = 15.0  # between the first notice of an account and its second; each later one is twice as long
MAX_FAILURE_CHARS = 200  # of a failure that a notice or a reason to stop repeats

log = logging.getLogger("unerring")


class FailureNotices:
    """Shows passing failures to people, and keeps the last one of each account that has not answered since.

    Shown through the run's `notice`, and logged as warnings where there is none.
    """

    def __init__(self, config: RunConfig) -> None:
        self._clock = config.clock
        self._stop = config.stop
        self._total = config.patience.total
        self._show: Callable[[str], None] = config.notice or log.warning
        self._shown: dict[str, _Shown] = {}
        self._failing: dict[str, str] = {}

    def failed(self, account: str, name: str, failure: ProviderBusy) -> None:
        """Count a failure of a call to an account, and show it where it is time to; `name` is the model's."""
        said = f"{name}: {shortened(' '.join(str(failure).split()), MAX_FAILURE_CHARS)}"
        self._failing.pop(account, None)
        self._failing[account] = said
        self._stop.last_failure = said
        shown, now = self._shown.get(account), self._clock.time()
        if shown is None:
            self._shown[account] = _Shown(now + FIRST_INTERVAL_SECONDS)
            self._show(f"{said}; trying again, for {length_of_time(self._total)} at most (`patience`)")
            return
        shown.count += 1
        if now >= shown.due:
            failures = "1 more failure" if shown.count == 1 else f"{shown.count:,} more failures"
            self._show(f"{said} ({failures} since the last notice); trying again")
            shown.interval *= 2.0
            shown.due, shown.count = now + shown.interval, 0

    def answered(self, account: str) -> None:
        """Note that an account answers, so that its last failure explains nothing any more."""
        if self._failing and self._failing.pop(account, None) is not None:
            self._stop.last_failure = next(reversed(self._failing.values()), None)


class _Shown:
    """When an account's next notice is due, and how many failures it had since the last one."""

    __slots__ = ("count", "due", "interval")

    def __init__(self, due: float) -> None:
        self.due = due
        self.count = 0
        self.interval = FIRST_INTERVAL_SECONDS


def name_last_failure(error: BaseException, stop: StopRequest) -> None:
    """Add to a run's `Interrupted` the failure that its calls were waiting out, where there is one."""
    if isinstance(error, Interrupted) and stop.last_failure is not None and stop.last_failure not in str(error):
        error.args = (f"{error}; the last failure: {stop.last_failure}",)


def length_of_time(seconds: float) -> str:
    """A length of time in the largest unit that it fills."""
    if seconds > MOST_SECONDS:
        return f"more than {MOST_SECONDS / 86400 / 365:.0f} years"
    for unit, length in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.4g} {unit}"
    return f"{seconds:.3g} s"
