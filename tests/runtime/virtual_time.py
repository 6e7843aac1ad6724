"""Time without waiting: an event loop whose clock jumps to whatever is due next, and models that take time on it.

A run on this loop takes no longer than its computing, and its hours come out the same each time to the last digit.
Nothing under way and nothing due is a deadlock, and fails the test.
"""

import asyncio
import selectors
from collections.abc import Coroutine, Sequence
from typing import Any

from unerring.core.sample import Sample, Settings


class Deadlock(AssertionError):
    """Everybody waits, and nothing is ever going to happen."""


class _JumpingSelector(selectors.DefaultSelector):
    """Moves the clock instead of waiting."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise Deadlock("everybody waits, and nothing is due")
        self.now += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time, which starts at 0."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def virtually(main: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine to its end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


class LoopClock:
    """The running loop's own time, as the clock of a run."""

    def time(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Slow:
    """A sampler that takes `latency(prompt, settings)` seconds for a call; `most` samples were under way at once.

    `calls` lists prompt and settings of each call and its number of samples, `given_up` those that were cancelled.
    """

    def __init__(self, sampler: Any, latency: Any = 0.05, paid: bool | None = None) -> None:
        self._sampler = sampler
        self._latency = latency if callable(latency) else lambda prompt, settings: latency
        self.paid = sampler.paid if paid is None else paid
        self.compact = sampler.compact
        self.name = sampler.name
        self.under_way = 0
        self.most = 0
        self.calls: list[tuple[str, Settings, int]] = []
        self.given_up: list[tuple[str, Settings, int]] = []

    @property
    def steps(self) -> set[int]:
        """The steps that were asked."""
        return {settings.step for _, settings, _ in self.calls}

    async def sample(self, prompt: str, settings: Settings, n: int) -> Sequence[Sample]:
        self.calls.append((prompt, settings, n))
        self.under_way += n
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(self._latency(prompt, settings))
            return await self._sampler.sample(prompt, settings, n)
        except asyncio.CancelledError:
            self.given_up.append((prompt, settings, n))
            raise
        finally:
            self.under_way -= n
