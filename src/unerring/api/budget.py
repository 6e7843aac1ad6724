"""Budgets of runs and calibrations, and the prices by which they are kept."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import floor
from pathlib import Path
from typing import TypeAlias

from unerring.adapters.prices import price_of, read_prices
from unerring.core.arguments import require_flag
from unerring.core.journal.entries import Allowed
from unerring.core.journal.spend import PICODOLLARS_PER_DOLLAR, Account, SpendLimits
from unerring.core.numbers import MAX_DOLLARS, MAX_HOURS, MAX_TOTAL, require_number, require_whole
from unerring.core.planning.costs import Price
from unerring.errors import InputError
from unerring.runtime.calls.shared_budget import BudgetShare, SharedBudget
from unerring.runtime.ensemble import samplers_of
from unerring.runtime.protocols import Endpoint, Sampler

PriceTable: TypeAlias = Mapping[str, Price] | str | Path | None
"""Prices by model, or the file of a price table; None takes the table of the [prices] extra."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that a run may cost, over all its sessions; None is no limit.

    usd: dollars.
    tokens: tokens read and written.
    calls: requests sent to models.
    hours: hours that its sessions run.
    strict: whether a bill above a call's worst case stops the run; otherwise later calls reserve more, in the same
        proportion.

    Several runs of this process that are given the same object share it, whether they run one after the other, on one
    event loop or in threads: together they take no more than it says. An equal object is another budget.

    A call is charged at its worst case before it is sent, so that no limit is exceeded as long as the provider bills
    no call above its worst case; a call whose outcome stays unknown remains charged.
    """

    usd: float | None = None
    tokens: int | None = None
    calls: int | None = None
    hours: float | None = None
    strict: bool = False
    _shared: SharedBudget = field(default_factory=SharedBudget, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.usd is not None:
            require_number("usd", self.usd, most=MAX_DOLLARS, what="a number of dollars")
        for name in ("tokens", "calls"):
            if getattr(self, name) is not None:
                require_whole(name, getattr(self, name), 0, MAX_TOTAL)
        if self.hours is not None:
            require_number("hours", self.hours, most=MAX_HOURS, what="a number of hours")
        require_flag("strict", self.strict)

    def share(self, journal: str | Path | None) -> BudgetShare | None:
        """The share of a run in this budget, by its journal, if it has one; None where nothing is limited."""
        limits = self.limits(SpendLimits())
        key = None if journal is None else Path(journal).resolve()
        return None if limits == SpendLimits(strict=self.strict) else BudgetShare(self._shared, key, limits)

    def count(self, journal: str | Path, account: Account) -> None:
        """Count what the run in a journal has spent so far towards this budget."""
        self._shared.count(Path(journal).resolve(), account)

    def limits(self, before: SpendLimits) -> SpendLimits:
        """The limits from here on: those of this budget, and else those from before."""
        return SpendLimits(
            before.money if self.usd is None else floor(self.usd * PICODOLLARS_PER_DOLLAR),
            before.tokens if self.tokens is None else self.tokens,
            before.calls if self.calls is None else self.calls,
            before.seconds if self.hours is None else self.hours * 3600.0,
            self.strict or before.strict,
        )


def price_table(prices: PriceTable) -> Mapping[str, Price] | None:
    """Prices by model, read from their file where a file is given."""
    return read_prices(Path(prices)) if isinstance(prices, str | Path) else prices


def allowance(sampler: Sampler, budget: Budget, prices: PriceTable, before: Allowed | None = None) -> list[Allowed]:
    """The entry with the limits and prices of a run from here on; none where they are as before.

    Raises `InputError` for a limit that could not be kept with these models.
    """
    before = before or Allowed(SpendLimits())
    limits, own = budget.limits(before.limits), price_table(prices)
    found = {one.name: price_of(one.name, own) for one in samplers_of(sampler)}
    tariffs = {name: price.tariff() for name, price in found.items() if price is not None}
    _require_limits_to_hold(sampler, limits, {**before.tariffs, **tariffs})
    if not any(one.paid for one in samplers_of(sampler)) and limits == before.limits:
        return []  # nothing to keep account of
    after = Allowed(limits, {**before.tariffs, **tariffs})
    return [] if after == before else [after]


def _require_limits_to_hold(sampler: Sampler, limits: SpendLimits, priced: Mapping[str, object]) -> None:
    paid = [one for one in samplers_of(sampler) if one.paid]
    if not paid and (limits.calls is not None or limits.tokens is not None):
        raise InputError(f"calls of {sampler.name} are not paid for, nor counted: limit steps (`max_steps`) or hours")
    for one in paid:
        if limits.money is not None and one.name not in priced:
            raise InputError(
                f"a budget in dollars needs the price of {one.name}, which is not known: give it in a file "
                "(`prices`), install 'unerring[prices]' for a table of prices, or limit tokens or calls"
            )
        if (limits.money is not None or limits.tokens is not None) and not isinstance(one, Endpoint):
            raise InputError(
                f"nothing says how much a call of {one.name} can cost at most, so that a budget in dollars or tokens "
                "could not be kept; limit calls or hours, or give it a method worst() (see Endpoint)"
            )
