"""Validate JSON data by a JSON schema: the keywords that say what an answer looks like, no references to other files.

A keyword that is not known is an error when the schema is given, since an answer that it forbids would vote.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from unerring.core.answers.shape import Schema, Shape, fault, inner, json_word, unfit
from unerring.core.short_text import short
from unerring.core.voting.canonical import Json, NotJson, canonical
from unerring.core.voting.redflag import RedFlag


def _is_number(data: Any) -> bool:
    return type(data) in {int, float}


_TYPES: dict[str, Callable[[Any], bool]] = {
    "string": lambda data: isinstance(data, str),
    "integer": lambda data: type(data) is int or (type(data) is float and data.is_integer()),
    "number": _is_number,
    "boolean": lambda data: isinstance(data, bool),
    "array": lambda data: isinstance(data, list),
    "object": lambda data: isinstance(data, dict),
    "null": lambda data: data is None,
}
_NOTES = {  # keywords that say nothing of which data is valid
    *("$schema", "$id", "$anchor", "$comment", "$defs", "definitions", "title", "description", "default", "examples"),
    *("deprecated", "readOnly", "writeOnly", "format", "contentMediaType", "discriminator"),
}
_LIMITS: dict[str, tuple[type | tuple[type, ...], Callable[[Any, Any], bool], str]] = {
    "minimum": ((int, float), lambda data, limit: data >= limit, "below {}"),
    "maximum": ((int, float), lambda data, limit: data <= limit, "above {}"),
    "exclusiveMinimum": ((int, float), lambda data, limit: data > limit, "not above {}"),
    "exclusiveMaximum": ((int, float), lambda data, limit: data < limit, "not below {}"),
    "minLength": (str, lambda data, limit: len(data) >= limit, "shorter than {} characters"),
    "maxLength": (str, lambda data, limit: len(data) <= limit, "longer than {} characters"),
    "minItems": (list, lambda data, limit: len(data) >= limit, "an array of fewer than {} items"),
    "maxItems": (list, lambda data, limit: len(data) <= limit, "an array of more than {} items"),
    "minProperties": (dict, lambda data, limit: len(data) >= limit, "an object of fewer than {} keys"),
    "maxProperties": (dict, lambda data, limit: len(data) <= limit, "an object of more than {} keys"),
}
_SCHEMAS = {"items", "additionalProperties", "not"}  # keywords whose value is a schema
_LISTS = {"anyOf", "oneOf", "allOf", "prefixItems"}  # or a list of schemas
_KNOWN = {
    *_NOTES,
    *_LIMITS,
    *_SCHEMAS,
    *_LISTS,
    "type",
    "enum",
    "const",
    "properties",
    "required",
    "pattern",
    "$ref",
    "uniqueItems",
}
MAX_DEPTH = 100  # of references that lead to references


class SchemaShape(Shape):
    """JSON data that a schema describes."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """Raise `TypeError` or `ValueError` for a schema that is none, or has a keyword that is not known here."""
        try:
            canonical(dict(schema))
        except NotJson as error:
            raise TypeError(f"a JSON schema is JSON data, but {error}") from None
        self._validator = Validator(schema)
        self.form = schema_text(schema)
        if schema.get("type") == "object":
            self.schema = strict_schema(schema, whole=True)

    def read(self, data: Json, path: str) -> Json:
        """The data as it is, where it is valid."""
        self._validator.check(data, path)
        return data

    def write(self, value: Any) -> Json:
        """The data, where it is valid."""
        try:
            canonical(value)
            self._validator.check(value, "")
        except (NotJson, RedFlag) as error:
            raise unfit(value, str(error)) from None
        return cast(Json, value)

    @property
    def asked_json(self) -> str:
        return asked_by(self._validator.root, self.form)

    @property
    def takes_null(self) -> bool:
        """Whether null is valid."""
        try:
            self._validator.check(None, "")
        except RedFlag:
            return False
        return True


class Validator:
    """Checks JSON data by one schema.

    root: the schema.
    closed: whether an object has no keys but those of `properties`, where the schema does not say.
    strict: whether an unknown keyword is an error; otherwise it is left to other code.
    """

    def __init__(self, schema: Mapping[str, Any], closed: bool = False, strict: bool = True) -> None:
        self.root = schema
        self._closed = closed
        self._strict = strict
        self._patterns: dict[str, re.Pattern[str]] = {}
        if strict:
            for one in _parts(schema):
                self._require_known(one)

    def _require_known(self, schema: Mapping[str, Any]) -> None:
        for keyword, value in schema.items():
            if keyword not in _KNOWN:
                raise ValueError(
                    f"the keyword {keyword!r:.40} of a JSON schema is not checked here: leave it out, or give a "
                    "function that parses answers"
                )
            if keyword == "type":
                names = value if isinstance(value, list) else [value]
                if not names or any(not isinstance(name, str) or name not in _TYPES for name in names):
                    raise ValueError(f"the type of a JSON schema is one of {', '.join(_TYPES)}; got {short(value)}")
            elif keyword == "pattern":
                self._pattern(value)
            elif keyword == "$ref":
                self._target(value)
            elif keyword in _LIMITS and not _is_number(value):
                raise ValueError(f"{keyword} of a JSON schema is a number, not {short(value)}")
            elif keyword in {"enum", "required"} and not isinstance(value, list):
                raise ValueError(f"{keyword} of a JSON schema is a list, not {short(value)}")

    def check(self, data: Json, path: str) -> None:
        """Raise `RedFlag`, with the path to the first fault, for data that is not valid."""
        try:
            self._check(data, self.root, path, MAX_DEPTH)
        except RecursionError:
            raise fault(path, "is nested too deeply") from None

    def _check(self, data: Json, schema: Any, path: str, depth: int) -> None:
        if schema is True or schema == {}:
            return
        if schema is False:
            raise fault(path, "is not allowed")
        if "$ref" in schema:
            if depth == 0:
                raise fault(path, "cannot be checked: the schema's references lead in a circle")
            self._check(data, self._target(schema["$ref"]), path, depth - 1)
        kinds = schema.get("type", [])
        kinds = kinds if isinstance(kinds, list) else [kinds]
        if kinds and not any(_TYPES[kind](data) for kind in kinds if kind in _TYPES):
            raise fault(path, f"is {json_word(data)}, not of type {' or '.join(kinds)}")
        listed = schema.get("enum", [schema["const"]] if "const" in schema else None)
        if listed is not None and canonical(data) not in {canonical(one) for one in listed}:
            raise fault(path, f"is {json_word(data)}, not one of {short(listed)}")
        if self._strict:
            self._check_limits(data, schema, path)
        self._check_combined(data, schema, path, depth)
        if isinstance(data, list):
            self._check_items(data, schema, path)
        elif isinstance(data, dict):
            self._check_fields(data, schema, path)

    def _check_limits(self, data: Json, schema: Mapping[str, Any], path: str) -> None:
        for keyword, (kinds, holds, said) in _LIMITS.items():
            if (
                keyword in schema
                and isinstance(data, kinds)
                and type(data) is not bool
                and not holds(data, schema[keyword])
            ):
                raise fault(path, f"is {json_word(data)}, {said.format(schema[keyword])}")
        if "pattern" in schema and isinstance(data, str) and not self._pattern(schema["pattern"]).search(data):
            raise fault(path, f"is {short(data)}, which does not match {short(schema['pattern'])}")

    def _check_combined(self, data: Json, schema: Mapping[str, Any], path: str, depth: int) -> None:
        for one in schema.get("allOf", ()):
            self._check(data, one, path, depth)
        for keyword in ("anyOf", "oneOf"):
            if keyword not in schema:
                continue
            faults = [flag for one in schema[keyword] if (flag := self._fault(data, one, path, depth)) is not None]
            valid = len(schema[keyword]) - len(faults)
            if valid == 0:
                raise (
                    faults[0]
                    if len(faults) == 1
                    else fault(path, f"is {json_word(data)}, of none of the forms; {faults[0]}")
                )
            if keyword == "oneOf" and valid > 1 and self._strict:
                raise fault(path, f"is {json_word(data)}, of more than one of the forms")
        if "not" in schema and self._strict and self._fault(data, schema["not"], path, depth) is None:
            raise fault(path, f"is {json_word(data)}, which is not allowed")

    def _fault(self, data: Json, schema: Any, path: str, depth: int) -> RedFlag | None:
        try:
            self._check(data, schema, path, depth)
        except RedFlag as flag:
            return flag
        return None

    def _check_items(self, data: list[Json], schema: Mapping[str, Any], path: str) -> None:
        first = schema.get("prefixItems", ())
        for place, (one, own) in enumerate(zip(data, first, strict=False)):
            self._check(one, own, inner(path, place), MAX_DEPTH)
        if "items" in schema:
            for place, one in enumerate(data[len(first) :], len(first)):
                self._check(one, schema["items"], inner(path, place), MAX_DEPTH)
        if schema.get("uniqueItems") and self._strict and len({canonical(one) for one in data}) < len(data):
            raise fault(path, "has an item twice")

    def _check_fields(self, data: dict[str, Json], schema: Mapping[str, Any], path: str) -> None:
        properties = schema.get("properties", {})
        for name in schema.get("required", ()):
            if name not in data:
                raise fault(inner(path, name), "is missing")
        others = schema.get("additionalProperties", not (self._closed and "properties" in schema))
        for name, one in data.items():
            if name in properties:
                self._check(one, properties[name], inner(path, name), MAX_DEPTH)
            elif others is False:
                raise fault(inner(path, name), "is no key of the schema")
            else:
                self._check(one, others, inner(path, name), MAX_DEPTH)

    def _target(self, reference: Any) -> Any:
        """The part of the schema that a reference names, such as #/$defs/Point."""
        return referenced(self.root, reference)

    def _pattern(self, pattern: Any) -> re.Pattern[str]:
        if not isinstance(pattern, str):
            raise ValueError(f"the pattern of a JSON schema is a text, not {short(pattern)}")
        if pattern not in self._patterns:
            try:
                self._patterns[pattern] = re.compile(pattern)
            except re.error as error:
                raise ValueError(
                    f"the pattern {short(pattern)} of a JSON schema is no regular expression: {error}"
                ) from None
        return self._patterns[pattern]


def asked_by(schema: Mapping[str, Any], text: str) -> str:
    """What follows "Answer with" in a prompt for data that a schema describes, which is shown as `text`."""
    outer = referenced(schema, schema["$ref"]) if "$ref" in schema else schema
    kind = {"object": "one JSON object", "array": "one JSON array"}.get(str(outer.get("type")), "JSON")
    return f"{kind} that this JSON schema describes, and nothing else:\n{text}"


def schema_text(schema: Mapping[str, Any]) -> str:
    """A schema as JSON text, its keys in their order: models write them in it."""
    return json.dumps(schema, ensure_ascii=False, separators=(", ", ": "))


def referenced(root: Mapping[str, Any], reference: Any) -> Any:
    """The part of a schema that a reference in it names; raises `ValueError` where there is none."""
    found: Any = root
    if reference == "#":
        return found
    words = reference.split("/") if isinstance(reference, str) and reference.startswith("#/") else [""]
    for word in words[1:] or [""]:
        key = word.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, Mapping) or key not in found:
            raise ValueError(f"the reference {reference!r:.60} of a JSON schema names no part of it")
        found = found[key]
    return found


def _parts(schema: Any) -> Iterable[Mapping[str, Any]]:
    """A schema and all schemas within it; raises `TypeError` for what is none."""
    if isinstance(schema, bool):
        return
    if not isinstance(schema, Mapping):
        raise TypeError(f"a JSON schema is an object, not {short(schema)}")
    yield schema
    within = [value for keyword, value in schema.items() if keyword in _SCHEMAS]
    for keyword in _LISTS & schema.keys():
        if not isinstance(schema[keyword], list):
            raise TypeError(f"{keyword} of a JSON schema is a list of schemas, not {short(schema[keyword])}")
        within += schema[keyword]
    for keyword in {"properties", "$defs", "definitions"} & schema.keys():
        if not isinstance(schema[keyword], Mapping):
            raise TypeError(f"{keyword} of a JSON schema is an object of schemas, not {short(schema[keyword])}")
        within += schema[keyword].values()
    for one in within:
        yield from _parts(one)


def strict_schema(schema: Mapping[str, Any], whole: bool = False) -> Schema | None:
    """A schema as endpoints take it in strict mode: without references, all keys required, no others.

    None where that cannot be said: for one that refers to itself, or an object with any keys; with `whole` also where
    a key may be left out, which without it has a default.
    """
    try:
        found = _strict(schema, schema, whole)
    except (RecursionError, _NotStrict):
        return None
    return cast(Schema, found)


class _NotStrict(Exception):
    """The schema has no strict form."""


_NOT_SENT = {"title", "default", "$defs", "definitions", "$schema", "$id", "discriminator"}


def _strict(schema: Any, root: Mapping[str, Any], whole: bool) -> Json:
    if not isinstance(schema, Mapping):
        raise _NotStrict
    own = {name: value for name, value in schema.items() if name not in _NOT_SENT}
    if "$ref" in own:
        target = referenced(root, own.pop("$ref"))
        own = {**{name: one for name, one in target.items() if name not in {"title", "default"}}, **own}
        return _strict(own, root, whole)
    made: dict[str, Any] = {}
    for name, value in own.items():
        if name in {"items", "not"}:
            made[name] = _strict(value, root, whole)
        elif name in {"anyOf", "oneOf", "allOf"}:
            made["anyOf" if name == "oneOf" else name] = [_strict(one, root, whole) for one in value]
        elif name == "properties":
            made[name] = {key: _strict(one, root, whole) for key, one in value.items()}
        else:
            made[name] = value
    if made.get("type") == "object":
        if "properties" not in made or made.get("additionalProperties", False) is not False:
            raise _NotStrict
        if whole and {*made["properties"]} != {*made.get("required", ())}:
            raise _NotStrict
        made |= {"required": [*made["properties"]], "additionalProperties": False}
    if "prefixItems" in made or not made:
        raise _NotStrict
    return made
