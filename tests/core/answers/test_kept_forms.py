"""Forms that are kept for the next question with the same answer: which may be one, and which must not."""

import pytest

from unerring.core.answers.ask import make_ask
from unerring.core.answers.form import answer_form
from unerring.core.voting.canonical import canonical

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
LENIENT = {"parse": "lenient-json"}


def form_of(answer, **how):
    """The form that questions with this answer have."""
    return make_ask("Well?", answer, **how).value.args[0]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (int, int),
        (["yes", "no"], ["yes", "no"]),
        (["yes", "no"], ("yes", "no")),
        ([1, 2, True], [1, 2, True]),
        (SCHEMA, {**SCHEMA}),
    ],
)
def test_a_form_is_made_once(first, second):
    """Equal answers have one form, which an answer read in another way does not."""
    assert form_of(first) is form_of(second)
    assert form_of(first) is not form_of(first, **LENIENT)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([1, 2], [True, 2]),
        ([1, 2], [1.0, 2]),
        ([0.0, 2.0], [-0.0, 2.0]),
        (["a", "b"], ["b", "a"]),
        ({"const": 1}, {"const": True}),
        ({"const": 1}, {"const": 1.0}),
        ({"enum": ["a"], "title": "b"}, {"title": "b", "enum": ["a"]}),
    ],
)
def test_answers_that_only_look_equal_have_forms_of_their_own(first, second):
    """Python takes 1, 1.0 and True as equal, and dicts in any order; prompts and votes do not."""
    assert form_of(first) is not form_of(second)
    for answer in (first, second):
        form, fresh = form_of(answer), answer_form(answer)
        assert form.sentence == fresh.sentence
        if isinstance(answer, list):
            assert [repr(form.value(one)) for one in answer] == [repr(one) for one in answer]


def test_a_changed_schema_is_another_form():
    """A schema is a dict that its program may change after the question, which keeps the form it had."""
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    before = form_of(schema)
    schema["properties"]["n"] = {"type": "string"}
    assert canonical(before.parse('{"n": 1}')) == '{"n":1}'
    assert form_of(schema).parse('{"n": "a"}') == {"n": "a"}


def test_a_dict_that_is_no_schema_is_refused_each_time():
    """JSON has texts as keys: a dict with numbers must not meet the one that it would be written as."""
    form_of({"properties": {"1": {}}})
    for _ in range(2):
        with pytest.raises(TypeError, match="a JSON schema is JSON data, but"):
            form_of({"properties": {1: {}}})
