"""Faults of batches as values, and the lines that they affect."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from random import Random
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Trials:
    """Settings of a batch's course.

    It ends with the poll numbered `polls` (a poll is a GET of the batch; the first is number 1). Shares are of its
    lines, rounded up to whole ones, drawn by `seed` and the batch's number:

    - `expired`: not computed; in the error file with code batch_expired, and the status is expired;
    - `failed`: not computed; in the error file with a reply of status 400;
    - `dropped`: computed, and in neither file;
    - `doubled`: twice in the output file;
    - `done_at_cancel`: computed if the batch is cancelled; the rest is in the error file as batch_cancelled.

    `shuffled` puts the output file out of order. `rejected`: validation fails, whatever is in the file.
    `created_unsaid`: the batch is made, and the connection reset instead of a reply. `failing_polls` are
    answered with 500; they count as polls, but the batch does not end with one.
    """

    polls: int = 2
    expired: float = 0.0
    failed: float = 0.0
    dropped: float = 0.0
    doubled: float = 0.0
    done_at_cancel: float = 0.5
    shuffled: bool = False
    rejected: bool = False
    created_unsaid: bool = False
    failing_polls: tuple[int, ...] = ()
    seed: int = 0


# Every request failed: there is an error file and no output file.
ERRORS_ONLY = Trials(failed=1.0)
REJECTED = Trials(rejected=True)

Batches: TypeAlias = Callable[[int], Trials]


@dataclass(frozen=True, slots=True)
class LineOutcomes:
    """The places of a batch's lines in the input file, by outcome; `order` is that of the output file."""

    expired: frozenset[int]
    failed: frozenset[int]
    dropped: frozenset[int]
    doubled: frozenset[int]
    cancelled: frozenset[int]
    order: Sequence[int]


def line_outcomes(trials: Trials, number: int, lines: int, cancelled: bool) -> LineOutcomes:
    """Assign outcomes to the lines of the batch with this number."""
    chance = Random(f"{trials.seed}:{number}")
    places = list(range(lines))
    chance.shuffle(places)

    def dealt(share: float) -> frozenset[int]:
        count = min(len(places), ceil(share * lines))
        taken, places[:] = places[:count], places[count:]
        return frozenset(taken)

    left_over = dealt(1.0 - trials.done_at_cancel) if cancelled else frozenset[int]()
    expired, failed, dropped = dealt(trials.expired), dealt(trials.failed), dealt(trials.dropped)
    doubled = dealt(trials.doubled)
    order = [place for place in range(lines) for _ in range(2 if place in doubled else 1)]
    if trials.shuffled:
        chance.shuffle(order)
    return LineOutcomes(expired, failed, dropped, doubled, left_over, order)
