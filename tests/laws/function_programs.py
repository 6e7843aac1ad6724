"""Programs of random questions, written twice: as a function process and as a chain that is to do the same."""

from random import Random

from unerring import Rehearsal, Subtask, act, gather, json_answer
from unerring.core.functions.awaitables import Ask


def right(prompt):
    """The right answer to a prompt."""
    return Random(prompt).randrange(40)


def rehearse(prompt):
    """Answers for the noise sampler."""
    answer = right(prompt)
    return Rehearsal(str(answer), (str(answer + 1), str(answer + 2)))


def guess(prompt):
    """A guess, which is wrong for one prompt in four."""
    return right(prompt) + (Random(f"guess {prompt}").random() < 0.25)


def question(prompt, **given):
    """A question of a program."""
    return Ask(Subtask(prompt, json_answer), int, guess=guess(prompt), **given)


def random_program(seed, acts):
    """A list of what a function does, one after the other."""
    chance = Random(seed)
    kinds = ["ask", "ask", "gather", "branch", *(["act"] if acts else [])]
    return [[chance.choice(kinds), chance.randint(0, 4)] for _ in range(chance.randint(1, 7))]


class Effects:
    """A side effect that keeps what it was run with."""

    def __init__(self):
        self.run = []

    def __call__(self, number, seen, key):
        self.run.append((number, tuple(seen), key))
        return sum(seen) % 7


def function_of(effects):
    """A program as a function process."""

    async def program(program):
        seen = []
        for number, (kind, size) in enumerate(program):
            if kind == "ask" or (kind == "branch" and sum(seen) % 2):
                seen.append(await question(f"{number} of {seen}"))
            elif kind == "gather":
                seen += await gather(*[question(f"{number}.{part} of {seen}") for part in range(size)])
            elif kind == "act":
                seen.append(await act(effects, number, list(seen)))
        return seen

    return program


class ProgramChain:
    """A program without side effects as a chain: its state is where it is, and the answers so far."""

    def __init__(self, program):
        self.program = program

    def start(self):
        return self._skipped({"at": 0, "part": 0, "seen": [], "new": []})

    def _skipped(self, state):
        """The state at the next question: what asks nothing is skipped."""
        at = state["at"]
        while at < len(self.program):
            kind, size = self.program[at]
            if kind == "ask" or (kind == "branch" and sum(state["seen"]) % 2) or (kind == "gather" and size):
                break
            at += 1
        return state | {"at": at}

    def _prompt(self, state):
        kind, _ = self.program[state["at"]]
        part = f".{state['part']}" if kind == "gather" else ""
        return f"{state['at']}{part} of {state['seen']}"

    def subtask(self, state):
        return None if state["at"] == len(self.program) else Subtask(self._prompt(state), json_answer)

    def advance(self, state, choice):
        kind, size = self.program[state["at"]]
        new = [*state["new"], choice]
        if kind == "gather" and state["part"] + 1 < size:
            return state | {"part": state["part"] + 1, "new": new}
        return self._skipped({"at": state["at"] + 1, "part": 0, "seen": [*state["seen"], *new], "new": []})

    def place(self, state):
        return [state["at"], state["part"], state["seen"]]

    def beside(self, state):
        kind, size = self.program[state["at"]]
        return state | {"part": state["part"] + 1} if kind == "gather" and state["part"] + 1 < size else None

    def guess(self, state):
        return guess(self._prompt(state))

    def answer(self, state):
        return state["seen"]
