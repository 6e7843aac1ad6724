"""How many calls a provider takes at once: found out by asking for more until it objects, and then for fewer.

The window of calls doubles in each round trip until the first objection (slow start), is cut by a share at each one
(multiplicative decrease), and grows by one call in a round trip again (additive increase), slowly so near the width
that met the last objection: Jacobson's congestion avoidance (SIGCOMM 1988) with the plateau of CUBIC (RFC 9438).
All calls of one account share one window, since that is what a provider's limits apply to.
"""

from dataclasses import dataclass

FIRST = 8  # calls at once before anything is known
KEPT = 0.8  # of the window after an objection: a half, as TCP has it, leaves a quarter of the throughput unused
PLATEAU = 0.9, 1.1  # of the width that met the last objection: between these the window grows slowly
SLOWLY = 0.1  # of the usual growth


@dataclass(frozen=True, slots=True)
class Ticket:
    """One call under way; `began` is when it was let through, in seconds."""

    began: float


class Pacing:
    """Whether a further call may be made now. Time comes in as a value, in seconds; nothing waits here."""

    def __init__(self, most: int, first: int = FIRST) -> None:
        self.in_flight = 0
        self.limit = float(min(first, most))
        self.not_before = 0.0
        self.objections = 0  # in a row, without a success between them
        self._most = float(most)
        self._wall: float | None = None  # the width that met the last objection
        self._cut_at = float("-inf")

    @property
    def room(self) -> bool:
        """Whether the window has room for one more call."""
        return self.in_flight < int(self.limit)

    def begin(self, now: float) -> Ticket:
        """A call is let through."""
        self.in_flight += 1
        return Ticket(now)

    def end(self) -> None:
        """A call is over, whatever it brought."""
        self.in_flight -= 1

    def succeeded(self) -> None:
        """A call, not ended yet, was answered."""
        self.objections = 0
        if 2 * self.in_flight < self.limit:
            return  # a window that is not filled says nothing about a wider one
        if self._wall is None:
            growth = 1.0
        else:
            near = PLATEAU[0] * self._wall <= self.limit <= PLATEAU[1] * self._wall
            growth = (SLOWLY if near else 1.0) / self.limit
        self.limit = min(self._most, self.limit + growth)

    def objected(self, ticket: Ticket, now: float) -> None:
        """The provider refused a call because there are too many.

        Calls that began before the last cut say nothing new: they met the window that was cut already.
        """
        if ticket.began < self._cut_at:
            return
        self.objections += 1
        self._wall = self.limit
        self.limit = max(1.0, self.limit * KEPT)
        self._cut_at = now

    def pause(self, until: float) -> None:
        """Nothing is to be sent before `until`."""
        self.not_before = max(self.not_before, until)
