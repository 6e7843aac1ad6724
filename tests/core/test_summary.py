"""The six lines at the end of a run: free and paid, small and large, certified and not."""

import unerring
from unerring.core.summary import answer_line, certificate_text, cost_text, summary
from unerring.testing import NoisySampler

TOKENS = {"input": 45_000, "output": 12_000}
NO_LIMIT = {"dollars": None, "tokens": None, "calls": None, "hours": None}


def spend(calls=1203, dollars=0.42, lost=0, limit=None):
    unknown = {"calls": lost, "tokens": 9, "dollars": None if dollars is None else 0.03}
    return {"calls": calls, "dollars": dollars, "unknown": unknown, "limits": NO_LIMIT | {"dollars": limit}}


def test_the_cost_is_told_once_and_plainly():
    """Free, paid, within a budget, with calls of unknown outcome, and without a price: one short phrase each."""
    told = {
        cost_text(spend(0), TOKENS): "nothing: no paid calls",
        cost_text(spend(), TOKENS): "$0.42 for 1,203 calls",
        cost_text(spend(1, limit=2.0), TOKENS): "$0.42 of $2.00 for 1 call",
        cost_text(spend(lost=30), TOKENS): "$0.42 for 1,203 calls, $0.03 of it for 30 calls of unknown outcome",
        cost_text(spend(dollars=None, lost=1), TOKENS): (
            "1,203 calls, 45,000 tokens in, 12,000 out; the price is not known; 1 call of unknown outcome"
        ),
    }
    assert list(told) == list(told.values())


def certificate(votes=9000, warnings=(), certifiable=True):
    found = {"zero_probability": 0.99, "zero_probability_low": 0.9, "warnings": list(warnings)}
    return {"certificate": found | {"certifiable": certifiable}, "samples": {"voted": votes}, "disagreements": 0}


def test_a_certificate_says_how_little_it_rests_on():
    """A low probability that comes from few votes names them; and warnings are counted."""
    assert certificate_text(certificate()) == "zero errors with probability 0.990 (at least 0.900)"
    assert certificate_text(certificate(15)).endswith("(at least 0.900), from only 15 votes")
    assert certificate_text(certificate(warnings=["a", "b"])).endswith("; 2 warnings")
    assert certificate_text(certificate(warnings=["single votes"], certifiable=False)) == "none: single votes"


def test_a_result_prints_its_end_in_six_lines(tmp_path):
    """`print(result)` is short, names the journal and the call that checks it, and shows no control characters."""
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
