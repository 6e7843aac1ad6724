"""Budgets: what was billed never exceeds them, with any failures, kills and number of calls in flight."""

import asyncio
from random import Random

import pytest

from chain_runs import K3, Watch, Words
from metered import ENDLESS, TARIFF, Bill, Killed, Metered, one_life, require_within, until_its_end
from replay import replay
from unerring.core.checked_chain import CheckedChain
from unerring.core.journal.entries import Allowed, Opened, Resumed
from unerring.core.journal.spend import Charge, SpendLimits
from unerring.core.journal.state import RunState
from unerring.core.voting.canonical import canonical
from unerring.errors import BudgetSpent
from unerring.runtime.config import Guards, RunConfig, Speculation
from unerring.runtime.runner import run_chain
from unerring.testing import MemoryJournal
from virtual_time import LoopClock, virtually


def opened(policy, chain, limits):
    """The first entries of a run with a budget."""
    first = Opened("words", {}, "metered/m", policy.to_json(), 1, canonical(chain.start()), chain.steps, "test", 0.0)
    return [first, Allowed(limits, {"metered/m": TARIFF})]


def lived(chain, sampler, entries, lives=-1, guards=None):
    """One session of a run, as `one_life`."""
    state = replay(entries)
    at = chain.start()
    for _ in range(state.committed):
        at = chain.advance(at, "a")

    def begun(journal):
        config = RunConfig(
            clock=LoopClock(),
            patience=ENDLESS,
            observer=Watch(),
            speculation=Speculation(lambda _: "a", 0.5, 64),
            guards=guards or Guards(),
        )
        return run_chain(CheckedChain(chain), sampler, journal, state, at, config)

    return one_life(begun, sampler, entries, lives)


def trial(seed):
    """A run with a random budget that is killed at random moments and resumed, to its end or its budget's."""
    chance = Random(seed)
    chain, bill = Words(chance.randint(5, 40)), Bill()
    worst_of_one = TARIFF.money(Metered(bill, 0).worst("x" * 200, None, 3))
    limits = chance.choice(
        [
            SpendLimits(money=chance.randint(1, 60) * worst_of_one // 4),
            SpendLimits(tokens=chance.randint(100, 20_000)),
            SpendLimits(calls=chance.randint(1, 150)),
        ]
    )

    def life(entries):
        sampler = Metered(bill, chance.randrange(10**6), chance.choice([0.0, 0.2, 0.5]), 0.2)
        return lived(chain, sampler, entries, chance.choice([-1, chance.randint(0, 200)]))

    return limits, bill, *until_its_end(life, opened(K3, chain, limits))


@pytest.mark.parametrize("block", range(4))
def test_no_budget_is_ever_exceeded(block):
    """In fifty trials each, with failures, kills and 64 samples in flight, the bill stays within the limit."""
    finished = spent = 0
    for seed in range(50 * block, 50 * block + 50):
        limits, bill, state, ended = trial(seed)
        require_within(limits, bill, state, seed)
        finished += ended is None
        spent += isinstance(ended, BudgetSpent)
    assert finished >= 5
    assert spent >= 5


def test_without_failures_the_account_equals_the_bill():
    """If every reply is received, account and bill agree to the last picodollar and the last call."""
    chain, bill = Words(30), Bill()
    entries, ended = lived(chain, Metered(bill, 1, troubles=0.0), opened(K3, chain, SpendLimits(money=10**15)))
    account = replay(entries).account
    assert ended is None
    assert (account.settled, account.unknown, account.reserved) == (bill.total, Charge(), Charge())
    assert account.calls == bill.calls


def test_a_resumed_run_buys_only_what_is_missing():
    """Killed half-way and resumed, a run costs at most an uninterrupted one plus the calls in flight at the kill."""
    chain, whole, halves = Words(60), Bill(), Bill()
    entries, _ = lived(chain, Metered(whole, 1, 0.0), opened(K3, chain, SpendLimits()))
    first, ended = lived(chain, Metered(halves, 1, 0.0), opened(K3, chain, SpendLimits()), lives=len(entries) // 2)
    assert isinstance(ended, Killed)
    lost = len(replay(first).calls.in_flight)
    rest, ended = lived(chain, Metered(halves, 2, 0.0), [*first, Resumed(0.0)])
    assert ended is None
    assert replay(rest).committed == 60
    assert halves.calls <= 1.005 * whole.calls + lost


def test_a_raised_budget_continues_where_the_first_one_ended():
    """A run stopped at its budget continues with a larger one, and its earlier costs count."""
    chain, bill = Words(40), Bill()
    entries, ended = lived(chain, Metered(bill, 1, 0.0), opened(K3, chain, SpendLimits(calls=20)))
    assert isinstance(ended, BudgetSpent)
    assert "the budget of 20 calls is spent" in str(ended)
    raised = [*entries, Resumed(0.0), Allowed(SpendLimits(calls=1000), {"metered/m": TARIFF})]
    rest, ended = lived(chain, Metered(bill, 2, 0.0), raised)
    assert ended is None
    assert replay(rest).account.calls == bill.calls <= 1000


def test_a_call_waits_for_others_to_be_settled_before_it_gives_up():
    """If only reservations fill the budget, calls wait for them: a budget for one call at a time suffices."""
    chain, bill = Words(20), Bill()
    worst = TARIFF.money(Metered(bill, 0).worst("x" * 300, None, 3))
    _, ended = lived(chain, Metered(bill, 1, 0.0), opened(K3, chain, SpendLimits(money=40 * worst)))
    assert ended is None
    assert bill.total.money <= 40 * worst


def test_hours_are_a_budget_too():
    """A run stops once its sessions took the allowed hours, and says so."""
    chain, bill = Words(500), Bill()
    entries, ended = lived(chain, Metered(bill, 1, 0.0), opened(K3, chain, SpendLimits(seconds=2.0)))
    assert isinstance(ended, BudgetSpent)
    assert "hours" in str(ended)
    assert isinstance(replay(entries), RunState)
    assert max(bill.times) + 0.4 >= 2.0
    assert max(bill.times) <= 2.0


def test_a_stop_ends_a_wait_for_the_budget():
    """A call that waits for budget is interrupted when the run stops."""

    async def main():
        from unerring.runtime.calls.ledger import Ledger
        from unerring.runtime.config import StopRequest

        state = replay(opened(K3, Words(1), SpendLimits(money=10)))
        state.account.begin((0, 0, ""), Charge(0, 0, 10))
        stop = StopRequest()
        waiting = asyncio.ensure_future(Ledger(state, MemoryJournal()).wait_for_budget(Charge(0, 0, 1), stop))
        await asyncio.sleep(0)
        stop.ask("enough")
        return await asyncio.gather(waiting, return_exceptions=True)

    (outcome,) = virtually(main())
    assert str(outcome) == "enough"
