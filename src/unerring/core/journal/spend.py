"""Accounting of a run's calls, tokens and money; calls in flight count at their worst case.

Money is in whole picodollars (10^-12 dollars): prices of a million tokens have at most six decimals, so sums are exact
and a budget is kept to the digit. A call is charged at its worst case before it is sent, and at its real cost once
that is known; if that never becomes known, the worst case stays.

A provider that bills a call above its worst case makes that worst case meaningless. From then on a whole multiple of
it is reserved for each call of the model, also for those in flight. So a budget is exceeded at most by the calls that
were in flight at that moment. The multiple follows from the journal alone, so a resumed run has it, too.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import NamedTuple

from unerring.core.voting.sample import Usage

PICODOLLARS_PER_DOLLAR = 10**12
WORDING_SEPARATOR = " wording "  # between a voter's name and the number of its wording, from 2 on


def in_dollars(money: int) -> float:
    """Convert picodollars to dollars."""
    return money / PICODOLLARS_PER_DOLLAR


def known_dollars(money: int | None) -> float | None:
    """Convert picodollars to dollars; None where the amount is not known."""
    return None if money is None else in_dollars(money)


def dollars_text(money: int | float) -> str:
    """Dollars as text: with cents from one dollar up, or where cents are exact; else with three digits."""
    return f"${money:,.2f}" if money >= 1 or round(money, 2) == money else f"${money:.3g}"


class Charge(NamedTuple):
    """What a call cost, or may cost.

    input_tokens: tokens read.
    output_tokens: tokens written.
    money: price in picodollars; None where the price is not known.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    money: int | None = 0

    def __add__(self, other: object) -> "Charge":
        """The sum of two charges, and not a longer tuple."""
        if not isinstance(other, Charge):
            return NotImplemented
        money = None if self.money is None or other.money is None else self.money + other.money
        return Charge(self.input_tokens + other.input_tokens, self.output_tokens + other.output_tokens, money)

    def times(self, multiple: int) -> "Charge":
        """A multiple of the charge."""
        money = None if self.money is None else self.money * multiple
        return Charge(self.input_tokens * multiple, self.output_tokens * multiple, money)

    def ratio_to(self, other: "Charge") -> float:
        """The largest of the ratios of tokens read, tokens written and money to those of another charge."""
        pairs = [(self.input_tokens, other.input_tokens), (self.output_tokens, other.output_tokens)]
        if self.money is not None and other.money is not None:
            pairs.append((self.money, other.money))
        return max(mine / max(1, its) for mine, its in pairs)

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class Tariff:
    """Prices of a voter, picodollars a token.

    input: price of a token read.
    output: price of a token written.
    cached: price of a token read from the provider's prompt cache.
    """

    input: int
    output: int
    cached: int

    def money(self, usage: Usage) -> int:
        """What these tokens cost, in picodollars."""
        money = usage.input_tokens * self.input + usage.output_tokens * self.output
        if usage.cached_tokens:
            money -= min(usage.cached_tokens, usage.input_tokens) * (self.input - self.cached)
        return money


@dataclass(frozen=True, slots=True)
class SpendLimits:
    """What a run may take in all, over all its sessions; None means no limit.

    money: picodollars.
    tokens: tokens read and written.
    calls: requests sent.
    seconds: time that its sessions ran.
    strict: whether a call that is billed above its worst case stops the run.
    """

    money: int | None = None
    tokens: int | None = None
    calls: int | None = None
    seconds: float | None = None
    strict: bool = False


@dataclass(slots=True)
class _RunningTotal:
    """A running total that is changed in place: a new `Charge` for each call would take longer."""

    input: int = 0
    output: int = 0
    money: int = 0
    unpriced: int = 0

    def add(self, charge: Charge, sign: int = 1) -> None:
        self.input += sign * charge.input_tokens
        self.output += sign * charge.output_tokens
        if charge.money is None:
            self.unpriced += sign
        else:
            self.money += sign * charge.money

    def merge(self, other: "_RunningTotal", sign: int = 1) -> None:
        self.input += sign * other.input
        self.output += sign * other.output
        self.money += sign * other.money
        self.unpriced += sign * other.unpriced

    def charge(self) -> Charge:
        return Charge(self.input, self.output, None if self.unpriced else self.money)


class Reservation(NamedTuple):
    """What is reserved for a call in flight.

    worst: its worst case.
    multiples: the multiples by model that were known when it was sent.
    kept: the amount reserved.
    """

    worst: Charge
    multiples: Mapping[str, int]
    kept: Charge


class Overbilling(NamedTuple):
    """A call that was billed above its worst case.

    model: the model; None where the journal does not say which.
    worst: the call's worst case.
    billed: what it was billed.
    multiple: how many times the worst case of each call is reserved since.
    """

    model: str | None
    worst: Charge
    billed: Charge
    multiple: int

    @property
    def sentence(self) -> str:
        """What was noticed and what is reserved since, as a sentence."""
        ratio = self.billed.ratio_to(self.worst)
        times = f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.3g}"
        return (
            f"{self.model or 'a model'} billed a call {times} times what it can cost at most "
            f"({self.billed.input_tokens:,} tokens read and {self.billed.output_tokens:,} written; the most was "
            f"{self.worst.input_tokens:,} and {self.worst.output_tokens:,}); since then {self.multiple:,} times as "
            "much is reserved for each call"
        )


@dataclass(slots=True)
class Account:
    """The spending of a run. Calls in flight go by a key until their outcome is known.

    A total of money is None where one of its parts has no known price.

    limits: what the run may take.
    tariffs: prices by the voter's name.
    calls: calls that were sent.
    lost: calls whose outcome will never be known.
    given_up: those of them that were cancelled after a wrong guess.
    seconds: how long sessions ran that ended cleanly.
    multiples: by model, how many times its worst case is reserved; 1 where it is missing.
    overbilled: calls that were billed above their worst case, each of which raised a multiple.
    """

    limits: SpendLimits = SpendLimits()
    tariffs: Mapping[str, Tariff] = field(default_factory=dict)
    calls: int = 0
    lost: int = 0
    given_up: int = 0
    seconds: float = 0.0
    _since: float | None = None
    _settled: _RunningTotal = field(default_factory=_RunningTotal)
    _unknown: _RunningTotal = field(default_factory=_RunningTotal)
    _reserved: _RunningTotal = field(default_factory=_RunningTotal)
    _open: dict[tuple[int, int, str], Reservation] = field(default_factory=dict)
    _others_open: int = 0  # calls in flight of the runs whose accounts are included
    multiples: Mapping[str, int] = field(default_factory=dict)
    overbilled: list[Overbilling] = field(default_factory=list)

    @property
    def settled(self) -> Charge:
        """The cost of calls whose outcome is known."""
        return self._settled.charge()

    @property
    def unknown(self) -> Charge:
        """The worst case of calls whose outcome will never be known."""
        return self._unknown.charge()

    @property
    def reserved(self) -> Charge:
        """The worst case of calls in flight."""
        return self._reserved.charge()

    @property
    def spent(self) -> Charge:
        """The cost of all calls; those in flight or of unknown outcome count at their worst case."""
        return self.settled + self.unknown + self.reserved

    @property
    def priced(self) -> int:
        """Picodollars of all calls whose price is known."""
        return self._settled.money + self._unknown.money + self._reserved.money

    @property
    def has_calls_in_flight(self) -> bool:
        """Whether calls are in flight."""
        return bool(self._open) or self._others_open > 0

    def include(self, other: "Account", now: float) -> None:
        """Add the account of another run that continues, as of the time `now`."""
        self._merge(other, other.ran(now))
        self._reserved.merge(other._reserved)
        self._others_open += len(other._open)

    def include_ended(self, other: "Account", sign: int = 1) -> None:
        """Add the account of a run that does not continue, or subtract it with a sign of -1.

        Its calls in flight are of unknown outcome, and count at their worst case.
        """
        self._merge(other, other.seconds, sign)
        self._unknown.merge(other._reserved, sign)

    def _merge(self, other: "Account", seconds: float, sign: int = 1) -> None:
        self.calls += sign * other.calls
        self.seconds += sign * seconds
        self._settled.merge(other._settled, sign)
        self._unknown.merge(other._unknown, sign)

    def tariff(self, voter: str) -> Tariff | None:
        """The prices of a voter, whatever its wording. A member of a model has the prices of the model."""
        found = self.tariffs.get(voter)
        if found is not None or not self.tariffs:
            return found
        name = voter.partition(WORDING_SEPARATOR)[0]
        return self.tariffs.get(name) or self.tariffs.get(name.partition("/")[0])

    def price(self, voter: str, usage: Usage) -> Charge:
        """The cost of a voter's tokens."""
        tariff = self.tariffs.get(voter) or self.tariff(voter)
        return Charge(usage.input_tokens, usage.output_tokens, None if tariff is None else tariff.money(usage))

    def begin(self, key: tuple[int, int, str], worst: Charge | None) -> None:
        """A call is about to be sent."""
        self.calls += 1
        if worst is not None:
            if key in self._open:
                self.release(key)
            self._open[key] = Reservation(worst, self.multiples, worst)
            self._reserved.add(worst)

    def settle(self, key: tuple[int, int, str], charge: Charge, voter: str | None = None) -> None:
        """A call ended at this cost. `voter` is who answered; empty where that is not known."""
        reserved = self._open.get(key)
        self.release(key)
        self._settled.add(charge)
        if voter is not None and reserved is not None and charge.ratio_to(reserved.worst) > 1.0:
            self._overbilled(self._model(voter), reserved, charge)

    def multiple(self, model: str) -> int:
        """How many times its worst case is reserved for a call of a model."""
        return max(self.multiples.get(model, 1), self.multiples.get("", 1)) if self.multiples else 1

    def _model(self, voter: str) -> str:
        """The model that a voter belongs to; empty where no price names it."""
        if len(self.tariffs) == 1:
            return next(iter(self.tariffs))
        name = voter.partition(WORDING_SEPARATOR)[0]
        return next((one for one in (name, name.partition("/")[0]) if one in self.tariffs), "")

    def _overbilled(self, model: str, reserved: Reservation, billed: Charge) -> None:
        """Raise what is reserved for a model's calls, and for all calls in flight: their model is not known."""
        multiple = ceil(billed.ratio_to(reserved.worst) * reserved.multiples.get(model, 1))
        if multiple <= self.multiples.get(model, 1):
            return  # the call was sent before another one showed the same
        self.multiples = {**self.multiples, model: multiple}
        self.overbilled.append(Overbilling(model or None, reserved.worst, billed, multiple))
        for key, one in self._open.items():
            raised = max(-(-now // one.multiples.get(name, 1)) for name, now in self.multiples.items())
            kept = one.worst.times(raised)
            self._reserved.add(one.kept, -1)
            self._reserved.add(kept)
            self._open[key] = one._replace(kept=kept)

    def unsend(self, key: tuple[int, int, str]) -> None:
        """A call was abandoned before it was sent."""
        self.calls -= 1
        self.release(key)

    def release(self, key: tuple[int, int, str]) -> Charge | None:
        """A call is no longer in flight; returns what was reserved for it."""
        reserved = self._open.pop(key, None)
        if reserved is None:
            return None
        self._reserved.add(reserved.kept, -1)
        return reserved.kept

    def lose(self, key: tuple[int, int, str], wrong_guess: bool = False) -> None:
        """The outcome of a call will never be known: it stays charged at its worst case."""
        self.lost += 1
        self.given_up += wrong_guess
        worst = self.release(key)
        if worst is not None:
            self._unknown.add(worst)

    def lose_all(self) -> None:
        """The process that made the calls in flight is gone."""
        for key in list(self._open):
            self.lose(key)

    def session_began(self, time: float) -> None:
        """A session of the run began; times are in seconds since 1970."""
        self._since = time

    def session_ended(self, time: float) -> None:
        """The session ended cleanly. The duration of a killed session is not known, and not counted."""
        self.seconds = self.ran(time)
        self._since = None

    def ran(self, now: float) -> float:
        """How long the run's sessions took so far, in seconds."""
        return self.seconds + (0.0 if self._since is None else max(0.0, now - self._since))

    def lacks(self, more: Charge) -> str | None:
        """The name of the limit that one more call might exceed; None where all of them have room."""
        limits = self.limits
        if limits.calls is not None and self.calls >= limits.calls:
            return "calls"
        if limits.tokens is None and limits.money is None:
            return None
        sums = (self._settled, self._unknown, self._reserved)
        if limits.tokens is not None and more.tokens + sum(one.input + one.output for one in sums) > limits.tokens:
            return "tokens"
        if limits.money is None:
            return None
        settled, unknown, reserved = sums
        if more.money is None or settled.unpriced or unknown.unpriced or reserved.unpriced:
            return "dollars"
        return "dollars" if more.money + settled.money + unknown.money + reserved.money > limits.money else None
