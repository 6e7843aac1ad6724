"""Canonical JSON of choices: two answers with the same text are the same choice.

The canonical text of a choice decides equality; it is journaled and carried forward. The rules follow the JSON
Canonicalization Scheme (RFC 8785) where they matter for a vote:

- the order of keys does not matter;
- `1` is not `true`, and `1` is not `"1"`;
- `1` and `1.0` are the same number, as in JSON; so are `-0.0` and `0`;
- NaN, infinities, lone surrogates and keys that are not strings are not JSON, and are refused.
"""

import json
from contextlib import suppress
from typing import Any, TypeAlias

_ATOM_TYPES = frozenset({int, str, bool, type(None)})  # most items are of these types, and need no call
# json.dumps would make an encoder for each choice
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)

_KEY_NOT_STRING = "an object with a key that is not a string"

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
JsonObject: TypeAlias = dict[str, Any]


class NotJson(ValueError):
    """The value has no canonical form; the message says why."""


class ForeignType(NotJson, TypeError):
    """The value has a type that JSON lacks: a bug of the code that made it, not of a model.

    found: the type, with its article: "a datetime".
    path: where the value is, as Python indexes it: "['day']"; "" for the whole.
    """

    def __init__(self, found: str, path: str) -> None:
        super().__init__(f"{found}{' at ' * bool(path)}{path} is not JSON data")
        self.found = found
        self.path = path


def canonical(value: Json) -> str:
    """Write `value` as canonical JSON text: equal text means the same choice.

    Raises `NotJson` for anything that is not JSON data or is nested too deeply.
    """
    try:
        text = _ENCODER.encode(_json_value(value))
        text.encode()
    except UnicodeEncodeError:
        raise NotJson("a string holds a lone surrogate, which is not text") from None
    except ForeignType as error:
        with suppress(RecursionError):  # of a part that deep, only the type is named
            error = _foreign(value) or error
        raise error from None
    except NotJson:
        raise
    except RecursionError:
        raise NotJson("the value is nested too deeply, or holds itself") from None
    except ValueError as error:
        raise NotJson(f"the value is not JSON data: {error}") from None
    return text


def _json_value(value: Json) -> Json:
    """The same value with integral floats as integers. Refuses types that `json` would silently convert."""
    kind = type(value)
    if kind in _ATOM_TYPES:
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, list | tuple):
        return [item if type(item) in _ATOM_TYPES else _json_value(item) for item in value]
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise ForeignType(_KEY_NOT_STRING, "")
        return {key: item if type(item) in _ATOM_TYPES else _json_value(item) for key, item in value.items()}
    if isinstance(value, bool | int | str):  # subclasses, such as IntEnum and StrEnum
        return value
    raise ForeignType(_type_name(value), "")


def _foreign(value: Any, path: str = "") -> ForeignType | None:
    """The first part of a value whose type JSON lacks, with its path; None where there is none."""
    if isinstance(value, list | tuple):
        inner = ((item, f"{path}[{place}]") for place, item in enumerate(value))
    elif isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            return ForeignType(_KEY_NOT_STRING, path)
        inner = ((item, f"{path}[{key!r}]") for key, item in value.items())
    else:
        known = value is None or isinstance(value, bool | int | float | str)
        return None if known else ForeignType(_type_name(value), path)
    return next((found for item, at in inner if (found := _foreign(item, at)) is not None), None)


def _type_name(value: Any) -> str:
    """The name of a value's type with its article: "a datetime", "an OrderedSet"."""
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def parsed(text: str) -> Json:
    """Read canonical text back into the value it stands for."""
    value: Json = json.loads(text)
    return value
