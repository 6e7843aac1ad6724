"""One `Budget` object given to several runs is shared by them: in sequence, on one loop, and in threads."""

import asyncio
import copy
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

import unerring
from doubling import Doubling
from unerring import Budget, Options, Sample, Usage
from unerring.core.journal.spend import Account, Charge, SpendLimits
from unerring.core.journal.state import RunState
from unerring.errors import BudgetSpent
from unerring.runtime.calls.ledger import Ledger
from unerring.runtime.calls.shared_budget import BudgetMember, SharedBudget
from unerring.runtime.config import RunConfig
from unerring.testing import MemoryJournal

WORST = 100


class Paid:
    """An endpoint with right answers that keeps the sum of its bills and the most calls at once."""

    paid, compact, name, account = True, False, "paid", "paid"

    def __init__(self, billed=WORST, latency=0.001):
        self.calls = self.tokens = 0
        self._billed, self._latency = billed, latency
        self._counting = threading.Lock()  # runs in threads ask the same one

    def worst(self, prompt, settings, n):
        return Usage(0, n * WORST)

    async def aclose(self):
        pass

    async def sample(self, prompt, settings, n):
        with self._counting:
            self.calls += 1
            self.tokens += n * self._billed
        await asyncio.sleep(self._latency)
        return [Sample(str(2 ** (settings.step + 1)), Usage(0, self._billed)) for _ in range(n)]


def options(budget):
    return Options(budget=budget, guards=unerring.Guards(probe=False), speculate="off")


def finished(budget, model, path=None, steps=10):
    """Whether a run ended within the budget."""
    try:
        return unerring.run(Doubling(steps), model, path, k=2, options=options(budget)).steps
    except BudgetSpent as stop:
        return str(stop)


@pytest.mark.parametrize("budget", [Budget(tokens=3000), Budget(calls=30)])
def test_runs_one_after_the_other_share_a_budget(budget):
    """The second of two runs that need 2,000 tokens each gets what the first left, and says what was spent."""
    model = Paid()
    assert finished(budget, model) == 10
    assert "is spent" in finished(budget, model)
    assert model.tokens <= 3000
    assert model.calls <= 30
    assert finished(copy.deepcopy(budget), model) == finished(pickle.loads(pickle.dumps(budget)), model) == 10  # noqa: S301


def test_equal_budgets_are_not_one():
    """Budgets are shared by object identity: two equal ones are separate."""
    first, second = Budget(tokens=3000), Budget(tokens=3000)
    assert first == second
    assert finished(first, Paid()) == finished(second, Paid()) == 10


def at_once(model, budget):
    """The endings of four runs on one loop that share a budget."""

    async def every():
        runs = [unerring.arun(Doubling(10), model, k=2, options=options(budget)) for _ in range(4)]
        return await asyncio.gather(*runs, return_exceptions=True)

    return asyncio.run(every())


def test_runs_on_one_loop_share_a_budget():
    """Four runs at once that would be billed 4,000 tokens take at most 3,000 together, and the others stop."""
    model = Paid(billed=50)
    ends = at_once(model, Budget(tokens=3000))
    assert 3000 - 4 * 2 * WORST < model.tokens <= 3000
    assert {type(end) for end in ends} <= {unerring.Result, BudgetSpent}
    assert BudgetSpent in map(type, ends)


def test_runs_on_one_loop_wait_for_what_others_have_reserved():
    """Calls that could cost 8,000 tokens and are billed 4,000 all fit into 5,000, since none is refused too early."""
    model = Paid(billed=50)
    assert [type(end) for end in at_once(model, Budget(tokens=5000))] == [unerring.Result] * 4
    assert model.tokens == 4000


def test_runs_in_threads_share_a_budget():
    """Six runs in threads that would bill 12,000 tokens stop at 5,000 together, and none hangs."""
    model, budget = Paid(), Budget(tokens=5000)
    with ThreadPoolExecutor(6) as pool:
        ends = list(pool.map(lambda _: finished(budget, model), range(6)))
    assert model.tokens <= 5000
    assert model.tokens > 5000 - 2 * WORST * 6
    assert any("is spent" in str(end) for end in ends)


class Ticking:
    """A clock of one run that advances a second at every reading."""

    def __init__(self):
        self.seconds = 0.0

    def time(self):
        self.seconds += 1.0
        return self.seconds

    async def sleep(self, seconds):
        await asyncio.sleep(0)


def test_runs_in_threads_share_hours():
    """Six runs in threads take an hour together, each by its own clock, and all stop at its end."""
    budget, clocks = Budget(hours=1), [Ticking() for _ in range(6)]

    def stopped(clock):
        with pytest.raises(BudgetSpent, match="1 hours is spent"):
            unerring.run(Doubling(10**6), Paid(latency=0), k=2, options=replace(options(budget), clock=clock))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(stopped, clocks))
    assert 3000 < sum(clock.seconds for clock in clocks) < 4500  # each sums up those of the others with a look


def joined(budget, time=lambda: 0.0, loop=None, key=None):
    """A run that has joined a budget with its own account."""
    member = BudgetMember(budget, key, Account(), time, loop, lambda: None)
    budget.join(member)
    return member


def test_no_run_joins_while_the_accounts_are_summed_up():
    """While a shared budget is read, for its hours too, runs of other threads cannot change it."""
    share, free = Budget(hours=1).share(None), []

    def time():
        thread = threading.Thread(target=lambda: free.append(share.budget.lock.acquire(blocking=False)))
        thread.start()
        thread.join()
        return 0.0

    async def looked():
        joined(share.budget, time)
        ledger = Ledger(RunState(), MemoryJournal(), RunConfig(share=share))
        ledger.state.account.limits = share.limits
        ledger.require_time()

    asyncio.run(looked())
    assert free == [False]


def test_a_loop_that_closes_meanwhile_stops_no_other_run():
    """If another run's loop closes between a look at it and the call to it, nothing fails."""

    class Closing:
        def is_closed(self):
            return False

        def call_soon_threadsafe(self, wake):
            raise RuntimeError("Event loop is closed")

    budget = SharedBudget()
    joined(budget, loop=Closing())
    budget.settled(joined(budget))


def test_the_costs_of_ended_runs_are_one_sum():
    """A run's account is no longer read once it has ended, however many calls others make."""
    budget = SharedBudget()
    for _ in range(3):
        member = joined(budget)
        member.account.begin((0, 0, ""), Charge(1, 2, 3))
        budget.leave(member)
        member.account.calls = 10**6
    whole = budget.whole(SpendLimits())
    assert (whole.calls, whole.spent, whole.has_calls_in_flight) == (3, Charge(3, 6, 9), False)


def test_the_costs_of_a_deleted_journal_stay_counted(tmp_path):
    """A new run under the name of a deleted journal is another run, and its costs are added to the first one's."""
    model, budget, path = Paid(), Budget(tokens=3000), tmp_path / "run.db"
    assert finished(budget, model, path) == 10
    for file in tmp_path.iterdir():
        file.unlink()
    assert "is spent" in finished(budget, model, path)
    assert model.tokens <= 3000


def test_a_resumed_run_counts_once(tmp_path):
    """A run stopped and resumed with the same budget has its first session counted once."""
    model, budget = Paid(), Budget(tokens=2000)
    path = tmp_path / "run.db"
    limited = Options(budget=budget, guards=unerring.Guards(probe=False), speculate="off", max_steps=5)
    with pytest.raises(unerring.Stopped):
        unerring.run(Doubling(10), model, path, k=2, options=limited)
    assert unerring.resume(path, Doubling(10), model, options(budget)).steps == 10
    assert unerring.report(path)["spend"]["limits"]["tokens"] == 2000
    assert model.tokens == 2000
