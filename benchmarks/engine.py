"""What the engine costs: votes a second with an instant sampler, against the bare loop without a journal.

    python benchmarks/engine.py [--steps N]

All figures come from one run on one machine; read the ratios. The sampler answers at once and for nothing, so what
is measured is the engine alone: asyncio, red flags, canonical choices, races, folding, hashing, the durable journal.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import unerring
from unerring.core.race import AheadBy, Race, Won
from unerring.core.vote import canonical, parsed

K = 3


class Counter:
    """The lightest chain there is: each step adds one."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def start(self) -> int:
        return 0

    def subtask(self, state: int) -> unerring.Subtask | None:
        return None if state == self.steps else unerring.Subtask(f"{state}", json.loads)

    def advance(self, state: int, choice: int) -> int:
        return choice


class Instant:
    """Answers at once; `paid` decides whether intents are made durable before each call."""

    compact = False
    name = "instant"

    def __init__(self, paid: bool) -> None:
        self.paid = paid

    async def sample(self, prompt: str, settings: unerring.Settings, n: int) -> Sequence[unerring.Sample]:
        return [unerring.Sample(str(int(prompt) + 1), unerring.Usage(1, 1), voter="instant")] * n


def bare(steps: int) -> None:
    """The same decisions in a plain loop: no event loop, no journal, no report."""
    chain = Counter(steps)
    state = chain.start()
    while (subtask := chain.subtask(state)) is not None:
        race: Race[str] = Race(AheadBy(K))
        while not isinstance(race.verdict, Won):
            race.tell(canonical(subtask.parse(str(int(subtask.prompt) + 1))))
        state = chain.advance(state, parsed(race.verdict.choice))


def engine(steps: int, paid: bool, folder: Path | None) -> float:
    """Run the engine; returns the journal's bytes a vote, or 0 without one."""
    journal = None if folder is None else folder / f"engine-{paid}.db"
    unerring.run(Counter(steps), Instant(paid), journal, k=K)
    return 0.0 if journal is None else journal.stat().st_size / (steps * K)


def measured(name: str, steps: int, work: Callable[[], object], reference: float | None) -> float:
    started = time.perf_counter()
    size = work()
    rate = steps * K / (time.perf_counter() - started)
    ratio = "" if reference is None else f"{rate / reference:8.3f} of the bare loop"
    stored = f"{size:8.1f} bytes a vote" if size else ""
    print(f"{name:<46}{rate:>10,.0f} votes/s{ratio}{stored}")
    return rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20_000)
    steps = parser.parse_args().steps
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        reference = measured("bare loop, no journal", steps, lambda: bare(steps), None)
        measured("engine, journal in memory", steps, lambda: engine(steps, False, None), reference)
        measured("engine, durable journal, free sampler", steps, lambda: engine(steps, False, folder), reference)
        few = steps // 10
        measured("engine, durable journal, intent before each call", few, lambda: engine(few, True, folder), reference)


if __name__ == "__main__":
    main()
