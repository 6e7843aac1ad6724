"""Training examples for the embedded Hanoi model: random legal arrangements, never the states of a solution.

An example is one step of the Towers of Hanoi strategy, written as text in the compact prompt of
``unerring.processes.hanoi`` and answered by the rule. All examples of one batch have the same number of
disks, which alone determines the number of tokens, so that a batch needs no padding.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

MAX_DISKS = 20
GROUPS = 2  # batches of one number of disks in a step of the training

SPECIAL = ["<unk>", "<s>", "</s>", "<pad>"]
WORDS = [
    "clockwise last = none",
    "counterclockwise last = none",
    "clockwise last = [",
    "counterclockwise last = [",
    " state = [[",
    "] state = [[",
    "], [",
    "]]\n",
    "move = [",
    "]\nnext_state = [[",
    "]]",
]
NUMBERS = [str(i) for i in range(MAX_DISKS + 1)]
COMMA_NUMBERS = [f", {i}" for i in range(MAX_DISKS + 1)]
VOCABULARY = SPECIAL + WORDS + NUMBERS + COMMA_NUMBERS
ID = {token: i for i, token in enumerate(VOCABULARY)}
PLAIN, COMMA = ID["0"], ID[", 0"]


@dataclass(frozen=True)
class Batch:
    """Token ids, shape [examples, tokens], and how many leading tokens are prompt (not learned)."""

    tokens: np.ndarray
    prompt_length: int


def arrangements(rng: np.random.Generator, size: int, disks: int) -> np.ndarray:
    """Pegs of the disks, largest first, shape [size, disks].

    Each disk sits on the peg of the next larger one with a probability drawn per example, from scattered
    (0.1) through uniform (1/3) and the 1/2 that solved games show, to clumped towers (0.9).
    """
    share = rng.choice([0.1, 1 / 3, 0.5, 0.5, 0.7, 0.9], size=(size, 1))
    step = rng.integers(1, 3, size=(size, disks))
    step[rng.random((size, disks)) < share] = 0
    # a fifth of the examples favours one peg, so that very uneven heights are common too
    skew = (rng.random((size, 1)) < 0.2) & (rng.random((size, disks)) < 0.5)
    pegs = np.cumsum(step, axis=1) + rng.integers(0, 3, size=(size, 1))
    pegs = np.where(skew, rng.integers(0, 3, size=(size, 1)), pegs) % 3
    # and a third stacks its smallest disks into one tower of any height: there a large disk is about to move, which
    # is rare by chance, and where models trained without this err on the same steps as each other
    tower = (rng.random((size, 1)) < 1 / 3) & (np.arange(disks) >= rng.integers(0, disks, size=(size, 1)))
    return np.where(tower, rng.integers(0, 3, size=(size, 1)), pegs)


def disks_at(rng: np.random.Generator, step: int, ramp: int) -> int:
    """Disks of one batch: short lists first, then all sizes with half of the weight on the largest."""
    if rng.random() < 0.005:
        return 1
    ceiling = min(MAX_DISKS, 4 + (MAX_DISKS - 4) * step // ramp)
    if rng.random() < 0.5:
        return int(rng.integers(max(2, ceiling - 3), ceiling + 1))
    return int(rng.integers(2, ceiling + 1))


def batches_at(rng: np.random.Generator, size: int, step: int, ramp: int) -> Iterator[Batch]:
    """The batches of a step of the training: few disks first, then all numbers of them."""
    for _ in range(GROUPS):
        disks = disks_at(rng, step, ramp)
        yield batch(rng, size, disks, first_step=disks == 1 or rng.random() < 0.03)


def unseen(rng: np.random.Generator) -> dict[str, Batch]:
    """Examples of the largest size, to see how far a model is."""
    return {"steps": batch(rng, 512, MAX_DISKS)}


def _tops(pegs: np.ndarray) -> np.ndarray:
    """Top disk of each peg, shape [size, 3]; an empty peg counts as a disk larger than any."""
    disks = pegs.shape[1]
    tops = np.full((len(pegs), 3), disks + 1)
    rows = np.arange(len(pegs))
    for column in range(disks):
        tops[rows, pegs[:, column]] = disks - column
    return tops


def _state_tokens(pegs: np.ndarray) -> np.ndarray:
    """The three pegs, bottom to top, between their opening and closing brackets, shape [size, disks + 2]."""
    size, disks = pegs.shape
    order = np.argsort(pegs, axis=1, kind="stable")
    sorted_pegs = np.take_along_axis(pegs, order, axis=1)
    numbers = disks - order
    first = np.ones_like(pegs, dtype=bool)
    first[:, 1:] = sorted_pegs[:, 1:] != sorted_pegs[:, :-1]
    tokens = np.full((size, disks + 2), ID["], ["])
    columns = np.arange(disks)[None, :] + sorted_pegs
    np.put_along_axis(tokens, columns, np.where(first, PLAIN, COMMA) + numbers, axis=1)
    return tokens


def _move_tokens(disk: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    return np.stack([PLAIN + disk, COMMA + source, COMMA + target], axis=1)


def batch(rng: np.random.Generator, size: int, disks: int, first_step: bool = False) -> Batch:
    """A batch of solved steps; with ``first_step`` (the only step of a single disk) the previous move is none."""
    pegs = arrangements(rng, size, disks)
    rows = np.arange(size)
    small = pegs[:, -1]
    # a tower on one peg leaves no move but disk 1's, so there the largest disk is set apart
    tower = (pegs == small[:, None]).all(axis=1) & (disks > 1)
    pegs[tower, 0] = (small[tower] + rng.integers(1, 3, tower.sum())) % 3
    clockwise = rng.integers(0, 2, size)
    turn = np.where(clockwise == 1, 1, -1)
    tops = _tops(pegs)
    tops[rows, small] = disks + 2
    lesser = tops.argmin(axis=1)  # the other peg with the smaller top: what a move without disk 1 takes from
    greater = 3 - small - lesser
    middle = tops[rows, lesser]
    small_moves = rng.integers(0, 2, size).astype(bool) | first_step
    one = np.ones(size, dtype=int)
    last = np.where(
        small_moves[:, None],
        _move_tokens(middle, greater, lesser),
        _move_tokens(one, (small - turn) % 3, small),
    )
    disk = np.where(small_moves, one, middle)
    source = np.where(small_moves, small, lesser)
    target = np.where(small_moves, (small + turn) % 3, greater)
    after = pegs.copy()
    after[rows, disks - disk] = target

    def word(text: str) -> np.ndarray:
        return np.full((size, 1), ID[text])

    def either(text: str) -> np.ndarray:
        return np.where(clockwise == 1, ID["clockwise" + text], ID["counterclockwise" + text])[:, None]

    if first_step:
        head = [word("<s>"), either(" last = none"), word(" state = [[")]
    else:
        head = [word("<s>"), either(" last = ["), last, word("] state = [[")]
    prompt = [*head, _state_tokens(pegs), word("]]\n")]
    answer = [
        word("move = ["),
        _move_tokens(disk, source, target),
        word("]\nnext_state = [["),
        _state_tokens(after),
        word("]]"),
        word("</s>"),
    ]
    prompt_length = sum(part.shape[1] for part in prompt)
    return Batch(np.concatenate(prompt + answer, axis=1), prompt_length)
