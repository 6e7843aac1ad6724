"""The six lines at the end of a run: free and paid, small and large, certified and not."""

import pytest

import unerring
from unerring.core.reporting.summary import answer_line, certificate_text, cost_text, duration, summary
from unerring.testing import NoisySampler

TOKENS = {"input": 45_000, "output": 12_000}
NO_LIMIT = {"dollars": None, "tokens": None, "calls": None, "hours": None}


def spend(calls=1203, dollars=0.42, lost=0, limit=None, lost_tokens=9, in_flight=0, priced=None):
    priced = dollars if priced is None else priced
    unknown = {"calls": lost, "tokens": lost_tokens * bool(lost), "dollars": None if dollars is None else 0.03}
    waiting = {"tokens": in_flight, "dollars": None if dollars is None else 0.01}
    limits = NO_LIMIT | {"dollars": limit}
    return {
        **{"calls": calls, "dollars": dollars, "priced": priced, "unknown": unknown, "under_way": waiting},
        "limits": limits,
    }


def test_the_cost_is_one_short_line():
    """It covers free and paid runs, budgets, unknown prices, calls of unknown outcome and calls in flight."""
    unpriced = "1,203 calls, 45,000 tokens in, 12,000 out; "
    expected = {
        cost_text(spend(0), TOKENS): "nothing: no paid calls",
        cost_text(spend(), TOKENS): "$0.42 for 1,203 calls",
        cost_text(spend(1, limit=2.0), TOKENS): "$0.42 of $2.00 for 1 call",
        cost_text(spend(lost=30), TOKENS): "$0.42 for 1,203 calls, $0.03 of it for 30 calls of unknown outcome",
        cost_text(spend(in_flight=5), TOKENS): "$0.42 for 1,203 calls, $0.01 of it at most for calls in flight",
        cost_text(spend(lost=1, in_flight=5), TOKENS): (
            "$0.42 for 1,203 calls, $0.03 of it for 1 call of unknown outcome, $0.01 of it at most for calls in flight"
        ),
        cost_text(spend(lost=2, lost_tokens=0), TOKENS): (
            "$0.42 for 1,203 calls; not counted: 2 calls of unknown outcome, which can have cost something"
        ),
        cost_text(spend(dollars=None), TOKENS): unpriced + "the price is not known",
        cost_text(spend(dollars=None, in_flight=7), TOKENS): unpriced + "the price is not known",
        cost_text(spend(dollars=None, priced=0.4), TOKENS): (
            unpriced + "at least $0.40, and not every price is known"
        ),
        cost_text(spend(dollars=None, lost=1), TOKENS): (
            unpriced + "the price is not known; 1 call of unknown outcome"
        ),
        cost_text(spend(dollars=None, lost=3, lost_tokens=0), TOKENS): (
            unpriced + "the price is not known; not counted: 3 calls of unknown outcome, which can have cost something"
        ),
    }
    assert list(expected) == list(expected.values())


def test_abandoned_calls_are_not_called_unknown():
    """Calls abandoned after a wrong guess are named separately from lost calls.

    A free function has calls, not tokens.
    """
    nothing = {"input": 0, "output": 0}

    def guessed(lost, given_up, **more):
        made = spend(lost=lost, **more)
        return {**made, "unknown": {**made["unknown"], "given_up": given_up}}

    free = {"dollars": None, "lost_tokens": 0}
    expected = {
        cost_text(guessed(1, 1, **free), nothing, "function m"): (
            "1,203 calls of a function; 1 call given up after a wrong guess"
        ),
        cost_text(guessed(0, 0, **free), nothing, "function m"): "1,203 calls of a function",
        cost_text(guessed(3, 2), TOKENS): (
            "$0.42 for 1,203 calls, $0.03 of it for 1 call of unknown outcome and 2 given up after a wrong guess"
        ),
    }
    assert list(expected) == list(expected.values())


def certificate(votes=9000, warnings=(), certifiable=True):
    found = {"zero_probability": 0.99, "zero_probability_low": 0.9, "warnings": list(warnings)}
    return {"certificate": found | {"certifiable": certifiable}, "samples": {"voted": votes}, "disagreements": 0}


def test_a_certificate_names_few_votes_and_counts_warnings():
    """A low probability from few votes says so, and warnings are counted."""
    assert certificate_text(certificate()) == "zero errors with probability 0.990 (at least 0.900)"
    assert certificate_text(certificate(15)).endswith("(at least 0.900), from only 15 votes")
    assert certificate_text(certificate(warnings=["a", "b"])).endswith("; 2 warnings")
    assert certificate_text(certificate(warnings=["single votes"], certifiable=False)) == "none: single votes"


def test_a_result_prints_its_end_in_six_lines(tmp_path):
    """`print(result)` is short, names the journal and the call that checks it, and has no control characters."""
    chain = unerring.Hanoi(disks=5)
    path = tmp_path / "h.db"
    kept = unerring.run(chain, NoisySampler(chain.rehearse, 0.9), path, k=3)
    lines = str(kept).splitlines()
    assert [line[:13].rstrip() for line in lines] == ["end state", "steps", "votes", "cost", "certificate", "journal"]
    assert lines[-1] == f'journal      {path}; check it with: unerring.verify("{path}")'
    unkept = unerring.run(chain, NoisySampler(chain.rehearse, 0.9), k=3)
    assert str(unkept).splitlines()[-1] == "journal      none: kept in memory only"
    named = summary(kept.report, answer_line("\x1b[2J" + "a" * 5000, None, 100), "here")
    assert len(named.splitlines()) == 6
    assert "\x1b" not in named
    assert len(named.splitlines()[0]) < 120


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.25, "0.25 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3_599, "59 min 59 s"),
        (3_600, "1 h"),
        (93_784, "26 h 3 min"),
        (7 * 86_400, "168 h"),
        (1e12, "more than 32 years"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds, shown):
    """A duration is seconds, minutes and seconds, or hours and minutes, without a second unit that is 0."""
    assert duration(seconds) == shown
