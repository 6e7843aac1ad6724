"""Fixtures of the tests of `plan` and `calibrate`: files that are calibrations, and files that are not."""

import json

import pytest

from unerring import Hanoi
from unerring.api.calibration.calibrating import calibrate


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """The bytes of a valid calibration."""
    path = tmp_path_factory.mktemp("good") / "good.json"
    calibrate(Hanoi(disks=10), "noise/p=0.95", 300, path)
    return path.read_bytes()


@pytest.fixture
def files(tmp_path, good):
    """Files that are not calibrations, and one that is."""
    (tmp_path / "good.json").write_bytes(good)
    empty = json.loads(good)
    counts = dict.fromkeys(("steps", "flagged", "votes", "wrong", "collisions", "same_wrong"), 0)
    voter = empty["voters"][0] | counts | {"bins": [[0, 0]] * 11, "tokens": [0, 0], "flags": {}}
    empty |= {"steps": 0, "samples": 0, "voters": [voter], "troubles": []}
    (tmp_path / "no_steps.json").write_text(json.dumps(empty))
    changed = json.loads(good) | {"calls_seconds": float("nan")}
    texts = {
        "object.json": "{}",
        "list.json": "[]",
        "nothing.json": "",
        "other.json": '{"name": "unerring", "version": 1, "voters": [1, 2]}',
        "changed.json": json.dumps(changed),
        "malformed.toml": "= 3",
        "true.toml": '["openai/gpt-4.1-mini"]\ninput = true\noutput = 1.0\n',
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "binary.json").write_bytes(bytes(range(256)))
