"""Speed of the embedded model in a voted run of 20 disks, relative to the bare engine that writes answers in batches.

    python benchmarks/embedded.py [--steps N]

The bare engine is CTranslate2 on all cores, sampling with prompts made beforehand, in the better of two batch sizes,
measured before and after. It writes an answer token by token. In unerring a drafting model proposes the answer and the
members judge it in one pass; so it can be faster than the bare engine although it votes, flags, hashes and journals.
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import unerring
from common import Row, give_out, parser_for
from million import raw_rate
from unerring.core.journal.decided_step import DecidedStep
from unerring.core.journal.state import RunState
from unerring.errors import StepLimit

DISKS = 20


class Steady:
    """An observer that takes time and samples after the first steps, when models are loaded and the window is full."""

    def __init__(self, first: int) -> None:
        self._first = first
        self._begun: tuple[float, int] | None = None
        self.seconds, self.samples = 0.0, 0

    def decided(self, decided: DecidedStep, state: RunState) -> None:
        if self._begun is not None:
            self.seconds, self.samples = time.perf_counter() - self._begun[0], state.samples - self._begun[1]
        elif state.committed >= self._first:
            self._begun = (time.perf_counter(), state.samples)


def run(steps: int, speculate: str, folder: Path) -> dict[str, Any]:
    """Run the first steps; returns its steady rate in samples a second and what it wasted."""
    journal, steady = folder / f"{speculate}.db", Steady(steps // 10)
    try:
        options = unerring.Options(speculate=speculate, max_steps=steps, observer=steady)
        unerring.run(unerring.Hanoi(DISKS), "embedded", journal, k=3, options=options)
    except StepLimit:
        pass
    report = unerring.report(journal)
    received = report["samples"]["received"]
    return {
        "samples_per_second": steady.samples / steady.seconds,
        "bytes_per_sample": journal.stat().st_size / received,
        "waste": report["speculation"]["waste"],
    }


def main() -> int:
    parser = parser_for(__doc__)
    parser.add_argument("--steps", type=int, default=15_000)
    parser.add_argument("--raw-seconds", type=float, default=10.0)
    args = parser.parse_args()
    raw = [raw_rate(args.raw_seconds, DISKS)]
    with tempfile.TemporaryDirectory() as folder:
        off = run(args.steps // 4, "off", Path(folder))
        ahead = run(args.steps, "auto", Path(folder))
    raw.append(raw_rate(args.raw_seconds, DISKS))
    bare = sum(max(rates.values()) for rates in raw) / len(raw)
    ratio = ahead["samples_per_second"] / bare
    print(f"{'bare engine, batches of 32 or 64':<40}{bare:>8,.0f} answers/s")
    for name, found in (("voted, one step after the other", off), ("voted, asked ahead", ahead)):
        print(f"{name:<40}{found['samples_per_second']:>8,.0f} samples/s{found['samples_per_second'] / bare:8.2f}")
    rows = [
        Row(
            "embedded model, 20 disks, voted, journaled and speculated, relative to its bare engine",
            f"{ahead['samples_per_second']:,.0f} samples/s to {bare:,.0f} answers/s: {ratio:.2f}",
            "≥ 0.9",
            ratio >= 0.9,
        ),
        Row(
            "the same without speculation",
            f"{off['samples_per_second']:,.0f} samples/s: {off['samples_per_second'] / bare:.2f}",
        ),
        Row(
            "bytes a sample in the journal",
            f"{ahead['bytes_per_sample']:.1f}",
            "≤ 120",
            ahead["bytes_per_sample"] <= 120,
        ),
    ]
    return give_out(args, {"raw": raw, "off": off, "ahead": ahead}, rows)


if __name__ == "__main__":
    sys.exit(main())
