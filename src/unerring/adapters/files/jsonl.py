"""Read and write JSON files and JSON lines: strictly, with the line number in each error.

Lines end at a line feed; a carriage return before it, a byte order mark at the start and blank lines are ignored.
Anything that two readers could read differently is refused: duplicate keys, NaN, numbers that no float holds, lone
surrogates (half characters), deep nesting.
"""

import errno
import json
import os
import stat
from math import isfinite
from pathlib import Path
from typing import Any

from unerring.core.short_text import short
from unerring.core.voting.canonical import Json
from unerring.core.voting.parsing import strict_json
from unerring.errors import InputError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MAX_SHOWN_BYTES = 240  # of a line that an error quotes
MAX_LEVELS = 200  # of nesting, since a run processes values recursively


def read_objects(path: str | Path) -> list[tuple[int, dict[str, Any]]]:
    """The objects in a file of JSON lines, each with the number of its line.

    Raises `InputError` with the file, the line and the reason for anything else.
    """
    objects = []
    for number, line in enumerate(read_bytes(path).split(b"\n"), start=1):
        text = line.strip(b" \t\r")
        if not text:
            continue
        try:
            value = json_value(text.decode())
        except UnicodeDecodeError as error:
            raise InputError(f"{path}, line {number}: {_not_text(error)}") from None
        except json.JSONDecodeError as error:
            raise InputError(
                f"{path}, line {number}: this is no JSON: {error.msg}, at character {error.colno}"
            ) from None
        except ValueError as error:
            raise InputError(f"{path}, line {number}: this is no JSON: {error}") from None
        if not isinstance(value, dict):
            begin = text[:MAX_SHOWN_BYTES].decode(errors="replace")
            raise InputError(f"{path}, line {number}: a JSON object is wanted, not {short(begin)}")
        objects.append((number, value))
    return objects


def read_json(path: str | Path) -> Json:
    """The one JSON value in a file.

    Raises `ValueError` with the line and the reason, and `OSError` where the file cannot be read.
    """
    data = _content(path)
    try:
        return json_value(data.decode())
    except UnicodeDecodeError as error:
        raise ValueError(f"line {_line_of(data, error.start)}: {_not_text(error)}") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno}: {error.msg}") from None


def read_text(path: str | Path, what: str = "") -> str:
    """The text of a file. Raises `InputError` as `read_bytes` does, and with the line where it is not UTF-8."""
    data = read_bytes(path, what)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}, line {_line_of(data, error.start)}: {_not_text(error)}") from None


def read_bytes(path: str | Path, what: str = "") -> bytes:
    """The bytes of a file, without a byte order mark.

    Raises `InputError` where it cannot be read; the message has `what` it is, such as `the prices`.
    """
    try:
        return _content(path)
    except OSError as error:
        raise InputError(f"cannot read {f'{what} {path}'.lstrip()}: {error.strerror or error}") from None
    except (TypeError, ValueError) as error:  # not the name of a file
        raise InputError(f"cannot read {path!r:.60}: {error}") from None


def _content(path: str | Path) -> bytes:
    """The bytes of a file or pipe; raises `OSError` for a device other than a terminal, which may never end."""
    with Path(path).open("rb") as file:
        kind = os.fstat(file.fileno()).st_mode
        device = stat.S_ISBLK(kind) or (stat.S_ISCHR(kind) and not file.isatty())
        if device and not os.path.samefile(path, os.devnull):
            raise OSError(errno.EINVAL, "it is a device, not a file")
        return file.read().removeprefix(BYTE_ORDER_MARK)


def json_value(text: str) -> Json:
    """The value of a JSON text, if it can be written again. Raises `ValueError` with the reason otherwise."""
    value = strict_json(text)
    if _is_deeper(value, MAX_LEVELS):
        raise ValueError(f"it is nested more than {MAX_LEVELS} levels deep")
    if "\\u" in text:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("a text in it has half a character (a lone surrogate, \\ud800 to \\udfff)") from None
    return value


def json_line(value: Any, ascii_only: bool = True) -> str:
    """A value as one line of valid JSON; NaN and infinities are written as null.

    Characters beyond ASCII are escaped, for terminals and encodings of any kind. Where `ascii_only` is false, only
    lone surrogates and the line ends of other programs are.
    """
    try:
        text = json.dumps(value, ensure_ascii=ascii_only, allow_nan=False)
    except ValueError:
        text = json.dumps(without_nan(value), ensure_ascii=ascii_only, allow_nan=False)
    if text.isascii():
        return text
    escaped = (c in "\u0085\u2028\u2029" or "\ud800" <= c <= "\udfff" for c in text)
    return "".join(f"\\u{ord(c):04x}" if special else c for c, special in zip(text, escaped, strict=True))


def without_nan(value: Any) -> Any:
    """JSON data with null instead of NaN and infinities."""
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    return [without_nan(item) for item in value] if isinstance(value, list | tuple) else value


def _is_deeper(value: Json, levels: int) -> bool:
    """Whether a value is nested deeper than `levels`."""
    layer: list[Json] = [value]
    for _ in range(levels + 1):
        inside: list[Json] = []
        for one in layer:
            if isinstance(one, list | dict):
                inside += one if isinstance(one, list) else one.values()
        if not inside:
            return False
        layer = inside
    return True


def _not_text(error: UnicodeDecodeError) -> str:
    return f"it is not text in UTF-8 (byte {error.object[error.start]:#04x})"


def _line_of(data: bytes, position: int) -> int:
    return data.count(b"\n", 0, position) + 1
