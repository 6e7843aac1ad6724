"""A provider that bills calls above their limit: noticed at once, reserved for, and the end of a strict run."""

import logging
from dataclasses import replace
from random import Random

import pytest
from test_budget import lived, opened

import unerring
from chain_runs import K3, Words
from faults.answers import noise, overbilled
from faults.server import serving
from metered import MOST_TOKENS, TARIFF, Bill, Metered
from unerring.core.journal.entries import Intent, Resumed
from unerring.core.journal.spend import Account, Charge, SpendLimits
from unerring.core.journal.state import RunState
from unerring.core.planning.costs import Price
from unerring.core.voting.sample import Usage
from unerring.errors import BudgetSpent
from unerring.runtime.config import Guards

TIMES = 2.3
UNPROBED = Guards(probe=False)  # else the trial calls show it, one at a time


class Overbilling(Metered):
    """Bills each call 2.3 times the output tokens that it may have, or 0.92 to 2.3 times if bills `vary`.

    It begins with that after so many calls, since a run has few of them in flight at first.
    """

    def __init__(self, bill, seed, vary=False, after=0):
        super().__init__(bill, seed, troubles=0.0)
        self._after = after
        self._vary = Random(seed) if vary else None

    async def sample(self, prompt, settings, n):
        honest = self.bill.calls < self._after
        samples = await super().sample(prompt, settings, n)
        if honest:
            return samples
        billed = []
        for sample in samples:
            share = 1.0 if self._vary is None else self._vary.uniform(0.4, 1.0)
            usage = replace(sample.usage, output_tokens=int(TIMES * MOST_TOKENS * share))
            extra = usage.output_tokens - sample.usage.output_tokens
            self.bill.total += Charge(0, extra, TARIFF.output * extra)
            billed.append(replace(sample, usage=usage))
        return billed


def notices(entries):
    """At each notice of a bill above a reservation: calls then in flight, with that one, and calls sent so far."""
    state, found = RunState(), []
    for entry in entries:
        in_flight = len(state.account._open)
        before = len(state.account.overbilled)
        state.apply(entry)
        if len(state.account.overbilled) > before:
            found.append((in_flight, state.account.calls))
    return found


@pytest.mark.parametrize("vary", [False, True])
def test_the_budget_is_exceeded_only_by_calls_in_flight_at_the_notice(vary):
    """Over 60 runs at 2.3 times the bill, the budget is exceeded at most by the excess of the calls then in flight.

    Bills that vary are noticed at most twice, where they first pass their limit and where they pass twice that.
    """
    passed, excess = 0, (TIMES - 1) * MOST_TOKENS * TARIFF.output * 3
    for seed in range(30 * vary, 30 * vary + 30):
        chance, bill, chain = Random(seed), Bill(), Words(60)
        worst = TARIFF.money(Metered(bill, 0).worst("x" * 200, None, 3))
        limits = SpendLimits(money=chance.randint(4, 80) * worst // 4, strict=chance.random() < 0.3)
        sampler = Overbilling(bill, seed, vary, chance.choice([0, 20, 40]))
        entries, ended = lived(chain, sampler, opened(K3, chain, limits), guards=UNPROBED)
        found = notices(entries)
        assert len(found) <= 1 + vary, f"seed {seed}"
        assert bill.total.money <= limits.money + sum(in_flight for in_flight, _ in found) * excess, f"seed {seed}"
        assert ended is None or isinstance(ended, BudgetSpent)
        if limits.strict and found:
            assert isinstance(ended, BudgetSpent)
            assert bill.calls == found[0][1], f"seed {seed}: calls were sent after the notice"
        passed += bill.total.money > limits.money
    assert passed  # else nothing was tried


def test_a_resumed_run_reserves_what_was_seen():
    """The notice follows from the journal: a further session keeps its budget from its first call on."""
    chain, bill = Words(60), Bill()
    worst = TARIFF.money(Metered(bill, 0).worst("x" * 200, None, 3))
    entries, ended = lived(
        chain, Overbilling(bill, 1), opened(K3, chain, SpendLimits(money=10 * worst, strict=True)), guards=UNPROBED
    )
    assert isinstance(ended, BudgetSpent)
    assert "strict" in str(ended)
    more = replace(entries[1], limits=SpendLimits(money=bill.total.money + 40 * worst, strict=True))
    rest, ended = lived(chain, Overbilling(bill, 2), [*entries, Resumed(0.0), more], guards=UNPROBED)
    assert bill.total.money <= more.limits.money
    assert ended is None or "is spent" in str(ended)
    first = next(entry for entry in rest[len(entries) :] if isinstance(entry, Intent))
    assert first.worst.output_tokens == 3 * first.count * MOST_TOKENS


def test_calls_in_flight_are_reserved_at_the_multiple_as_well():
    """A notice raises the reservations of calls in flight, and each is settled or lost at that."""
    account = Account(tariffs={"m": TARIFF, "other": TARIFF})
    worst = account.price("m", Usage(10, 100))
    for number in range(3):
        account.begin((number, 0, ""), worst)
    account.settle((0, 0, ""), account.price("m", Usage(10, 230)), "m wording 2")
    assert account.multiple("m") == 3
    assert account.multiple("other") == 1
    assert account.reserved == worst.times(3) + worst.times(3)
    account.lose((1, 0, ""))
    assert account.unknown == worst.times(3)
    account.settle((2, 0, ""), account.price("m", Usage(10, 230)), "m")
    assert (len(account.overbilled), account.reserved) == (1, Charge())
    account.begin((3, 0, ""), worst.times(3))
    account.settle((3, 0, ""), account.price("m", Usage(10, 301)), "m")
    assert account.multiple("m") == 4


def test_an_endpoint_that_bills_too_much_is_named_and_stops_a_strict_run(tmp_path, caplog):
    """A strict run on a real endpoint at 2.3 times exceeds its budget by one call at most.

    The log and the report say who billed what, how much, and what is reserved since.
    """
    with serving(models={"m": overbilled(noise(p=1), TIMES)}) as server:
        spec = f"openai/m@{server.url}"
        price = {spec: Price(0.4, 1.6)}

        def options(usd, **given):
            budget = unerring.Budget(usd=usd, **given)
            return unerring.Options(budget=budget, prices=price, speculate="off", guards=UNPROBED, in_flight=1)

        most = 1.6e-6 * 750  # the output of one call at its limit
        with caplog.at_level(logging.WARNING, "unerring"), pytest.raises(BudgetSpent, match="strict"):
            unerring.run(unerring.Hanoi(4), spec, tmp_path / "run.db", k=1, options=options(0.01, strict=True))
        assert server.ledger.settled().requests == 1
        assert server.ledger.settled().dollars(0.4, 1.6) <= 0.01 + TIMES * most
        assert sum("billed a call" in record.message for record in caplog.records) == 1
        (finding,) = unerring.api.journals.history.report(tmp_path / "run.db")["findings"]
        assert finding.startswith(f"{spec} billed a call 2.3 times what it can cost")
        assert "3 times as much is reserved" in finding
        with pytest.raises(BudgetSpent, match="is spent"):
            unerring.resume(tmp_path / "run.db", options=options(0.02))
        assert 0.01 < server.ledger.settled().dollars(0.4, 1.6) <= 0.02
