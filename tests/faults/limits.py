"""Limits of the server: slots for simultaneous calls, and a token bucket for calls a second."""

from dataclasses import dataclass, replace
from math import ceil

from faults.faults import Rejection, rate_limited

FULL = Rejection(503, "server_busy", "server busy, maximum pending requests exceeded", "server_error", name="SLOTS")


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds from a request to its reply: `base`, and up to `jitter` more, drawn for each request."""

    base: float = 0.0
    jitter: float = 0.0


@dataclass(frozen=True, slots=True)
class Rate:
    """Requests a second, in the long run; `burst` of them at once.

    A rejected request is charged too if `charges_rejected`, down to a debt of one burst: a client that keeps asking at
    full speed gets nothing, as with providers whose limit counts unsuccessful requests. With `retry_after`, a
    rejection says in Retry-After when a request would be taken, in whole seconds, rounded up.
    """

    per_second: float
    burst: float = 1.0
    charges_rejected: bool = True
    retry_after: bool = True


class Bucket:
    """The state of a rate limit. It starts full."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._level = rate.burst
        self._filled: float | None = None

    def refusal(self, now: float) -> Rejection | None:
        """Take a request at this time, in seconds of a steady clock, or return the reason to refuse it."""
        rate = self._rate
        if self._filled is not None:
            self._level = min(rate.burst, self._level + (now - self._filled) * rate.per_second)
        self._filled = now
        if self._level >= 1.0:
            self._level -= 1.0
            return None
        if rate.charges_rejected:
            self._level = max(-rate.burst, self._level - 1.0)
        wait = (1.0 - self._level) / rate.per_second
        return replace(rate_limited(str(ceil(wait)) if rate.retry_after else None), name="RATE")
