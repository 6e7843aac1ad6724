"""A check of the races themselves: steps still open after each vote, by theory and with the noise sampler.

With independent votes and one wrong answer the margin is a random walk, and how many races are still open after r
votes is known exactly. It shows that the races are held as the theory has them.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence

from findings import Section

from unerring.core.chain import Rehearsal
from unerring.core.voting.race import AheadBy, Race
from unerring.core.voting.sample import Settings
from unerring.testing import NoisySampler


def open_after(p: float, k: int, most: int) -> list[float]:
    """Chance that a race is open after 0, 1, ... `most` votes: the walk has stayed between -k and k."""
    chances, still = {0: 1.0}, [1.0]
    for _ in range(most):
        further: dict[int, float] = {}
        for margin, chance in chances.items():
            for step, share in ((1, p), (-1, 1.0 - p)):
                if abs(margin + step) < k:
                    further[margin + step] = further.get(margin + step, 0.0) + chance * share
        chances = further
        still.append(sum(chances.values()))
    return still


async def _races(p: float, k: int, steps: int) -> Counter[int]:
    """Votes -> races over after so many."""
    sampler = NoisySampler(lambda _: Rehearsal("right", ("wrong",)), p=p)
    counts: Counter[int] = Counter()
    for step in range(steps):
        race: Race[str] = Race(AheadBy(k))
        while missing := race.missing():
            samples = await sampler.sample("", Settings(1.0, 1, 0, step, race.votes), missing)
            for sample in samples:
                race.tell(sample.text)
        counts[race.votes] += 1
    return counts


def noise(p: float, k: int, steps: int, most: int) -> Section:
    """Open races after each vote, measured and by theory."""
    counts = asyncio.run(_races(p, k, steps))
    return {
        "voter": f"noise, p = {p}",
        "steps": steps,
        "open": still_open(counts, steps, most),
        "theory": open_after(p, k, most),
    }


def still_open(races: Counter[int], steps: int, most: int) -> Sequence[int]:
    """Of some steps, how many are open after 0, 1, ... `most` votes, from how many races were over after how many."""
    left, still = steps, []
    for votes in range(most + 1):
        left -= races[votes]
        still.append(left)
    return still
