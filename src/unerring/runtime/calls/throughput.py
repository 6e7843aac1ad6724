"""Find the narrowest window of calls that has nearly all of a server's throughput, where the server only queues.

A server that refuses too many calls shows its limit. One that only queues gives every further call a longer wait and
no more answers. The sign is that of TCP Vegas (Brakmo and Peterson, 1995): throughput stays behind
what a wider window should bring. Vegas and Netflix' Gradient2 (github.com/Netflix/concurrency-limits) compare each
latency with that of an idle server. Answers of models differ in length, so that there is no such base here: windows of
different widths are compared instead, by the throughput of a round of calls and by the calls in flight in it, which
are throughput times mean latency (Little's law).

While the window rises, a round that is wider and hardly faster is checked by a round at the old width, so that a
change of the questions is not mistaken for a queue. If it holds, the window is halved as long as that costs hardly any
throughput, and then held. From time to time a wider one is tried, at once where the server has become faster; and a
narrower one where it has become slower.
"""

from enum import Enum, auto
from math import ceil, log
from typing import NamedTuple

MIN_ROUND_CALLS = 24  # fewer say too little of a mean
WIDER_RATIO = 1.5  # of widths, from which two rounds are compared
GAIN_EXPONENT = 0.3  # by which throughput must rise with the width: 1 is in proportion, 0 not at all
MIN_THROUGHPUT_SHARE = 0.9  # of the throughput, that a narrower window must keep
LATER_GROWTH_CALLS = 0.5  # for each answer, once a wider window was hardly faster
MIN_FILLED_SHARE = 0.7  # of the window, that calls in flight must fill for a round to count
CHANGE_RATIO = 1.25  # of throughputs or latencies at one width, from which the server counts as changed
FIRST_HOLD_ROUNDS, MAX_HOLD_ROUNDS = 4, 32  # until a wider window is tried again; doubled each time in vain


class SearchPhase(Enum):
    """What rounds are compared for."""

    RISING = auto()  # the window grows with each answer
    CHECKING = auto()  # at the width before, after a wider window was hardly faster
    NARROWING = auto()  # at half the width
    HOLDING = auto()
    TRYING = auto()  # at twice the width that was held


class CallRound(NamedTuple):
    """A round of calls.

    rate: answers a second.
    latency: their mean latency, seconds.
    """

    rate: float
    latency: float

    @property
    def width(self) -> float:
        """Calls in flight on average."""
        return self.rate * self.latency

    def mixed(self, later: "CallRound", share: float) -> "CallRound":
        """The weighted mean of two rounds, where the later one has the weight `share`."""
        rate = self.rate + share * (later.rate - self.rate)
        return CallRound(rate, self.latency + share * (later.latency - self.latency))

    def slower_than(self, before: "CallRound") -> bool:
        """Whether the server is slower than in a round of about this width."""
        return self.rate * CHANGE_RATIO < before.rate and self.latency > CHANGE_RATIO * before.latency

    def faster_than(self, before: "CallRound") -> bool:
        """Whether the server is faster than in a round of about this width."""
        return self.rate > CHANGE_RATIO * before.rate or self.latency * CHANGE_RATIO < before.latency

    def gains_on(self, narrower: "CallRound") -> bool:
        """Whether this wider round has enough more throughput for its width."""
        return log(self.rate / narrower.rate) >= GAIN_EXPONENT * log(self.width / narrower.width)


class WindowSearch:
    """Compares rounds of calls and decides the width of the window. Time comes in as a value, in seconds."""

    def __init__(self, most: float) -> None:
        self._most = most
        self.phase = SearchPhase.RISING
        self._before: CallRound | None = None  # the round that the next one is compared with
        self._wider: CallRound | None = None  # a wider round that was hardly faster
        self._back = 1.0  # the width to return to where another one is no better
        self._held = 0
        self._hold = FIRST_HOLD_ROUNDS
        self._first = True  # whether no wider window was hardly faster and nothing was refused yet
        self._since = float("-inf")  # calls that began before this time met another width
        self._restart()

    def _restart(self) -> None:
        self._start: float | None = None
        self._begun_at = self._size = float(MIN_ROUND_CALLS)
        self._calls = 0
        self._seconds = 0.0

    def _begin(self, now: float, limit: float) -> None:
        """Begin a round of as many calls as the window has now, at least; the window may grow meanwhile."""
        self._start, self._begun_at = now, limit
        self._size = (
            max(MIN_ROUND_CALLS, limit) if self.phase is SearchPhase.RISING else max(2 * MIN_ROUND_CALLS, 2 * limit)
        )

    @property
    def growth(self) -> float:
        """Calls that the window may grow by with each answer: half as many once a wider window was hardly faster.

        At first the window at most doubles with each round, and not with each round trip: the second round shows that
        a server answers few calls at once, and more calls would only queue until then.
        """
        if self.phase is not SearchPhase.RISING:
            return 0.0
        if self._first:
            return min(1.0, self._begun_at / self._size)
        return 1.0 if self._wider is None else LATER_GROWTH_CALLS

    def reset(self) -> None:
        """Forget all rounds: after a refusal or a pause of all calls they say nothing of what follows."""
        self.phase, self._first = SearchPhase.RISING, False
        self._before = self._wider = None
        self._restart()

    def answered(self, began: float, now: float, limit: float) -> float | None:
        """Count an answered call; returns the new width of the window, None for no change."""
        if began < self._since:
            return None
        if self._start is None:
            self._begin(now, limit)
            return None
        self._calls += 1
        self._seconds += now - began
        if now <= self._start or (self._calls < self._size and not self._too_slow(now)):
            return None
        latest = CallRound(self._calls / (now - self._start), self._seconds / self._calls)
        self._restart()
        if self.phase is SearchPhase.RISING:
            self._begin(now, limit)
            width = self._risen(latest, limit)
        elif latest.width < MIN_FILLED_SHARE * limit:
            width = self._unfilled()
        else:
            width = self._compared(latest, limit)
        if width is not None:
            self._since = now
            self._restart()
        return width

    def _too_slow(self, now: float) -> bool:
        """Whether a narrower window costs too much throughput, already before its round is over."""
        if self.phase is not SearchPhase.NARROWING or self._before is None or self._start is None:
            return False
        return (now - self._start) * MIN_THROUGHPUT_SHARE * self._before.rate > self._size

    def _risen(self, latest: CallRound, limit: float) -> float | None:
        """Continue while a wider window is faster; otherwise check the width before."""
        before = self._before
        if before is not None and latest.slower_than(before) and latest.width < WIDER_RATIO * before.width:
            return self._narrow(latest, limit)
        if before is None or latest.width <= before.width:
            self._before = latest
        elif latest.width >= WIDER_RATIO * before.width:
            if not latest.gains_on(before):
                self._wider, self.phase, self._first = latest, SearchPhase.CHECKING, False
                return max(1.0, round(before.width))
            self._before = latest
        return None

    def _unfilled(self) -> float | None:
        """End a round with too few calls to fill the window, which says nothing of its width."""
        if self.phase is SearchPhase.HOLDING:
            return None
        if self.phase in {SearchPhase.NARROWING, SearchPhase.TRYING}:
            return self._hold_at(self._back, self._before)
        self.reset()
        return None

    def _compared(self, latest: CallRound, limit: float) -> float | None:
        before, wider = self._before, self._wider
        match self.phase:
            case SearchPhase.CHECKING if wider is not None and wider.gains_on(latest):
                self.phase, self._before = SearchPhase.RISING, latest
                return max(1.0, round(wider.width))
            case SearchPhase.CHECKING:
                return self._narrow(latest, limit)
            case SearchPhase.NARROWING if before is not None and latest.rate < MIN_THROUGHPUT_SHARE * before.rate:
                return self._hold_at(self._back, before)
            case SearchPhase.NARROWING:
                return self._narrow(before or latest, limit)
            case SearchPhase.TRYING if before is not None and latest.width > before.width and latest.gains_on(before):
                self.phase, self._before, self._hold = SearchPhase.RISING, latest, FIRST_HOLD_ROUNDS
                return limit
            case SearchPhase.TRYING:
                self._hold = min(2 * self._hold, MAX_HOLD_ROUNDS)
                return self._narrow(latest if before is None or latest.rate < before.rate else before, self._back)
        return self._hold_on(latest, limit)

    def _narrow(self, best: CallRound, limit: float) -> float:
        """Try half of a width whose throughput is known."""
        if limit <= 1.0:
            return self._hold_at(1.0)
        self.phase, self._before, self._back = SearchPhase.NARROWING, best, limit
        return float(ceil(limit / 2))

    def _hold_at(self, limit: float, before: CallRound | None = None) -> float:
        """Hold a width; `before` is a round at it, where there is one."""
        self.phase, self._held, self._before = SearchPhase.HOLDING, 0, before
        return limit

    def _hold_on(self, latest: CallRound, limit: float) -> float | None:
        """Stay for some rounds, then try twice the width; at once where the server has changed."""
        self._held += 1
        before = self._before or latest
        if latest.slower_than(before):
            self._hold = FIRST_HOLD_ROUNDS
            return self._narrow(latest, limit)
        self._before = before.mixed(latest, 1 / min(self._held, 4))
        if limit >= self._most or (self._held < self._hold and not latest.faster_than(before)):
            return None
        if latest.faster_than(before):
            self._before = latest
        self.phase, self._back = SearchPhase.TRYING, limit
        return min(2 * limit, self._most)
