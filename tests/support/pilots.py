"""Pilots written by hand, and pilots of simulated voters, for tests of calibration and planning."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from unerring import RedFlag, Subtask
from unerring.api.calibration.calibrating import PilotOptions, calibrate
from unerring.core.planning.calibration import (
    REPEAT_VOTES,
    Calibration,
    PilotSample,
    PilotStep,
    RepeatSampling,
    VoterCount,
)
from unerring.core.voting.redflag import FlagKind
from unerring.core.voting.sample import Usage
from unerring.testing import FakeClock

USAGE = Usage(10, 5)
VOTES = {choice: PilotSample(0, choice, None, USAGE) for choice in ("r", "w", "x")}
FLAGGED = PilotSample(0, None, FlagKind.MALFORMED, USAGE)

# each voter's chance of a wrong vote on a step, drawn for every step
Chances = Callable[[Random], Sequence[float]]


def blank(voters: int = 1, **changed: Any) -> Calibration:
    """A calibration with nothing counted yet."""
    names = ["sim"] if voters == 1 else [f"sim/{number}" for number in range(voters)]
    fields = {"process": "simulated", "parameters": {}, "model": " + ".join(names), "judged_by": "truth"}
    counts = [VoterCount(name) for name in names]
    return Calibration(**(fields | {"temperature": 0.1, "voters": counts} | changed))


def observed(choice: str | None, voter: int = 0, **changed: Any) -> PilotSample:
    """A sample: its choice, or None for a flagged one."""
    return replace(
        FLAGGED if choice is None else VOTES.get(choice, PilotSample(0, choice, None, USAGE)), voter=voter, **changed
    )


def looked(step: int, *choices: str | None, voters: int = 1, **changed: Any) -> PilotStep:
    """A step whose samples, in turn by the voters, have these choices; `r` is right and None is flagged."""
    samples = (observed(choice, slot % voters, **changed) for slot, choice in enumerate(choices))
    return PilotStep(step, tuple(samples), "r")


def simulated(
    wrong: Chances, samples: int, chance: Random, v: float = 1.0, voters: int = 1, into: Calibration | None = None
) -> Calibration:
    """A pilot of so many samples, by the design of `unerring.runtime.pilot`.

    One vote of every voter on each step, and LOOKS further samples of each where one was wrong that is not known well.
    Wrong votes agree; the share 1 - v of the samples is flagged.
    """
    calibration = blank(voters, asked_for=samples) if into is None else into
    looks = RepeatSampling(calibration)
    flags = [observed(None, number) for number in range(voters)]
    votes = [(observed("r", number), observed("w", number)) for number in range(voters)]
    while calibration.samples < samples:
        each = wrong(chance)

        def draw(number: int, each: Sequence[float] = each) -> PilotSample:
            if v < 1.0 and chance.random() >= v:
                return flags[number]
            return votes[number][chance.random() < each[number]]

        drawn = [draw(number) for number in range(voters)]
        last = list(drawn)
        while silent := [number for number in range(voters) if last[number].choice is None]:
            for number in silent:
                last[number] = draw(number)
                drawn.append(last[number])
        if looks.wanted([number for number in range(voters) if last[number].choice == "w"]):
            drawn += [draw(number) for _ in range(REPEAT_VOTES) for number in range(voters)]
        calibration.add(PilotStep(calibration.steps, tuple(drawn), "r"))
    return calibration


class UnknownTruth:
    """A chain that can start at any step, which is all of its state; it has no `truth`."""

    def __init__(self, steps: int = 1000, parse: Any = None) -> None:
        self.steps = steps
        self.parse = parse or self.word

    def start(self) -> int:
        return 0

    def length(self) -> int:
        return self.steps

    def state_at(self, step: int) -> int:
        return step

    def subtask(self, state: int) -> Subtask | None:
        return Subtask(f"place {state}", self.parse) if state < self.steps else None

    def advance(self, state: int, choice: str) -> int:
        return state + 1

    def word(self, text: str) -> str:
        """The choice is the text; one that starts with `!` is malformed."""
        if text.startswith("!"):
            raise RedFlag("malformed on purpose")
        return text


class Places(UnknownTruth):
    """The same chain, where `a` is right on every step."""

    def truth(self, state: int) -> str:
        return "a"


def piloted(chain: Any, sampler: Any, samples: int = 50, out: Any = None, **options: Any) -> Calibration:
    """A pilot on virtual time, one step after the other unless `in_flight` says otherwise."""
    given = {"clock": FakeClock(), "in_flight": 1} | options
    return calibrate(chain, sampler, samples, out, 0, PilotOptions(**given))


def counted(calibration: Calibration) -> Calibration:
    """All counts, without latencies and the number of samples in flight."""
    return replace(calibration, calls_seconds=0.0, at_once=1)


def one_line(error: BaseException) -> str:
    """The message of an error that is one line."""
    message = str(error)
    assert message, "an empty message"
    assert "\n" not in message, message
    return message


def strict_json(text: str) -> Any:
    """Read JSON that other programs can read as well: without `NaN` and `Infinity`."""

    def refused(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refused)
