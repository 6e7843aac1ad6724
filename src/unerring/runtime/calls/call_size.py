"""Learn how many samples one call of a sampler brings, and split sample numbers into calls of that size.

A sampler may return fewer samples than it was asked for. Where it always does, what one call cannot bring is asked for
by several calls at once, not by one call after another.
"""

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

SHORT_CALLS = 3  # in a row, after which calls ask for no more samples than the best of these brought


class CallSize:
    """How many samples to ask for in one call, by sampler.

    Known once several calls in a row brought fewer than asked for, or a probe found it.
    """

    def __init__(self) -> None:
        self._short: dict[str, list[int]] = {}  # samples of the latest calls, where each brought fewer than asked for
        self._most: dict[str, int] = {}

    def limit(self, sampler: str, samples: int) -> None:
        """Ask a sampler for at most so many samples a call."""
        self._most[sampler] = samples

    def is_single(self, sampler: str) -> bool:
        """Whether each call brings one sample, whatever it asks for."""
        return self._most.get(sampler) == 1

    def note(self, sampler: str, brought: int, asked: int) -> None:
        """Learn from a call that asked for several samples."""
        if brought >= asked:
            self._short.pop(sampler, None)
            return
        short = self._short.setdefault(sampler, [])
        short.append(brought)
        if len(short) >= SHORT_CALLS:
            self.limit(sampler, max(short))
            short.clear()

    def split(self, sampler: str, slots: list[int]) -> list[list[int]]:
        """Split ascending sample numbers into those that one call can bring."""
        size = self._most.get(sampler, len(slots))
        return [streak[at : at + size] for streak in contiguous(slots, int) for at in range(0, len(streak), size)]


def contiguous(samples: list[T], slot: Callable[[T], int]) -> list[list[T]]:
    """Split ascending samples into streaks without gaps: a call names its samples by the first and a count."""
    streaks: list[list[T]] = []
    for sample in samples:
        if streaks and slot(streaks[-1][-1]) == slot(sample) - 1:
            streaks[-1].append(sample)
        else:
            streaks.append([sample])
    return streaks
