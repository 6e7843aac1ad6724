"""Training examples for the embedded model of digits: sums of a product, cuts of a factor, and comparisons.

An example is one step of the processes ``multiply``, ``solve`` (products) or ``sort``, told as text in their compact
prompts and answered by arithmetic. All prompts of one batch have the same number of tokens; answers may differ, and
are filled up with ``<pad>``, which is not learned. No model of digits ships yet.
"""

import numpy as np

from data import SPECIAL, Batch

MOST_DIGITS = 12  # of a factor
WORDS = [
    *("split ", " * ", " + ", " or ", "-", "\n"),
    *("digit = ", "\ncarry = ", "high = ", "\nlow = ", "small", "product = ", "smaller = "),
]
DIGITS = [str(i) for i in range(10)]
VOCABULARY = SPECIAL + WORDS + DIGITS
ID = {token: i for i, token in enumerate(VOCABULARY)}
BEGIN, END, PAD = ID["<s>"], ID["</s>"], ID["<pad>"]
ZERO = ID["0"]
Rows = list[tuple[list[int], list[int]]]


def _digits(text: str) -> list[int]:
    return [ZERO + int(digit) if digit.isdigit() else ID[digit] for digit in text]


def _random_digits(rng: np.random.Generator, length: int) -> str:
    return "".join(map(str, rng.integers(0, 10, length)))


def steps(rng: np.random.Generator, size: int) -> Rows:
    """A digit times a digit, and what is added to it."""
    rows = []
    for x, y, so_far, carry in rng.integers(0, 10, (size, 4)):
        tens, ones = divmod(int(x * y + so_far + carry), 10)
        prompt = [ZERO + x, ID[" * "], ZERO + y, ID[" + "], ZERO + so_far, ID[" + "], ZERO + carry, ID["\n"]]
        rows.append((prompt, [ID["digit = "], ZERO + ones, ID["\ncarry = "], ZERO + tens]))
    return rows


def products(rng: np.random.Generator, size: int) -> Rows:
    """A digit times a digit."""
    pairs = rng.integers(0, 10, (size, 2))
    return [
        ([ZERO + x, ID[" * "], ZERO + y, ID["\n"]], [ID["product = "], *_digits(str(int(x * y)))]) for x, y in pairs
    ]


def cuts(rng: np.random.Generator, size: int, longest: int) -> Rows:
    """The longer of two factors, the first of two as long, is cut in the middle; two digits are small."""
    lengths = rng.integers(1, longest + 1, 2)
    rows = []
    for _ in range(size):
        first, second = (_random_digits(rng, int(length)) for length in lengths)
        prompt = [ID["split "], *_digits(first), ID[" * "], *_digits(second), ID["\n"]]
        longer = first if len(first) >= len(second) else second
        at = len(longer) - len(longer) // 2
        pieces = [ID["high = "], *_digits(longer[:at]), ID["\nlow = "], *_digits(longer[at:])]
        rows.append((prompt, [ID["small"]] if len(longer) == 1 else pieces))
    return rows


def comparisons(rng: np.random.Generator, size: int) -> Rows:
    """Which of two numbers is smaller; half of the pairs begin alike, as heads of sorted runs do."""
    shapes = [(int(rng.integers(1, 5)), bool(rng.random() < 0.5)) for _ in range(2)]
    if rng.random() < 0.5:
        shapes[1] = shapes[0]
    rows = []
    for _ in range(size):
        texts = []
        for length, negative in shapes:
            first = int(rng.integers(1 if length > 1 or negative else 0, 10))
            texts.append("-" * negative + str(first) + _random_digits(rng, length - 1))
        if shapes[0] == shapes[1] and rng.random() < 0.5:
            same = int(rng.integers(1, len(texts[0]) + 1))
            texts[1] = texts[0][:same] + texts[1][same:]
        rows.append(
            (
                [*_digits(texts[0]), ID[" or "], *_digits(texts[1]), ID["\n"]],
                [ID["smaller = "], *_digits(str(min(map(int, texts))))],
            )
        )
    return rows


def batch(rng: np.random.Generator, size: int, ceiling: int = MOST_DIGITS) -> Batch:
    """A batch of one kind, with factors of at most `ceiling` digits."""
    kind = rng.random()
    if kind < 0.15:
        rows = steps(rng, size)
    elif kind < 0.25:
        rows = products(rng, size)
    elif kind < 0.65:
        rows = cuts(rng, size, ceiling)
    else:
        rows = comparisons(rng, size)
    longest = max(len(answer) for _, answer in rows) + 1
    tokens = [[BEGIN, *prompt, *answer, END, *[PAD] * (longest - 1 - len(answer))] for prompt, answer in rows]
    return Batch(np.array(tokens), 1 + len(rows[0][0]))


def batch_at(rng: np.random.Generator, size: int, step: int, ramp: int) -> Batch:
    """A batch for a step of the training: short factors first, then all lengths."""
    return batch(rng, size, min(MOST_DIGITS, 3 + (MOST_DIGITS - 3) * step // ramp))
