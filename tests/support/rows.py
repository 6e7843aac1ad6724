"""A chain of independent rows: no question needs the answer to another."""

from dataclasses import dataclass

import unerring
from unerring import Subtask


@dataclass
class Rows:
    """Rows that do not depend on each other, each a step that doubles its number."""

    rows: int = 12

    def length(self):
        return self.rows

    def start(self):
        return {"row": 0, "sum": 0}

    def place(self, state):
        return state["row"]

    def beside(self, state):
        return {"row": state["row"] + 1, "sum": None} if state["row"] + 1 < self.rows else None

    def subtask(self, state):
        return None if state["row"] == self.rows else Subtask(f"Double {state['row']}.", unerring.json_answer)

    def check(self, state, choice):
        return unerring.RedFlag("not even") if choice % 2 else None

    def advance(self, state, choice):
        return {"row": state["row"] + 1, "sum": state["sum"] + choice}
