"""The training data of the embedded model says what the Hanoi process says."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

np = pytest.importorskip("numpy")

from unerring.processes import multiply, multiply_roles, sort  # noqa: E402
from unerring.processes.hanoi import MOST_DISKS, rehearse  # noqa: E402

TRAINING = Path(__file__).parents[2] / "training"


def loaded(name: str, file: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, TRAINING / file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def data() -> ModuleType:
    return loaded("data", "data.py")


@pytest.fixture(scope="module")
def digits(data: ModuleType) -> ModuleType:
    return loaded("digits", "digits.py")


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


# --- digits


def digit_texts(digits: ModuleType, rows: list[tuple[list[int], list[int]]]) -> list[tuple[str, str]]:
    return [tuple("".join(digits.VOCABULARY[token] for token in part) for part in row) for row in rows]


def test_every_example_of_digits_is_answered_by_arithmetic(digits: ModuleType) -> None:
    """Prompts are those of the processes, and each answer is the right one of the process to the same prompt."""
    rng = np.random.default_rng(1)
    sources = {
        multiply: lambda: digits.steps(rng, 60),
        multiply_roles: lambda: [*digits.products(rng, 60), *digits.cuts(rng, 60, digits.MOST_DIGITS)],
        sort: lambda: digits.comparisons(rng, 60),
    }
    for process, draw in sources.items():
        for _ in range(20):
            for prompt, answer in digit_texts(digits, draw()):
                assert process.rehearse(prompt).right == answer


def test_batches_of_digits_are_rectangles_with_prompts_of_one_length(digits: ModuleType) -> None:
    """A row is the prompt, the answer with its end, and then nothing but filling."""
    rng = np.random.default_rng(2)
    ends = digits.END, digits.PAD
    for step in range(60):
        batch = digits.batch_at(rng, 16, step, 40)
        newline = digits.ID["\n"]
        assert (batch.tokens[:, 0] == digits.BEGIN).all()
        assert (batch.tokens[:, batch.prompt_length - 1] == newline).all()
        for row in batch.tokens.tolist():
            assert row.count(newline) == 1
            end = row.index(ends[0])
            assert set(row[end + 1 :]) <= {ends[1]}
            assert ends[1] not in row[:end]
