"""Providers on virtual time for the rate limiter: with slots, with slots and a silent queue, with a token bucket."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from unerring.runtime.calls.rate_control import CallTicket, RateControl


@dataclass
class Seen:
    """Counts of a provider in the second half of a simulation, when the rate is steady."""

    answered: int = 0
    refused: int = 0
    most: int = 0
    seconds: float = 0.0

    @property
    def refused_share(self) -> float:
        return self.refused / max(1, self.answered + self.refused)

    @property
    def rate(self) -> float:
        return self.answered / self.seconds


class Slots:
    """Answers so many calls at once, and refuses others."""

    def __init__(self, slots: int, latency: Callable[[], float]) -> None:
        self.slots, self.latency, self.busy = slots, latency, 0

    def takes(self, now: float) -> float | None:
        """How long the call takes; None if it is refused."""
        if self.busy >= self.slots:
            return None
        self.busy += 1
        return self.latency()

    def done(self) -> None:
        self.busy -= 1


class Queue:
    """Answers so many calls at once, and lets others wait without a reply. Slots and latency may be changed."""

    def __init__(self, slots: int, latency: Callable[[], float]) -> None:
        self.latency = latency
        self.free: list[float] = []
        self.resize(slots, 0.0)

    def resize(self, slots: int, now: float) -> None:
        """Have so many slots from now on; busy ones stay busy until their call ends."""
        kept = sorted(self.free)[-slots:]
        self.free = [*kept, *[now] * (slots - len(kept))]
        heapq.heapify(self.free)

    def takes(self, now: float) -> float | None:
        """How long the call takes, its wait included."""
        ends = max(now, heapq.heappop(self.free)) + self.latency()
        heapq.heappush(self.free, ends)
        return ends - now

    def done(self) -> None:
        pass


class Bucket:
    """Accepts so many calls a second, with a burst, and charges refused ones too."""

    def __init__(self, rate: float, burst: float, latency: Callable[[], float]) -> None:
        self.rate, self.burst, self.latency = rate, burst, latency
        self.level, self.at = burst, 0.0

    def takes(self, now: float) -> float | None:
        self.level = min(self.burst, self.level + (now - self.at) * self.rate)
        self.at = now
        self.level -= 1.0
        if self.level < 0:
            self.level = max(self.level, -self.burst)
            return None
        return self.latency()

    def done(self) -> None:
        pass


def simulated(provider: Slots | Bucket | Queue, pacing: RateControl, seconds: float, pause: float) -> Seen:
    """An endless queue of calls against a provider. A refusal comes after 5 ms, and pauses all calls for `pause`."""
    seen, number, events = Seen(), count(), []
    now = waking = 0.0

    def send() -> None:
        nonlocal waking
        while pacing.room:
            wait = pacing.wait(now)
            if wait > 0:
                if waking <= now:
                    waking = now + wait
                    heapq.heappush(events, (waking, next(number), None, False))
                return
            ticket, takes = pacing.begin(now), provider.takes(now)
            heapq.heappush(events, (now + (takes or 0.005), next(number), ticket, takes is not None))
            if now > seconds / 2:
                seen.most = max(seen.most, pacing.in_flight)

    send()
    while events and now < seconds:
        now, _, ticket, answered = heapq.heappop(events)
        if ticket is not None:
            if _ended(provider, pacing, ticket, answered, now) and pause:
                pacing.pause(now + pause, pause * 0.2)
            if now > seconds / 2:
                seen.answered += answered
                seen.refused += not answered
        send()
    seen.seconds = now - seconds / 2
    return seen


def _ended(
    provider: Slots | Bucket | Queue, pacing: RateControl, ticket: CallTicket, answered: bool, now: float
) -> bool:
    """End a call; returns whether the rate changes because of it."""
    changed = False
    if answered:
        provider.done()
        pacing.succeeded(ticket, now)
    else:
        changed = pacing.objected(ticket, now, counted=isinstance(provider, Bucket))
    pacing.end()
    return changed
