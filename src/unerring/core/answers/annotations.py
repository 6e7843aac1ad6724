"""From a type, as in an annotation, to the shape of its values."""

import sys
from collections.abc import Callable, Iterable, Mapping, MutableMapping, MutableSequence, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    Required,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from unerring.core.answers.atoms import (
    DateShape,
    DatetimeShape,
    DecimalShape,
    NumberShape,
    TextShape,
    WholeShape,
    YesNoShape,
)
from unerring.core.answers.choices import enum_shape, listed_choices
from unerring.core.answers.containers import (
    AnyShape,
    ArrayShape,
    DictShape,
    OptionalPlainShape,
    OptionalShape,
    PlainUnionShape,
    TupleShape,
    UnionShape,
)
from unerring.core.answers.library_models import library_shape
from unerring.core.answers.records import dataclass_shape, named_tuple_shape, typed_dict_shape
from unerring.core.answers.shape import PlainShape, Shape
from unerring.core.short_text import short

_ATOMS: dict[Any, Callable[[], Shape]] = {
    str: TextShape,
    int: WholeShape,
    float: NumberShape,
    bool: YesNoShape,
    Decimal: DecimalShape,
    date: DateShape,
    datetime: DatetimeShape,
    Any: AnyShape,
    object: AnyShape,
    list: lambda: AnyShape(list),
    dict: lambda: AnyShape(dict),
}
_ARRAYS: dict[Any, Callable[[Iterable[Any]], Any]] = {
    list: list,
    Sequence: list,
    MutableSequence: list,
    set: set,
    AbstractSet: frozenset,
    frozenset: frozenset,
}
_WRAPPERS = {Annotated, Required, NotRequired}
FORMS = (
    "a list of choices, int, float, bool, str, date, an Enum, list[...], X | None, a dataclass, a pydantic or msgspec "
    "class, a JSON schema, or a function"
)


def shape_of(annotation: Any, within: tuple[Any, ...] = ()) -> Shape:
    """The shape of the values of a type; `within` are the classes that it is part of.

    Raises `TypeError` for a type whose values are no JSON data.
    """
    named = getattr(annotation, "__supertype__", getattr(annotation, "__value__", None))
    if named is not None and not isinstance(annotation, type):  # a NewType, or a `type` statement
        return shape_of(named, within)
    try:
        atom = _ATOMS.get(annotation)
    except TypeError:  # no type can be unhashable
        atom = None
    if atom is not None:
        return atom()
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is not None:
        return _generic_shape(annotation, origin, arguments, within)
    if isinstance(annotation, type):
        return _class_shape(annotation, within)
    raise _unusable(annotation)


class UnusableType(TypeError):
    """A type whose values are no JSON data."""


def _unusable(annotation: Any) -> UnusableType:
    return UnusableType(f"an answer cannot be {short(annotation)}; it is {FORMS}")


def _generic_shape(annotation: Any, origin: Any, arguments: tuple[Any, ...], within: tuple[Any, ...]) -> Shape:
    if origin in _WRAPPERS:
        return shape_of(arguments[0], within)
    if origin is Literal:
        return _literal_shape(arguments)
    if origin in {Union, UnionType}:
        return _union_shape([one for one in arguments if one is not NoneType], NoneType in arguments, within)
    if origin in _ARRAYS:
        return ArrayShape(shape_of(arguments[0], within), _ARRAYS[origin])
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is ...:
            return ArrayShape(shape_of(arguments[0], within), tuple)
        return TupleShape([shape_of(one, within) for one in arguments])
    if origin in {dict, Mapping, MutableMapping}:
        if arguments[0] is not str:
            raise TypeError(f"the keys of {short(annotation)} are texts in JSON: write dict[str, ...]")
        return DictShape(shape_of(arguments[1], within))
    if isinstance(origin, type) and (
        found := library_shape(annotation if hasattr(annotation, "model_dump") else origin)
    ):
        return found
    raise _unusable(annotation)


def _literal_shape(values: tuple[Any, ...]) -> Shape:
    given = [one for one in values if one is not None]
    if any(isinstance(one, bytes) for one in given):
        raise TypeError("bytes are no JSON data: write the choices of Literal as texts")
    choices = listed_choices(given, least=1)  # a field may have one value, as a mark of its class
    return choices if len(given) == len(values) else OptionalPlainShape(choices)


def _union_shape(types: Sequence[Any], nullable: bool, within: tuple[Any, ...]) -> Shape:
    shapes = [shape_of(one, within) for one in types]
    shape = shapes[0]
    if len(shapes) > 1:
        plain = [one for one in shapes if isinstance(one, PlainShape) and not isinstance(one, TextShape)]
        # texts among others are put in quotes: the text 5 would be read as the number
        shape = PlainUnionShape(plain) if len(plain) == len(shapes) else UnionShape(shapes)
    if not nullable:
        return shape
    return OptionalPlainShape(shape) if isinstance(shape, PlainShape) else OptionalShape(shape)


def _class_shape(kind: Any, within: tuple[Any, ...]) -> Shape:
    if kind in within:
        raise TypeError(f"{kind.__name__} is part of itself: give a function that parses such answers")
    if issubclass(kind, Enum):
        return enum_shape(kind)
    if (found := library_shape(kind)) is not None:
        return found
    if is_typeddict(kind):
        return typed_dict_shape(kind, _field_shapes(kind, within))
    if issubclass(kind, tuple) and hasattr(kind, "_field_defaults"):
        return named_tuple_shape(kind, _field_shapes(kind, within))
    if is_dataclass(kind):
        return dataclass_shape(cast(type, kind), _field_shapes(kind, within))
    raise _unusable(kind)


def _field_shapes(kind: Any, within: tuple[Any, ...]) -> dict[str, Shape]:
    """The shapes of a class's fields, by name."""
    try:
        hints = get_type_hints(kind, localns=vars(sys.modules.get(kind.__module__, kind)), include_extras=True)
    except NameError as error:
        raise TypeError(f"the types of {kind.__name__} are not known: {error}; define them in the module") from None
    names = [one.name for one in fields(kind) if one.init] if is_dataclass(kind) else [*hints]
    names = [*kind._fields] if hasattr(kind, "_field_defaults") else names
    shapes = {}
    for name in names:
        try:
            shapes[name] = shape_of(hints.get(name, Any), (*within, kind))
        except UnusableType:
            raise TypeError(f"{kind.__name__}.{name} cannot be {short(hints.get(name))} in an answer") from None
    return shapes
