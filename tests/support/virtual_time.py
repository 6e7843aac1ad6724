"""Time without waiting: an event loop whose clock jumps to the next due timer, and models that take time on it.

A run on this loop takes no longer than its computing, and its hours are the same each time to the last digit. Nothing
in flight and nothing due is a deadlock, and fails the test.
"""

import asyncio
import selectors
from collections.abc import Coroutine, Sequence
from typing import Any

from chain_runs import K3, arun
from unerring.core.voting.sample import Sample, Settings, Usage
from unerring.runtime.config import Speculation


class Deadlock(AssertionError):
    """All tasks wait, and nothing is due."""


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
    """A sampler that takes `latency(prompt, settings)` seconds for a call.

    `most` is the most samples in flight at once. `calls` lists prompt and settings of each call and its number of
    samples, `given_up` those that were cancelled.
    """

    def __init__(self, sampler: Any, latency: Any = 0.05, paid: bool | None = None) -> None:
        self._sampler = sampler
        self._latency = latency if callable(latency) else lambda prompt, settings: latency
        self.paid = sampler.paid if paid is None else paid
        self.compact = sampler.compact
        self.name = sampler.name
        self.in_flight = 0
        self.most = 0
        self.calls: list[tuple[str, Settings, int]] = []
        self.given_up: list[tuple[str, Settings, int]] = []

    @property
    def steps(self) -> set[int]:
        """The steps that were asked."""
        return {settings.step for _, settings, _ in self.calls}

    async def sample(self, prompt: str, settings: Settings, n: int) -> Sequence[Sample]:
        self.calls.append((prompt, settings, n))
        self.in_flight += n
        self.most = max(self.most, self.in_flight)
        try:
            await asyncio.sleep(self._latency(prompt, settings))
            return await self._sampler.sample(prompt, settings, n)
        except asyncio.CancelledError:
            self.given_up.append((prompt, settings, n))
            raise
        finally:
            self.in_flight -= n


class Says:
    """A free sampler: sample number `slot` of a step is `answer(prompt, step, slot)`, a text, or an error to raise."""

    name = "says"
    compact = False
    paid = False

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    async def sample(self, prompt: str, settings: Settings, n: int) -> Sequence[Sample]:
        answers = [self._answer(prompt, settings.step, settings.slot + offset) for offset in range(n)]
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return [Sample(answer, Usage(2, 1), voter="says") for answer in answers]


class NoAccounting:
    """The accounting of a call whose tries are not recorded."""

    async def begin(self, asked: Any) -> None:
        pass

    def failed(self, error: Exception) -> None:
        pass

    def cancelled(self) -> None:
        pass


async def until(seconds: float) -> None:
    """Return at this time of the running loop."""
    await asyncio.sleep(seconds - asyncio.get_running_loop().time())


def a_word(state):
    """The right guess of a chain whose every step is decided for `a`."""
    return "a"


def always_a(prompt, step, slot):
    return "a"


RIGHT = Speculation(a_word)


def ahead(chain, sampler, policy=K3, speculation=RIGHT, beside=None, **config):
    """A run in virtual time that asks ahead; `beside(task)` runs at the same time.

    Returns the run and its duration.
    """

    async def main():
        task = asyncio.ensure_future(
            arun(chain, sampler, policy, clock=LoopClock(), speculation=speculation, **config)
        )
        other = asyncio.ensure_future(beside(task)) if beside else None
        outcome = await task
        if other is not None:
            await other
        return outcome, asyncio.get_running_loop().time()

    return virtually(main())
