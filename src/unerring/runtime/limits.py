"""Stopping and waiting: requests to stop, and the patience for a provider that is away."""

import asyncio
import time
from dataclasses import dataclass
from random import Random


class SystemClock:
    """The machine's clock."""

    def time(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class StopRequest:
    """A request, from outside, to stop in good order: samples under way are still taken in."""

    def __init__(self) -> None:
        self.reason: str | None = None

    def ask(self, reason: str) -> None:
        """Stop once the samples under way are in."""
        self.reason = self.reason or reason


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to put up with a provider's passing failures, all in seconds.

    The n-th failure in a row is waited out for `first * 2^n`, at most `longest`, never less than the provider asked
    for, and up to `spread` of that longer, so that many callers do not come back at once. After `total` seconds of
    nothing but failures the run stops, resumable.
    """

    first: float = 1.0
    longest: float = 60.0
    total: float = 900.0
    spread: float = 0.2

    def wait(self, failures: int, retry_after: float | None, chance: Random) -> float:
        """Seconds to wait after this many failures in a row."""
        wait = min(self.longest, self.first * 2.0 ** min(failures, 30))
        if retry_after is not None and retry_after > wait:
            wait = retry_after
        return wait * (1.0 + self.spread * chance.random())
