"""One question over HTTP: the schema of an object is sent, and what is read from the replies."""

from dataclasses import dataclass

import pytest

import unerring
from faults.answers import Answer
from faults.server import serving
from unerring import Guards, Options


@dataclass
class City:
    name: str
    people: int = 0


def answering(text):
    """A model of the fault server that gives one answer."""
    return lambda prompt, temperature, seed, index, limit: Answer(text, input_tokens=20, output_tokens=2)


def asked(answer, text, **named):
    """The decision, and the bodies that were sent."""
    options = Options(guards=Guards(probe=False, copies=1.0))
    with serving(bodies=True, models={"test": answering(text)}) as server:
        decision = unerring.ask("Which?", answer, model=f"openai/test@{server.url}", k=2, options=options, **named)
        return decision, [entry.body for entry in server.ledger.chats]


def test_the_schema_of_an_object_is_sent_in_the_strict_form():
    """All keys are required and no others allowed, as OpenAI has it; the answer is read by the class."""
    decision, bodies = asked(City, '{"name": "Bonn", "people": 1}')
    assert decision.value == City("Bonn", 1)
    assert bodies
    for body in bodies:
        schema = body["response_format"]["json_schema"]["schema"]
        assert schema["required"] == ["name", "people"]
        assert schema["additionalProperties"] is False


@pytest.mark.parametrize(
    ("answer", "text", "named"),
    [
        (City, '{"name": "Bonn"}', {"schema": False}),
        (["Bonn", "Rome"], "Bonn", {}),
        ({"type": "object", "properties": {"name": {"type": "string"}}}, '{"name": "Bonn"}', {}),
    ],
)
def test_no_schema_is_sent_where_it_is_not_wanted_or_not_strict(answer, text, named):
    """A choice is plain text; a schema whose keys may be left out cannot be sent in the strict form."""
    _, bodies = asked(answer, text, **named)
    assert bodies
    assert all("response_format" not in body for body in bodies)
