"""Growth of the cost with the length of a chain: votes a step at 2^8 to 2^20 steps, each with the k of its length.

    python benchmarks/growth.py [--most 20] [--p 0.99] [--target 0.95]

For every length s the margin is k_min(p, s, target) of the paper (equation 14), the least that decides all s steps
correctly with the target probability. The noise sampler, right with probability p, then runs the whole chain through
the engine. Two things must hold: the votes a step are the exact expectation of the gambler's ruin (within 2 %), and no
step is wrong. See the column `votes a step`: while s grows 4096-fold it grows about as ln s does, which is what makes
a million steps affordable. `standard error` is the random variation of that figure; at 256 steps it is near 1 %, and
at a p far below 0.99 more than the 2 %.

The samples follow from the seed, so a run repeats exactly. At another seed a chain has an error with up to
probability 1 - target, which is what the target means, and no fault of the engine.

The journal is durable, in a temporary folder (some 90 bytes a vote); --in-memory keeps it in memory instead, which
takes gigabytes at 2^20 steps. Nothing runs in parallel; the whole takes minutes, most of them for the longest chain.
"""

import argparse
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from math import sqrt
from pathlib import Path

import unerring
from common import Counter, Row, give_out, one_at_a_time, parser_for
from unerring.core.voting.odds import expected_votes, k_min
from unerring.core.voting.policy import Policy
from unerring.core.voting.race import AheadBy

WITHIN = 0.02


@dataclass(frozen=True, slots=True)
class Length:
    """What a chain of one length took; `off` is the relative distance of its votes a step from the expectation."""

    steps: int
    k: int
    votes_per_step: float
    expected: float
    off: float
    standard_error: float
    wrong: int
    seconds: float


def measured(steps: int, args: argparse.Namespace, journal: Path | None) -> Length:
    k = k_min(args.p, steps, args.target)
    # the expectation is that of races without a cap
    options = one_at_a_time(policy=Policy(rule=AheadBy(k), vote_cap=1000 * k))
    started = time.perf_counter()
    result = unerring.run(Counter(steps), f"noise/p={args.p!r}", journal, seed=args.seed, options=options)
    seconds = time.perf_counter() - started
    mean, expected = result.report["votes_per_step"], expected_votes(args.p, k)
    histogram = {int(votes): count for votes, count in result.report["votes_histogram"].items()}
    variance = sum(count * (votes - mean) ** 2 for votes, count in histogram.items()) / result.steps
    return Length(
        steps=steps,
        k=k,
        votes_per_step=mean,
        expected=expected,
        off=mean / expected - 1.0,
        standard_error=sqrt(variance / result.steps) / expected,
        wrong=result.state - result.steps,
        seconds=seconds,
    )


def all_lengths(args: argparse.Namespace) -> list[Length]:
    print("     steps   k   votes a step   expected      off   standard error   wrong steps    votes/s")
    lengths = []
    with tempfile.TemporaryDirectory() as folder:
        for power in range(8, args.most + 1, 2):
            journal = None if args.in_memory else Path(folder) / f"growth-{power}.db"
            one = measured(2**power, args, journal)
            if journal is not None:
                journal.unlink()  # the longest one takes hundreds of megabytes: keep no more than one
            rate = one.votes_per_step * one.steps / one.seconds
            print(
                f"{one.steps:>10,}{one.k:>4}{one.votes_per_step:>15.4f}{one.expected:>11.4f}{one.off:>9.2%}"
                f"{one.standard_error:>17.2%}{one.wrong:>14}{rate:>11,.0f}",
                flush=True,
            )
            lengths.append(one)
    return lengths


def main() -> int:
    parser = parser_for(__doc__)
    parser.add_argument("--most", type=int, default=20, help="the longest chain has 2^MOST steps (at least 8)")
    parser.add_argument("--p", type=float, default=0.99, help="chance that a sample is right")
    parser.add_argument("--target", type=float, default=0.95, help="probability that a whole chain is right")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--in-memory", action="store_true", help="no file: the journal lasts as long as the process")
    args = parser.parse_args()
    if args.most < 8:
        parser.error("the shortest chain has 2^8 steps, so --most is at least 8")
    lengths = all_lengths(args)
    first, last = lengths[0], lengths[-1]
    furthest = max(abs(one.off) for one in lengths)
    wrong, steps = sum(one.wrong for one in lengths), sum(one.steps for one in lengths)
    rows = [
        Row(
            f"votes a step, of a chain and of one {last.steps // first.steps:,} times as long",
            f"{first.votes_per_step:.2f} (k = {first.k}) and {last.votes_per_step:.2f} (k = {last.k})",
        ),
        Row(
            "largest difference from the expected votes a step",
            f"{furthest:.2%}",
            f"≤ {WITHIN:.0%}",
            furthest <= WITHIN,
        ),
        Row(f"wrong steps in {steps:,}, p = {args.p:g}", f"{wrong}", "0", wrong == 0),
    ]
    given = {"p": args.p, "target": args.target, "seed": args.seed}
    return give_out(args, given | {"lengths": [asdict(one) for one in lengths]}, rows)


if __name__ == "__main__":
    sys.exit(main())
