"""Parsers of answers of general chat models, and the schemas of their roles."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tables import each
from unerring.core.voting.redflag import RedFlag
from unerring.processes.general import General, canonical_answer, parse_answer, parse_choice, parse_split


def test_every_role_has_a_schema_that_its_own_parser_keeps_to():
    """Each role's schema requires every field, as strict endpoints demand, and its parser reads such an answer."""
    roles = General()
    examples = [
        (roles.split("p"), {"thoughts": "", "parts": ["a", "b"], "how": "add"}),
        (roles.solve("p", None), {"thoughts": "", "answer": 4}),
        (roles.compose("p", "add", ["a"], [1]), {"thoughts": "", "answer": [4, "x"]}),
        (roles.judge("p", [1, 2]), {"thoughts": "", "choice": 2}),
    ]
    for subtask, example in examples:
        assert subtask.schema["required"] == [*subtask.schema["properties"]] == [*example]
        assert subtask.schema["additionalProperties"] is False
        assert subtask.parse(json.dumps(example, indent=1)) is not None
    assert roles.split("p").parse('{"thoughts": "small", "parts": [], "how": ""}') == {"parts": []}


@given(st.recursive(st.text() | st.integers() | st.booleans(), lambda inner: st.lists(inner, max_size=3)))
def test_an_answers_form_is_settled_once(value):
    """Normalizing an answer twice changes nothing, so that equality of answers is an equivalence."""
    try:
        once = canonical_answer(value)
    except RedFlag:
        return
    assert canonical_answer(once) == once


def test_answers_that_mean_the_same_are_the_same():
    """Numbers as text, with separators or signs, and insignificant blanks make no difference."""
    same = [
        '{"answer": 46048}',
        '{"answer": "46048"}',
        '{"answer": "46,048"}',
        'So:\n```\n{"answer": " +46048 "}\n```\n',
    ]
    assert {parse_answer(text) for text in same} == {46048}
    assert parse_answer('{"answer": " New\\n York "}') == "New York"
    assert parse_answer('{"answer": "1,2"}') == "1,2"  # a list in words is no number


@each("text", ["", "7", '{"answer": }', '{"answer": ""}', '{"answer": null}', '{"answer": 1} so', "[]"])
def test_a_malformed_answer_is_flagged(text):
    """An answer is one JSON object in the last line, with one name in it."""
    with pytest.raises(RedFlag):
        parse_answer(text)


def test_choices_and_splits_are_read_whole():
    """Brackets and commas inside texts are text."""
    split = parse_split('{"parts": ["f(a, b) = [1, 2]", "then {x}, y"], "how": "first, then second"}')
    assert split["parts"] == ["f(a, b) = [1, 2]", "then {x}, y"]
    assert parse_choice('1. or 2.?\n{"choice": 2}') == 1
