"""Speculation: a dependent chain on a model that takes 50 ms a call, compared with the same chain one step at a time.

    python benchmarks/ahead.py [--steps N] [--p 1.0] [--in-flight 256]

The chain guesses its own next choice, correctly on a set share of its steps; votes are right with probability p. Both
runs are real, waiting included. The sequential rate is measured over fewer steps, since each takes as long.
Decisions are compared one by one, with their tallies: looking ahead must not change any.

Then a product of 10 by 10 digits, solved as a tree without guesses: independent parts are asked at the same time.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

import unerring
from common import Counter, Instant, Row, give_out, parser_for
from unerring.core.chain import Chain
from unerring.processes import Solve
from unerring.runtime.protocols import Sampler
from unerring.testing import NoisySampler

K = 3
LATENCY = 0.050
PRODUCT = "1234567890 * 9876543210"


class Guessing(Counter):
    """The light chain with a guess that is right on a share of its steps."""

    def __init__(self, steps: int, share: float) -> None:
        super().__init__(steps)
        self.share = share

    def guess(self, state: int) -> int:
        return state + 1 if Random(state).random() < self.share else state + 2


class Late:
    """A sampler with a latency, which counts the samples in flight."""

    paid = False
    compact = True
    name = "late"

    def __init__(self, sampler: Sampler, latency: float = LATENCY) -> None:
        self._sampler = sampler
        self._latency = latency
        self.in_flight_now = self.most = 0

    async def sample(self, prompt: str, settings: unerring.Settings, n: int) -> Sequence[unerring.Sample]:
        self.in_flight_now += n
        self.most = max(self.most, self.in_flight_now)
        try:
            await asyncio.sleep(self._latency)
        finally:
            self.in_flight_now -= n
        return await self._sampler.sample(prompt, settings, n)


@dataclass(frozen=True, slots=True)
class Pass:
    """One run: its pace, what it wasted, and a digest of each decision."""

    seconds_per_step: float
    waste: float
    most_in_flight: int
    votes_per_step: float
    decisions: tuple[tuple[str, tuple[int, ...]], ...]


def guessing(steps: int, share: float, p: float, speculate: str, in_flight: int) -> Pass:
    chain = Guessing(steps, share)
    # the noise sampler takes more processor time than the engine, so it is used only for p < 1
    return run(chain, Instant(paid=False) if p == 1.0 else NoisySampler(chain.rehearse, p), speculate, in_flight)


def multiplying(p: float, speculate: str, in_flight: int) -> Pass:
    chain = Solve(PRODUCT, "multiply")
    return run(chain, NoisySampler(chain.rehearse, p), speculate, in_flight)


def run(chain: Chain, sampler: Sampler, speculate: str, in_flight: int) -> Pass:
    model = Late(sampler)
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder) / "ahead.db"
        started = time.perf_counter()
        options = unerring.Options(speculate=speculate, in_flight=in_flight)
        result = unerring.run(chain, model, journal, K, options=options)
        report, took = result.report, (time.perf_counter() - started) / result.steps
        decisions = tuple((one.choice, one.tally) for one in unerring.steps(journal))
    waste = report["speculation"]["waste"]
    return Pass(took, waste, model.most, report["votes_per_step"], decisions)


def main() -> int:
    parser = parser_for(__doc__)
    parser.add_argument("--steps", type=int, default=6_000)
    parser.add_argument("--sequential", type=int, default=400, help="steps of the sequential run")
    parser.add_argument("--p", type=float, default=1.0, help="probability that a vote is right")
    parser.add_argument("--in-flight", type=int, default=256, help="most samples at once")
    args = parser.parse_args()
    off = guessing(args.sequential, 1.0, args.p, "off", args.in_flight)
    print(f"{'one after the other':<34}{off.seconds_per_step * 1e3:8.2f} ms a step")
    found, rows = {}, []
    for share, steps in ((1.0, args.steps), (0.998, args.steps), (0.9, args.steps // 8), (0.0, args.sequential)):
        ahead = guessing(steps, share, args.p, "guess", args.in_flight)
        gain = off.seconds_per_step / ahead.seconds_per_step
        same = all(one == other for one, other in zip(off.decisions, ahead.decisions, strict=False))
        name = f"guess right on {share:.1%} of steps"
        print(
            f"{name:<34}{ahead.seconds_per_step * 1e3:8.2f} ms a step{gain:9.2f} times as fast, waste "
            f"{ahead.waste:.2%}, at most {ahead.most_in_flight} samples at once, decisions "
            f"{'the same' if same else 'DIFFERENT'}"
        )
        found[f"{share:g}"] = {**asdict(ahead), "decisions": same, "gain": gain}
        holds = same and ahead.waste <= 0.05 and ahead.most_in_flight <= args.in_flight
        must = "same decisions, waste ≤ 5 %"
        if share == 0.998:
            holds, must = holds and gain >= 50, f"≥ 50 times as fast, {must}"
        elif share == 0.0:
            holds, must = holds and gain >= 1 / 1.1, f"≤ 1.1 times as slow, {must}"
        figure = f"{gain:,.1f} times as fast as one step after the other; {ahead.waste:.1%} of samples wasted"
        rows.append(Row(f"50 ms a call, {name}", figure, must, holds))
    apart, tree = (multiplying(args.p, speculate, args.in_flight) for speculate in ("off", "auto"))
    gain, same = apart.seconds_per_step / tree.seconds_per_step, tree.decisions == apart.decisions
    print(f"{PRODUCT} by parts, {len(tree.decisions)} steps: {gain:.2f} times as fast, decisions same: {same}")
    figure = f"{gain:,.1f} times as fast as one step after the other; {tree.waste:.1%} of samples wasted"
    rows.append(
        Row("50 ms a call, a product of 10 by 10 digits as a tree, no guesses", figure, "same decisions", same)
    )
    found["tree"] = {**asdict(tree), "decisions": same, "gain": gain}
    return give_out(args, {"sequential": off.seconds_per_step, "ahead": found}, rows)


if __name__ == "__main__":
    sys.exit(main())
