"""The contents of nested objects as plain data, to compare objects that have no equality of their own."""

from enum import Enum


def contents_of(thing):
    """Everything that an object holds, in a comparable form; an open step without samples counts as none."""
    if isinstance(thing, dict):
        each = {key: contents_of(value) for key, value in thing.items()}
        return {key: value for key, value in each.items() if value != {} and not _unasked(value)}
    if thing is None or isinstance(thing, Enum) or type(thing).__eq__ is not object.__eq__:
        return thing
    names = vars(thing) if hasattr(thing, "__dict__") else thing.__slots__
    return {name: contents_of(getattr(thing, name)) for name in names}


def _unasked(value):
    return isinstance(value, dict) and value.get("replies") == {}
