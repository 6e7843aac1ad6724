"""Answers that are calls of tools: the tools that are sent, calls in any order as one choice, and red flags."""

import json
from datetime import date
from functools import partial
from typing import Literal

import pytest

from unerring.core.answers.ask import make_ask
from unerring.core.answers.form import tools_form
from unerring.core.answers.tools import ToolCallsShape
from unerring.core.chain import Subtask
from unerring.core.journal.digests import question_difference, question_digest
from unerring.core.voting.canonical import canonical
from unerring.core.voting.redflag import RedFlag


def find_flight(to: str, day: date, people: int = 1, cabin: Literal["economy", "business"] = "economy") -> str:
    """Find a flight."""
    raise AssertionError("nothing is called")


CANCEL = {
    "type": "function",
    "function": {
        "name": "cancel",
        "parameters": {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]},
    },
}
TOOLS = [find_flight, CANCEL]


class Finder:
    def __call__(self, to: str) -> str: ...


def seek(to: str, size: complex) -> str: ...


def seek_unknown(to: "Town") -> str: ...  # noqa: F821


ANTHROPIC = {"name": "find", "description": "Find.", "input_schema": {"type": "object"}}


def parsed(*calls):
    """The choice of calls, each a name and arguments."""
    text = json.dumps([{"name": name, "arguments": arguments} for name, arguments in calls])
    return tools_form(ToolCallsShape(TOOLS)).parse(text)


def test_tools_are_sent_as_openai_has_them():
    """A function is described by its name, its docstring and the types of its parameters; a dict goes as it is."""
    flight, cancel = ToolCallsShape(TOOLS).sent
    assert cancel == CANCEL
    assert flight["function"] == {
        "name": "find_flight",
        "description": "Find a flight.",
        "parameters": {
            "type": "object",
            "properties": {
                "to": {"type": "string"},
                "day": {"type": "string", "format": "date"},
                "people": {"type": "integer"},
                "cabin": {"type": "string", "enum": ["economy", "business"]},
            },
            "required": ["to", "day"],
            "additionalProperties": False,
        },
    }


def test_calls_count_together_in_any_order_and_with_defaults():
    """The same calls are one choice, however they are ordered and whether defaults are written; each call counts."""
    flight = {"to": "Rome", "day": "2026-12-24"}
    whole = {"cabin": "Economy", "people": 1.0, "day": "2026-12-24", "to": "Rome"}
    first = parsed(("find_flight", flight), ("cancel", {"id": 7}))
    assert canonical(first) == canonical(parsed(("cancel", {"id": 7.0}), ("find_flight", whole)))
    assert canonical(parsed(("cancel", {"id": 7}))) != canonical(parsed(("cancel", {"id": 7}), ("cancel", {"id": 7})))


def test_the_value_has_arguments_of_the_functions_types():
    """A date is a date; the text of a choice is read as that choice."""
    form = tools_form(ToolCallsShape(TOOLS))
    choice = parsed(("find_flight", {"to": "Rome", "day": "2026-12-24"}))
    arguments = {"to": "Rome", "day": date(2026, 12, 24), "people": 1, "cabin": "economy"}
    value = form.value(choice)
    assert value == [{"name": "find_flight", "arguments": arguments}]
    assert form.choice(value) == choice == form.parse(form.text(choice))
    for other in form.others(choice):
        assert form.parse(form.text(other)) == other != choice


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("I would find it.", "no tool is called; there are calls of: find_flight, cancel"),
        ("[]", "the answer is an array of 0, and no call of a tool"),
        ('[{"name": "fly", "arguments": {}}]', "[0] calls 'fly', which is none of the tools"),
        ('[{"name": "cancel", "arguments": "{id"}]', "[0].arguments is '{id', not a JSON object"),
        ('[{"name": "cancel", "arguments": {}}]', "[0].cancel.id is missing"),
        ('[{"name": "find_flight", "arguments": {"to": "Rome"}}]', "[0].find_flight.day is missing"),
        ('[{"id": 1}]', "[0] is an object, and no call with name and arguments"),
    ],
)
def test_other_answers_are_red_flags(text, reason):
    """Words, unknown tools and wrong arguments are flagged, with the place and the reason."""
    with pytest.raises(RedFlag) as flag:
        tools_form(ToolCallsShape(TOOLS)).parse(text)
    assert flag.value.reason.startswith(reason)


@pytest.mark.parametrize(
    ("tools", "kind", "said"),
    [
        ([], ValueError, "tools is a list of one or more functions or JSON tool schemas; it is empty"),
        ([CANCEL, CANCEL], ValueError, "two tools are called 'cancel'"),
        ([{"name": 5}], TypeError, "a tool is a function, or a dict such as"),
        ([{"name": "f", "parameters": []}], TypeError, "the parameters of the tool f are a JSON schema, not []"),
        ([ANTHROPIC], TypeError, '\'input_schema\' is no key of the tool find; write {"type": "function", '),
        ([CANCEL | {"cache": True}], TypeError, "'cache' is no key of the tool cancel; write {"),
        ([Finder()], TypeError, "a tool is a function with annotated parameters, written with def; got <"),
        ([partial(seek, 5)], TypeError, "a tool is a function with annotated parameters, written with def; got funct"),
        ([int], TypeError, "a tool is a function with annotated parameters, written with def; got <class 'int'>"),
        ([seek], TypeError, "the parameter size of the tool seek cannot be <class 'complex'>"),
        ([seek_unknown], TypeError, "the types of the tool seek_unknown are not known: name 'Town' is not defined"),
        ([lambda x: x], TypeError, "the parameter x of the tool <lambda> has no type"),
    ],
)
def test_what_is_no_tool_is_refused(tools, kind, said):
    """The error says what a tool is."""
    with pytest.raises(kind) as error:
        ToolCallsShape(tools)
    assert str(error.value).startswith(said)
    assert len(str(error.value)) < 200


def test_a_question_has_an_answer_or_tools():
    """Both together, and tools that are no list, are a `TypeError`."""
    with pytest.raises(TypeError, match="give either answer or tools"):
        make_ask("Which?", int, tools=TOOLS)
    with pytest.raises(TypeError, match="tools is a list of functions or of JSON tool schemas"):
        make_ask("Which?", tools=find_flight)


def test_tools_are_part_of_a_questions_digest():
    """Other tools are another question; a question without tools has the digest that journals have of it."""
    plain = Subtask("Which?", json.loads)
    with_tools = Subtask("Which?", json.loads, tools=(CANCEL,))
    assert question_difference(question_digest(plain), question_digest(with_tools)) == "settings"
    assert question_digest(plain) == "6a108219d3cec7ea7ced82"
    with pytest.raises(TypeError, match="tools of a Subtask are dicts such as"):
        Subtask("Which?", json.loads, tools=(find_flight,))
    with pytest.raises(TypeError, match="tools of a Subtask are JSON data, but"):
        Subtask("Which?", json.loads, tools=({"a": date},))
