"""Products solved by parts: factors are halved, the parts multiplied and added, and every step is verified."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unerring import Sample, run, verify
from unerring.core.chain import Chain
from unerring.core.checked_chain import CheckedChain
from unerring.core.voting.redflag import RedFlag
from unerring.processes.solve import Solve


def always_right(chain):
    """A model that always gives the rehearsed right answer."""

    class Right:
        name, paid, compact = "right", False, True

        async def sample(self, prompt, settings, n):
            return [Sample(chain.rehearse(prompt).right)] * n

    return Right()


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**12), st.integers(0, 10**12), st.sampled_from([" * ", "x", " × "]))
def test_right_answers_lead_to_the_product(a, b, sign):
    """For any factors and any sign between them, halving and adding give Python's product."""
    chain = Solve(f"Multiply the following numbers:\n{a}{sign}{b}", "multiply")
    assert isinstance(chain, Chain)
    result = run(chain, always_right(chain), k=1)
    assert result.answer == a * b
    assert CheckedChain(chain).verify([], False) is None


def test_votes_multiply_correctly_where_single_samples_do_not(tmp_path):
    """Five products of five digits by a model that errs on 5 % are all right by votes, and none by single samples."""
    products = [(46048, 42098), (99999, 10001), (73519, 86420), (12345, 67890), (50607, 80905)]
    alone, voted = [], []
    for a, b in products:
        chain = Solve(f"{a} * {b}", "multiply")
        path = tmp_path / f"{a}.db"
        result = run(chain, "noise/p=0.95,v=0.95,c=0", path, k=6, seed=a)
        assert verify(path).problem is None
        voted.append(result.answer == a * b)
        alone.append(run(chain, "noise/p=0.95,v=0.95,c=0", k=1, seed=a).answer == a * b)
    assert voted == [True] * 5
    assert sum(alone) < 3


def test_a_wrong_product_is_found_by_the_verifier(tmp_path):
    """The answer is checked by arithmetic, so wrong single samples are found."""
    run(Solve("46048 * 42098", "multiply"), "noise/p=0.9,v=1,c=0", tmp_path / "run.db", k=1, seed=1)
    found = verify(tmp_path / "run.db")
    assert found.judged
    assert re.fullmatch(r"step \d+: \d \* \d is \d+, not \d+", found.problem)


def test_the_verifier_checks_every_step():
    """A part that is solved or split wrongly is found before the whole has its answer."""
    chain = Solve("46 * 2", "multiply")
    judge = CheckedChain(chain).verify
    cut = {"split": {"parts": ["4 * 2", "6 * 2"], "how": "shift 1 and add"}}
    small = {"split": {"parts": []}}
    right = [cut, small, small, {"answer": 8}, {"answer": 12}]
    assert judge(right, True) is None
    assert judge(right[:4], False) is None
    assert judge([*right[:3], {"answer": 9}], False) == "step 3: 4 * 2 is 8, not 9"
    shifted = {"split": {"parts": ["4 * 2", "6 * 2"], "how": "shift 2 and add"}}
    assert judge([shifted], False) == "step 0: 4 * 2 and 6 * 2 do not make up 46 * 2"
    assert judge(right[:4], True) == "the run ends before the problem is solved"
    assert judge([*right, small], True) == "step 5: the problem is solved before it"


def test_pieces_that_are_not_the_factors_digits_are_flagged():
    """An impossible split is no vote: 46048 is not 46 and 48."""
    parse = Solve("46048 * 42", "multiply").subtask(Solve("46048 * 42", "multiply").start()).parse
    assert parse("high = 46\nlow = 048")["split"]["parts"] == ["46 * 42", "048 * 42"]
    for text in ("high = 46\nlow = 48", "small", "high = 46048\nlow = ", "low = 048"):
        with pytest.raises(RedFlag):
            parse(text)
