"""Several samplers as one: sample number i of a step is drawn from sampler i modulo their count."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from math import lcm

from unerring.adapters.function import leading
from unerring.core.sample import Sample, Settings
from unerring.errors import InputError, ProviderBusy
from unerring.runtime.ports import Sampler

SEPARATOR = " + "


class Rotation:
    """Votes rotate over samplers, so that one that is stubbornly wrong on a step is outvoted by the others."""

    def __init__(self, samplers: Sequence[Sampler]) -> None:
        self._samplers = tuple(samplers)
        if len({sampler.compact for sampler in samplers}) > 1:
            raise InputError(
                "models that know compact prompts only cannot take turns with models that need whole ones"
            )
        self.name = SEPARATOR.join(sampler.name for sampler in self._samplers)
        self.paid = any(sampler.paid for sampler in self._samplers)
        self.compact = self._samplers[0].compact
        self.rotation = lcm(len(self._samplers), *(getattr(sampler, "rotation", 1) for sampler in self._samplers))

    async def sample(self, prompt: str, settings: Settings, n: int) -> Sequence[Sample]:
        each = (self._one(prompt, replace(settings, slot=settings.slot + i)) for i in range(n))
        return leading(await asyncio.gather(*each, return_exceptions=True))

    async def _one(self, prompt: str, settings: Settings) -> Sample:
        sampler = self._samplers[settings.slot % len(self._samplers)]
        samples = await sampler.sample(prompt, settings, 1)
        if not samples:
            raise ProviderBusy(f"{sampler.name} returned no sample")
        return samples[0] if samples[0].voter else replace(samples[0], voter=sampler.name)
