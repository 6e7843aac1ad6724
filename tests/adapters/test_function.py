"""Functions as models: every call of the function is a call of the run, in its budget and its report."""

import pytest

import unerring
from doubling import Doubling, double, double_later
from unerring import Budget, Options, Request
from unerring.errors import BudgetSpent

ALL_AT_ONCE = Request(
    temperature=1.0
)  # without a first sample at temperature 0, whose answer the others would wait for


@pytest.mark.parametrize("function", [double, double_later])
def test_a_budget_of_calls_counts_every_call_of_a_function(function):
    """A step that wants eight samples at once calls it no more often than the budget allows, and each call counts."""
    called = []

    def counted(prompt, settings):
        called.append(settings.slot)
        return function(prompt, settings)

    with pytest.raises(BudgetSpent):
        unerring.run(Doubling(), counted, k=8, options=Options(budget=Budget(calls=10), request=ALL_AT_ONCE))
    assert len(called) == 10
    called.clear()
    report = unerring.run(Doubling(), counted, k=8, options=Options(request=ALL_AT_ONCE)).report
    assert len(called) == report["spend"]["calls"] == report["samples"]["received"] == 32
