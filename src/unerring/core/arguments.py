"""Check the types of arguments from Python users: an error names the argument and says how it is written."""

from collections.abc import Mapping, Sequence
from typing import Any

from unerring.core.short_text import MAX_SHORT_CHARS
from unerring.errors import InputError


def require_made(name: str, value: Any, kind: type, optional: bool = False) -> None:
    """Raise `InputError` unless the value is an object of this class of `unerring`, such as `unerring.Budget`."""
    if not isinstance(value, kind) and not (optional and value is None):
        raise _refused(name, f"made as unerring.{kind.__name__}(...)", value)


def require_flag(name: str, value: Any, optional: bool = False) -> None:
    """Raise `InputError` unless the value is True or False."""
    if type(value) is not bool and not (optional and value is None):
        raise _refused(name, "True or False", value)


def require_path(name: str, value: Any, optional: bool = False) -> None:
    """Raise `InputError` unless the value is the path of a file."""
    if not _is_path(value) and not (optional and value is None):
        raise _refused(name, "the path of a file, a str or a Path", value)


def require_texts(name: str, value: Any) -> None:
    """Raise `InputError` unless the value is a list of texts; a single text would be read letter by letter."""
    if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(one, str) for one in value):
        raise _refused(name, 'a list of texts, such as ["localhost"]', value)


def require_arguments(name: str, value: Any) -> None:
    """Raise `InputError` unless the value is a list of arguments, or a dict of them by name."""
    if isinstance(value, str | bytes | bytearray) or not isinstance(value, Sequence | Mapping):
        raise _refused(name, "a list of arguments in order, or a dict of them by name", value)


def require_methods(name: str, value: Any, methods: Sequence[str], optional: bool = False) -> None:
    """Raise `InputError` unless the value is an object with these methods; a class is not."""
    if optional and value is None:
        return
    if isinstance(value, type) or not all(callable(getattr(value, method, None)) for method in methods):
        raise _refused(name, f"an object with {' and '.join(f'{method}()' for method in methods)}", value)


def require_callable(name: str, value: Any) -> None:
    """Raise `InputError` unless the value is a function, or None."""
    if value is not None and not callable(value):
        raise _refused(name, "a function", value)


def require_prices(name: str, value: Any) -> None:
    """Raise `InputError` unless the value has prices by model, or is the file of a price table."""
    if value is not None and not (isinstance(value, Mapping) or _is_path(value)):
        raise _refused(name, "a dict of unerring.Price by model, or the file of a price table", value)


def _is_path(value: Any) -> bool:
    return isinstance(value, str) or hasattr(value, "__fspath__")


def _refused(name: str, how: str, value: Any) -> InputError:
    return InputError(f"{name} must be {how}; got {value!r:.{MAX_SHORT_CHARS}}")
