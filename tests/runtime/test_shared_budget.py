"""One `Budget` object given to several runs is shared by them: one after the other, on one loop, in threads."""

import asyncio
import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest

import unerring
from doubling import Doubling
from unerring import Budget, Options, Sample, Usage
from unerring.errors import BudgetSpent

WORST = 100


class Paid:
    """An endpoint whose answers are right, and which keeps the sum of what it billed and the most at once."""

    paid, compact, name, account = True, False, "paid", "paid"

    def __init__(self, billed=WORST, latency=0.001):
        self.calls = self.tokens = 0
        self._billed, self._latency = billed, latency

    def worst(self, prompt, settings, n):
        return Usage(0, n * WORST)

    async def aclose(self):
        pass

    async def sample(self, prompt, settings, n):
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
    """The second of two runs that need 2,000 tokens each gets what the first left, and says what is spent."""
    model = Paid()
    assert finished(budget, model) == 10
    assert "is spent" in finished(budget, model)
    assert model.tokens <= 3000
    assert model.calls <= 30
    assert finished(copy.deepcopy(budget), model) == finished(pickle.loads(pickle.dumps(budget)), model) == 10  # noqa: S301


def test_equal_budgets_are_not_one():
    """Budgets are shared by object: two that are equal are two."""
    first, second = Budget(tokens=3000), Budget(tokens=3000)
    assert first == second
    assert finished(first, Paid()) == finished(second, Paid()) == 10


def test_runs_on_one_loop_share_a_budget():
    """Four runs at once that need 8,000 tokens: together no more than 5,000, and calls wait for others'."""
    model, budget = Paid(billed=50), Budget(tokens=5000)

    async def every():
        runs = [unerring.arun(Doubling(10), model, k=2, options=options(budget)) for _ in range(4)]
        return await asyncio.gather(*runs, return_exceptions=True)

    ends = asyncio.run(every())
    assert model.tokens <= 5000
    assert [type(end) for end in ends] == [unerring.Result] * 4  # 80 samples of 50 tokens, 4,000 in all


def test_runs_in_threads_share_a_budget():
    """Six runs in threads that would bill 12,000 tokens stop at 5,000 together, and none of them hangs."""
    model, budget = Paid(), Budget(tokens=5000)
    with ThreadPoolExecutor(6) as pool:
        ends = list(pool.map(lambda _: finished(budget, model), range(6)))
    assert model.tokens <= 5000
    assert model.tokens > 5000 - 2 * WORST * 6
    assert any("is spent" in str(end) for end in ends)


def test_a_resumed_run_counts_once(tmp_path):
    """A run stopped and resumed with the same budget has its first session counted once, not twice."""
    model, budget = Paid(), Budget(tokens=2000)
    path = tmp_path / "run.db"
    limited = Options(budget=budget, guards=unerring.Guards(probe=False), speculate="off", max_steps=5)
    with pytest.raises(unerring.Stopped):
        unerring.run(Doubling(10), model, path, k=2, options=limited)
    assert unerring.resume(path, Doubling(10), model, options(budget)).steps == 10
    assert unerring.report(path)["spend"]["limits"]["tokens"] == 2000
    assert model.tokens == 2000
