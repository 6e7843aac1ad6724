"""Votes a second of the engine with an instant sampler, relative to a plain loop without a journal.

    python benchmarks/engine.py [--steps N]

All figures come from one run on one machine; compare the ratios. The sampler answers at once and free of charge, so
that only the engine is measured: asyncio, red flags, canonical choices, races, state, hashing, the durable journal.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import unerring
from common import Counter, Instant, Row, give_out, one_at_a_time, parser_for, voted

K = 3


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast one way of running is; the ratio is to the plain loop, the bytes are those of the journal a vote."""

    name: str
    votes_per_second: float
    ratio: float
    bytes_per_vote: float


def plain(steps: int) -> float:
    """The same decisions in a plain loop: no event loop, no journal, no report."""
    chain = Counter(steps)
    state = chain.start()
    while (subtask := chain.subtask(state)) is not None:
        state = chain.advance(state, voted(subtask, K))
    return 0.0


def engine(steps: int, paid: bool, folder: Path | None) -> float:
    """Run the engine; returns the journal's bytes a vote, or 0 without one."""
    journal = None if folder is None else folder / f"engine-{paid}.db"
    unerring.run(Counter(steps), Instant(paid), journal, k=K, options=one_at_a_time())
    return 0.0 if journal is None else journal.stat().st_size / (steps * K)


def measured(name: str, steps: int, work: Callable[[], float], reference: float | None = None) -> Speed:
    started = time.perf_counter()
    size = work()
    rate = steps * K / (time.perf_counter() - started)
    ratio = "" if reference is None else f"{100 * rate / reference:8.1f} % of the plain loop"
    stored = f"{size:8.1f} bytes a vote" if size else ""
    print(f"{name:<46}{rate:>10,.0f} votes/s{ratio}{stored}")
    return Speed(name, rate, rate / (reference or rate), size)


def main() -> int:
    parser = parser_for(__doc__)
    parser.add_argument("--steps", type=int, default=20_000)
    args = parser.parse_args()
    steps, few = args.steps, args.steps // 10
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first = measured("plain loop, no journal", steps, lambda: plain(steps))
        reference = first.votes_per_second
        speeds = [
            measured("engine, journal in memory", steps, lambda: engine(steps, False, None), reference),
            measured("engine, durable journal, free sampler", steps, lambda: engine(steps, False, folder), reference),
            measured(
                "engine, durable journal, intent before each call", few, lambda: engine(few, True, folder), reference
            ),
        ]
    plain_loop = "of the speed of a plain loop without a journal"
    rows = [
        Row(speed.name, f"{speed.votes_per_second:,.0f} votes/s, {100 * speed.ratio:.1f} % {plain_loop}")
        for speed in speeds
    ]
    return give_out(args, {"steps": steps, "speeds": [asdict(speed) for speed in (first, *speeds)]}, rows)


if __name__ == "__main__":
    sys.exit(main())
