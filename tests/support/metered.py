"""A provider in this process that bills and fails as a test says: the reference for budgets and rate limits."""

import asyncio
from dataclasses import dataclass, field
from random import Random

from replay import replay
from unerring.core.journal.entries import Resumed
from unerring.core.journal.spend import Charge, Tariff
from unerring.core.voting.sample import Sample, Settings, Usage
from unerring.errors import BudgetSpent, FailureKind, ProviderBusy
from unerring.runtime.calls.patience import Patience
from unerring.testing import MemoryJournal
from virtual_time import virtually

ENDLESS = Patience(first=0.1, total=1e9)
TARIFF = Tariff(input=400_000, output=1_600_000, cached=100_000)
MOST_TOKENS = 40


@dataclass
class Bill:
    """The provider's record, whether or not the caller received its replies."""

    calls: int = 0
    total: Charge = field(default_factory=Charge)
    times: list[float] = field(default_factory=list)


class Metered:
    """An endpoint that answers `a`, at a cost that varies up to the worst; `troubles` is the share of calls that fail.

    A failed call was billed or not, reported or not, as real ones are. Chance is seeded; time is the running loop's.
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
    """The process is killed: nothing that was in flight is recorded."""


class Mortal(MemoryJournal):
    """A journal whose process is killed after so many further entries: nothing is recorded after that."""

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


def one_life(begun, sampler, entries, lives=-1):
    """One session, killed after so many entries: its journal's entries then, and the error that ended it, or None.

    `begun` makes the coroutine of the session from its journal.
    """
    journal = Mortal(entries, lives)

    async def main():
        running = asyncio.ensure_future(begun(journal))
        dying = asyncio.ensure_future(journal.dead.wait())
        await asyncio.wait([running, dying], return_when=asyncio.FIRST_COMPLETED)
        dying.cancel()
        if journal.dead.is_set():
            journal.buried = sampler.dead = True  # the loop ends what is left, which no one receives any more
            raise Killed
        await running

    try:
        virtually(main())
    except (BudgetSpent, Killed) as error:
        return list(journal.entries()), error
    return list(journal.entries()), None


def until_its_end(life, entries):
    """Sessions one after the other, `life(entries)` each, until one ends by itself: the last state, and its end."""
    entries, ended = life(entries)
    while isinstance(ended, Killed):
        entries, ended = life([*entries, Resumed(0.0)])
    return replay(entries), ended


def require_within(limits, bill, state, seed):
    """Assert that what was billed is on record, and within the limits."""
    if limits.money is not None:
        assert bill.total.money <= state.account.spent.money <= limits.money, seed
    if limits.tokens is not None:
        assert bill.total.tokens <= state.account.spent.tokens <= limits.tokens, seed
    if limits.calls is not None:
        assert bill.calls <= limits.calls, seed
    assert bill.calls <= state.account.calls, seed  # an intent may be on record, and the call never sent
