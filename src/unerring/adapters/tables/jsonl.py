"""JSON in files: read strictly, with the line of what is wrong, and written so that every line is valid JSON.

Lines end at a line feed only, a carriage return before it and a byte order mark at the start are passed over, and
so are blank lines. Anything that two readers could take differently is refused: keys given twice, NaN, numbers that
no float holds, half characters (lone surrogates), absurd nesting.
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
MAX_SHOWN_BYTES = 240  # of a line that is quoted in an error
MAX_LEVELS = 200  # of nesting: what a run does with a value recurses


def read_objects(path: str | Path) -> list[tuple[int, dict[str, Any]]]:
    """The objects in a file of JSON lines, each with the number of its line.

    Raises `InputError` with the file, the line and the reason for anything that is not one.
    """
    found = []
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
        found.append((number, value))
    return found


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


def read_text(path: str | Path) -> str:
    """The text of a file. Raises `InputError` with the line where it is not UTF-8."""
    data = read_bytes(path)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}, line {_line_of(data, error.start)}: {_not_text(error)}") from None


def read_bytes(path: str | Path) -> bytes:
    """The bytes of a file, without a byte order mark. Raises `InputError` where it cannot be read."""
    try:
        return _content(path)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    except (TypeError, ValueError) as error:  # no name of a file at all
        raise InputError(f"cannot read {path!r:.60}: {error}") from None


def _content(path: str | Path) -> bytes:
    """The bytes of a file or pipe; raises `OSError` for a device other than a terminal: some are read for ever."""
    with Path(path).open("rb") as file:
        kind = os.fstat(file.fileno()).st_mode
        device = stat.S_ISBLK(kind) or (stat.S_ISCHR(kind) and not file.isatty())
        if device and not os.path.samefile(path, os.devnull):
            raise OSError(errno.EINVAL, "it is a device, not a file")
        return file.read().removeprefix(BYTE_ORDER_MARK)


def json_value(text: str) -> Json:
    """The value of a JSON text that can be written again. Raises `ValueError` with the reason for any other."""
    value = strict_json(text)
    if _levels_above(value, MAX_LEVELS):
        raise ValueError(f"it is nested more than {MAX_LEVELS} levels deep")
    if "\\u" in text:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("a text in it has half a character (a lone surrogate, \\ud800 to \\udfff)") from None
    return value


def json_line(value: Any, ascii_only: bool = True) -> str:
    """A value as one line of valid JSON; NaN and infinities are written as null.

    Other than ASCII is written as escapes, which any terminal and encoding takes. Where `ascii_only` is false, only
    half characters and what other programs take for the end of a line are.
    """
    try:
        text = json.dumps(value, ensure_ascii=ascii_only, allow_nan=False)
    except ValueError:
        text = json.dumps(without_nan(value), ensure_ascii=ascii_only, allow_nan=False)
    if text.isascii():
        return text
    return "".join(_escaped(c) if c in "\u0085\u2028\u2029" or "\ud800" <= c <= "\udfff" else c for c in text)


def _escaped(character: str) -> str:
    return f"\\u{ord(character):04x}"


def without_nan(value: Any) -> Any:
    """JSON data with null in the place of NaN and infinities."""
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    return [without_nan(item) for item in value] if isinstance(value, list | tuple) else value


def _levels_above(value: Json, most: int) -> bool:
    """Whether a value is nested deeper than so many levels."""
    layer: list[Json] = [value]
    for _ in range(most + 1):
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
