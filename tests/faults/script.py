"""Scripts assign faults to chat requests, as a function of a request's number (from 0) and of the request.

A script is any function from (turn, question) to a fault or None; these make the usual ones. They keep no state, so a
request's fault depends only on its turn, the script's seed and the question.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from random import Random
from typing import TypeAlias

from faults.faults import Fault, Rejection
from faults.replies import Question

Trouble: TypeAlias = Fault | Rejection
Script: TypeAlias = Callable[[int, Question], Trouble | None]

# What goes wrong on an ordinary bad day; every one of these may be overcome by asking again.
EVERYDAY = (
    Fault.RATE_LIMITED,
    Fault.RATE_LIMITED_1,
    Fault.ERROR_500,
    Fault.BAD_GATEWAY,
    Fault.UNAVAILABLE,
    Fault.OVERLOADED,
    Fault.RESET,
    Fault.ORPHAN,
    Fault.RESET_MID_BODY,
    Fault.HANG,
    Fault.DRIP,
    Fault.EMPTY_CHOICES,
    Fault.CUT_SHORT,
    Fault.CUT_OFF,
    Fault.GARBAGE,
    Fault.HTML_PAGE,
    Fault.DUPLICATE,
)


def smooth(turn: int, question: Question) -> None:
    """No faults."""


def always(fault: Trouble) -> Script:
    """The same fault for every request."""
    return lambda turn, question: fault


def listed(*faults: Trouble | None, then: Trouble | None = None) -> Script:
    """One fault (or None) for each request, in their order, and `then` for all after them."""
    return lambda turn, question: faults[turn] if turn < len(faults) else then


def spanning(first: int, last: int | None, fault: Trouble) -> Script:
    """A fault from turn `first` to turn `last`, both included; without a last one, from there on."""
    return lambda turn, question: fault if first <= turn and (last is None or turn <= last) else None


def since(first: int, fault: Trouble) -> Script:
    """A fault from turn `first` on."""
    return spanning(first, None, fault)


def where(asked: Callable[[Question], bool], fault: Trouble) -> Script:
    """A fault for the questions that fit."""
    return lambda turn, question: fault if asked(question) else None


def shares(odds: Mapping[Trouble, float], seed: int = 0) -> Script:
    """Faults at random, each with its own probability; they add up to 1 at most."""
    faults: Sequence[Trouble] = tuple(odds)
    edges = tuple(accumulate(odds.values()))
    if edges and edges[-1] > 1.0 + 1e-9:
        raise ValueError(f"the shares add up to {edges[-1]:g}, more than 1")

    def script(turn: int, question: Question) -> Trouble | None:
        drawn = Random((seed << 40) + turn).random()
        return next((fault for fault, edge in zip(faults, edges, strict=True) if drawn < edge), None)

    return script


def troubled(share: float = 0.2, faults: Sequence[Trouble] = EVERYDAY, seed: int = 0) -> Script:
    """A share of the requests fails, in every way of `faults` equally often."""
    return shares(dict.fromkeys(faults, share / len(faults)), seed)


def first_of(*scripts: Script) -> Script:
    """The first fault that one of several scripts has."""

    def script(turn: int, question: Question) -> Trouble | None:
        for each in scripts:
            if (fault := each(turn, question)) is not None:
                return fault
        return None

    return script
