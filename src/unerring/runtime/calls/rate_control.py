"""Find how many calls a provider accepts at once and a second: raise the limit until it objects, then lower it.

The window of calls doubles in each round trip until the first objection (slow start), is cut by a share at each one
(multiplicative decrease), and grows by one call in a round trip again (additive increase), slowly so near the width
that met the last objection: Jacobson's congestion avoidance (SIGCOMM 1988) with the plateau of CUBIC (RFC 9438).
All calls of one account share one window, since a provider's limits apply to accounts. For a server that only queues
and never objects, `unerring.runtime.calls.throughput` finds the window.

For a provider that counts calls a minute even one call at once may be too many. From its first objection on calls are
spaced as well: at the rate that was accepted, at a lower one after each objection, and slowly faster without one.
"""

from typing import NamedTuple

from unerring.runtime.calls.throughput import WindowSearch

FIRST_WINDOW_CALLS = 8  # at once, before anything is known
KEPT_WINDOW_SHARE = 0.8  # after an objection: a half, as in TCP, leaves a quarter of the throughput unused
PLATEAU_RATIOS = 0.9, 1.05  # of the width that met the last objection: between these the window grows slowly
PLATEAU_GROWTH = 0.1  # of the usual growth
KEPT_RATE_SHARE = 0.93  # after an objection
TOLERATED_REFUSALS = 0.04  # as a share of calls: fewer are the usual noise of a busy provider
REFUSAL_MEMORY_CALLS = 128  # over which that share is taken
RATE_GAINS = (0.05, 0.02), (0.01, 0.002)  # calls a second added after an answer, and the most as a share of the rate:
# usually, and near the rate of the last objection
MAX_LATENESS_SECONDS = 0.05  # of a timer, that is made up for
MIN_CALLS_PER_SECOND = 1 / 60  # below this a pause is what helps


class CallTicket(NamedTuple):
    """One call in flight; `began` is when it was admitted, in seconds."""

    began: float


class RateControl:
    """Decides whether a further call may be sent now. Time comes in as a value, in seconds; nothing waits here."""

    def __init__(self, most: int, first: int = FIRST_WINDOW_CALLS) -> None:
        self.in_flight = 0
        self.limit = float(min(first, most))
        self.not_before = 0.0
        self._most = float(most)
        self._wall: float | None = None  # the width that met the last objection
        self._cut_at = float("-inf")
        self.rate: float | None = None  # calls a second, where the provider counts those
        self._wall_rate: float | None = None
        self._next = 0.0  # when the rate allows the next call
        self._since: float | None = None
        self._answered = 0
        # shares of the latest calls: refused for too many at once, and over a time
        self._refused = [0.0, 0.0]
        self._spread = 0.0, 0.0  # until when calls after a pause are spaced, and by how many seconds
        # a window that starts at its maximum is not searched
        self._search = WindowSearch(float(most)) if first < most else None

    @property
    def room(self) -> bool:
        """Whether the window has room for one more call."""
        return self.in_flight < int(self.limit)

    def wait(self, now: float) -> float:
        """How long to send nothing, even where the window has room, seconds."""
        return max(0.0, self.not_before - now, self._next - now)

    def admit(self, now: float) -> CallTicket | None:
        """Admit a call if it may be sent at once."""
        if self.in_flight >= int(self.limit) or now < self.not_before or now < self._next:
            return None
        return self.begin(now)

    def begin(self, now: float) -> CallTicket:
        """Admit a call."""
        if self._since is None:
            self._since = now
        self.in_flight += 1
        space = 0.0 if self.rate is None else 1.0 / self.rate
        if now < self._spread[0]:
            space = max(space, self._spread[1])
        if space:
            # timers are late by some milliseconds; that is made up for, so that the rate is met
            self._next = max(self._next, now - min(space, MAX_LATENESS_SECONDS)) + space
        return CallTicket(now)

    def end(self) -> None:
        """End a call, whatever its outcome."""
        self.in_flight -= 1

    def succeeded(self, ticket: CallTicket | None = None, now: float = 0.0) -> None:
        """Count an answered call, which has not ended yet; with its ticket its latency counts."""
        self._answered += 1
        if self._search is not None and ticket is not None and self.rate is None:
            width = self._search.answered(ticket.began, now, self.limit)
            if width is not None:
                self.limit = min(self._most, max(1.0, width))
        if any(self._refused):
            self._refused = [share - share / REFUSAL_MEMORY_CALLS for share in self._refused]
        if self.rate is not None:
            a_second, a_call = RATE_GAINS[_near(self.rate, self._wall_rate)]
            self.rate += min(a_second, a_call * self.rate)
        if 2 * self.in_flight < self.limit:
            return  # a window that is not filled is no reason for a wider one
        growth = 1.0 if self._search is None else self._search.growth
        if self._wall is not None:
            growth *= (PLATEAU_GROWTH if _near(self.limit, self._wall) else 1.0) / self.limit
        self.limit = min(self._most, self.limit + growth)

    def objected(self, ticket: CallTicket, now: float, counted: bool = False) -> bool:
        """Count a refusal for too many calls: `counted` over a time, otherwise at once.

        Returns whether it changes the window or rate. Few refusals are the noise of a busy provider, and calls that
        began before the last cut met the window that was cut already.
        """
        self._refused[counted] += (1.0 - self._refused[counted]) / REFUSAL_MEMORY_CALLS
        if ticket.began < self._cut_at or self._refused[counted] < TOLERATED_REFUSALS:
            return False
        if counted:
            self._slow_down(now)
        else:
            self._wall = self.limit
            self.limit = max(1.0, self.limit * KEPT_WINDOW_SHARE)
        self._cut_at = now
        if self._search is not None:
            self._search.reset()
        return True

    def _slow_down(self, now: float) -> None:
        if self.rate is None:
            self.rate = max(1, self._answered) / max(now - (self._since or now), 1.0)
        else:
            self._wall_rate = self.rate
        self.rate = max(MIN_CALLS_PER_SECOND, self.rate * KEPT_RATE_SHARE)

    def pause(self, until: float, spread: float = 0.0) -> None:
        """Send nothing before `until`, and then spread the waiting calls over `spread` seconds."""
        if until > self.not_before:
            self.not_before = until
            self._spread = until + spread, spread / max(1.0, self.limit)
            if self._search is not None:
                self._search.reset()


def _near(value: float, wall: float | None) -> bool:
    return wall is not None and PLATEAU_RATIOS[0] * wall <= value <= PLATEAU_RATIOS[1] * wall
