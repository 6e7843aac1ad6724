"""The stretch of a run in which its process is to be ended: the run reports when it reaches it, and pauses at its end.

Without that, a run on an instant model may be over before the watcher has a turn: on a busy machine a test could make
runs for ever and end none of them. Both sides have a socket: a byte says that the run has reached the stretch, and at
its end the run waits until the watcher's side is closed.
"""

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Any

from unerring import Hanoi, Subtask
from unerring.processes.solve import Solve

VARIABLE = "STRETCH_OF_THE_RUN"
PACE_SECONDS = 0.002  # for a step inside a stretch: it then lasts for a few ticks of the journal's clock


@dataclass(frozen=True, slots=True)
class Stretch:
    """Steps of a run: the process can be ended from step `start` on, and decides `end` only once it is let on."""

    start: int
    end: int


def stretches(chance: Random, count: int, steps: int) -> list[Stretch]:
    """One stretch in each of so many equal parts of a run's first steps, each from a random step on."""
    bounds = [steps * part // count for part in range(count + 1)]
    return [Stretch(chance.randint(low, (low + high) // 2), high) for low, high in pairwise(bounds)]


class Keeper:
    """The watcher's side."""

    def __init__(self, stretch: Stretch, patience: float) -> None:
        self._stretch = stretch
        self._ours, self.theirs = socket.socketpair()
        self._ours.settimeout(patience)

    def environment(self) -> dict[str, str]:
        """The environment of a process that keeps to the stretch; it inherits the socket `theirs`."""
        return os.environ | {VARIABLE: f"{self._stretch.start} {self._stretch.end} {self.theirs.fileno()}"}

    def met(self) -> bool:
        """Wait until the run reaches the stretch; False if the process ends before."""
        return self._ours.recv(1) != b""

    def let_on(self) -> None:
        """Let the run continue beyond the stretch."""
        self._ours.close()


class Kept:
    """The run's side, which sees each step. Without a keeper it does nothing."""

    def __init__(self) -> None:
        given = os.environ.get(VARIABLE)
        start, end, number = (int(word) for word in given.split()) if given else (0, 0, -1)
        self._stretch = Stretch(start, end)
        self._keeper = socket.socket(fileno=number) if given else None
        self._met = False
        self._open: asyncio.Event | None = None

    def __bool__(self) -> bool:
        return self._keeper is not None

    def hold(self, step: int) -> None:
        """Called when a step is asked, by code that blocks the event loop."""
        if self._keeper is not None and self._inside(step):
            if step < self._stretch.end:
                time.sleep(PACE_SECONDS)
            else:
                self._keeper.recv(1)

    async def held(self, step: int) -> None:
        """Awaited when a step is answered, by a model whose calls are in flight as long."""
        if self._keeper is None or not self._inside(step) or step < self._stretch.end:
            return
        if self._open is None:
            self._open = asyncio.Event()
            asyncio.get_running_loop().add_reader(self._keeper, self._let_on)
        await self._open.wait()

    def _inside(self, step: int) -> bool:
        inside = step >= self._stretch.start
        if inside and not self._met and self._keeper is not None:
            self._keeper.send(b".")
            self._met = True
        return inside

    def _let_on(self) -> None:
        assert self._keeper is not None
        assert self._open is not None
        asyncio.get_running_loop().remove_reader(self._keeper)
        self._open.set()


class KeptHanoi(Hanoi):
    """The puzzle for models that the package makes itself, such as noise: here the chain keeps to the stretch."""

    def __init__(self, disks: int = 10) -> None:
        super().__init__(disks)
        self._kept = Kept()
        self._steps = {str(self.state_at(step)): step for step in range(self.length())} if self._kept else {}
        self._looked_at = False

    def parameters(self) -> dict[str, Any]:
        return {"disks": self.disks}

    def subtask(self, state: Any) -> Subtask | None:
        step = self._steps.get(str(state))  # none where a wrong guess led to
        if step is not None and self._looked_at:
            self._kept.hold(step)
        self._looked_at = True  # a run looks for its first step before it makes a journal
        return super().subtask(state)


class KeptSolve(Solve):
    """A product as a tree, for the same purpose."""

    def __init__(self, problem: str = "460 * 420") -> None:
        super().__init__(problem, "multiply")
        self._kept = Kept()
        self._steps = {self._turn(state): step for step, state in enumerate(self.states())} if self._kept else {}
        self._looked_at = False

    def parameters(self) -> dict[str, Any]:
        return {"problem": self.problem}

    @staticmethod
    def _turn(state: Any) -> str:
        """A name for a step, whether or not its answers are known."""
        return str((state["ask"], state["wave"], state["turn"]))

    def states(self) -> Iterator[Any]:
        """Every state with right answers from which a step is asked."""
        state: Any = self.start()
        while (asked := super().subtask(state)) is not None:
            yield state
            assert asked.compact is not None
            state = self.advance(state, asked.parse(self.rehearse(asked.compact).right))

    def subtask(self, state: Any) -> Subtask | None:
        step = self._steps.get(self._turn(state))
        if step is not None and self._looked_at:
            self._kept.hold(step)
        self._looked_at = True
        return super().subtask(state)
