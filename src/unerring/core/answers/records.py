"""The shape of objects with named fields: dataclasses, TypedDicts and NamedTuples."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from enum import Enum
from typing import Any, cast

from unerring.core.answers.shape import Shape, fault, inner, unfit, wrong_kind
from unerring.core.voting.canonical import Json, canonical
from unerring.core.voting.redflag import RedFlag

MAX_NAMED_FIELDS = 6  # in the message of a red flag


class Absent(Enum):
    """What a field without a default has that was left out: nothing."""

    ABSENT = "absent"


ABSENT = Absent.ABSENT


@dataclass(frozen=True, slots=True)
class RecordField:
    """One field of a record.

    name: its name, and its key in the object.
    shape: of its values.
    optional: whether an answer may leave it out.
    default: what a field that was left out has, as JSON data; `ABSENT` where it has nothing then.
    """

    name: str
    shape: Shape
    optional: bool = False
    default: "Json | Absent" = ABSENT


class RecordShape(Shape):
    """Objects with named fields; a key that is no field is a fault, since it was meant to say something."""

    def __init__(
        self,
        name: str,
        every: Sequence[RecordField],
        made: Callable[..., Any],
        read: Callable[[Any], Mapping[str, Any]],
    ) -> None:
        """`made` makes a value from its fields by name; `read` gives the fields of one, or raises `TypeError`."""
        self._name = name
        self._fields = {one.name: one for one in every}
        self._made = made
        self._read = read
        self.form = f"{{{', '.join(f'{canonical(one.name)}: {one.shape.form}' for one in every)}}}"
        schemas = {one.name: one.shape.schema for one in every}
        exact = all(not one.optional or one.default is not ABSENT for one in every)
        if exact and all(one is not None for one in schemas.values()):
            properties = cast(dict[str, Json], schemas)
            self.schema = {
                "type": "object",
                "properties": properties,
                "required": [*properties],
                "additionalProperties": False,
            }

    def read(self, data: Json, path: str) -> Json:
        """An object of these fields, with the defaults of those that were left out, as the class itself keeps it."""
        if not isinstance(data, dict):
            raise wrong_kind(path, data, self.form)
        for key in data:
            if key not in self._fields:
                names = [*self._fields][:MAX_NAMED_FIELDS]
                more = ", ..." * (len(self._fields) > len(names))
                raise fault(inner(path, key), f"is no field; the fields are: {', '.join(names)}{more}")
        found: dict[str, Json] = {}
        for name, one in self._fields.items():
            if name in data:
                found[name] = one.shape.read(data[name], inner(path, name))
            elif not one.optional:
                raise fault(inner(path, name), "is missing")
            elif one.default is not ABSENT:
                found[name] = one.default
        try:
            made = self.value(found)
        except RedFlag:
            raise
        except ValueError as error:  # of the class's own checks
            raise fault(path, f"is refused by {self._name}: {error}") from None
        return self.write(made)

    def write(self, value: Any) -> Json:
        """The choices of the fields."""
        try:
            held = self._read(value)
        except TypeError:
            raise unfit(value, self.form) from None
        if not self._fields.keys() >= held.keys():
            raise unfit(value, self.form)
        for name, one in self._fields.items():
            if name not in held and not (one.optional and one.default is ABSENT):
                raise unfit(value, self.form)
        return {name: self._fields[name].shape.write(one) for name, one in held.items()}

    def value(self, choice: Json) -> Any:
        """An object of the class."""
        held = cast(dict[str, Json], choice)
        return self._made(**{name: self._fields[name].shape.value(one) for name, one in held.items()})

    def others(self, choice: Json) -> Iterable[Json]:
        """Another value of one field."""
        held = cast(dict[str, Json], choice)
        for name, one in held.items():
            yield from ({**held, name: other} for other in self._fields[name].shape.others(one))


def dataclass_shape(kind: type, shapes: Mapping[str, Shape]) -> RecordShape:
    """The shape of a dataclass, given those of its fields."""
    taken = [one for one in fields(kind) if one.init]
    every = []
    for one in taken:
        default = one.default if one.default_factory is MISSING else one.default_factory()
        every.append(_field(kind, one.name, shapes[one.name], default))

    def held(value: Any) -> dict[str, Any]:
        if type(value) is not kind:
            raise TypeError
        return {one.name: getattr(value, one.name) for one in taken}

    return RecordShape(kind.__name__, every, kind, held)


def named_tuple_shape(kind: Any, shapes: Mapping[str, Shape]) -> RecordShape:
    """The shape of a NamedTuple, given those of its fields."""
    every = [_field(kind, name, shapes[name], kind._field_defaults.get(name, MISSING)) for name in kind._fields]

    def held(value: Any) -> dict[str, Any]:
        if type(value) is not kind:
            raise TypeError
        return cast(dict[str, Any], value._asdict())

    return RecordShape(kind.__name__, every, kind, held)


def typed_dict_shape(kind: Any, shapes: Mapping[str, Shape]) -> RecordShape:
    """The shape of a TypedDict, given those of its keys."""
    every = [RecordField(name, shape, optional=name not in kind.__required_keys__) for name, shape in shapes.items()]

    def held(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise TypeError
        return value

    return RecordShape(kind.__name__, every, dict, held)


def _field(kind: type, name: str, shape: Shape, default: Any) -> RecordField:
    return RecordField(name, shape) if default is MISSING else defaulted(kind.__name__, name, shape, default)


def defaulted(owner: str, name: str, shape: Shape, default: Any) -> RecordField:
    """A field with a default; raises `TypeError` for a default that its shape does not have."""
    try:
        return RecordField(name, shape, optional=True, default=shape.write(default))
    except TypeError as error:
        hint = f"; write {name}: ... | None" if default is None else ""
        raise TypeError(f"the default of {owner}.{name} does not fit its type: {error}{hint}") from None
