"""Training examples for the embedded model of digits: sums of a product, cuts of a factor, and comparisons.

An example is one step of the processes ``multiply``, ``solve`` (products) or ``sort``, as text in their compact
prompts and answered by arithmetic. The examples of a batch are of one kind and length; answers may differ in length,
and are filled up with ``<pad>``, which is not learned.
"""

from collections.abc import Iterator

import numpy as np

from data import SPECIAL, Batch

MOST_DIGITS = 20  # of a factor
WIDEST = 6  # digits of a number that is sorted
WORDS = [
    *("split ", " * ", " + ", " or ", "+", "-", "\n"),
    *("digit = ", "\ncarry = ", "high = ", "\nlow = ", "small", "product = ", "smaller = "),
]
DIGITS = [str(i) for i in range(10)]
VOCABULARY = SPECIAL + WORDS + DIGITS
ID = {token: i for i, token in enumerate(VOCABULARY)}
PAD = ID["<pad>"]
ZERO = ID["0"]


def _example(size: int, prompt: list[np.ndarray | str], answer: list[np.ndarray | str]) -> Batch:
    """Columns of token ids, and words that are the same in every example, put side by side."""

    def columns(parts: list[np.ndarray | str]) -> list[np.ndarray]:
        return [np.full((size, 1), ID[part]) if isinstance(part, str) else part.reshape(size, -1) for part in parts]

    asked = columns(["<s>", *prompt])
    return Batch(np.concatenate(asked + columns([*answer, "</s>"]), axis=1), sum(part.shape[1] for part in asked))


def steps(rng: np.random.Generator, size: int) -> Batch:
    """A digit times a digit, and what is added to it, worked out in three lines: the sum at once is hard to learn."""
    x, y, so_far, carry = rng.integers(0, 10, (4, size))
    worked: list[np.ndarray | str] = []
    for total in (x * y, x * y + so_far, x * y + so_far + carry):
        tens, ones = np.divmod(total, 10)
        worked += [ZERO + tens, ZERO + ones, "\n"]
    asked = [ZERO + x, " * ", ZERO + y, " + ", ZERO + so_far, " + ", ZERO + carry, "\n"]
    return _example(size, asked, [*worked, "digit = ", ZERO + ones, "\ncarry = ", ZERO + tens])


def products(rng: np.random.Generator, size: int) -> Batch:
    """A digit times a digit: one digit or two, and then nothing more."""
    x, y = rng.integers(0, 10, (2, size))
    tens, ones = np.divmod(x * y, 10)
    first = np.where(tens > 0, tens, ones)
    made = _example(size, [ZERO + x, " * ", ZERO + y, "\n"], ["product = ", ZERO + first, ZERO + ones])
    short = tens == 0
    made.tokens[short, -2:] = ID["</s>"], PAD
    return made


def cuts(rng: np.random.Generator, size: int, length: int) -> Batch:
    """A factor, cut in the middle, the first piece longer where they differ; one digit is small."""
    digits = ZERO + rng.integers(0, 10, (size, length))
    digits[:, 0] = np.where((digits[:, 0] == ZERO) & (rng.random(size) < 0.7), ZERO + 1, digits[:, 0])
    # runs of one digit, where it is hard to tell how far the copy has come
    same = rng.random((size, length)) < rng.choice([0, 0, 0.5, 0.9], size=(size, 1))
    for column in range(1, length):
        digits[:, column] = np.where(same[:, column], digits[:, column - 1], digits[:, column])
    at = length - length // 2
    pieces: list[np.ndarray | str] = ["high = ", digits[:, :at], "\nlow = ", digits[:, at:]]
    return _example(size, ["split ", digits, "\n"], ["small"] if length == 1 else pieces)


def comparisons(rng: np.random.Generator, size: int, width: int) -> Batch:
    """Which of two numbers is the smaller one, both with a sign and so many digits, of which the first may be 0.

    A quarter is alike in the first places, a quarter in places here and there, and a quarter is near in value, as the
    heads of runs are that are being merged.
    """
    numbers = rng.integers(0, 10, (size, 2, width + 1))
    numbers[:, :, 0] = rng.integers(0, 2, (size, 2))  # 0 is plus, 1 minus
    # some are short
    short = rng.integers(0, width, (size, 2, 1)) * (rng.random((size, 2, 1)) < 0.2)
    numbers[:, :, 1:] *= np.arange(width) >= short
    first, second = numbers[:, 0], numbers[:, 1]
    beginning = np.arange(width + 1) < rng.integers(1, width + 2, (size, 1))
    scattered = rng.random((size, width + 1)) < 0.5
    places = 10 ** np.arange(width - 1, -1, -1)
    moved = np.clip(first[:, 1:] @ places + rng.integers(-300, 301, size), 0, 10**width - 1)
    near = np.concatenate([first[:, :1], moved[:, None] // places % 10], axis=1)
    kind = rng.integers(0, 4, (size, 1))
    numbers[:, 1] = np.select(
        [(kind == 1) & beginning, (kind == 2) & scattered, kind == 3], [first, first, near], second
    )
    nothing = (numbers[:, :, 1:] == 0).all(axis=2)
    numbers[nothing, 0] = 0
    values = np.where(numbers[:, :, 0] == 1, -1, 1) * (numbers[:, :, 1:] @ places)
    tokens = ZERO + numbers
    tokens[:, :, 0] = np.where(numbers[:, :, 0] == 1, ID["-"], ID["+"])
    swapped = np.where(rng.random((size, 1, 1)) < 0.5, tokens, tokens[:, ::-1])
    least = tokens[np.arange(size), values.argmin(axis=1)]
    return _example(size, [swapped[:, 0], " or ", swapped[:, 1], "\n"], ["smaller = ", least])


def batches_at(rng: np.random.Generator, size: int, step: int, ramp: int) -> Iterator[Batch]:
    """Batches of each kind for a step of the training: short factors first, then all lengths.

    Comparisons are the hardest and have the most; products and cuts are the easiest.
    """
    ceiling = min(MOST_DIGITS, 4 + (MOST_DIGITS - 4) * step // ramp)
    yield steps(rng, size // 2)
    yield products(rng, size // 16)
    for length in (ceiling - int(rng.integers(0, 4)), *rng.integers(1, ceiling + 1, 3)):
        yield cuts(rng, size // 12, int(length))
    yield comparisons(rng, 2 * size, 4)
    yield comparisons(rng, size // 2, int(rng.integers(1, WIDEST + 1)))


def unseen(rng: np.random.Generator) -> dict[str, Batch]:
    """Examples of each kind and of large sizes, to see how far a model is."""
    return {
        "steps": steps(rng, 1024),
        "products": products(rng, 256),
        "cuts of 5": cuts(rng, 256, 5),
        f"cuts of {MOST_DIGITS}": cuts(rng, 256, MOST_DIGITS),
        "comparisons": comparisons(rng, 1024, 4),
    }
