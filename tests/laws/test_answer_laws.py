"""Laws of forms of answers: what is written is read back, spellings of a value meet, no text is another error."""

import json
import math
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Literal, NamedTuple, TypedDict

import msgspec
import pydantic
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unerring.core.answers.form import answer_form
from unerring.core.voting.canonical import canonical
from unerring.core.voting.redflag import RedFlag


class Mood(Enum):
    GLAD = 1
    SAD = 2


@dataclass(frozen=True)
class Line:
    length: float
    name: str = "line"
    ends: tuple[int, int] | None = None


class Cell(NamedTuple):
    row: int
    column: int = 0


class Word(TypedDict):
    word: str
    language: Literal["de", "en"]


class Person(pydantic.BaseModel):
    name: str
    age: int = 0
    born: date | None = None


class Spot(msgspec.Struct, frozen=True):
    x: float
    label: str = ""


texts = st.text(st.characters(exclude_categories=["Cs"]))
words = texts.map(str.strip).filter(bool)
floats = st.floats(allow_nan=False, allow_infinity=False)
decimals = st.decimals(allow_nan=False, allow_infinity=False, places=5, min_value=-(10**20), max_value=10**20)
moments = st.datetimes(
    min_value=datetime(2, 1, 1),
    max_value=datetime(9998, 1, 1),
    timezones=st.none() | st.integers(-840, 840).map(lambda one: timezone(timedelta(minutes=one))),
)
lines = st.builds(Line, floats, texts, st.none() | st.tuples(st.integers(), st.integers()))
people = st.builds(Person, name=texts, age=st.integers(-(10**15), 10**15), born=st.none() | st.dates())
VALUES = [
    (["yes", "no", "don't know"], st.sampled_from(["yes", "no", "don't know"])),
    ([1, 2.5, True, "one"], st.sampled_from([1, 2.5, True, "one"])),
    (int, st.integers()),
    (float, floats),
    (bool, st.booleans()),
    (str, words),
    (Decimal, decimals),
    (date, st.dates()),
    (datetime, moments),
    (Mood, st.sampled_from(Mood)),
    (Literal["a", "b", None], st.sampled_from(["a", "b", None])),
    (int | None, st.none() | st.integers()),
    (int | str | None, st.none() | st.integers() | texts),
    (list[int], st.lists(st.integers())),
    (set[str], st.sets(texts)),
    (tuple[int, str], st.tuples(st.integers(), texts)),
    (dict[str, float], st.dictionaries(texts, floats)),
    (Line, lines),
    (list[Line], st.lists(lines, max_size=3)),
    (Cell, st.builds(Cell, st.integers(), st.integers())),
    (Word, st.fixed_dictionaries({"word": texts, "language": st.sampled_from(["de", "en"])})),
    (Person, people),
    (Spot, st.builds(Spot, floats, texts)),
]
FORMS = [(answer_form(answer), values) for answer, values in VALUES]
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}
keys = st.sampled_from(["name", "x", "length", "n", "row", "other"])
json_data = st.recursive(
    st.none() | st.booleans() | floats | texts,
    lambda within: st.lists(within, max_size=3) | st.dictionaries(keys, within, max_size=3),
    max_leaves=6,
)
few = settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])  # each form is a test of its own
every_form = pytest.mark.parametrize(("form", "values"), FORMS, ids=[str(answer)[:40] for answer, _ in VALUES])


@every_form
@few
@given(data=st.data())
def test_what_is_written_is_read_back(form, values, data):
    """The text of a value is read as its choice, and the choice gives the value again."""
    value = data.draw(values)
    choice = form.choice(value)
    read = form.parse(form.text(choice))
    assert canonical(read) == canonical(choice)
    again = form.value(read)
    assert again == value
    assert type(again) is type(value) or isinstance(value, int)  # an int is a float of the same value
    assert canonical(form.choice(again)) == canonical(choice)


@every_form
@few
@given(data=st.data())
def test_other_choices_are_wrong_answers_in_the_right_form(form, values, data):
    """What the noise sampler gives instead of the right answer is a vote for another choice."""
    choice = form.choice(data.draw(values))
    for other in form.others(choice):
        assert canonical(form.parse(form.text(other))) == canonical(other) != canonical(choice)


@pytest.mark.parametrize("parse", ["json", "lenient-json"])
@pytest.mark.parametrize("answer", [*(answer for answer, _ in VALUES), SCHEMA], ids=lambda one: str(one)[:40])
@few
@given(text=st.text() | json_data.map(json.dumps))
def test_no_text_raises_anything_but_a_red_flag(answer, parse, text):
    """Any text is a choice that is JSON data, or a red flag."""
    form = answer_form(answer, parse)
    with suppress(RedFlag):
        canonical(form.parse(text))


@given(value=floats, digits=st.integers(0, 3))
def test_spellings_of_a_number_meet(value, digits):
    """Zeros at the end, an exponent or a sign do not make another number."""
    form = answer_form(float)
    spelled = [repr(value), f"{value:.17e}", f" {value!r} ", f'"{value!r}"']
    spelled += [repr(value) + "0" * digits] if "e" not in repr(value) else []
    assert {canonical(form.parse(one)) for one in spelled} == {canonical(form.choice(value))}
    assert math.copysign(1.0, form.value(form.parse("-0.0"))) == 1.0


@given(value=moments)
def test_a_moment_is_the_same_in_every_time_zone(value):
    """Two ways to write one moment are one choice."""
    form = answer_form(datetime)
    others = [] if value.tzinfo is None else [value.astimezone(UTC), value.astimezone(timezone(timedelta(hours=5)))]
    assert {form.parse(one.isoformat()) for one in (value, *others)} == {form.choice(value)}


@given(value=lines, order=st.permutations(["length", "name", "ends"]))
def test_the_order_of_keys_and_the_blanks_do_not_matter(value, order):
    """One object in any order, dense or indented, is one choice."""
    form = answer_form(Line)
    choice = form.choice(value)
    written = {name: choice[name] for name in order}
    for text in (json.dumps(written), json.dumps(written, indent=3), json.dumps(written, separators=(",", ":"))):
        assert canonical(form.parse(text)) == canonical(choice)
