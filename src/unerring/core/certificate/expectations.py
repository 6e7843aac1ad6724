"""What a run's plan led one to expect, read from its journal with suspicion: what is not there is None or left out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeGuard

from unerring.core.voting.canonical import Json

MAX_STEPS = 1 << 62


@dataclass(frozen=True, slots=True)
class Expectations:
    """What is used of a plan once a run is under way.

    `steps` is how many steps were planned, `p` the interval (low, estimate, high) of each voter's chance to vote
    rightly, by its name, and `dissent` the band (low, high) in which the share of steps with a vote against the winner
    was to be.
    """

    steps: int | None = None
    p: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    dissent: tuple[float, float] | None = None


def expectations_from(plan: Mapping[str, Json] | None) -> Expectations:
    """Read a journal's plan. A part that is not of the form it should have is as one that is not there.

    A plan is kept for information: no part of it decides anything, so none of it can make a journal unreadable.
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
        steps=steps if type(steps) is int and 1 <= steps <= MAX_STEPS else None,
        p=known,
        dissent=None if band is None else (band[0], band[1]),
    )


def _ascending(values: Json, count: int) -> list[float] | None:
    """So many probabilities, none below the one before it; None for anything else."""
    if not isinstance(values, list) or len(values) != count:
        return None
    numbers = [float(value) for value in values if _is_probability(value)]
    return numbers if len(numbers) == count and numbers == sorted(numbers) else None


def _is_probability(value: Json) -> TypeGuard[float]:
    return type(value) in {int, float} and 0 <= value <= 1  # type: ignore[operator]
