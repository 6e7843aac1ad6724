"""Entries are values: after they are applied or queued for writing, they cannot be changed."""

from dataclasses import fields
from typing import get_args

import pytest

from tables import each
from unerring.core.journal import entries


@each("kind", [*get_args(entries.Entry), entries.Reply], ids=lambda kind: kind.__name__)
def test_no_field_of_an_entry_can_be_changed(kind):
    """Setting a field of an entry of any kind is an error."""
    if issubclass(kind, tuple):
        made, name = kind(*kind._fields), kind._fields[0]
    else:
        made, name = object.__new__(kind), fields(kind)[0].name
    with pytest.raises(AttributeError):
        setattr(made, name, 1)
