"""Forms of answers: what a prompt says of each, which texts are read, and which are red flags that say why."""

import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, NewType, NotRequired, TypedDict

import msgspec
import pydantic
import pytest

from tables import each
from unerring.core.answers.form import answer_form
from unerring.core.voting.canonical import canonical
from unerring.core.voting.redflag import RedFlag
from unerring.errors import InputError


class Colour(Enum):
    RED = 1
    DARK_BLUE = 2


class Size(Enum):
    SMALL = "small"
    LARGE = "large"


@dataclass(frozen=True)
class Point:
    x: int
    y: float = 0.0
    tags: tuple[str, ...] = ()
    seen: date | None = None


@dataclass
class Word:
    text: str

    def __post_init__(self):
        self.text = self.text.lower()
        if " " in self.text:
            raise ValueError("it has a blank")


class Pair(NamedTuple):
    left: int
    right: Decimal = Decimal(1)


class Movie(TypedDict):
    title: str
    year: NotRequired[int]


class Item(pydantic.BaseModel):
    name: str = pydantic.Field(min_length=2, description="as on the label")
    price: Decimal
    size: Size = Size.SMALL


class Order(pydantic.BaseModel):
    items: list[Item]


class Place(msgspec.Struct):
    lat: float
    name: str | None = None


@dataclass
class Nested:
    place: Place
    item: Item | None


@dataclass
class Marked:
    kind: Literal["marked"]
    count: int = 0
    shared: ClassVar[int] = 3
    made: int = field(default=1, init=False)


Metres = NewType("Metres", int)

READ = [
    (["yes", "no"], " Yes.\n", "yes", "yes"),
    (["yes", "no"], '"NO."', "no", "no"),
    (["A", "a", "b"], "a", "a", "a"),
    (["A", "a", "b"], "B", "b", "b"),
    (["new york", "rome"], "New\n York", "new york", "new york"),
    ((1, 2.5, True), "2.50", 2.5, 2.5),
    ((1, 2.5, True), "1.0", 1, 1),
    ((1, 2.5, True), "TRUE", True, True),
    (int, "42.", 42, 42),
    (int, " +007", 7, 7),
    (float, "1.50", 1.5, 1.5),
    (float, "2.0", 2, 2.0),
    (float, "-1e3", -1000, -1000.0),
    (Decimal, "1.50", "1.5", Decimal("1.5")),
    (Decimal, "-0.00", "0", Decimal(0)),
    (bool, "Yes", True, True),
    (bool, "false", False, False),
    (str, "  two words \n", "two words", "two words"),
    (date, "2026-02-03", "2026-02-03", date(2026, 2, 3)),
    (datetime, "2026-02-03 10:00", "2026-02-03T10:00:00", datetime(2026, 2, 3, 10)),
    (datetime, "2026-02-03T10:00:00+02:00", "2026-02-03T08:00:00+00:00", datetime(2026, 2, 3, 8, tzinfo=UTC)),
    (Colour, "dark_blue", "DARK_BLUE", Colour.DARK_BLUE),
    (Size, "Small", "small", Size.SMALL),
    (Literal["a", "b"], "A", "a", "a"),
    (Literal[Colour.RED, "none"], "red", "RED", Colour.RED),
    (Literal["a", "b", None], "Null", None, None),
    (int | None, "null", None, None),
    (int | None, "5", 5, 5),
    (date | Literal["never", "always"], "Never", "never", "never"),
    (int | str, '"5"', "5", "5"),
    (int | str, "5", 5, 5),
    (Annotated[int, "metres"], "5", 5, 5),
    (Metres, "5", 5, 5),
    (list[int], "[1, 2.0]", [1, 2], [1, 2]),
    (set[str], '["b", "a", "b"]', ["a", "b"], {"a", "b"}),
    (tuple[int, str], '[1, "a"]', [1, "a"], (1, "a")),
    (dict[str, float], '{"a": 1.0}', {"a": 1}, {"a": 1.0}),
    (list, '[1, "a"]', [1, "a"], [1, "a"]),
    (Any, "null", None, None),
    (Point, '{"x": 1}', {"x": 1, "y": 0, "tags": [], "seen": None}, Point(1)),
    (
        Point,
        '{"tags": ["a"], "y": 1.50, "x": 1.0, "seen": "2026-02-03"}',
        {"x": 1, "y": 1.5, "tags": ["a"], "seen": "2026-02-03"},
        Point(1, 1.5, ("a",), date(2026, 2, 3)),
    ),
    (Point | None, "null", None, None),
    (Marked, '{"kind": "marked"}', {"kind": "marked", "count": 0}, Marked("marked")),
    (Word, '{"text": "HELLO"}', {"text": "hello"}, Word("hello")),
    (Pair, '{"left": 1}', {"left": 1, "right": "1"}, Pair(1)),
    (Movie, '{"title": "Alien"}', {"title": "Alien"}, {"title": "Alien"}),
    (
        Item,
        '{"name": "ab", "price": 1.5}',
        {"name": "ab", "price": "1.5", "size": "small"},
        Item(name="ab", price=1.5),
    ),
    (Place, '{"lat": 1.0}', {"lat": 1, "name": None}, Place(1.0)),
    (
        Nested,
        '{"place": {"lat": 1}, "item": null}',
        {"place": {"lat": 1.0, "name": None}, "item": None},
        Nested(Place(1.0), None),
    ),
    ({"type": "object"}, '{"a": 1}', {"a": 1}, {"a": 1}),
    (int, "7", 7, 7),
]


@each(("answer", "text", "choice", "value"), READ)
def test_an_answer_is_read_as_a_choice_and_a_value(answer, text, choice, value):
    """The choice is JSON data, the same for equal values; the value has the type that was asked for."""
    form = answer_form(answer)
    read = form.parse(text)
    assert (read, type(read)) == (choice, type(choice))
    assert (form.value(read), type(form.value(read))) == (value, type(value))
    assert form.parse(form.text(read)) == read
    assert form.choice(value) == read


FLAGGED = [
    (["yes", "no"], "maybe", "the answer is 'maybe', none of: yes, no"),
    (["yes", "no"], "yes or no", "the answer is 'yes or no', none of: yes, no"),
    (["yes", "."], "", "the answer is '', none of: yes, ."),
    (["A", "a", "b"], '"A"', "the answer is '\"A\"', which may mean any of: A, a"),
    (int, "1,234", "the answer is '1,234', not a whole number; its comma can be read in two ways"),
    (int, "1.0", "the answer is '1.0', not a whole number"),
    (int, "\u0663", "the answer is '\u0663', not a whole number"),
    (int, "9" * 5000, "the answer has more than 4,000 digits"),
    (float, "1e999", "the answer is not a finite number"),
    (float, "nan", "the answer is 'nan', not a number"),
    (bool, "perhaps", "the answer is 'perhaps', not yes or no"),
    (str, " ", "the answer is empty"),
    (str, "\ud800", "a string holds a lone surrogate, which is not text"),
    (date, "03/04/2026", "the answer is '03/04/2026', not of the form: date YYYY-MM-DD"),
    (date, "2026-02-30", "the answer is '2026-02-30', which is no date: day is out of range for month"),
    (datetime, "0001-01-01T00:00+10:00", "the answer is '0001-01-01T00:00+10:00', which is no date and time"),
    (list[int], '[1, "a"]', "[1] is 'a', not of the form: whole number"),
    (list[int], "1", "the answer is 1, not of the form: [whole number, ...]"),
    (list[int], "null", "the answer is null"),
    (list[int], "[1, 2", "the answer is not JSON: "),
    (list[int], "The list is [1]", "the answer is not JSON: "),
    (tuple[int, str], "[1]", "the answer has 1 items, not 2"),
    (list[Point], '[{"x": 1}, {"x": true}]', "[1].x is true, not of the form: whole number"),
    (Point, "{}", "x is missing"),
    (Point, '{"x": 1, "z": 2}', "z is no field; the fields are: x, y, tags, seen"),
    (Point, '{"x": 1, "x": 2}', "the answer is not JSON: a key is given twice: 'x'"),
    (Word, '{"text": "two words"}', "the answer is refused by Word: it has a blank"),
    (Item, '{"name": "ab", "price": 1, "colour": 2}', "colour is no key of the schema"),
    (Item, '{"name": 5, "price": 1}', "name is 5, not of type string"),
    (Item, '{"name": "a", "price": 1}', "the answer is refused by Item: name: String should have at least 2 charact"),
    (Order, '{"items": [{"name": "ab"}]}', "items[0].price is missing"),
    (Place, '{"lat": 1, "long": 2}', "long is no key of the schema"),
    (Place, '{"lat": "1"}', "lat is '1', not of type number"),
    (dict[str, int], '{"a": {"b": 1}}', "a is an object, not of the form: whole number"),
]


@each(("answer", "text", "reason"), FLAGGED)
def test_other_texts_are_red_flags_that_say_where_and_why(answer, text, reason):
    """The reason names the field's path and what is wrong with it."""
    with pytest.raises(RedFlag) as flag:
        answer_form(answer).parse(text)
    assert flag.value.reason.startswith(reason)


PLACE = (
    '{"type": "object", "properties": {"lat": {"type": "number"}, "name": {"anyOf": [{"type": "string"}, '
    '{"type": "null"}]}}, "required": ["lat", "name"], "additionalProperties": false}'
)
ARRAY = {"type": "array"}
SENTENCES = [
    (["yes", "no"], "Answer with exactly one of: yes, no."),
    ({"b", "a", "c"}, "Answer with exactly one of: a, b, c."),
    (["a", "b, c"], 'Answer with exactly one of: "a", "b, c".'),
    (["a", "b\nc"], 'Answer with exactly one of: "a", "b\nc".'),
    (bool, "Answer with exactly one of: yes, no."),
    (int, "Answer with a whole number and nothing else."),
    (int | None, "Answer with a whole number, or null for none, and nothing else."),
    (str, "Answer with the text of the answer and nothing else."),
    (date, "Answer with a date in the form YYYY-MM-DD and nothing else."),
    (list[int], "Answer with one JSON array of this form and nothing else:\n[whole number, ...]"),
    (
        Point,
        "Answer with one JSON object of this form and nothing else:\n"
        '{"x": whole number, "y": number, "tags": [text, ...], "seen": date YYYY-MM-DD or null}',
    ),
    (Literal["on", "off"] | int, "Answer with exactly one of: on, off, or a whole number."),
    (Place, f"Answer with one JSON object that this JSON schema describes, and nothing else:\n{PLACE}"),
    (dict | None, "Answer with one JSON object of this form and nothing else:\n{...}\nor with null for none"),
    (ARRAY, f"Answer with one JSON array that this JSON schema describes, and nothing else:\n{json.dumps(ARRAY)}"),
    ({}, "Answer with JSON that this JSON schema describes, and nothing else:\n{}"),
    (
        {"type": "object", "properties": {"b": {"type": "integer"}, "a": {"type": "string"}}},
        "Answer with one JSON object that this JSON schema describes, and nothing else:\n"
        '{"type": "object", "properties": {"b": {"type": "integer"}, "a": {"type": "string"}}}',
    ),
]


@each(("answer", "sentence"), SENTENCES)
def test_the_sentence_says_how_to_answer(answer, sentence):
    """What a prompt says of the form is one sentence, with the form of an object after it."""
    assert answer_form(answer).sentence == sentence


def test_a_schema_is_sent_only_for_one_object_that_the_strict_mode_can_say():
    """All keys are required and no others allowed; a number, an array, or an object with any keys has no schema."""
    schema = answer_form(Point).schema
    assert schema["required"] == ["x", "y", "tags", "seen"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["seen"] == {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]}
    of_order = answer_form(Order).schema
    of_item = of_order["properties"]["items"]["items"]
    assert of_item["required"] == ["name", "price", "size"]
    assert of_item["properties"]["name"] == {"type": "string", "minLength": 2, "description": "as on the label"}
    assert "$defs" not in of_order
    assert answer_form(Place).schema["required"] == ["lat", "name"]
    for answer in (int, list[int], dict[str, int], Movie, Point | None, ["a", "b"]):
        assert answer_form(answer).schema is None


def test_a_function_reads_answers_by_itself():
    """A function from text to JSON data has no sentence and no schema, and what it returns is the value."""
    form = answer_form(partial(int, base=16))
    assert (form.parse("ff"), form.value(255), form.sentence, form.schema) == (255, 255, "", None)
    assert answer_form(lambda text: {"text": text}).parse("a") == {"text": "a"}


def test_a_lenient_reading_takes_a_fence_and_thoughts():
    """With lenient-json an answer may be in a fence or after thoughts, plain or JSON; without it neither is."""
    assert answer_form(list[int], "lenient-json").parse("```json\n[1]\n```") == [1]
    assert answer_form(["yes", "no"], "lenient-json").parse("<think>well</think>\nyes") == "yes"
    for answer, text in ((list[int], "```json\n[1]\n```"), (["yes", "no"], "<think>well</think>\nyes")):
        with pytest.raises(RedFlag):
            answer_form(answer).parse(text)
    with pytest.raises(InputError, match="parse must be one of json, lenient-json, not 'xml'"):
        answer_form(int, "xml")


@dataclass
class Tree:
    parts: "list[Tree]"


@dataclass
class Badly:
    count: int = None


@dataclass
class Raw:
    data: bytes


REFUSED = [
    (None, TypeError, "answer is a list of choices, int, float"),
    ("yes", TypeError, "answer is a list of choices, int, float"),
    (bytes, TypeError, "an answer cannot be <class 'bytes'>; it is a list of choices"),
    (Raw, TypeError, "Raw.data cannot be <class 'bytes'> in an answer"),
    (Tree, TypeError, "Tree is part of itself: give a function that parses such answers"),
    (Badly, TypeError, "the default of Badly.count does not fit its type: None is not of the form"),
    (
        [int],
        TypeError,
        "a choice is a text, a number, True or False, not <class 'int'>; for an array of them write list",
    ),
    (["yes"], ValueError, "an answer has two choices or more; got ['yes']"),
    (["a", "b", "a"], ValueError, "the choice 'a' is given twice"),
    (["1", 1], ValueError, "the choice '1' is given twice"),
    (["a", " "], ValueError, "a choice is an empty text"),
    (Literal[b"a", "b"], TypeError, "bytes are no JSON data: write the choices of Literal as texts"),
    (dict[int, str], TypeError, "the keys of dict[int, str] are texts in JSON: write dict[str, ...]"),
    ({"name": str}, TypeError, "a dict as an answer is a JSON schema; for named fields write a dataclass"),
    ({"type": "text"}, ValueError, "the type of a JSON schema is one of string, integer"),
]


@each(("answer", "kind", "said"), REFUSED)
def test_what_cannot_be_the_form_of_an_answer_is_refused_with_the_reason(answer, kind, said):
    """The error says in one line what is wrong and, where it can, what to write instead."""
    with pytest.raises(kind) as error:
        answer_form(answer)
    assert str(error.value).startswith(said)
    assert len(str(error.value)) <= 240


def test_an_error_of_a_class_itself_is_passed_on():
    """A default_factory that raises is not taken for a type that no answer can have, whatever it says."""

    def broken():
        raise TypeError("an answer is missing")

    @dataclass
    class Inner:
        text: str = field(default_factory=broken)

    @dataclass
    class Outer:
        inner: Inner

    with pytest.raises(TypeError, match=r"^an answer is missing$"):
        answer_form(Outer)


def test_a_value_of_another_form_is_refused():
    """A guess or a truth that no answer could be is a `TypeError`."""
    for answer, value in (
        (int, "5"),
        (["a", "b"], "c"),
        (Point, {"x": 1}),
        (bool, 1),
        (date, datetime.now(UTC)),
        (list[int], 5),
        (Item, {"name": "ab"}),
        ({"type": "integer"}, "a"),
    ):
        with pytest.raises(TypeError, match="is not of the form of the answer"):
            answer_form(answer).choice(value)


def test_other_choices_are_of_the_form_too():
    """Wrong answers of the noise sampler are ones that the parser accepts, and that differ from the right one."""
    for answer, text, choice, _ in READ:
        form = answer_form(answer)
        for other in form.others(choice):
            assert canonical(form.parse(form.text(other))) == canonical(other) != canonical(choice), (answer, text)
    assert [*answer_form(["a", "b", "c"]).others("b")] == ["a", "c"]


def test_a_field_with_a_default_counts_the_same_written_or_left_out():
    """Two spellings of one object are one choice."""
    for answer, short, long in (
        (Point, '{"x": 1}', '{"seen": null, "tags": [], "y": 0.0, "x": 1}'),
        (Item, '{"name": "ab", "price": "1.5"}', '{"size": "small", "price": 1.5, "name": "ab"}'),
        (Place, '{"lat": 1}', '{"name": null, "lat": 1.0}'),
    ):
        form = answer_form(answer)
        assert form.parse(short) == form.parse(long)


def test_a_default_that_is_made_is_not_shared():
    """A list that a default_factory makes is another one for each answer."""

    @dataclass
    class Bag:
        items: list[int] = field(default_factory=list)

    form = answer_form(Bag)
    form.value(form.parse("{}")).items.append(1)
    assert form.value(form.parse("{}")).items == []
