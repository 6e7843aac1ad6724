"""Training data of the embedded model agrees with the Hanoi process."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

np = pytest.importorskip("numpy")

from tables import each  # noqa: E402
from unerring.adapters.embedded.catalog import DIGITS  # noqa: E402
from unerring.processes.hanoi import MAX_DISKS, Hanoi  # noqa: E402
from unerring.processes.multiply import Multiply  # noqa: E402
from unerring.processes.multiply_roles import MultiplyRoles  # noqa: E402
from unerring.processes.sort import Sort  # noqa: E402

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


@each("disks", range(2, MAX_DISKS + 1))
def test_every_example_is_answered_by_the_rule(data: ModuleType, disks: int) -> None:
    """The answer trained on is the process's right answer to the same prompt, for every number of disks."""
    for prompt, answer in texts(data, disks):
        assert Hanoi().rehearse(prompt).right == answer


@each("disks", range(1, MAX_DISKS + 1))
def test_first_steps_are_answered_by_the_rule(data: ModuleType, disks: int) -> None:
    """The same holds for a first step, which has no previous move; with one disk it is the only step."""
    for prompt, answer in texts(data, disks, first_step=True):
        assert " last = none " in prompt
        assert Hanoi().rehearse(prompt).right == answer


def test_both_directions_and_both_kinds_of_move_occur(data: ModuleType) -> None:
    """Examples turn either way, and move disk 1 or another disk, each often."""
    found = texts(data, 12, size=400)
    assert 120 < sum(prompt.startswith("clockwise") for prompt, _ in found) < 280
    assert 120 < sum(answer.startswith("move = [1, ") for _, answer in found) < 280


def test_most_examples_are_unlike_any_other(data: ModuleType) -> None:
    """Arrangements are random, so nothing can be learned by heart; only bare towers recur."""
    assert len({prompt for prompt, _ in texts(data, 20, size=2000)}) > 1600


# --- digits


def digit_texts(digits: ModuleType, batch: Any) -> list[tuple[str, str]]:
    """Prompts and answers of a batch, as text; every row ends, followed by padding only."""
    found = []
    for row in batch.tokens:
        words = [digits.VOCABULARY[token] for token in row]
        end = words.index("</s>")
        assert words[0] == "<s>"
        assert set(words[end + 1 :]) <= {"<pad>"}
        assert "<pad>" not in words[:end]
        found.append(("".join(words[1 : batch.prompt_length]), "".join(words[batch.prompt_length : end])))
    return found


def process_of(prompt: str) -> type[Multiply | MultiplyRoles | Sort]:
    if " or " in prompt:
        return Sort
    return Multiply if " + " in prompt else MultiplyRoles


def test_every_example_of_digits_is_answered_by_arithmetic(digits: ModuleType) -> None:
    """Prompts are those of the processes, and each answer is the process's right one."""
    rng = np.random.default_rng(1)
    seen = set()
    for step in range(0, 80, 2):
        for batch in digits.batches_at(rng, 32, step, 40):
            for prompt, answer in digit_texts(digits, batch):
                assert process_of(prompt)().rehearse(prompt).right == answer
                assert DIGITS.reads.fullmatch(prompt)
                seen.add((process_of(prompt), len(prompt)))
    # every length of a factor and every width of a number occurs
    assert {length for process, length in seen if process is MultiplyRoles} >= set(range(8, 27))
    assert {length for process, length in seen if process is Sort} == {7 + 2 * width for width in range(1, 7)}


def test_numbers_to_be_compared_are_often_alike(digits: ModuleType) -> None:
    """Equal numbers and equal first digits are frequent, as at the end of a sort."""
    pairs = [
        tuple(prompt.strip().split(" or "))
        for prompt, _ in digit_texts(digits, digits.comparisons(np.random.default_rng(3), 2000, 4))
    ]
    assert 60 < sum(first == second for first, second in pairs) < 400
    assert 50 < sum(first != second and first[:4] == second[:4] for first, second in pairs) < 500
    assert 700 < sum(first[0] == "-" for first, _ in pairs) < 1300
