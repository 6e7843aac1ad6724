"""Memory and journal of a run of a million steps, then the time to resume its full journal.

    python benchmarks/length.py [--steps 1000000] [--p 0.99] [--folder DIR]

The noise sampler runs the light chain with k = 3 and the durable journal, and is stopped before its end. The
process's memory (resident set, /proc/self/statm) is read at every tenth of the run: the first tenth is warm-up, after
that it should be constant. Then a new process resumes the journal: it reads, checks and applies every entry before it
decides the next step. The time until that step is committed is the most that a crash costs.

With p = 0.99 and k = 3 about one step in a million is wrong, which does not matter here. Linux only, for /proc. The
journal (some 90 bytes a vote) is put in a temporary folder unless --folder names one.
"""

import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import unerring
from common import MEGABYTE, Counter, Row, give_out, in_fresh_process, one_at_a_time, parser_for, resident
from unerring.core.journal.decided_step import DecidedStep
from unerring.core.journal.state import RunState
from unerring.errors import StepLimit

K = 3
TENTHS = 10
MOST_GROWTH = 10.0  # MB over the last nine tenths
MOST_SECONDS = 60.0  # to resume three million votes
VOTES_OF_LIMIT = 3e6


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a run stood when it had done so many steps: memory in megabytes, seconds and votes since its start."""

    steps: int
    rss: float
    seconds: float
    votes: int


class Watch:
    """Takes a mark every so many steps, and notes when the first step was committed."""

    def __init__(self, every: int) -> None:
        self.every = every
        self.votes = 0
        self.started = time.perf_counter()
        self.until_first: float | None = None
        self.marks: list[Mark] = []

    def decided(self, decided: DecidedStep, state: RunState) -> None:
        if self.until_first is None:
            self.until_first = time.perf_counter() - self.started
        self.votes += decided.votes
        if state.committed % self.every == 0:
            mark = Mark(state.committed, resident(), time.perf_counter() - self.started, self.votes)
            self.marks.append(mark)
            print(
                f"{mark.steps:>12,} steps{mark.votes:>12,} votes{mark.rss:>9.1f} MB{mark.seconds:>9.1f} s", flush=True
            )


def peak_rss() -> float:
    """The most resident memory this process ever had, in megabytes; a parent's does not count, unlike getrusage's."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / MEGABYTE


def long_run(steps: int, p: float, journal: Path) -> dict[str, Any]:
    """Run `steps` steps of a chain that has one more; returns figures."""
    watch = Watch(max(1, steps // TENTHS))
    options = one_at_a_time(max_steps=steps, observer=watch)
    try:
        unerring.run(Counter(_longer(steps)), f"noise/p={p!r}", journal, k=K, options=options)
    except StepLimit:
        return {"marks": [asdict(mark) for mark in watch.marks], "votes": watch.votes, "peak_rss": peak_rss()}
    raise AssertionError("the chain ended before it was stopped")


def resumed(steps: int, p: float, journal: Path) -> dict[str, Any]:
    """Resume that run for one step; returns figures."""
    before, watch = peak_rss(), Watch(_longer(steps))
    options = unerring.Options(speculate="off", max_steps=1, observer=watch)
    try:
        unerring.resume(journal, Counter(_longer(steps)), f"noise/p={p!r}", options)
    except StepLimit:
        return {"seconds": watch.until_first, "rss_before": before, "peak_rss": peak_rss()}
    raise AssertionError("the chain ended before it was stopped")


def _longer(steps: int) -> int:
    """A length that leaves steps to do after this many, even where some went wrong and took two at once."""
    return 2 * steps + 100


def rows_of(steps: int, run: dict[str, Any], again: dict[str, Any], bytes_per_vote: float) -> list[Row]:
    marks = [Mark(**mark) for mark in run["marks"]]
    growth = max(mark.rss for mark in marks) - marks[0].rss
    limit = MOST_SECONDS * max(1.0, run["votes"] / VOTES_OF_LIMIT)
    return [
        Row(
            f"memory grown over the last {steps - marks[0].steps:,} of {steps:,} steps",
            f"{growth:.1f} MB (peak {run['peak_rss']:.0f} MB)",
            f"≤ {MOST_GROWTH:.0f} MB",
            growth <= MOST_GROWTH,
        ),
        Row(
            f"resuming after {run['votes']:,} votes",
            f"{again['seconds']:.1f} s to the next step",
            f"≤ {limit:.0f} s",
            again["seconds"] <= limit,
        ),
        Row("peak memory of that resume", f"{again['peak_rss']:.0f} MB ({again['rss_before']:.0f} MB at its start)"),
        Row("journal", f"{bytes_per_vote:.1f} bytes a vote"),
    ]


def main() -> int:
    parser = parser_for(__doc__)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--p", type=float, default=0.99, help="chance that a sample is right")
    parser.add_argument("--folder", type=Path, help="where to put the journal while it is needed")
    args = parser.parse_args()
    if args.steps < TENTHS:
        parser.error(f"--steps is at least {TENTHS}")
    if not Path("/proc/self/statm").exists():
        print("length.py reads memory from /proc, which only Linux has", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        journal = Path(folder) / "length.db"
        run = in_fresh_process(long_run, args.steps, args.p, journal)
        bytes_per_vote = journal.stat().st_size / run["votes"]
        print(f"{bytes_per_vote:.1f} bytes a vote; resuming")
        again = in_fresh_process(resumed, args.steps, args.p, journal)
        print(f"next step after {again['seconds']:.1f} s, peak {again['peak_rss']:.0f} MB")
    figures = {"steps": args.steps, "p": args.p, "bytes_per_vote": bytes_per_vote, "run": run, "resume": again}
    return give_out(args, figures, rows_of(args.steps, run, again, bytes_per_vote))


if __name__ == "__main__":
    sys.exit(main())
