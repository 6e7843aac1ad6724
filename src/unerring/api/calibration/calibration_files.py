"""Read and write the files of calibrations, and read the one that ships."""

import json
from functools import cache
from pathlib import Path

from unerring.adapters.files.jsonl import read_json, without_nan
from unerring.adapters.files.output_file import write_whole
from unerring.api.models import Model
from unerring.core.planning.calibration import Calibration
from unerring.core.planning.calibration_file import calibration_from, calibration_json
from unerring.errors import InputError

SHIPPED_CALIBRATION = Path(__file__).parents[2] / "adapters" / "embedded" / "calibration.json"


def read_calibration(path: str | Path) -> Calibration:
    """Read a calibration; raises `InputError` for a file that is none."""
    try:
        return calibration_from(read_json(path))
    except OSError as error:
        raise InputError(f"cannot read the calibration {path}: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be used as a calibration: {error}") from None


def write_calibration(calibration: Calibration, path: Path) -> None:
    """Write a calibration, whole or not at all."""
    data = without_nan(calibration_json(calibration))
    write_whole(path, json.dumps(data, indent=1, allow_nan=False) + "\n", "the calibration")


def shipped_calibration(model: Model) -> Calibration | None:
    """The calibration that ships with a model: the embedded one's, and its members' alone."""
    if isinstance(model, list | tuple) and len(model) == 1:
        return shipped_calibration(model[0])
    if model == "embedded":
        return _shipped()
    names = [voter.name for voter in _shipped().voters] if isinstance(model, str) else []
    return _shipped().only(names.index(model)) if model in names else None


@cache
def _shipped() -> Calibration:
    return read_calibration(SHIPPED_CALIBRATION)
