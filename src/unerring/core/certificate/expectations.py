"""Read what a run's plan expects from its journal; malformed parts are treated as missing."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from unerring.core.voting.canonical import Json

MAX_EXPECTED_STEPS = 1 << 62  # a plan that names more counts as one without a number of steps


@dataclass(frozen=True, slots=True)
class Expectations:
    """The parts of a plan that are used once a run continues.

    steps: the number of steps planned.
    p: by the voter's name, the interval (low, estimate, high) of its probability of a right vote.
    dissent: the band (low, high) of the share of steps with a vote against the winner.
    """

    steps: int | None = None
    p: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    dissent: tuple[float, float] | None = None


def expectations_from(plan: Mapping[str, Json] | None) -> Expectations:
    """Read a journal's plan. A part that is not in the expected form counts as missing.

    A plan decides nothing, so no part of it can make a journal unreadable.
    """
    if plan is None:
        return Expectations()
    steps, voters = plan.get("steps"), plan.get("p")
    known = {}
    for name, interval in voters.items() if isinstance(voters, dict) else ():
        numbers = _ascending(interval, 3)
        if numbers is not None:
            known[name] = (numbers[0], numbers[1], numbers[2])
    band = _ascending(plan.get("dissent"), 2)
    return Expectations(
        steps=steps if type(steps) is int and 1 <= steps <= MAX_EXPECTED_STEPS else None,
        p=known,
        dissent=None if band is None else (band[0], band[1]),
    )


def _ascending(values: Json, count: int) -> list[float] | None:
    """A list of `count` probabilities in ascending order; None for anything else."""
    if not isinstance(values, list) or len(values) != count:
        return None
    numbers = [
        float(one) for one in values if isinstance(one, int | float) and type(one) is not bool and 0 <= one <= 1
    ]
    return numbers if len(numbers) == count and numbers == sorted(numbers) else None
