"""Calls that the rate limiter sends at once to servers that never refuse any: with silent slots, and without a limit.

256 callers ask without a pause, through the rate limiter of an account, and for comparison all at once.
Servers are real ones on loopback (tests/faults), in a process of their own; latencies are drawn for each request.
Figures are those of the second half: calls in flight on average, the share of the throughput of all slots, and the
latency as a multiple of an idle server's.

    python benchmarks/pacing.py --seconds 40
"""

import asyncio
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from common import Row, give_out, parser_for

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from faults.process import running
from unerring.adapters.openai import OpenAISampler
from unerring.core.voting.sample import Settings
from unerring.runtime.calls.patience import Patience
from unerring.runtime.calls.rate_control import FIRST_WINDOW_CALLS
from unerring.runtime.calls.rate_limiter import RateLimiter
from unerring.runtime.config import SystemClock

CALLERS = 256


@dataclass(frozen=True, slots=True)
class Server:
    """A server with so many slots, None for no limit; its latency is from `base` to `base + jitter` seconds."""

    slots: int | None
    base: float
    jitter: float

    @property
    def mean(self) -> float:
        """Mean latency of an idle server, in seconds."""
        return self.base + self.jitter / 2

    @property
    def name(self) -> str:
        """What it is called in the table."""
        return "no limit" if self.slots is None else f"{self.slots} silent slots"

    def options(self) -> list[object]:
        """The options of `python -m faults`."""
        limit = [] if self.slots is None else ["--slots", self.slots, "--queues"]
        return ["--model", "m=noise:p=1", "--latency", self.base, "--jitter", self.jitter, "--keep", 10, *limit]


SERVERS = (Server(4, 0.1, 0.1), Server(8, 0.1, 0.1), Server(64, 0.4, 0.4), Server(None, 1.0, 1.0))


@dataclass(frozen=True, slots=True)
class Found:
    """The second half: calls in flight on average, shares of throughput, and latency to that of an idle server."""

    in_flight: float
    throughput: float
    latency: float


async def loaded(url: str, server: Server, seconds: float, first: int) -> Found:
    """Have all callers ask for so long; the window is `first` calls wide at the beginning."""
    sampler = OpenAISampler(f"openai/m@{url}")
    limiter = RateLimiter(SystemClock(), Patience(), CALLERS, first)
    latencies: list[float] = []
    begun = time.monotonic()

    async def caller(number: int) -> None:
        step = 0
        while time.monotonic() < begun + seconds:
            ticket = limiter.enter_now() or await limiter.enter()
            sent = time.monotonic()
            await sampler.sample("?", Settings(1.0, 16, number, step, 0), 1)
            limiter.leave(ticket)
            step += 1
            if begun + seconds / 2 < time.monotonic() < begun + seconds:
                latencies.append(time.monotonic() - sent)

    try:
        await asyncio.gather(*(caller(number) for number in range(CALLERS)))
    finally:
        await sampler.aclose()
    rate, mean = len(latencies) / (seconds / 2), sum(latencies) / len(latencies)
    slots = min(server.slots or CALLERS, CALLERS)
    return Found(rate * mean, rate * server.mean / slots, mean / server.mean)


def measured(server: Server, seconds: float, first: int) -> Found:
    """Figures of a fresh server."""
    with running(*server.options()) as process:
        return asyncio.run(loaded(process.url, server, seconds, first))


def main() -> int:
    parser = parser_for(__doc__)
    parser.add_argument("--seconds", type=float, default=40.0, help="for each server and way")
    args = parser.parse_args()
    rows, figures = [], {}
    for server in SERVERS:
        paced, at_once = (measured(server, args.seconds, first) for first in (FIRST_WINDOW_CALLS, CALLERS))
        for way, found in (("paced", paced), ("all at once", at_once)):
            shown = f"{found.in_flight:6.1f} in flight, {found.throughput:4.0%} of the throughput"
            print(f"{server.name:16} {way:12} {shown}, {found.latency:5.2f} times the latency", flush=True)
            figures[f"{server.name}, {way}"] = [found.in_flight, found.throughput, found.latency]
        what = f"{server.name}: throughput and latency, against all {CALLERS} calls at once"
        shown = f"{paced.throughput / at_once.throughput:.2f} and {paced.latency / at_once.latency:.2f} times"
        if server.slots is None:
            rows.append(Row(what, shown, "≥ 0.9", paced.throughput >= 0.9 * at_once.throughput))
        else:
            must = "≥ 0.8, and at most 4 times an idle server's latency"
            holds = paced.throughput >= 0.8 * at_once.throughput and paced.latency <= 4.0
            rows.append(Row(what, shown, must, holds))
    return give_out(args, figures, rows)


if __name__ == "__main__":
    sys.exit(main())
