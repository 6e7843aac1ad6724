"""How many calls a provider takes at once: found out by asking for more until it objects, and then for fewer.

The window of calls doubles in each round trip until the first objection (slow start), is cut by a share at each one
(multiplicative decrease), and grows by one call in a round trip again (additive increase), slowly so near the width
that met the last objection: Jacobson's congestion avoidance (SIGCOMM 1988) with the plateau of CUBIC (RFC 9438).
All calls of one account share one window, since that is what a provider's limits apply to. What a server does that
queues in silence and never objects is found out by `unerring.runtime.calls.throughput`.

A provider that counts calls a minute is met otherwise: there even one call at once may be too many. From its first
objection on calls are spaced as well, at the rate that went through, somewhat less after each objection, and slowly
more while there is none.
"""

from typing import NamedTuple

from unerring.runtime.calls.throughput import WindowSearch

FIRST = 8  # calls at once before anything is known
KEPT = 0.8  # of the window after an objection: a half, as TCP has it, leaves a quarter of the throughput unused
PLATEAU = 0.9, 1.05  # of the width that met the last objection: between these the window grows slowly
SLOWLY = 0.1  # of the usual growth
SLOWED = 0.93  # of the rate after an objection
TOLERATED = 0.04  # share of calls that may be refused: less than that is the usual noise of a busy provider
MEMORY = 128  # calls over which that share is taken
REGAINED = (0.05, 0.02), (0.01, 0.002)  # of the rate for each second without one, and for each call at most: usually,
# and near the rate of the last objection
LATE = 0.05  # seconds
LEAST_RATE = 1 / 60  # calls a second: below this a pause is what helps


class CallTicket(NamedTuple):
    """One call under way; `began` is when it was let through, in seconds."""

    began: float


class RateControl:
    """Whether a further call may be made now. Time comes in as a value, in seconds; nothing waits here."""

    def __init__(self, most: int, first: int = FIRST) -> None:
        self.in_flight = 0
        self.limit = float(min(first, most))
        self.not_before = 0.0
        self._most = float(most)
        self._wall: float | None = None  # the width that met the last objection
        self._cut_at = float("-inf")
        self.rate: float | None = None  # calls a second, where the provider counts those
        self._wall_rate: float | None = None
        self._next = 0.0  # when the next call has its place in the rate
        self._since: float | None = None
        self._answered = 0
        self._refused = [0.0, 0.0]  # shares of the latest calls: because of too many at once, and over a time
        self._spread = 0.0, 0.0  # until when calls after a pause are spaced, and by how much
        # a window that is as wide as it may be from the first on is not for this to change
        self._widening = WindowSearch(float(most)) if first < most else None

    @property
    def room(self) -> bool:
        """Whether the window has room for one more call."""
        return self.in_flight < int(self.limit)

    def wait(self, now: float) -> float:
        """How long nothing is to be sent, in seconds, though there may be room."""
        return max(0.0, self.not_before - now, self._next - now)

    def admit(self, now: float) -> CallTicket | None:
        """Let a call through if it may be sent at once."""
        if self.in_flight >= int(self.limit) or now < self.not_before or now < self._next:
            return None
        return self.begin(now)

    def begin(self, now: float) -> CallTicket:
        """A call is let through."""
        if self._since is None:
            self._since = now
        self.in_flight += 1
        space = 0.0 if self.rate is None else 1.0 / self.rate
        if now < self._spread[0]:
            space = max(space, self._spread[1])
        if space:
            # wakers are late by some milliseconds, which is made up for: the rate is to be met
            self._next = max(self._next, now - min(space, LATE)) + space
        return CallTicket(now)

    def end(self) -> None:
        """A call is over, whatever it brought."""
        self.in_flight -= 1

    def succeeded(self, ticket: CallTicket | None = None, now: float = 0.0) -> None:
        """A call, not ended yet, was answered; with its ticket its latency counts."""
        self._answered += 1
        if self._widening is not None and ticket is not None and self.rate is None:
            width = self._widening.answered(ticket.began, now, self.limit)
            if width is not None:
                self.limit = min(self._most, max(1.0, width))
        at_once, over_a_time = self._refused
        if at_once or over_a_time:
            self._refused = [at_once - at_once / MEMORY, over_a_time - over_a_time / MEMORY]
        if self.rate is not None:
            a_second, a_call = REGAINED[_near(self.rate, self._wall_rate)]
            self.rate += min(a_second, a_call * self.rate)
        if 2 * self.in_flight < self.limit:
            return  # a window that is not filled says nothing about a wider one
        growth = 1.0 if self._widening is None else self._widening.growth
        if self._wall is not None:
            growth *= (SLOWLY if _near(self.limit, self._wall) else 1.0) / self.limit
        self.limit = min(self._most, self.limit + growth)

    def objected(self, ticket: CallTicket, now: float, counted: bool = False) -> bool:
        """The provider refused a call because there are too many: `counted` over a time, or else at once.

        Returns whether that changes anything: refusals that are few enough are the noise of a busy provider, and calls
        that began before the last cut say nothing new, since they met the window that was cut already.
        """
        self._refused[counted] += (1.0 - self._refused[counted]) / MEMORY
        if ticket.began < self._cut_at or self._refused[counted] < TOLERATED:
            return False
        if counted:
            self._slow_down(now)
        else:
            self._wall = self.limit
            self.limit = max(1.0, self.limit * KEPT)
        self._cut_at = now
        if self._widening is not None:
            self._widening.reset()
        return True

    def _slow_down(self, now: float) -> None:
        if self.rate is None:
            self.rate = max(1, self._answered) / max(now - (self._since or now), 1.0)
        else:
            self._wall_rate = self.rate
        self.rate = max(LEAST_RATE, self.rate * SLOWED)

    def pause(self, until: float, spread: float = 0.0) -> None:
        """Nothing is to be sent before `until`; and not all at once then, but over `spread` seconds."""
        if until > self.not_before:
            self.not_before = until
            self._spread = until + spread, spread / max(1.0, self.limit)
            if self._widening is not None:
                self._widening.reset()


def _near(value: float, wall: float | None) -> bool:
    return wall is not None and PLATEAU[0] * wall <= value <= PLATEAU[1] * wall
