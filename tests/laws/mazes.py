"""Mazes: chains whose paths part and meet again, whose own code fails at some states, and guess functions for them."""

from dataclasses import dataclass
from random import Random

from unerring.core.chain import Rehearsal, Subtask
from unerring.core.voting.canonical import canonical, parsed
from unerring.core.voting.redflag import RedFlag

CHOICES = ({"go": 0}, {"go": 1}, "left", ["right", 2.5])


class Mine(Exception):
    """A bug of the user's own."""


class Maze:
    """A chain of `steps` steps over `width` places; `trouble` is the share of states where its own code fails."""

    def __init__(self, seed, steps, width, trouble):
        self.seed, self.steps, self.width, self.trouble = seed, steps, width, trouble

    def _chance(self, *what):
        return Random(f"{self.seed} {what}")

    def troubled(self, state):
        """The method that fails at a state, if any."""
        chance = self._chance("trouble", state)
        if chance.random() >= self.trouble:
            return None
        return chance.choice(("subtask", "advance", "parse", "check", "ends"))

    def start(self):
        return [0, 0]

    def cell(self, state):
        """The step and the place of a state, which are all that a question depends on."""
        return state

    def right(self, state):
        return self._chance("right", self.cell(state)).choice(CHOICES)

    def subtask(self, state):
        trouble = self.troubled(state)
        if trouble == "subtask":
            raise Mine(f"subtask at {state}")
        if state[0] == self.steps or trouble == "ends":
            return None
        broken = canonical(self._chance("broken", state).choice(CHOICES))

        def parse(text):
            if trouble == "parse" and text == broken:
                raise Mine(f"parse at {state}")
            try:
                return parsed(text)
            except ValueError:
                raise RedFlag("cut off") from None

        return Subtask(f"{state[0]} {state[1]}", parse)

    def advance(self, state, choice):
        if self.troubled(state) == "advance" and choice != self.right(state):
            raise Mine(f"advance at {state}")
        return [state[0] + 1, self._chance("advance", state, canonical(choice)).randrange(self.width)]

    def check(self, state, choice):
        if self.troubled(state) == "check" and choice == "left":
            return RedFlag("not to the left")
        return None

    def rehearse(self, prompt):
        state = [int(word) for word in prompt.split()]
        right = self.right(state)
        return Rehearsal(canonical(right), tuple(canonical(choice) for choice in CHOICES if choice != right))


class Rows(Maze):
    """A maze with rows of up to six independent steps: the next row depends on all answers of the one before."""

    def start(self):
        return self._row([0, 0])

    def _row(self, first):
        width = min(self._chance("row", first).choice((1, 2, 6)), max(1, self.steps - first[0]))
        return {"first": first, "turn": 0, "width": width, "answers": []}

    def cell(self, state):
        if isinstance(state, list):
            return state
        step, place = state["first"]
        return [step + state["turn"], 10 * place + state["turn"]]

    def place(self, state):
        return self.cell(state)

    def beside(self, state):
        return state | {"turn": state["turn"] + 1} if state["turn"] + 1 < state["width"] else None

    def subtask(self, state):
        return super().subtask(self.cell(state))

    def check(self, state, choice):
        return super().check(self.cell(state), choice)

    def advance(self, state, choice):
        step, _ = super().advance(self.cell(state), choice)
        state = state | {"answers": [*state["answers"], choice]}
        assert len(state["answers"]) == state["turn"] + 1  # no state lacks a known answer
        answers = canonical(state["answers"])
        return self.beside(state) or self._row(
            [step, self._chance("advance", state["first"], answers).randrange(self.width)]
        )


@dataclass(frozen=True)
class Guessing:
    """A guess function: mostly of one kind, and each kind now and then. It fails only at states of the set `fails`."""

    maze: Maze
    kind: str
    steady: float
    fails: frozenset = frozenset()

    def __call__(self, state):
        state = self.maze.cell(state)
        chance = self.maze._chance("guess", state)
        kind = self.kind if chance.random() < self.steady else chance.choice(("right", "wrong", "none", "alien"))
        if tuple(state) in self.fails:
            kind = chance.choice(("raise", "not json"))
        if kind == "raise":
            raise Mine(f"guess at {state}")
        right = self.maze.right(state)
        others = [choice for choice in CHOICES if choice != right]
        guesses = {"right": right, "wrong": chance.choice(others), "none": None, "alien": {"never": "seen"}}
        return guesses.get(kind, {1, 2})
