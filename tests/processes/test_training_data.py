"""The training data of the embedded model says what the Hanoi process says."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

np = pytest.importorskip("numpy")

from unerring.processes.hanoi import MOST_DISKS, rehearse  # noqa: E402

SOURCE = Path(__file__).parents[2] / "training" / "data.py"


@pytest.fixture(scope="module")
def data() -> ModuleType:
    spec = importlib.util.spec_from_file_location("training_data", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def texts(data: ModuleType, disks: int, first_step: bool = False, size: int = 40) -> list[tuple[str, str]]:
    """Prompts and answers of a batch, as text."""
    batch = data.batch(np.random.default_rng(disks), size, disks, first_step=first_step)
    rows = [[data.VOCABULARY[token] for token in row] for row in batch.tokens]
    assert all(row[0] == "<s>" and row[-1] == "</s>" for row in rows)
    return [("".join(row[1 : batch.prompt_length]), "".join(row[batch.prompt_length : -1])) for row in rows]


@pytest.mark.parametrize("disks", range(2, MOST_DISKS + 1))
def test_every_example_is_answered_by_the_rule(data: ModuleType, disks: int) -> None:
    """The answer trained on is the right answer of the process to the same prompt, for every number of disks."""
    for prompt, answer in texts(data, disks):
        assert rehearse(prompt).right == answer


@pytest.mark.parametrize("disks", range(1, MOST_DISKS + 1))
def test_first_steps_are_answered_by_the_rule(data: ModuleType, disks: int) -> None:
    """So is a first step, which has no previous move; for one disk it is the only step there is."""
    for prompt, answer in texts(data, disks, first_step=True):
        assert " last = none " in prompt
        assert rehearse(prompt).right == answer


def test_both_directions_and_both_kinds_of_move_occur(data: ModuleType) -> None:
    """Examples turn either way, and move disk 1 or another disk, each often."""
    found = texts(data, 12, size=400)
    assert 120 < sum(prompt.startswith("clockwise") for prompt, _ in found) < 280
    assert 120 < sum(answer.startswith("move = [1, ") for _, answer in found) < 280


def test_most_examples_are_unlike_any_other(data: ModuleType) -> None:
    """Arrangements are random, so nothing can be learned by heart. What recurs is bare towers."""
    assert len({prompt for prompt, _ in texts(data, 20, size=2000)}) > 1600
