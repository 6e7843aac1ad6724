"""Finds the narrowest window of calls that has nearly all of a server's throughput, where the server only queues.

A server that refuses what is too much says where its limit is. One that queues in silence gives every further call a
longer wait and no more answers. The sign is that of TCP Vegas (Brakmo and Peterson, 1995): throughput stays behind
what a wider window should bring. Vegas and Netflix' Gradient2 (github.com/Netflix/concurrency-limits) compare each
latency with that of an idle server. Answers of models differ in length, so that there is no such base here: windows of
different widths are compared instead, by the throughput of a round of calls and by the calls under way in it, which
are throughput times mean latency (Little's law).

While the window rises, a round that is wider and hardly faster is checked by a round at the old width, lest a change
of what is asked is mistaken for a queue. If it holds, the window is halved as long as that costs hardly any
throughput, and then held. From time to time a wider one is tried, at once where the server has become faster; and a
narrower one where it has become slower.
"""

from enum import Enum, auto
from math import ceil, log
from typing import NamedTuple

LEAST_CALLS = 24  # of a round: fewer say too little of a mean
WIDER = 1.5  # ratio of widths from which two rounds are compared
GAIN = 0.3  # exponent by which throughput must rise with the width, 1 being in proportion and 0 not at all
KEPT_THROUGHPUT = 0.9  # share of the throughput that a narrower window must have
LATER_GROWTH = 0.5  # calls for each answer, once a wider window has brought hardly more
FILLED = 0.7  # share of the window that calls under way must fill for a round to say something about it
CHANGED = 1.25  # ratio of throughputs or latencies of two rounds of one width that says that the server has changed
FIRST_HOLD, MOST_HOLD = 4, 32  # rounds until a wider window is tried again: doubled each time that it was in vain


class SearchPhase(Enum):
    """What the rounds are compared for."""

    RISING = auto()  # the window grows with every answer
    CHECKING = auto()  # at the width before, after a wider window brought hardly more
    NARROWING = auto()  # at half the width
    HOLDING = auto()
    TRYING = auto()  # at twice the width that was held


class CallRound(NamedTuple):
    """Some calls after one another: answers a second, and their mean latency in seconds."""

    rate: float
    latency: float

    @property
    def width(self) -> float:
        """Calls under way on average."""
        return self.rate * self.latency

    def mixed(self, later: "CallRound", share: float) -> "CallRound":
        """The mean of two rounds, `share` of it the later one."""
        rate = self.rate + share * (later.rate - self.rate)
        return CallRound(rate, self.latency + share * (later.latency - self.latency))

    def slower_than(self, before: "CallRound") -> bool:
        """Whether the server has become slower than it was in a round of about this width."""
        return self.rate * CHANGED < before.rate and self.latency > CHANGED * before.latency

    def faster_than(self, before: "CallRound") -> bool:
        """Whether the server has become faster, or has more room, than in a round of about this width."""
        return self.rate > CHANGED * before.rate or self.latency * CHANGED < before.latency

    def gains_on(self, narrower: "CallRound") -> bool:
        """Whether this wider round has about the throughput that its width should bring."""
        return log(self.rate / narrower.rate) >= GAIN * log(self.width / narrower.width)


class WindowSearch:
    """Compares rounds of calls; says how wide the window is to be. Time comes in as a value, in seconds."""

    def __init__(self, most: float) -> None:
        self._most = most
        self.phase = SearchPhase.RISING
        self._before: CallRound | None = None  # what the next round is compared with
        self._wider: CallRound | None = None  # what brought hardly more
        self._back = 1.0  # the width to go back to where another one is no better
        self._held = 0
        self._hold = FIRST_HOLD
        self._first = True  # whether nothing is known yet: no width was found, and nobody objected
        self._since = float("-inf")  # calls that began before met another width
        self._restart()

    def _restart(self) -> None:
        self._start: float | None = None
        self._begun_at = self._size = float(LEAST_CALLS)
        self._calls = 0
        self._seconds = 0.0

    def _begin(self, now: float, limit: float) -> None:
        """Begin a round of as many calls as the window has now; it may grow meanwhile."""
        self._start, self._begun_at = now, limit
        self._size = max(LEAST_CALLS, limit) if self.phase is SearchPhase.RISING else max(2 * LEAST_CALLS, 2 * limit)

    @property
    def growth(self) -> float:
        """Calls that the window may grow by with each answer: fewer once there was an end to it.

        It doubles with each round at most, and not with each round trip: a server of few slots is found out by the
        second round, and the calls of the first ones would all queue before it.
        """
        if self.phase is not SearchPhase.RISING:
            return 0.0
        if self._first:
            return min(1.0, self._begun_at / self._size)
        return 1.0 if self._wider is None else LATER_GROWTH

    def reset(self) -> None:
        """The provider objected, or everybody waited: what was seen before says nothing about what comes."""
        self.phase, self._first = SearchPhase.RISING, False
        self._before = self._wider = None
        self._restart()

    def answered(self, began: float, now: float, limit: float) -> float | None:
        """A call was answered; returns how wide the window is to be from now on, None for as it is."""
        if began < self._since:
            return None
        if self._start is None:
            self._begin(now, limit)
            return None
        self._calls += 1
        self._seconds += now - began
        if now <= self._start or (self._calls < self._size and not self._too_slow(now)):
            return None
        found = CallRound(self._calls / (now - self._start), self._seconds / self._calls)
        self._restart()
        if self.phase is SearchPhase.RISING:
            self._begin(now, limit)
            width = self._risen(found, limit)
        elif found.width < FILLED * limit:
            width = self._unfilled()
        else:
            width = self._compared(found, limit)
        if width is not None:
            self._since = now
            self._restart()
        return width

    def _too_slow(self, now: float) -> bool:
        """Whether a narrower window has shown, before its round is over, that it costs too much throughput."""
        if self.phase is not SearchPhase.NARROWING or self._before is None or self._start is None:
            return False
        return (now - self._start) * KEPT_THROUGHPUT * self._before.rate > self._size

    def _risen(self, found: CallRound, limit: float) -> float | None:
        """Go on as long as a wider window brings more; else look again at the width before."""
        before = self._before
        if before is not None and found.slower_than(before) and found.width < WIDER * before.width:
            return self._narrow(found, limit)
        if before is None or found.width <= before.width:
            self._before = found
        elif found.width >= WIDER * before.width:
            if not found.gains_on(before):
                self._wider, self.phase, self._first = found, SearchPhase.CHECKING, False
                return max(1.0, round(before.width))
            self._before = found
        return None

    def _unfilled(self) -> float | None:
        """There were too few calls to fill the window: nothing is known of one of that width."""
        if self.phase is SearchPhase.HOLDING:
            return None
        if self.phase in {SearchPhase.NARROWING, SearchPhase.TRYING}:
            return self._hold_at(self._back, self._before)
        self.reset()
        return None

    def _compared(self, found: CallRound, limit: float) -> float | None:
        before, wider = self._before, self._wider
        match self.phase:
            case SearchPhase.CHECKING if wider is not None and wider.gains_on(found):
                self.phase, self._before = SearchPhase.RISING, found
                return max(1.0, round(wider.width))
            case SearchPhase.CHECKING:
                return self._narrow(found, limit)
            case SearchPhase.NARROWING if before is not None and found.rate < KEPT_THROUGHPUT * before.rate:
                return self._hold_at(self._back, before)
            case SearchPhase.NARROWING:
                return self._narrow(before or found, limit)
            case SearchPhase.TRYING if before is not None and found.width > before.width and found.gains_on(before):
                self.phase, self._before, self._hold = SearchPhase.RISING, found, FIRST_HOLD
                return limit
            case SearchPhase.TRYING:
                self._hold = min(2 * self._hold, MOST_HOLD)
                return self._narrow(found if before is None or found.rate < before.rate else before, self._back)
        return self._hold_on(found, limit)

    def _narrow(self, best: CallRound, limit: float) -> float:
        """Try half of a width, whose throughput is known."""
        if limit <= 1.0:
            return self._hold_at(1.0)
        self.phase, self._before, self._back = SearchPhase.NARROWING, best, limit
        return float(ceil(limit / 2))

    def _hold_at(self, limit: float, before: CallRound | None = None) -> float:
        """Hold a width, whose throughput was that of the round `before`, where it is known."""
        self.phase, self._held, self._before = SearchPhase.HOLDING, 0, before
        return limit

    def _hold_on(self, found: CallRound, limit: float) -> float | None:
        """Stay for some rounds, then try twice the width; at once another one where the server has changed."""
        self._held += 1
        before = self._before or found
        if found.slower_than(before):
            self._hold = FIRST_HOLD
            return self._narrow(found, limit)
        self._before = before.mixed(found, 1 / min(self._held, 4))
        if limit >= self._most or (self._held < self._hold and not found.faster_than(before)):
            return None
        if found.faster_than(before):
            self._before = found
        self.phase, self._back = SearchPhase.TRYING, limit
        return min(2 * limit, self._most)
