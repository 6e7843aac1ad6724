"""A provider in this process that bills what it does and fails as it pleases: the oracle for budgets and pacing."""

import asyncio
from dataclasses import dataclass, field
from random import Random

from unerring.core.account import Charge, Tariff
from unerring.core.sample import Sample, Settings, Usage
from unerring.errors import FailureKind, ProviderBusy
from unerring.testing import MemoryJournal

TARIFF = Tariff(input=400_000, output=1_600_000, cached=100_000)
MOST_TOKENS = 40


@dataclass
class Bill:
    """What the provider did, whether or not anybody heard of it."""

    calls: int = 0
    total: Charge = field(default_factory=Charge)
    times: list[float] = field(default_factory=list)


class Metered:
    """An endpoint that answers `a`, at a cost that varies up to the worst; `troubles` is the share of calls that fail.

    A failed call was billed or not, told or not, as real ones are. Chance is seeded; time is the running loop's.
    """

    paid = True
    compact = False
    name = "metered/m"
    account = "metered"

    def __init__(self, bill: Bill, seed: int, troubles: float = 0.2, latency: float = 0.2) -> None:
        self.bill = bill
        self._chance = Random(seed)
        self._troubles = troubles
        self._latency = latency
        self.dead = False

    def worst(self, prompt: str, settings: Settings, n: int) -> Usage:
        return Usage(len(prompt), n * MOST_TOKENS)

    async def aclose(self) -> None:
        pass

    async def sample(self, prompt: str, settings: Settings, n: int):
        if self.dead:
            raise asyncio.CancelledError
        chance, trouble = self._chance, self._chance.random() < self._troubles
        self.bill.calls += 1
        self.bill.times.append(asyncio.get_running_loop().time())
        usages = [Usage(len(prompt) if not i else 0, chance.randint(1, MOST_TOKENS)) for i in range(n)]
        if trouble and chance.random() < 0.5:  # nothing was done
            await asyncio.sleep(0.01)
            kind = chance.choice([FailureKind.RATE_LIMITED, FailureKind.OVERLOADED, FailureKind.TRANSIENT])
            raise ProviderBusy("busy", chance.choice([None, 1.0]), kind)
        for usage in usages:
            self.bill.total += Charge(usage.input_tokens, usage.output_tokens, TARIFF.money(usage))
        await asyncio.sleep(self._latency * chance.uniform(0.2, 2.0))
        if trouble:
            raise ProviderBusy("the connection broke", kind=FailureKind.UNKNOWN)
        return [Sample("a", usage, voter=self.name) for usage in usages]


class Killed(Exception):
    """The process is gone: nothing that was under way is recorded any more."""


class Mortal(MemoryJournal):
    """A journal whose process dies after so many further entries: nothing is recorded then, and nothing goes on."""

    def __init__(self, entries, lives: int):
        super().__init__(entries)
        self._lives = lives
        self.dead = asyncio.Event()
        self.buried = False

    def append(self, entry):
        if self._lives == 0:
            self.dead.set()
        else:
            self._lives -= 1
            super().append(entry)

    async def commit(self):
        if self.dead.is_set() and not self.buried:
            await asyncio.Event().wait()
