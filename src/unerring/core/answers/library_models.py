"""Shapes of classes that validate themselves: pydantic models and msgspec Structs, without an import of either."""

import sys
from collections.abc import Callable, Mapping
from typing import Any, cast

from unerring.core.answers.json_schema import Validator, asked_by, schema_text, strict_schema
from unerring.core.answers.shape import Shape, fault, unfit
from unerring.core.voting.canonical import Json


class LibraryShape(Shape):
    """Objects of a class that validates them.

    The class's schema is checked first: libraries leave out unknown keys, and pydantic reads "5" as 5. Then the class
    validates, and the choice is what it writes of the object, so that equal objects are the same choice.
    """

    def __init__(
        self,
        kind: type,
        schema: Mapping[str, Any],
        made: Callable[[Json], Any],
        written: Callable[[Any], Json],
        said: Callable[[ValueError], str],
    ) -> None:
        """`made` makes an object of JSON data or raises `ValueError`, of which `said` gives the words."""
        self._kind = kind
        self._made = made
        self._written = written
        self._said = said
        self._validator = Validator(schema, closed=True, strict=False)
        self.schema = strict_schema(schema)
        self.form = schema_text(self.schema or schema)

    @property
    def asked_json(self) -> str:
        return asked_by(self._validator.root, self.form)

    def read(self, data: Json, path: str) -> Json:
        """What the class writes of an object that it accepts."""
        self._validator.check(data, path)
        try:
            return self._written(self._made(data))
        except ValueError as error:
            raise fault(path, f"is refused by {self._kind.__name__}: {self._said(error)}") from None

    def write(self, value: Any) -> Json:
        """What the class writes of an object."""
        if not isinstance(value, self._kind):
            raise unfit(value, self._kind.__name__)
        return self._written(value)

    def value(self, choice: Json) -> Any:
        """The object."""
        return self._made(choice)


def library_shape(kind: Any) -> LibraryShape | None:
    """The shape of a pydantic model or a msgspec Struct; None for other classes."""
    if all(callable(getattr(kind, name, None)) for name in ("model_json_schema", "model_validate", "model_dump")):
        return _pydantic_shape(kind)
    msgspec = sys.modules.get("msgspec")  # a Struct exists only where it was imported
    return _msgspec_shape(kind, msgspec) if msgspec is not None and issubclass(kind, msgspec.Struct) else None


def _pydantic_shape(kind: Any) -> LibraryShape:
    try:
        schema = kind.model_json_schema()
    except Exception as error:
        raise TypeError(f"{kind.__name__} has no JSON schema: {str(error).splitlines()[0]:.120}") from None

    def said(error: ValueError) -> str:
        faults: list[Any] = getattr(error, "errors", list)()
        if not faults:
            return str(error)
        place = ".".join(map(str, faults[0].get("loc", ())))
        return f"{place}: {faults[0].get('msg')}" if place else str(faults[0].get("msg"))

    def written(value: Any) -> Json:
        return cast(Json, value.model_dump(mode="json", by_alias=True))

    return LibraryShape(kind, schema, kind.model_validate, written, said)


def _msgspec_shape(kind: Any, msgspec: Any) -> LibraryShape:
    try:
        schema = msgspec.json.schema(kind)
    except TypeError as error:
        raise TypeError(f"{kind.__name__} has no JSON schema: {error}") from None
    return LibraryShape(kind, schema, lambda data: msgspec.convert(data, kind), msgspec.to_builtins, str)
