"""Long multiplication: the written method, the verifier, the questions and their rehearsal."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tables import each
from unerring import run, verify
from unerring.core.chain import Chain
from unerring.core.voting.redflag import RedFlag
from unerring.errors import InputError
from unerring.processes.multiply import MAX_FACTOR_DIGITS, Multiply, compact_prompt, parse

FACTORS = st.integers(0, 10**30)
DIGITS = st.integers(0, 9)


def walked(product):
    """Every state of the right path with its choice, and the state at its end."""
    states, choices = [product.start()], []
    while product.subtask(states[-1]) is not None:
        choices.append(product.truth(states[-1]))
        states.append(product.advance(states[-1], choices[-1]))
    return states, choices


@given(FACTORS, FACTORS)
def test_the_steps_end_with_the_product(a, b):
    """For any factors there are as many steps as announced, and the sum is Python's product."""
    product = Multiply(a, b)
    assert isinstance(product, Chain)
    states, choices = walked(product)
    assert len(choices) == product.length() == len(str(a)) * len(str(b))
    assert int(states[-1]["sum"]) == a * b
    assert product.verify(choices, True) is None
    assert Multiply(**product.parameters()).start() == product.start()


@given(st.integers(0, 10**8), st.integers(0, 10**8))
def test_any_state_can_be_had_without_the_steps_before_it(a, b):
    """`state_at` gives the states of walking, from the first to the last."""
    product = Multiply(a, b)
    states, _ = walked(product)
    assert [product.state_at(step) for step in range(len(states))] == states


@given(FACTORS, FACTORS, st.data())
def test_the_verifier_finds_any_wrong_step(a, b, data):
    """One changed choice is named by its step; so are too many or too few steps."""
    product = Multiply(a, b)
    _, choices = walked(product)
    place = data.draw(st.integers(0, len(choices) - 1))
    other = data.draw(st.fixed_dictionaries({"digit": DIGITS, "carry": DIGITS}).filter(lambda c: c != choices[place]))
    wrong = [*choices[:place], other, *choices[place + 1 :]]
    assert product.verify(wrong, True).startswith(f"step {place}: ")
    assert product.verify(choices[:-1], False) is None
    assert "not the product" in product.verify(choices[:-1], True)
    assert product.verify([*choices, choices[0]], True).startswith(f"step {len(choices)}: ")


@given(DIGITS, DIGITS, DIGITS, DIGITS)
def test_rehearsed_answers_are_right_and_wrong_ones(x, y, so_far, carry):
    """The right answer parses to what arithmetic says, and no wrong one does."""
    rehearsal = Multiply().rehearse(compact_prompt(x, y, so_far, carry))
    result = x * y + so_far + carry
    right = {"digit": result % 10, "carry": result // 10}
    assert parse(rehearsal.right) == right
    assert rehearsal.wrong
    assert right not in [parse(wrong) for wrong in rehearsal.wrong]


@each(
    "text",
    ["", "digit = 3", "carry = 3", "digit = 12\ncarry = 0", "digit = -1\ncarry = 0", "digit = 3\ncarry = 1.5",
     "digit = 3\ncarry = 1\ncarry = none", "digit: 3\ncarry: 1", "digits = 3\ncarry = 1"],
)  # fmt: skip
def test_malformed_answers_are_flagged(text):
    """An answer needs both lines with one digit each; an earlier line does not replace a later one."""
    with pytest.raises(RedFlag):
        parse(text)


def test_an_answer_may_begin_with_thoughts():
    """The last of each line counts, and a full stop may end it."""
    assert parse("digit = 9? No.\n7 * 8 is 56.\ndigit = 6\ncarry = 5.") == {"digit": 6, "carry": 5}


def test_every_prompt_has_its_four_numbers_and_nothing_of_the_rest():
    """A call sees two digits, a digit of the sum and a carry, in either wording."""
    product = Multiply(98765, 43210)
    states, _ = walked(product)
    for before, after in pairwise(states):
        subtask = product.subtask(before)
        assert subtask.compact.strip() in subtask.prompt
        assert len(subtask.compact) < 20
        assert before != after


@each("factor", [-1, 1.5, "7", True, None, 10**MAX_FACTOR_DIGITS])
def test_an_invalid_factor_is_refused(factor):
    """A factor is a whole number from 0 with at most 1,000 digits; others get one clear line."""
    with pytest.raises(InputError, match="a must be a whole number of at most 1,000 digits"):
        Multiply(factor, 1)


def test_a_noisy_model_multiplies_correctly_by_voting(tmp_path):
    """For two numbers of ten digits a hundred steps, each wrong with 5 % for one sample, are all right by votes."""
    product = Multiply(9876543210, 1029384756)
    result = run(product, "noise/p=0.95,v=0.95,c=0", tmp_path / "run.db", k=6, seed=1)
    assert result.answer == 9876543210 * 1029384756
    assert verify(tmp_path / "run.db").steps == 100
