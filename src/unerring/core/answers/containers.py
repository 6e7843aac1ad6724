"""Shapes made of other shapes: arrays, dicts, unions, nullable values, and JSON data of any form."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

from unerring.core.answers.shape import PlainShape, Schema, Shape, bare, fault, inner, unfit, wrong_kind
from unerring.core.voting.canonical import Json, NotJson, canonical
from unerring.core.voting.redflag import RedFlag


class ArrayShape(Shape):
    """Arrays whose items all have one shape.

    made: makes the value of the items' values: `list`, `tuple`, `set` or `frozenset`.
    """

    def __init__(self, item: Shape, made: Callable[[Iterable[Any]], Any]) -> None:
        self._item = item
        self._made = made
        self._unordered = made in {set, frozenset}
        self.form = f"[{item.form}, ...]"
        self.schema = None if item.schema is None else {"type": "array", "items": item.schema}

    def read(self, data: Json, path: str) -> Json:
        """An array; of a set its items sorted, each once."""
        if not isinstance(data, list):
            raise wrong_kind(path, data, self.form)
        return self._ordered([self._item.read(one, inner(path, place)) for place, one in enumerate(data)])

    def _ordered(self, items: list[Json]) -> Json:
        if not self._unordered:
            return items
        by_text = {canonical(one): one for one in items}
        return [by_text[text] for text in sorted(by_text)]

    def write(self, value: Any) -> Json:
        """The items' choices."""
        if not isinstance(value, set | frozenset if self._unordered else list | tuple):
            raise unfit(value, self.form)
        return self._ordered([self._item.write(one) for one in value])

    def value(self, choice: Json) -> Any:
        """The items' values."""
        return self._made(self._item.value(one) for one in cast(list[Json], choice))

    def others(self, choice: Json) -> Iterable[Json]:
        """The array with another first item, or without its last."""
        items = cast(list[Json], choice)
        changed = [self._ordered([one, *items[1:]]) for one in (self._item.others(items[0]) if items else ())]
        return [one for one in (*changed, *([items[:-1]] if items else [])) if canonical(one) != canonical(choice)]


class TupleShape(Shape):
    """Arrays with a shape for each place."""

    def __init__(self, items: Sequence[Shape]) -> None:
        self._items = items
        self.form = f"[{', '.join(one.form for one in items)}]"

    def read(self, data: Json, path: str) -> Json:
        """An array of just so many items."""
        if not isinstance(data, list):
            raise wrong_kind(path, data, self.form)
        if len(data) != len(self._items):
            raise fault(path, f"has {len(data):,} items, not {len(self._items):,}")
        pairs = zip(self._items, data, strict=True)
        return [shape.read(one, inner(path, place)) for place, (shape, one) in enumerate(pairs)]

    def write(self, value: Any) -> Json:
        """The items' choices."""
        if not isinstance(value, tuple | list) or len(value) != len(self._items):
            raise unfit(value, self.form)
        return [shape.write(one) for shape, one in zip(self._items, value, strict=True)]

    def value(self, choice: Json) -> Any:
        """The items' values."""
        pairs = zip(self._items, cast(list[Json], choice), strict=True)
        return tuple(shape.value(one) for shape, one in pairs)

    def others(self, choice: Json) -> Iterable[Json]:
        """Another item in one place."""
        items = cast(list[Json], choice)
        for place, shape in enumerate(self._items):
            yield from ([*items[:place], one, *items[place + 1 :]] for one in shape.others(items[place]))


class DictShape(Shape):
    """Objects with any keys, whose values all have one shape."""

    def __init__(self, item: Shape) -> None:
        self._item = item
        self.form = f'{{"...": {item.form}, ...}}'

    def read(self, data: Json, path: str) -> Json:
        """An object."""
        if not isinstance(data, dict):
            raise wrong_kind(path, data, self.form)
        return {key: self._item.read(one, inner(path, key)) for key, one in data.items()}

    def write(self, value: Any) -> Json:
        """The values' choices."""
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise unfit(value, self.form)
        return {key: self._item.write(one) for key, one in value.items()}

    def value(self, choice: Json) -> Any:
        """The values."""
        return {key: self._item.value(one) for key, one in cast(dict[str, Json], choice).items()}

    def others(self, choice: Json) -> Iterable[Json]:
        """Another value of one key."""
        items = cast(dict[str, Json], choice)
        for key, one in items.items():
            yield from ({**items, key: other} for other in self._item.others(one))


class AnyShape(Shape):
    """JSON data of any form, or any array, or any object.

    kind: `list` or `dict`; None for any data.
    takes_null: whether null is such data.
    """

    def __init__(self, kind: type | None = None) -> None:
        self._kind = kind
        self.takes_null = kind is None
        self.form = "JSON" if kind is None else "[...]" if kind is list else "{...}"

    def read(self, data: Json, path: str) -> Json:
        """The data as it is."""
        if self._kind is not None and not isinstance(data, self._kind):
            raise wrong_kind(path, data, self.form)
        return data

    def write(self, value: Any) -> Json:
        """The data."""
        try:
            canonical(value)
        except NotJson:
            raise unfit(value, self.form) from None
        return cast(Json, value)


class OptionalShape(Shape):
    """A shape whose value may also be null."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.form = f"{shape.form} or null"
        self.schema = _any_of([shape.schema, {"type": "null"}])

    @property
    def asked_json(self) -> str:
        return f"{self.shape.asked_json}\nor with null for none"

    def read(self, data: Json, path: str) -> Json:
        """Null, or what the shape reads."""
        return None if data is None else self.shape.read(data, path)

    def write(self, value: Any) -> Json:
        """Null for None."""
        return None if value is None else self.shape.write(value)

    def value(self, choice: Json) -> Any:
        """None for null."""
        return None if choice is None else self.shape.value(choice)

    def others(self, choice: Json) -> Iterable[Json]:
        """Null, and other values."""
        return () if choice is None else (*self.shape.others(choice), None)


class OptionalPlainShape(OptionalShape, PlainShape):
    """A plain shape whose value may also be null."""

    def __init__(self, shape: PlainShape) -> None:
        super().__init__(shape)
        self.plain = shape
        self.asked = f"{shape.asked}, or null for none"

    def read_text(self, text: str) -> Json:
        """The word null, or what the shape reads."""
        return None if bare(text).casefold() == "null" else self.plain.read_text(text)

    def text(self, choice: Json) -> str:
        """The word null, or what the shape writes."""
        return "null" if choice is None else self.plain.text(choice)


class UnionShape(Shape):
    """Values of one of several shapes: of the first that reads the data."""

    def __init__(self, shapes: Sequence[Shape]) -> None:
        self.shapes = shapes
        self.form = " or ".join(one.form for one in shapes)
        self.schema = _any_of([one.schema for one in shapes])

    def read(self, data: Json, path: str) -> Json:
        """What the first shape reads that can."""
        for shape in self.shapes:
            try:
                return shape.read(data, path)
            except RedFlag:
                continue
        raise wrong_kind(path, data, self.form)

    def write(self, value: Any) -> Json:
        """What the first shape writes that can."""
        for shape in self.shapes:
            try:
                return shape.write(value)
            except TypeError:
                continue
        raise unfit(value, self.form)

    def value(self, choice: Json) -> Any:
        """The value by the shape of which this is the choice."""
        return self.shape_of(choice).value(choice)

    def shape_of(self, choice: Json) -> Shape:
        """The first shape that reads a choice as itself."""
        for shape in self.shapes:
            try:
                if canonical(shape.read(choice, "")) == canonical(choice):
                    return shape
            except RedFlag:
                continue
        raise AssertionError(f"{choice!r} is no choice of this union")

    def others(self, choice: Json) -> Iterable[Json]:
        """Other values of the same shape."""
        return self.shape_of(choice).others(choice)


class PlainUnionShape(UnionShape, PlainShape):
    """Values of one of several plain shapes."""

    def __init__(self, shapes: Sequence[PlainShape]) -> None:
        super().__init__(shapes)
        self.plain = shapes
        self.asked = ", or ".join(one.asked for one in shapes)

    def read_text(self, text: str) -> Json:
        """What the first shape reads that can."""
        for shape in self.plain:
            try:
                return shape.read_text(text)
            except RedFlag:
                continue
        raise wrong_kind("", text.strip(), self.form)

    def text(self, choice: Json) -> str:
        """What the choice's own shape writes."""
        found = self.shape_of(choice)
        assert isinstance(found, PlainShape)
        return found.text(choice)


def _any_of(schemas: Sequence[Schema | None]) -> Schema | None:
    known = [one for one in schemas if one is not None]
    return {"anyOf": [*known]} if len(known) == len(schemas) else None
