"""Chains over rows of numbers whose questions, parser and arguments a test changes between two runs."""

import pytest

import unerring
from unerring import Options, RedFlag, Subtask
from unerring.errors import StepLimit


class Rows:
    """Rows of numbers to be doubled, with questions and parsing set from outside."""

    def __init__(self, first=0, last=6):
        self.first = first
        self.last = last

    wording = "Double {}."
    words: tuple = ()
    schema = None
    messages = ()
    stop = ()
    strict = False

    def start(self):
        return {"row": 0}

    def subtask(self, state):
        if self.first + state["row"] == self.last:
            return None
        row = self.first + state["row"]
        others = tuple(words.format(row) for words in self.words)
        return Subtask(
            self.wording.format(row),
            self.parse,
            paraphrases=others,
            schema=self.schema,
            messages=self.messages,
            stop=self.stop,
        )

    def parse(self, text):
        if self.strict and int(text) > 3:
            raise RedFlag("too large")
        return int(text)

    def advance(self, state, choice):
        return {"row": state["row"] + 1}


def double(prompt, settings):
    return str(2 * int(prompt.rstrip(".").split()[-1]))


def halted(path, chain=None, steps=3):
    with pytest.raises(StepLimit):
        unerring.run(chain or Rows(), double, path, 2, options=Options(max_steps=steps, speculate="off"))
    return path


def changed(**attributes):
    chain = Rows()
    for name, value in attributes.items():
        setattr(chain, name, value)
    return chain


class Tagged(Rows):
    """Rows with a parameter that no question shows."""

    def __init__(self, tag="a", last=6):
        super().__init__(0, last)
        self.tag = tag

    def parameters(self):
        return {"tag": self.tag}


class Elsewhere:
    """A chain that keeps its argument under another name."""

    def __init__(self, rows):
        self.count = rows

    def start(self):
        return 0

    def subtask(self, state):
        return Subtask(f"Double {state}.", int) if state < self.count else None

    def advance(self, state, choice):
        return state + 1
