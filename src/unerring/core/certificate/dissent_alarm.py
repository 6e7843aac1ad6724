"""An early warning where the share of steps with dissent leaves the band that was planned.

A model that is exchanged behind its name errs more often or less often; a cache that serves copies makes dissent
vanish. Both show in how often a step has a vote against its winner, long before a wrong step is noticed.

Each of two arms is a CUSUM (Page, Biometrika 41, 1954): the log-likelihood ratio of two dissent rates, summed over the
steps, and set back to 0 whenever it falls below. The upper arm compares the band's high end h with twice it, the
lower arm its low end l with half of it:

    S(n) = max(0, S(n-1) + x(n)),   x = ln(r1 / r0) for a step with dissent, ln((1 - r1) / (1 - r0)) for one without,

with r0 = h and r1 = 2h above (at most halfway from h to 1), r0 = l and r1 = l/2 below. For a run of N steps the alarm
is at S(n) >= ln(1000 N) nats.

Why a false alarm is improbable. S(n) is the largest of 0 and the sums x(i) + ... + x(n) over all starts i <= n. For
one start, M(n) = exp(x(i) + ... + x(n)) is not negative. Where each step has dissent with a probability q inside the
band, whatever the steps before it had, M is a supermartingale that starts at 1. Its mean factor in a step is

    q r1/r0 + (1 - q) (1 - r1)/(1 - r0),

which is 1 at q = r0, and below 1 on the band's side of r0. By Ville's inequality M ever reaches 1000 N with a
probability of at most 1 / (1000 N). There are N starts, so that each arm sounds a false alarm in at most one of 1000
runs.

What it assumes, and where it breaks: the band holds for each step given those before it. Steps that differ but come in
no particular order are no trouble, since only their mean is then seen. A long stretch of steps that are harder than
the plan has them on average sets off the upper arm though nothing has changed but the steps. A run that goes on beyond
N steps has more chances of a false alarm, in proportion.

How soon it comes: at a rate r of dissent the sum grows by r ln(r1/r0) + (1 - r) ln((1 - r1)/(1 - r0)) a step. Where
the rate has doubled that is about 0.39 h, and the alarm comes after about ln(1000 N) / (0.39 h) steps: 13,000 of a
million for h = 0.004. Where dissent has vanished it takes 2 ln(1000 N) / l steps.
"""

from dataclasses import dataclass
from math import log, log1p

from unerring.core.certificate.expectations import Expectations

FALSE_ALARM_PROBABILITY = 1 / 1000  # of an arm, in a whole run
MIN_DISSENT_RATE = 1e-6  # a band that ends lower is taken to end here
DEFAULT_STEPS = 1_000_000  # where the plan does not say how many


@dataclass(frozen=True, slots=True)
class DissentAlarm:
    """Dissent left the planned band: most probably from step `since` on; it was noticed at step `at`.

    Of the `steps` steps from `since` to `at`, `dissents` had a vote against their winner.
    """

    above: bool
    since: int
    at: int
    steps: int
    dissents: int
    band: tuple[float, float]

    @property
    def sentence(self) -> str:
        """The alarm for people, on one line."""
        low, high = self.band
        asked = "has the model changed?" if self.above else "has the model changed, or does a cache answer?"
        return (
            f"dissent left the planned band at about step {self.since:,}: {_percent(self.dissents / self.steps)}% of "
            f"the {self.steps:,} steps from there on, planned {_percent(low)}-{_percent(high)}%; {asked}"
        )


def _percent(share: float) -> str:
    return f"{100.0 * share:.2g}" if share < 0.1 else f"{100.0 * share:.3g}"


class DissentWatch:
    """Watches a run's steps in order, at the same small cost for each. `alarms` has at most one of each arm."""

    def __init__(self, band: tuple[float, float], steps: int, first: int = 0) -> None:
        """Watch up to `steps` steps, numbered from `first`, for dissent outside the band (low, high) of shares."""
        self.alarms: list[DissentAlarm] = []
        self._band = band
        self._next = first
        low, high = band[0], max(band[1], MIN_DISSENT_RATE)
        limit = log(steps) - log(FALSE_ALARM_PROBABILITY)
        self._arms: list[_Arm] = []
        if high < 1.0:
            self._arms.append(_Arm(True, high, min(2.0 * high, (1.0 + high) / 2.0), limit))
        if low > 0.0:
            self._arms.append(_Arm(False, low, low / 2.0, limit))

    def add(self, dissented: bool) -> DissentAlarm | None:
        """Count the next step; returns the alarm that it sets off, if it does."""
        step = self._next
        self._next += 1
        alarm = None
        for arm in self._arms:
            if arm.reaches(dissented):
                alarm = DissentAlarm(arm.above, step + 1 - arm.steps, step, arm.steps, arm.dissents, self._band)
        if alarm is not None:
            self._arms = [arm for arm in self._arms if arm.above is not alarm.above]
            self.alarms.append(alarm)
        return alarm


class _Arm:
    __slots__ = ("above", "agreed", "dissented", "dissents", "limit", "steps", "sum")

    def __init__(self, above: bool, planned: float, changed: float, limit: float) -> None:
        self.above = above
        self.dissented = log(changed / planned)  # what a step adds to the sum
        self.agreed = log1p(-changed) - (log1p(-planned) if planned < 1.0 else log(MIN_DISSENT_RATE))
        self.limit = limit
        self.sum = 0.0
        self.steps = self.dissents = 0  # since the sum was last 0

    def reaches(self, dissented: bool) -> bool:
        """Count a step; whether the sum has reached the limit."""
        total = self.sum + (self.dissented if dissented else self.agreed)
        if total <= 0.0:
            if self.steps:
                self.steps = self.dissents = 0
            self.sum = 0.0
            return False
        self.sum = total
        self.steps += 1
        self.dissents += dissented
        return total >= self.limit


def watch_of(expected: Expectations, first: int = 0) -> DissentWatch | None:
    """The watch that a plan calls for, from step `first` on; None where it names no band of dissent."""
    return None if expected.dissent is None else DissentWatch(expected.dissent, expected.steps or DEFAULT_STEPS, first)
