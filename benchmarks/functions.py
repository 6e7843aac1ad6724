"""Function processes: what an async function costs compared with the same chain, and what guesses and `gather` save.

    python benchmarks/functions.py [--steps N] [--rounds 3]

1. Each step asks for the next number, with an instant sampler and the journal in memory: processor time a step of the
   function, relative to the same process written as a chain. Rounds alternate, and the least time of each counts.
2. The same function with guesses, 99.8 % of them right, on a sampler that takes 1 ms, with and without asking ahead.
   Where a guess is wrong the function runs again from its start, so the gain falls with length: try --steps 100000.
3. 1,000 questions in one `gather` on a sampler that takes 50 ms, and the same kind of question one after the other.

All waiting is real, and the ratios are of one run on one machine.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import unerring
from ahead import LATENCY, Late
from common import Counter, Instant, Row, give_out, one_at_a_time, parser_for
from unerring import ask, gather

K = 3
SHORT_LATENCY = 0.001
WRONG_GUESS_EVERY = 500
QUESTIONS = 1_000


async def counting(steps: int) -> int:
    """The light chain as a function."""
    number = 0
    while number < steps:
        number = await ask(f"{number}", json.loads)
    return number


async def guessing(steps: int) -> int:
    """The same with a guess, which is wrong on one step in 500."""
    number = 0
    while number < steps:
        guess = number + 1 + (number % WRONG_GUESS_EVERY == 0)
        number = await ask(f"{number}", json.loads, guess=guess)
    return number


async def side_by_side(questions: int) -> list[int]:
    """Questions that do not depend on each other."""
    return await gather(*[ask(f"{number}", json.loads) for number in range(questions)])


def processor_seconds(process: Any, *args: Any) -> float:
    """Processor time of one run on an instant sampler, without a journal on disk."""
    started = time.process_time()
    unerring.run(process, Instant(paid=False), k=K, args=args, options=one_at_a_time())
    return time.process_time() - started


def seconds(process: Any, *args: Any, latency: float, speculate: str) -> tuple[float, list[Any]]:
    """Seconds of one run, waiting included, and what was decided in it, with the tallies."""
    with tempfile.TemporaryDirectory() as folder:
        journal, model = Path(folder) / "run.db", Late(Instant(paid=False), latency)
        options = unerring.Options(speculate=speculate)
        started = time.perf_counter()
        unerring.run(process, model, journal, K, args=args, options=options)
        took = time.perf_counter() - started
        return took, [(one.choice, one.tally) for one in unerring.steps(journal)]


def main() -> int:
    parser = parser_for(__doc__)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--sequential", type=int, default=40, help="questions asked one after the other at 50 ms")
    parser.add_argument("--rounds", type=int, default=3, help="of the first measurement")
    args = parser.parse_args()
    as_chains, as_functions = [], []
    for _ in range(args.rounds):
        as_chains.append(processor_seconds(Counter(args.steps)) / args.steps)
        as_functions.append(processor_seconds(counting, args.steps) / args.steps)
    chain, function = min(as_chains), min(as_functions)
    ratio = function / chain
    print(f"processor time a step: {chain * 1e6:.0f} µs as a chain, {function * 1e6:.0f} µs as a function", flush=True)

    one_by_one, plain = seconds(guessing, args.steps, latency=SHORT_LATENCY, speculate="off")
    ahead, guessed = seconds(guessing, args.steps, latency=SHORT_LATENCY, speculate="guess")
    gain, same = one_by_one / ahead, guessed == plain
    print(f"1 ms a call: {one_by_one:.1f} s one after the other, {ahead:.1f} s asking ahead", flush=True)

    few, _ = seconds(counting, args.sequential, latency=LATENCY, speculate="off")
    many, _ = seconds(side_by_side, QUESTIONS, latency=LATENCY, speculate="auto")
    wide = (few / args.sequential) / (many / QUESTIONS)
    print(
        f"50 ms a call: {args.sequential} questions in {few:.2f} s one after the other, {QUESTIONS:,} in {many:.2f} s"
    )
    rows = [
        Row(
            f"a function of {args.steps:,} dependent steps, instant sampler",
            f"{ratio:.2f} times the processor time of the same chain",
            "≤ 1.5 times",
            ratio <= 1.5,
        ),
        Row(
            f"the same, 1 ms a call, guess right on {1 - 1 / WRONG_GUESS_EVERY:.1%} of steps",
            f"{gain:.1f} times as fast as one step after the other",
            "≥ 1 times as fast, same decisions",
            gain >= 1 and same,
        ),
        Row(
            f"{QUESTIONS:,} questions in one `gather`, 50 ms a call",
            f"{wide:.0f} times as fast as one after the other",
        ),
    ]
    figures = {
        "steps": args.steps,
        "processor_seconds_per_step": {"chain": as_chains, "function": as_functions},
        "guesses": {"one_by_one": one_by_one, "ahead": ahead, "same": same},
        "gather": {"sequential": few / args.sequential, "side_by_side": many / QUESTIONS},
    }
    return give_out(args, figures, rows)


if __name__ == "__main__":
    sys.exit(main())
