"""Checks of the types of arguments that Python users give: an error names the argument and says how it is written."""

from collections.abc import Mapping, Sequence
from typing import Any

from unerring.errors import InputError

MAX_SHOWN_CHARS = 60  # of a wrong value


def require_made(name: str, value: Any, kind: type, optional: bool = False) -> None:
    """Raise `InputError` for what is no object of a class that `unerring` has, such as `unerring.Budget`."""
    if not isinstance(value, kind) and not (optional and value is None):
        raise _refused(name, f"made as unerring.{kind.__name__}(...)", value)


def require_flag(name: str, value: Any, optional: bool = False) -> None:
    """Raise `InputError` for what is neither True nor False."""
    if type(value) is not bool and not (optional and value is None):
        raise _refused(name, "True or False", value)


def require_path(name: str, value: Any) -> None:
    """Raise `InputError` for what is neither the path of a file nor None."""
    if value is not None and not _is_path(value):
        raise _refused(name, "the path of a file, a str or a Path", value)


def require_texts(name: str, value: Any) -> None:
    """Raise `InputError` for what is no list of texts; one text alone is none, since it would be read by letters."""
    if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(one, str) for one in value):
        raise _refused(name, 'a list of texts, such as ["localhost"]', value)


def require_methods(name: str, value: Any, methods: Sequence[str], optional: bool = False) -> None:
    """Raise `InputError` for what lacks methods that will be called; a class in place of an object has none."""
    if optional and value is None:
        return
    if isinstance(value, type) or not all(callable(getattr(value, method, None)) for method in methods):
        raise _refused(name, f"an object with {' and '.join(f'{method}()' for method in methods)}", value)


def require_callable(name: str, value: Any) -> None:
    """Raise `InputError` for what is neither a function nor None."""
    if value is not None and not callable(value):
        raise _refused(name, "a function", value)


def require_prices(name: str, value: Any) -> None:
    """Raise `InputError` for what is neither prices by model nor the file of a price table."""
    if value is not None and not (isinstance(value, Mapping) or _is_path(value)):
        raise _refused(name, "a dict of unerring.Price by model, or the file of a price table", value)


def _is_path(value: Any) -> bool:
    return isinstance(value, str) or hasattr(value, "__fspath__")


def _refused(name: str, how: str, value: Any) -> InputError:
    return InputError(f"{name} must be {how}; got {value!r:.{MAX_SHOWN_CHARS}}")
