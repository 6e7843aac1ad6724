"""Long multiplication, one digit by one digit at a time.

The method taught at school: row by row of the second factor, place by place of the first, from the right. A step
sees a digit of each factor, the digit of the sum at their place so far, and the carry. It decides the new digit of the
sum and the carry to the next place. No call ever sees a long number.
"""

import re
from collections.abc import Iterable

from unerring.core.chain import Chain, Rehearsal, Subtask
from unerring.core.voting.canonical import Json, JsonObject
from unerring.core.voting.parsing import labelled
from unerring.errors import InputError

MAX_FACTOR_DIGITS = 1000  # of each factor: a million steps


class Multiply(Chain[JsonObject, JsonObject]):
    """The chain: as many dependent steps as the digits of `a` times those of `b`.

    A state is `{"row": j, "place": i, "carry": c, "sum": digits}`: next is digit i of a times digit j of b, both
    counted from the right, from 0; `sum` is a decimal text as long as both factors together. A choice is
    `{"digit": d, "carry": c}`.
    """

    embedded = "embedded/digits"

    def __init__(self, a: int = 46048, b: int = 42098) -> None:
        for name, factor in (("a", a), ("b", b)):
            if type(factor) is not int or factor < 0 or factor >= 10**MAX_FACTOR_DIGITS:
                raise InputError(f"{name} must be a whole number of at most {MAX_FACTOR_DIGITS:,} digits, from 0 on")
        self.a = a
        self.b = b
        self._a, self._b = str(a), str(b)

    def parameters(self) -> dict[str, Json]:
        return {"a": self.a, "b": self.b}

    def length(self) -> int:
        return len(self._a) * len(self._b)

    def start(self) -> JsonObject:
        return {"row": 0, "place": 0, "carry": 0, "sum": "0" * (len(self._a) + len(self._b))}

    def subtask(self, state: JsonObject) -> Subtask | None:
        if state["row"] == len(self._b):
            return None
        numbers = self._numbers(state)
        return Subtask(full_prompt(*numbers), parse, compact_prompt(*numbers))

    def advance(self, state: JsonObject, choice: JsonObject) -> JsonObject:
        row, place, total = state["row"], state["place"], state["sum"]
        total = _with_digit(total, row + place, choice["digit"])
        if place + 1 < len(self._a):
            return {"row": row, "place": place + 1, "carry": choice["carry"], "sum": total}
        total = _with_digit(total, row + place + 1, choice["carry"])
        return {"row": row + 1, "place": 0, "carry": 0, "sum": total}

    def answer(self, state: JsonObject) -> int:
        """The product."""
        return int(state["sum"])

    def truth(self, state: JsonObject) -> JsonObject:
        """The right choice from any state."""
        return _worked_out(*self._numbers(state))

    def state_at(self, step: int) -> JsonObject:
        """The state before a step, counted from 0: finished rows by one product, the rest step by step."""
        if not 0 <= step <= self.length():
            raise InputError(f"the steps of this product are numbered 0 to {self.length():,}, not {step}")
        row, place = divmod(step, len(self._a))
        done = self.a * int(self._b[len(self._b) - row :] or "0")
        state = {"row": row, "place": 0, "carry": 0, "sum": str(done).zfill(len(self._a) + len(self._b))}
        for _ in range(place):
            state = self.advance(state, self.truth(state))
        return state

    def verify(self, choices: Iterable[JsonObject], finished: bool) -> str | None:
        """Check decided choices and the finished product by arithmetic; returns the first error, or None."""
        state = self.start()
        for step, choice in enumerate(choices):
            if self.subtask(state) is None:
                return f"step {step}: the product is done before it"
            right = self.truth(state)
            if choice != right:
                x, y, so_far, carry = self._numbers(state)
                return f"step {step}: {x} * {y} + {so_far} + {carry} is {_words(right)}, not {choice!r}"
            state = self.advance(state, choice)
        if finished and (self.subtask(state) is not None or int(state["sum"]) != self.a * self.b):
            return f"the run ends with {state['sum']}, which is not the product"
        return None

    def rehearse(self, prompt: str) -> Rehearsal:
        """The right answer, and wrong ones: the carry forgotten, one off, and both digits swapped."""
        asked = _ASKED.match(prompt)
        if asked is None:
            raise InputError("this is not a compact prompt of a long multiplication")
        x, y, so_far, carry = map(int, asked.groups())
        before = x * y, x * y + so_far
        right = before[1] + carry
        slips = [before[1], before[0] + carry, right + 1, right - 1, right % 10 * 10 + right // 10]
        wrong = dict.fromkeys(slip for slip in slips if slip != right and 0 <= slip <= 99)
        return Rehearsal(_answer(right, *before), tuple(_answer(slip, *before) for slip in wrong))

    def _numbers(self, state: JsonObject) -> tuple[int, int, int, int]:
        """A digit of each factor, the digit of the sum at their place, and the carry."""
        row, place = state["row"], state["place"]
        return int(self._a[-1 - place]), int(self._b[-1 - row]), int(state["sum"][-1 - row - place]), state["carry"]


def _with_digit(digits: str, place: int, digit: int) -> str:
    """A decimal text with another digit, so many places from the right."""
    at = len(digits) - 1 - place
    return f"{digits[:at]}{digit}{digits[at + 1 :]}"


def _worked_out(x: int, y: int, so_far: int, carry: int) -> JsonObject:
    tens, ones = divmod(x * y + so_far + carry, 10)
    return {"digit": ones, "carry": tens}


def _words(choice: JsonObject) -> str:
    return f"digit {choice['digit']} and carry {choice['carry']}"


def compact_prompt(x: int, y: int, so_far: int, carry: int) -> str:
    """The question in the fewest words."""
    return f"{x} * {y} + {so_far} + {carry}\n"


def full_prompt(x: int, y: int, so_far: int, carry: int) -> str:
    """The question for a general chat model."""
    return f"""You carry out one step of a long multiplication.

Multiply one digit by another, then add the digit that stands at this place already, and the carry:

{x} * {y} + {so_far} + {carry}

The result is from 0 to 99. Its last digit stays at this place; its tens (0 where it has one digit) are the carry to
the next place. End your answer with exactly these two lines, filled in, and nothing after them:
digit = one digit
carry = one digit"""


_DIGIT = re.compile(r"[0-9](?!\.?[0-9])")


def parse(text: str) -> Json:
    """The last `digit = d` and the last `carry = c`; flags an answer without both, each one digit."""
    return {name: int(labelled(name, _DIGIT, text)) for name in ("digit", "carry")}


_ASKED = re.compile(r"^([0-9]) \* ([0-9]) \+ ([0-9]) \+ ([0-9])\s*$")


def _answer(result: int, *before: int) -> str:
    """An answer, with the sums that led to it, a line each."""
    worked = "".join(f"{total:02d}\n" for total in (*before, result))
    return f"{worked}digit = {result % 10}\ncarry = {result // 10}"
