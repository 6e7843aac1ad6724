"""Fake models, clock and journal for tests of your own chains.

They pass the same contracts as the real ones. `NoisySampler` is the model of `--model noise/...`.
"""

import asyncio
from collections.abc import Mapping, Sequence

from unerring.adapters.memory import MemoryJournal
from unerring.adapters.noise import NoisySampler
from unerring.core.voting.sample import Sample, Settings

__all__ = ["FakeClock", "MemoryJournal", "NoisySampler", "ScriptedSampler"]


class ScriptedSampler:
    """A sampler that answers from a script.

    script: the answers of each step in the order of their sample numbers, by step, or one list for all steps. An
        exception in a list fails one call; asking for more answers than there are is an `AssertionError`.
    paid: whether calls count as paid.
    compact: whether it takes compact prompts.
    calls: every call so far, as (step, slot, n, temperature).
    """

    def __init__(
        self,
        script: Mapping[int, Sequence[Sample | str | Exception]] | Sequence[Sample | str | Exception],
        paid: bool = True,
        compact: bool = False,
    ) -> None:
        self._script = script
        self._raised: dict[int, int] = {}
        self.paid = paid
        self.compact = compact
        self.calls: list[tuple[int, int, int, float]] = []

    @property
    def name(self) -> str:
        return "scripted"

    async def sample(self, prompt: str, settings: Settings, n: int) -> Sequence[Sample]:
        self.calls.append((settings.step, settings.slot, n, settings.temperature))
        await asyncio.sleep(0)
        script = self._script[settings.step] if isinstance(self._script, Mapping) else self._script
        failures = [item for item in script if isinstance(item, Exception)]
        answers = [item for item in script if not isinstance(item, Exception)]
        raised = self._raised.get(settings.step, 0)
        if raised < len(failures):
            self._raised[settings.step] = raised + 1
            raise failures[raised]
        if len(answers) < settings.slot + n:
            raise AssertionError(
                f"step {settings.step} has {len(answers)} answers; sample {settings.slot + n} was asked"
            )
        return [
            item if isinstance(item, Sample) else Sample(item, voter="scripted")
            for item in answers[settings.slot : settings.slot + n]
        ]


class FakeClock:
    """A clock that moves only when a task sleeps on it; `slept` lists the seconds of each sleep."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now
        self.slept: list[float] = []

    def time(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)
