"""Decide whether a run's rate is steady enough that the time left is between half and twice the estimate."""

from collections.abc import Sequence
from math import sqrt

MAX_RATE_WINDOWS = 16  # an even number: they are merged in pairs
MIN_WINDOWS = 4
FIRST_WINDOW_SECONDS = 0.2


class RateWindows:
    """Rates of a run in at most 16 windows of equal duration, which double in duration as the run continues."""

    def __init__(self) -> None:
        self.seconds = FIRST_WINDOW_SECONDS
        self._full: list[int] = []  # steps in each full window
        self._steps = 0  # of the window that is being filled

    def add(self, at: float, steps: int = 1) -> None:
        """Count steps that were decided `at` seconds after the start; times do not decrease."""
        while at >= (len(self._full) + 1) * self.seconds:
            self._full.append(self._steps)
            self._steps = 0
            if len(self._full) == MAX_RATE_WINDOWS:
                self._merge(at)
        self._steps += steps

    def _merge(self, at: float) -> None:
        """Double the windows, at once as often as needed, so that a long pause costs no more than a short one."""
        while len(self._full) > 1 and (len(self._full) == MAX_RATE_WINDOWS or at >= MAX_RATE_WINDOWS * self.seconds):
            self._full = [sum(self._full[number : number + 2]) for number in range(0, len(self._full), 2)]
            self.seconds *= 2.0

    @property
    def steady(self) -> bool:
        """Whether the rate so far predicts the time left to a factor of two."""
        return steady(self._full)


def steady(windows: Sequence[int]) -> bool:
    """Whether the steps done in windows of equal duration show their mean rate to a factor of two.

    Three standard errors of the mean must be at most half of it: then the rate lies between half the mean and one and
    a half times it with a probability of about 99 %, and the time left within a factor of two of steps / mean.
    Assumption: windows are independent of each other. A slow start makes them differ, so it is waited out. At least 4
    windows are needed.
    """
    number = len(windows)
    if number < MIN_WINDOWS:
        return False
    mean = sum(windows) / number
    deviation = sqrt(sum((one - mean) ** 2 for one in windows) / (number - 1))
    return mean > 0.0 and 3.0 * deviation / sqrt(number) <= mean / 2.0
