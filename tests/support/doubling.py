"""A chain and models for tests of the public functions, and helpers to run them."""

import asyncio

import pytest

import unerring
from unerring import Options, RedFlag, Subtask
from unerring.api.journals.history import History
from unerring.errors import StepLimit
from unerring.testing import NoisySampler


class Doubling:
    """A user's chain: from 1, each step doubles the number."""

    def __init__(self, steps=4):
        self.steps = steps

    def parameters(self):
        return {"steps": self.steps}

    def length(self):
        return self.steps

    def start(self):
        return {"done": 0, "value": 1}

    def subtask(self, state):
        if state["done"] == self.steps:
            return None
        return Subtask(f"Double {state['value']}.", self.parse)

    def parse(self, text):
        if not text.isdecimal():
            raise RedFlag("not a number")
        return int(text)

    def advance(self, state, choice):
        return {"done": state["done"] + 1, "value": choice}

    def verify(self, choices, finished):
        value = 1
        for step, choice in enumerate(choices):
            if choice != 2 * value:
                return f"step {step}: {choice} is not twice {value}"
            value = choice
        return None


def double(prompt, settings):
    """A user's model that is always right."""
    return str(2 * int(prompt.split()[1].rstrip(".")))


async def double_later(prompt, settings):
    await asyncio.sleep(0)
    return double(prompt, settings)


def noise(chain, p=0.8, v=0.9):
    return NoisySampler(chain.rehearse, p, v)


HANOI = unerring.Hanoi(disks=4)


def exported(path):
    history = History(path)
    return [(d.step, d.choice, d.tally, d.flags, d.rounds, d.replies) for d in history.steps()]


def stopped(path, steps=2, chain=None, model=double, k=2):
    """The journal of a run that was stopped after so many steps."""
    with pytest.raises(StepLimit):
        unerring.run(chain or Doubling(), model, path, k, options=Options(max_steps=steps))
    return path
