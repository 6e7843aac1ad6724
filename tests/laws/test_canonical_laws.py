"""The laws of canonical form: when two answers are the same answer."""

import json
import random
from enum import IntEnum, StrEnum

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tables import each
from unerring.core.voting.canonical import NotJson, canonical, parsed

LAW = settings(max_examples=90, deadline=None, suppress_health_check=[HealthCheck.too_slow])

EXACT = 2**53
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers | st.text()
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
)


def same(a, b):
    """JSON equality: types differ, 1 and 1.0 are equal, the order of keys is irrelevant."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, int | float) and isinstance(b, int | float):
        return a == b
    if type(a) is not type(b):
        return False
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return bool(a == b)


def reordered(value, draw):
    """The same value with every object's keys in another order."""
    if isinstance(value, list):
        return [reordered(item, draw) for item in value]
    if isinstance(value, dict):
        keys = list(value)
        draw.shuffle(keys)
        return {key: reordered(value[key], draw) for key in keys}
    return value


@LAW
@given(values, st.integers(0, 2**32))
def test_the_order_of_keys_never_matters(value, seed):
    """Objects with their keys in any order, at any depth, are one choice."""
    assert canonical(reordered(value, random.Random(seed))) == canonical(value)


@LAW
@given(values)
def test_canonical_text_reads_back_as_the_same_value(value):
    """`parsed` returns a value that is the same JSON."""
    assert same(parsed(canonical(value)), value)


@LAW
@given(values)
def test_canonical_text_is_a_fixpoint(value):
    """The canonical text of a value read from canonical text is that text."""
    text = canonical(value)
    assert canonical(parsed(text)) == text


@LAW
@given(values)
def test_canonical_text_is_json(value):
    """Any JSON reader can read it, without NaN or infinity."""
    json.loads(canonical(value).encode(), parse_constant=lambda name: pytest.fail(f"not JSON: {name}"))


@LAW
@given(values, values)
def test_equal_text_means_equal_values(a, b):
    """Two values with one canonical text are the same JSON."""
    if canonical(a) == canonical(b):
        assert same(a, b)


small = st.recursive(
    st.sampled_from([None, True, False, 0, 1, 0.0, -0.0, 1.0, "", "0", "1", "true"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=3,
)


@settings(LAW, max_examples=400)
@given(small, small)
def test_text_is_equal_exactly_where_values_are(a, b):
    """Among values that are easily confused, texts are equal exactly if the JSON is."""
    assert (canonical(a) == canonical(b)) is same(a, b)


def test_true_is_not_one():
    """Values that Python calls equal across types are different choices."""
    assert len({canonical(value) for value in (True, 1, "1", "true", [1], {"1": 1}, None)}) == 7
    assert canonical(False) != canonical(0)


def test_one_and_one_point_zero_are_one_number():
    """1 and 1.0 are one number in JSON and one choice; so are 0 and -0.0."""
    assert canonical(1) == canonical(1.0) == "1"
    assert canonical(0) == canonical(-0.0) == canonical(0.0) == "0"
    assert canonical({"a": [2.0]}) == canonical({"a": [2]})


@LAW
@given(st.integers(-EXACT + 1, EXACT - 1))
def test_a_whole_float_is_its_integer(number):
    """Every whole number below 2^53 is one choice, written with a point or without."""
    assert canonical(float(number)) == canonical(number)


@each("number", [2.0**53, -(2.0**53), 1e20, 1e300])
def test_a_whole_float_is_its_integer_at_any_size(number):
    """100000000000000000000 and 1e20 are the same number and the same choice."""
    assert canonical(number) == canonical(int(number))


def test_lists_and_tuples_are_arrays():
    """A tuple is the array of its items."""
    assert canonical((1, (2, 3))) == canonical([1, [2, 3]])


class Colour(StrEnum):
    RED = "red"


class Size(IntEnum):
    BIG = 3


def test_named_constants_are_their_values():
    """Members of IntEnum and StrEnum, as values and as keys, are their values."""
    assert canonical([Colour.RED, Size.BIG]) == canonical(["red", 3])
    assert canonical({Colour.RED: 1}) == canonical({"red": 1})


@each("number", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_json_lacks_are_refused(number):
    """NaN and the infinities have no canonical form, at any depth."""
    for value in (number, [number], {"a": {"b": number}}):
        with pytest.raises(NotJson, match="not JSON"):
            canonical(value)


@each("text", ["\ud800", "a\udfffb", "\ud83d\ude00"])
def test_lone_surrogates_are_refused(text):
    """A string with a lone surrogate has no canonical form, as a value or as a key."""
    for value in (text, [text], {"a": text}, {text: 1}):
        with pytest.raises(NotJson, match="surrogate"):
            canonical(value)


@each("key", [1, None, True, 1.5, (1,)])
def test_keys_that_are_no_strings_are_refused(key):
    """Keys of other types are refused, since converting them would make 1 and "1" collide."""
    with pytest.raises(NotJson, match="key that is not a string"):
        canonical({key: 1, "a": 2})


@each("value", [{1, 2}, b"bytes", 1j, object(), range(3), lambda: 1, [{"a": {1}}]])
def test_other_types_are_refused(value):
    """Any type that JSON does not have is refused by name."""
    with pytest.raises(NotJson, match="not JSON data"):
        canonical(value)


@each("wrap", [lambda inner: [inner], lambda inner: {"a": inner}], ids=["list", "object"])
def test_deep_nesting_is_refused(wrap):
    """A value nested a hundred thousand deep is refused without a crash."""
    value = None
    for _ in range(100_000):
        value = wrap(value)
    with pytest.raises(NotJson, match="nested too deeply"):
        canonical(value)


def test_a_value_that_holds_itself_is_refused():
    """A list or an object inside itself is refused."""
    circle = []
    circle.append(circle)
    ring = {}
    ring["a"] = [ring]
    for value in (circle, ring):
        with pytest.raises(NotJson, match="holds itself"):
            canonical(value)


def test_whatever_depth_is_accepted_can_be_read_back():
    """Canonical text of any depth that can be written can be read."""
    value, depth = [], 1
    while depth < 3000:
        try:
            text = canonical(value)
        except NotJson:
            break
        assert parsed(text) == value
        value, depth = [value], depth + 1
    assert depth > 100


def test_integers_too_long_to_write_are_refused():
    """Integers of more than 4300 digits, which Python does not write, are refused without a crash."""
    with pytest.raises(NotJson, match="not JSON data"):
        canonical({"n": 10**5000})


def test_not_json_is_a_value_error():
    """`NotJson` is a ValueError."""
    assert issubclass(NotJson, ValueError)
