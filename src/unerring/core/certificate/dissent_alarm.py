"""An alarm for a share of steps with dissent outside the planned band.

A model that is replaced under the same name errs more or less often; a cache that serves copies removes dissent. Both
change how often a step has a vote against its winner, long before a wrong step is noticed.

There are two CUSUM tests (Page, Biometrika 41, 1954): the log-likelihood ratio of two dissent rates, summed over the
steps, and set back to 0 whenever it falls below. The upper test compares the band's high end h with twice it, the
lower one its low end l with half of it:

    S(n) = max(0, S(n-1) + x(n)),   x = ln(r1 / r0) for a step with dissent, ln((1 - r1) / (1 - r0)) for one without,

with r0 = h and r1 = 2h above (at most halfway from h to 1), r0 = l and r1 = l/2 below. For a run of N steps the alarm
is raised at S(n) >= ln(1000 N) nats.

Why a false alarm is improbable. S(n) is the largest of 0 and the sums x(i) + ... + x(n) over all starts i <= n. For
one start, M(n) = exp(x(i) + ... + x(n)) is not negative. If each step has dissent with a probability q inside the
band, whatever happened in the steps before it, M is a supermartingale that starts at 1. Its mean factor in a step is

    q r1/r0 + (1 - q) (1 - r1)/(1 - r0),

which is 1 at q = r0, and below 1 on the band's side of r0. By Ville's inequality M ever reaches 1000 N with a
probability of at most 1 / (1000 N). There are N starts, so each test raises a false alarm in at most one of 1000 runs.

Assumption: the band holds for each step given those before it. Steps may differ if they come in no particular order,
because only their mean matters then. It breaks for a long stretch of steps that are harder than the plan's average: it
sets off the upper test although only the steps have changed. A run of more than N steps has false alarms more often,
in proportion.

How soon it comes: at a rate r of dissent the sum grows by r ln(r1/r0) + (1 - r) ln((1 - r1)/(1 - r0)) a step. If the
rate has doubled that is about 0.39 h, and the alarm comes after about ln(1000 N) / (0.39 h) steps: 13,000 of a million
for h = 0.004. If dissent has vanished it takes 2 ln(1000 N) / l steps.
"""

from dataclasses import dataclass
from math import log, log1p

from unerring.core.certificate.expectations import Expectations

FALSE_ALARM_PROBABILITY = 1 / 1000  # of each test, over a whole run
MIN_DISSENT_RATE = 1e-6  # a band whose high end is lower ends here
DEFAULT_STEPS = 1_000_000  # where the plan does not say how many


@dataclass(frozen=True, slots=True)
class DissentAlarm:
    """Dissent left the planned band.

    above: whether there was more of it than planned, else less.
    since: the step at which it most probably began.
    at: the step at which it was noticed.
    steps: the number of steps from `since` to `at`.
    dissents: those of them with a vote against their winner.
    band: the planned shares, low and high.
    """

    above: bool
    since: int
    at: int
    steps: int
    dissents: int
    band: tuple[float, float]

    @property
    def sentence(self) -> str:
        """The alarm as one line."""
        low, high = self.band
        asked = "has the model changed?" if self.above else "has the model changed, or does a cache answer?"
        return (
            f"dissent left the planned band at about step {self.since:,}: {_percent(self.dissents / self.steps)}% of "
            f"the {self.steps:,} steps from there on, planned {_percent(low)}-{_percent(high)}%; {asked}"
        )


def _percent(share: float) -> str:
    return f"{100.0 * share:.2g}" if share < 0.1 else f"{100.0 * share:.3g}"


class DissentWatch:
    """Watches the steps of a run in order. `alarms` has at most one alarm of each of the two tests."""

    def __init__(self, band: tuple[float, float], steps: int, first: int = 0) -> None:
        """Watch up to `steps` steps, numbered from `first`, for dissent outside the band (low, high) of shares."""
        self.alarms: list[DissentAlarm] = []
        self._band = band
        self._next = first
        low, high = band[0], max(band[1], MIN_DISSENT_RATE)
        limit = log(steps) - log(FALSE_ALARM_PROBABILITY)
        self._tests: list[_CusumTest] = []
        if high < 1.0:
            self._tests.append(_CusumTest(True, high, min(2.0 * high, (1.0 + high) / 2.0), limit))
        if low > 0.0:
            self._tests.append(_CusumTest(False, low, low / 2.0, limit))

    def add(self, dissented: bool) -> DissentAlarm | None:
        """Count the next step; returns the alarm that it raises, if any."""
        step = self._next
        self._next += 1
        alarm = None
        for test in self._tests:
            if test.reaches(dissented):
                alarm = DissentAlarm(test.above, step + 1 - test.steps, step, test.steps, test.dissents, self._band)
        if alarm is not None:
            self._tests = [test for test in self._tests if test.above is not alarm.above]
            self.alarms.append(alarm)
        return alarm


class _CusumTest:
    __slots__ = ("above", "agreed", "dissented", "dissents", "limit", "steps", "sum")

    def __init__(self, above: bool, planned: float, changed: float, limit: float) -> None:
        self.above = above
        self.dissented = log(changed / planned)  # added to the sum by a step with dissent
        self.agreed = log1p(-changed) - (log1p(-planned) if planned < 1.0 else log(MIN_DISSENT_RATE))
        self.limit = limit
        self.sum = 0.0
        self.steps = self.dissents = 0  # since the sum was last 0

    def reaches(self, dissented: bool) -> bool:
        """Count a step; returns whether the sum has reached the limit."""
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
    """The watch for a plan, from step `first` on; None where the plan has no band of dissent."""
    return None if expected.dissent is None else DissentWatch(expected.dissent, expected.steps or DEFAULT_STEPS, first)
