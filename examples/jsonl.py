"""Input data of a process: a file of JSON lines, known by its content: a run never continues with another one."""

from hashlib import sha256
from pathlib import Path
from typing import Any

from unerring import InputError
from unerring.adapters.files.jsonl import read_objects


def read(path: str, digest: str | None) -> tuple[list[tuple[int, dict[str, Any]]], str]:
    """Read the rows of a file, each an object with the number of its line, and the SHA-256 of its bytes.

    Raises `InputError` for anything else, and where `digest` is given and the file has another one.
    """
    rows = read_objects(path)
    found = sha256(Path(path).read_bytes()).hexdigest()
    if digest not in {None, found}:
        raise InputError(f"{path} is not the file that the run began with: its SHA-256 is {found}, not {digest}")
    if not rows:
        raise InputError(f"{path} has no rows")
    return rows, found
