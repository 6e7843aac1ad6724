"""Processes that the tests of the command line run, and functions that run commands on them."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import unerring

NOISE = ("--model", "noise/p=0.9,v=0.9,c=0", "--k", "3")
PILOT_MODEL = ("--model", "noise/p=0.95,v=0.9,c=0")
PILOT = ("calibrate", "hanoi", "--set", "disks=10", *PILOT_MODEL, "--samples", "300", "--in-flight", "8")
SCRIPT = str(Path(sys.executable).with_name("unerring"))
HOSTILE = "\x1b[2J\x1b]0;owned\x07\r\u202e\ncandidate 1  99 votes: mine"

LEDGER = '''
"""A process of a user's own: each step doubles a number."""

from unerring import RedFlag, Rehearsal, Subtask


class Ledger:
    def __init__(self, steps=4):
        self.steps = steps

    def parameters(self):
        return {"steps": self.steps}

    def start(self):
        return [1]

    def subtask(self, state):
        return None if len(state) > self.steps else Subtask(f"double {state[-1]}", self.parse)

    def parse(self, text):
        if not text.startswith("it is ") or not text.endswith("."):
            raise RedFlag("not an answer")
        return int(text.removeprefix("it is ").rstrip("."))

    def advance(self, state, choice):
        return [*state, choice]

    def rehearse(self, prompt):
        value = int(prompt.split()[1])
        return Rehearsal(f"it is {2 * value}.", (f"it is {2 * value + 1}.", f"it is {2 * value + 2}."))

    def verify(self, choices, finished):
        before = 1
        for step, choice in enumerate(choices):
            if choice != 2 * before:
                return f"step {step}: {choice} is not twice {before}"
            before = choice
        return None
'''


class Word:
    """A chain of one step, whose choice is any text that does not start with `!`."""

    def __init__(self, prompt="say"):
        self.prompt = prompt

    def parameters(self):
        return {"prompt": self.prompt}

    def start(self):
        return 0

    def subtask(self, state):
        return unerring.Subtask(self.prompt, self.word) if state == 0 else None

    def word(self, text):
        if text.startswith("!"):
            raise unerring.RedFlag("no word")
        return text

    def advance(self, state, choice):
        return 1


@dataclass
class Done:
    """The result of a command: its exit code, stdout and stderr."""

    code: int
    out: str
    err: str

    @property
    def line(self):
        """The one line on stderr; asserts that it is a single error message."""
        assert self.err.count("\n") == 1, self.err
        assert self.err.startswith("unerring: ")
        assert "Traceback" not in self.err
        return self.err.rstrip("\n")


def process(*arguments, cwd, program=(SCRIPT,), **named):
    """Run a command in a process of its own."""
    words = [*program, *map(str, arguments)]
    return subprocess.run(words, check=False, cwd=cwd, capture_output=True, text=True, timeout=90, **named)


def ran(cli, *more, path="run.db", disks=3):
    """A finished run of the noise sampler."""
    done = cli("run", "hanoi", "--set", f"disks={disks}", *NOISE, "--journal", path, *more)
    assert done.code == 0, done.err
    return done
