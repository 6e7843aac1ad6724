"""Merge sort: the comparisons, the verifier, the questions and their rehearsal."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tables import each
from unerring import run, verify
from unerring.core.chain import Chain
from unerring.core.voting.redflag import RedFlag
from unerring.errors import InputError
from unerring.processes.solve import roles_for, sort_chain
from unerring.processes.sort import (
    MAX_NUMBER,
    MAX_NUMBERS,
    Sort,
    compact_prompt,
    numbers_in,
    order_in,
    parse,
)

NUMBERS = st.integers(-MAX_NUMBER, MAX_NUMBER) | st.integers(-3, 3)
LISTS = st.lists(NUMBERS, max_size=40)


def walked(sort_chain):
    """The choices of the right path, and the state at its end."""
    state, choices = sort_chain.start(), []
    while sort_chain.subtask(state) is not None:
        choices.append(sort_chain.truth(state))
        state = sort_chain.advance(state, choices[-1])
    return choices, state


@given(LISTS)
def test_the_steps_end_with_the_sorted_list(numbers):
    """For any numbers there are as many comparisons as announced, and the order is Python's."""
    sort_chain = Sort(numbers)
    assert isinstance(sort_chain, Chain)
    choices, state = walked(sort_chain)
    assert len(choices) == sort_chain.length()
    assert state == {"runs": [sorted(numbers)] if numbers else [], "merged": []}
    assert sort_chain.verify(choices, True) is None
    assert Sort(**sort_chain.parameters()).start() == sort_chain.start()


def test_five_hundred_numbers_take_about_four_thousand_comparisons():
    """Merges take about n log2(n) - n."""
    rng = Random(1)
    assert 3_700 < Sort([rng.randint(-9999, 9999) for _ in range(500)]).length() < 4_000


@given(st.lists(NUMBERS, min_size=2, max_size=12), st.data())
def test_the_verifier_finds_any_wrong_step(numbers, data):
    """One changed choice is named by its step; so are too many or too few steps."""
    sort_chain = Sort(numbers)
    choices, _ = walked(sort_chain)
    place = data.draw(st.integers(0, len(choices) - 1))
    other = data.draw(NUMBERS.filter(lambda number: number != choices[place]) | st.sampled_from([None, "1", 0.5]))
    wrong = [*choices[:place], other, *choices[place + 1 :]]
    assert sort_chain.verify(wrong, True).startswith(f"step {place}: ")
    assert sort_chain.verify(choices[:-1], False) is None
    assert "not the sorted one" in sort_chain.verify(choices[:-1], True)
    assert sort_chain.verify([*choices, choices[0]], True).startswith(f"step {len(choices)}: ")


@given(NUMBERS, NUMBERS)
def test_rehearsed_answers_are_right_and_wrong_ones(first, second):
    """The right answer is the smaller number; the wrong one is another choice, or flagged if both are equal."""
    rehearsal = Sort().rehearse(compact_prompt(first, second))
    assert parse(first, second, rehearsal.right) == min(first, second)
    (wrong,) = rehearsal.wrong
    if first == second:
        with pytest.raises(RedFlag):
            parse(first, second, wrong)
    else:
        assert parse(first, second, wrong) == max(first, second)


@each("text", ["", "12", "smaller: 12", "smaller = 13", "smaller = 12.5", "smaller = 12\nsmaller ="])
def test_malformed_answers_are_flagged(text):
    """An answer is one of the two numbers after the last `smaller =`."""
    with pytest.raises(RedFlag):
        parse(12, 125, text)


def test_an_answer_may_begin_with_thoughts():
    """The last line counts, and a full stop may end it."""
    assert parse(-7, 3, "smaller = 3? No: -7 is negative.\nsmaller = -7.") == -7


def test_a_call_sees_two_numbers_and_not_the_list():
    """Neither wording has any number but the two that are compared."""
    sort_chain = Sort([271, 314, 577, 618])
    subtask = sort_chain.subtask(sort_chain.start())
    for prompt in (subtask.prompt, subtask.compact):
        assert "271" in prompt
        assert "314" in prompt
        assert not {"577", "618"} & set(prompt.split())


@each("numbers", [7, "3,1,2", [1.5], [True], ["1"], [MAX_NUMBER + 1], [0] * (MAX_NUMBERS + 1)])
def test_an_invalid_list_is_refused(numbers):
    """One clear line says how a list is written."""
    with pytest.raises(InputError, match="numbers must be"):
        Sort(numbers)


def test_a_noisy_model_sorts_correctly_by_voting(tmp_path):
    """With a hundred numbers, each comparison wrong with 5 % for one sample, all are right by votes."""
    rng = Random(2)
    numbers = [rng.randint(-9999, 9999) for _ in range(100)]
    result = run(Sort(numbers), "noise/p=0.95,v=0.95,c=0", tmp_path / "run.db", k=7, seed=1)
    assert result.answer == sorted(numbers)
    assert verify(tmp_path / "run.db").finished


@each(
    "text",
    [
        "3, -1, 20",
        "[3,-1,20]",
        "Sort 3 -1 20",
        "sort the following numbers:\n3\n-1\n20\n",
        "Sort the following list of integers in ascending order: [3, -1, +20].",
        "Arrange these numbers from smallest to largest: 3; -1; 20",
    ],
)
def test_a_problem_that_is_a_list_to_be_sorted_is_recognized(text):
    """It may have brackets, one line or several, and the usual words before it."""
    assert numbers_in(text) == [3, -1, 20]


@each(
    "text",
    [
        "",
        "Sort",
        "Sort 3.5, 1",
        "Sort 3, 1 and add 4",
        "Sort the words b, a",
        "3 - 1",
    ],
)
def test_any_other_problem_is_not_taken_for_a_sort(text):
    """A problem that says more or less than a list to be sorted goes to the general roles."""
    assert numbers_in(text) is None


AUTHORS = """
Sort the following list of integers in ascending order and output ONLY the JSON list
on a single line after '####':
"""


def test_the_wording_of_the_papers_authors_is_recognized():
    """Their sorting problems, with their form of the answer, are solved as sorts."""
    assert order_in(f"{AUTHORS}[3, -1, 20]\n") == ([3, -1, 20], False)


@each(
    ("text", "descending"),
    [
        ("Sort from highest to lowest: 3, -1, 20", True),
        ("Sort these numbers from the largest to the smallest: 3, -1, 20", True),
        ("Sort 3, -1, 20 highest to lowest.", True),
        ("sort 3 -1 20 in descending order", True),
        ("Arrange the following numbers in decreasing order: [3,-1,20]", True),
        ("Sort 3, -1, 20 in ascending order", False),
        ("Order these integers lowest to highest: 3, -1, 20", False),
    ],
)
def test_the_order_is_that_which_is_asked_for(text, descending):
    """The order may be descending, asked for before the list or after it, and the answer has it."""
    assert order_in(text) == ([3, -1, 20], descending)
    result = run(sort_chain(text), "noise/p=1", k=1)
    assert result.answer == sorted([3, -1, 20], reverse=descending)


def test_a_descending_sort_is_made_again_from_its_parameters():
    """The order is a parameter if it is descending, and an unknown order is refused."""
    assert Sort([2, 1]).parameters() == {"numbers": [2, 1]}
    assert Sort(**Sort([2, 1], descending=True).parameters()).descending
    with pytest.raises(InputError, match="descending is true or false"):
        Sort([2, 1], descending="yes")


@each(
    ("text", "numbers"),
    [
        ("Sort 1,234; 5,678", [1234, 5678]),
        ("Sort these numbers:\n1,234\n-5,678,901\n7", [1234, -5678901, 7]),
        ("[1,234,567]", [1, 234, 567]),
        ("Sort 1, 234, 567", [1, 234, 567]),
        ("Sort 1,2,3", [1, 2, 3]),
        ("Sort 1234,567", [1234, 567]),
        ("Sort 12 , 345", [12, 345]),
        ("1,234,56", [1, 234, 56]),
    ],
)
def test_commas_that_can_be_read_in_one_way_are(text, numbers):
    """A semicolon or a line end between numbers makes commas thousands separators.

    Brackets or blanks make them list commas.
    """
    assert numbers_in(text) == numbers


@each("text", ["Sort 1,234 5,678", "1,234, 5,678", "Sort 100,200,300", "[1,234, 567]", "Sort 1,234 5"])
def test_commas_that_can_be_read_in_two_ways_are_refused(text):
    """One line says so and how to write it, instead of sorting 1, 234, 5 and 678."""
    with pytest.raises(InputError, match="can be read in two ways: write"):
        numbers_in(text)
    with pytest.raises(InputError, match="can be read in two ways"):
        roles_for(text)
