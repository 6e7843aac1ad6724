"""Validation by JSON schemas: valid and invalid data for each keyword, and keywords that are not known."""

import pytest

from unerring.core.answers.json_schema import Validator
from unerring.core.voting.redflag import RedFlag

POINT = {"$defs": {"point": {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}}}
TREE = {"$ref": "#/$defs/tree", "$defs": {"tree": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}}

CASES = [
    ({}, [1, None, "a"], []),
    ({"type": "integer"}, [1, 1.0, -3], [1.5, True, "1", None]),
    ({"type": "number"}, [1, 1.5], [True, "1"]),
    ({"type": ["string", "null"]}, ["a", None], [1, False]),
    ({"enum": ["a", 1, None]}, ["a", 1, 1.0, None], ["b", True]),
    ({"const": {"a": 1}}, [{"a": 1.0}], [{"a": 2}, 1]),
    ({"minimum": 1, "maximum": 3}, [1, 3, "text", True], [0, 4]),
    ({"exclusiveMinimum": 1, "exclusiveMaximum": 3}, [2], [1, 3]),
    ({"minLength": 2, "maxLength": 3}, ["ab", "abc", 1], ["a", "abcd"]),
    ({"pattern": "^a"}, ["ab", 1], ["ba"]),
    ({"minItems": 1, "maxItems": 2}, [[1], "a"], [[], [1, 2, 3]]),
    ({"uniqueItems": True}, [[1, 2]], [[1, 1.0]]),
    ({"items": {"type": "integer"}}, [[], [1]], [["a"]]),
    ({"prefixItems": [{"type": "integer"}], "items": False}, [[1], []], [["a"], [1, 2]]),
    ({"properties": {"a": {"type": "integer"}}}, [{}, {"a": 1, "b": 2}], [{"a": "x"}]),
    ({"required": ["a"]}, [{"a": None}, "text"], [{}]),
    ({"properties": {"a": {}}, "additionalProperties": False}, [{"a": 1}], [{"b": 1}]),
    ({"additionalProperties": {"type": "integer"}}, [{"b": 1}], [{"b": "x"}]),
    ({"minProperties": 1, "maxProperties": 1}, [{"a": 1}], [{}, {"a": 1, "b": 2}]),
    ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, [1, "a"], [None]),
    ({"oneOf": [{"type": "integer"}, {"minimum": 5}]}, [1, 5.5], [6]),
    ({"allOf": [{"minimum": 1}, {"maximum": 2}]}, [1], [3]),
    ({"not": {"type": "null"}}, [1], [None]),
    ({**POINT, "items": {"$ref": "#/$defs/point"}}, [[{"x": 1}]], [[{}]]),
    (TREE, [[], [[], [[]]]], [[1], [[[2]]]]),
    ({"title": "a", "description": "b", "default": 1, "format": "date"}, [1, "x"], []),
]


@pytest.mark.parametrize(("schema", "valid", "invalid"), CASES, ids=lambda one: str(one)[:40])
def test_data_is_valid_or_not_as_json_schema_says(schema, valid, invalid):
    """Each keyword accepts and refuses what the specification says."""
    validator = Validator(schema)
    for data in valid:
        validator.check(data, "")
    for data in invalid:
        with pytest.raises(RedFlag):
            validator.check(data, "")


def test_the_reason_names_the_path():
    """A fault deep in the data is named by its path, and by what the schema says there."""
    schema = {"properties": {"rows": {"items": {"properties": {"n": {"minimum": 1}}}}}}
    with pytest.raises(RedFlag, match=r"^rows\[1\]\.n is 0, below 1$"):
        Validator(schema).check({"rows": [{"n": 1}, {"n": 0}]}, "")


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"minimun": 1}, "the keyword 'minimun' of a JSON schema is not checked here"),
        ({"properties": {"a": {"if": {}}}}, "the keyword 'if' of a JSON schema is not checked here"),
        ({"type": "text"}, "the type of a JSON schema is one of"),
        ({"pattern": "("}, "is no regular expression"),
        ({"$ref": "#/$defs/x"}, "the reference '#/\\$defs/x' of a JSON schema names no part of it"),
        ({"$ref": "other.json"}, "the reference 'other.json' of a JSON schema names no part of it"),
        ({"minimum": "1"}, "minimum of a JSON schema is a number, not '1'"),
        ({"enum": "a"}, "enum of a JSON schema is a list, not 'a'"),
    ],
)
def test_a_schema_that_cannot_be_checked_is_refused(schema, said):
    """What a schema asks for and nothing would check is an error when the schema is given."""
    with pytest.raises(ValueError, match=said):
        Validator(schema)


@pytest.mark.parametrize("schema", [{"items": 5}, {"anyOf": {}}, {"properties": []}])
def test_a_part_that_is_no_schema_is_refused(schema):
    """A schema in the place of which something else stands is a `TypeError`."""
    with pytest.raises(TypeError, match=r"of a JSON schema is|a JSON schema is an object"):
        Validator(schema)


def test_references_in_a_circle_are_a_red_flag():
    """A schema that refers to itself without going into the data does not run forever."""
    with pytest.raises(RedFlag, match="references lead in a circle"):
        Validator({"$ref": "#"}).check(1, "")
