"""Right answers of `unerring solve` on the embedded model, by voting and by single samples of the same steps.

    python benchmarks/solve.py [--products N] [--long N] [--lists N] [--seed N]

Products of two numbers of 5 digits each, and of 10, split down to one digit times one digit; and lists of 500 numbers
from -9999 to 9999, sorted one comparison a step. Each is solved by voting (k = 3), by the first sample that is not
red-flagged, and by the first sample of one member, where a sample that cannot be read loses the problem.
"""

import asyncio
import sys
from collections.abc import Callable
from random import Random
from time import perf_counter
from typing import Any

import unerring
from common import Row, give_out, parser_for
from unerring.adapters.embedded.catalog import DIGITS
from unerring.adapters.embedded.sampler import EmbeddedSampler
from unerring.core.voting.redflag import RedFlag
from unerring.core.voting.sample import Settings
from unerring.errors import Stopped
from unerring.processes import Solve, Sort

MODEL = "embedded/digits"


def products(rng: Random, count: int, digits: int) -> list[tuple[Any, Any]]:
    """Chains that multiply, each with its right answer."""
    pairs = [
        (rng.randrange(10 ** (digits - 1), 10**digits), rng.randrange(10 ** (digits - 1), 10**digits))
        for _ in range(count)
    ]
    return [(Solve(f"{a} * {b}", "multiply"), a * b) for a, b in pairs]


def lists(rng: Random, count: int) -> list[tuple[Any, Any]]:
    """Chains that sort, each with its right answer."""
    drawn = [[rng.randint(-9999, 9999) for _ in range(500)] for _ in range(count)]
    return [(Sort(numbers), sorted(numbers)) for numbers in drawn]


def raced(chain: Any, k: int, seed: int) -> Any:
    """The answer of a run by votes; None if it stops."""
    try:
        return unerring.run(chain, MODEL, k=k, seed=seed).answer
    except Stopped:
        return None


async def first_sample(chain: Any, sampler: EmbeddedSampler, seed: int) -> Any:
    """The answer by single samples, each carried forward; None if one cannot be read."""
    state, step = chain.start(), 0
    while (subtask := chain.subtask(state)) is not None:
        settings = Settings(1.0, DIGITS.policy.flags.max_output_tokens, seed, step, 0)
        (sample,) = await sampler.sample(subtask.first_wording(True), settings, 1)
        try:
            state, step = chain.advance(state, subtask.parse(sample.text)), step + 1
        except RedFlag:
            return None
    return chain.answer(state)


def measured(name: str, problems: list[tuple[Any, Any]], seed: int) -> tuple[dict[str, Any], list[Row]]:
    """How many of some problems each way gets right. Each problem has a seed of its own, and so luck of its own."""
    sampler = EmbeddedSampler(f"{MODEL}/a")
    ways: dict[str, Callable[[Any, int], Any]] = {
        "voted": lambda chain, own: raced(chain, 3, own),
        "unflagged": lambda chain, own: raced(chain, 1, own),
        "first": lambda chain, own: asyncio.run(first_sample(chain, sampler, own)),
    }
    counts, seconds = dict.fromkeys(ways, 0), dict.fromkeys(ways, 0.0)
    for number, (chain, answer) in enumerate(problems, start=1):
        for way, solve in ways.items():
            began = perf_counter()
            counts[way] += solve(chain, seed * 1000 + number) == answer
            seconds[way] += perf_counter() - began
        print(f"{name}: {number} of {len(problems)}, right {counts}", file=sys.stderr, flush=True)
    sampler.close()
    many, single, unflagged = len(problems), counts["first"], counts["unflagged"]
    shown = f"{single} of {many} right; {unflagged} with red-flagged samples drawn again"
    rows = [
        Row(f"{name}, by voting", f"{counts['voted']} of {many} right", "all", counts["voted"] == many),
        Row(f"{name}, by single samples of one member", shown, "fewer", single < many),
    ]
    return {"right": counts, "of": many, "seconds": {way: round(time, 1) for way, time in seconds.items()}}, rows


def main() -> int:
    parser = parser_for(__doc__)
    parser.add_argument("--products", type=int, default=200)
    parser.add_argument("--long", type=int, default=50)
    parser.add_argument("--lists", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    rng = Random(args.seed)
    kinds = {
        "products of 5 by 5 digits": products(rng, args.products, 5),
        "products of 10 by 10 digits": products(rng, args.long, 10),
        "lists of 500 numbers sorted": lists(rng, args.lists),
    }
    figures, rows = {}, []
    for name, problems in kinds.items():
        if problems:
            figures[name], shown = measured(name, problems, args.seed)
            rows += shown
    return give_out(args, figures, rows)


if __name__ == "__main__":
    sys.exit(main())
