"""Input data of a process: a file of JSON lines, known by its content: a run never goes on with another one."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from unerring import InputError


def read(path: str, digest: str | None) -> tuple[list[dict[str, Any]], str]:
    """Read the rows of a file, each an object, and the SHA-256 of its bytes.

    Raises `InputError` for anything else, and where `digest` is given and the file has another one.
    """
    try:
        data = Path(path).read_bytes()
        lines = data.decode().splitlines()
    except (OSError, TypeError, ValueError) as error:
        raise InputError(f"cannot read {path}: {error}") from None
    found = sha256(data).hexdigest()
    if digest not in {None, found}:
        raise InputError(f"{path} is not the file that the run began with: its SHA-256 is {found}, not {digest}")
    rows = [_object(path, number, line) for number, line in enumerate(lines, start=1)]
    if not rows:
        raise InputError(f"{path} has no rows")
    return rows, found


def _object(path: str, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict):
        raise InputError(f"{path}, line {number}: a JSON object is wanted, not {line[:60]!r}")
    return row
