"""Several samplers as one: sample number i of a step is drawn from sampler i modulo their count."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from unerring.adapters.function import leading
from unerring.core.sample import Sample, Settings
from unerring.runtime.ports import Sampler

SEPARATOR = " + "


class Rotation:
    """Votes rotate over samplers, so that one that is stubbornly wrong on a step is outvoted by the others."""

    def __init__(self, samplers: Sequence[Sampler]) -> None:
        self._samplers = tuple(samplers)
        self.name = SEPARATOR.join(sampler.name for sampler in self._samplers)
        self.paid = any(sampler.paid for sampler in self._samplers)
        self.compact = all(sampler.compact for sampler in self._samplers)

    async def sample(self, prompt: str, settings: Settings, n: int) -> Sequence[Sample]:
        each = (self._one(prompt, replace(settings, slot=settings.slot + i)) for i in range(n))
        return leading(await asyncio.gather(*each, return_exceptions=True))

    async def _one(self, prompt: str, settings: Settings) -> Sample:
        sampler = self._samplers[settings.slot % len(self._samplers)]
        sample = (await sampler.sample(prompt, settings, 1))[0]
        return sample if sample.voter else replace(sample, voter=sampler.name)

    def close(self) -> None:
        for sampler in self._samplers:
            close = getattr(sampler, "close", None)
            if close is not None:
                close()
