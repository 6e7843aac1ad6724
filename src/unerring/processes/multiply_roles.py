"""Roles for long multiplication: factors are cut in two until they are single digits.

Models are asked to split and to solve. A function shifts and adds the answers, which needs no model.
"""

import re
from functools import partial

from unerring.core.chain import Rehearsal, Subtask
from unerring.core.tree import ComposedAnswer
from unerring.core.voting.canonical import Json
from unerring.core.voting.parsing import labelled
from unerring.core.voting.redflag import RedFlag
from unerring.errors import InputError

MAX_SPLIT_FACTOR_DIGITS = 300  # digits of a factor
_PROBLEM = re.compile(
    rf"(?<![0-9])([0-9]{{1,{MAX_SPLIT_FACTOR_DIGITS}}})\s*[*x×·]\s*([0-9]{{1,{MAX_SPLIT_FACTOR_DIGITS}}})(?![0-9])"
)
_WHOLE = re.compile(
    rf"((multiply( the following numbers)?:?|what is|calculate|compute) )?{_PROBLEM.pattern} ?[=?.]?", re.I
)
_PIECE = re.compile(r"[0-9]+(?!\.?[0-9])")
_NUMBER = re.compile(r"[0-9]{1,2}(?!\.?[0-9])")
_SHIFTED = re.compile(r"shift ([0-9]{1,3}) and add")


def product_in(text: str) -> str:
    """The one product that a text asks for, as `46048 * 42098`; raises `InputError` where there is not one."""
    found = _PROBLEM.findall(text)
    if len(found) != 1:
        raise InputError(
            f"a product is written 46048 * 42098, with factors of at most {MAX_SPLIT_FACTOR_DIGITS} digits; found none"
        )
    return " * ".join(found[0])


def is_product(text: str) -> bool:
    """Whether a text asks for a product and nothing else, such as `Multiply 46048 * 42098`."""
    return _WHOLE.fullmatch(" ".join(text.split())) is not None


class MultiplyRoles:
    """The roles for products of two numbers, written `46048 * 42098`."""

    linear = False
    embedded = "embedded/digits"

    def split(self, problem: str) -> Subtask:
        longer, other = sorted(_factors(problem), key=len, reverse=True)  # as written where they are equally long
        parse = partial(parse_split, longer=longer, other=other)
        return Subtask(split_prompt(problem, longer), parse, f"split {longer}\n")

    def solve(self, problem: str, before: Json) -> Subtask:
        return Subtask(product_prompt(problem), parse_product, f"{problem}\n")

    def compose(self, problem: str, how: str, parts: list[str], answers: list[Json]) -> Subtask | ComposedAnswer:
        shift = _SHIFTED.fullmatch(how)
        high, low = answers
        assert shift is not None
        assert isinstance(high, int)
        assert isinstance(low, int)
        return ComposedAnswer(high * 10 ** int(shift[1]) + low)

    def judge(self, problem: str, candidates: list[Json]) -> Subtask:
        raise AssertionError("a product has one answer, and any cut will do: nothing is judged")

    def rehearse(self, prompt: str) -> Rehearsal:
        """A right answer, and wrong ones: cut elsewhere or not at all, or a product that is one factor off."""
        asked = _ASKED.match(prompt)
        if asked is None:
            raise InputError("this is not a compact prompt of a multiplication by parts")
        longer, first, second = asked.groups()
        if longer is None:
            product = int(first) * int(second)
            slips = {product + int(second), max(0, product - int(first)), (product + 1) % 100} - {product}
            return Rehearsal(f"product = {product}", tuple(f"product = {slip}" for slip in sorted(slips)))
        if len(longer) == 1:
            return Rehearsal("small", (_pieces(longer, "0"),))
        at = len(longer) - len(longer) // 2
        return Rehearsal(_pieces(longer[:at], longer[at:]), (_pieces(longer[: at - 1] or "0", longer[at:]), "small"))

    def right(self, problem: str) -> Json:
        """The product, by arithmetic."""
        first, second = _factors(problem)
        return int(first) * int(second)


def _factors(problem: str) -> tuple[str, str]:
    first, _, second = problem.partition(" * ")
    return first, second


def split_prompt(problem: str, longer: str) -> str:
    """The question for a general chat model."""
    return f"""You plan a long multiplication; you do not carry it out.

{problem}

If both factors have one digit, answer with exactly this line:
small
Otherwise the factor {longer} is to be cut in two pieces, about in the middle, so that its digits are those of the
first piece followed by those of the second; zeros at the beginning of a piece stay. Answer with exactly two lines:
high = the first piece
low = the second piece"""


def product_prompt(problem: str) -> str:
    """The question for a general chat model."""
    return f"""What is {problem}?

End your answer with exactly this line, filled in, and nothing after it:
product = the number"""


def parse_split(text: str, longer: str, other: str) -> Json:
    """The two products that the pieces of the longer factor make; flags pieces that are not that factor's digits."""
    if len(longer) == 1:
        if text.strip() != "small":
            raise RedFlag("two digits are not cut further")
        return {"parts": []}
    high, low = labelled("high", _PIECE, text), labelled("low", _PIECE, text)
    if high + low != longer:
        raise RedFlag("the pieces are not the digits of the factor")
    return {"parts": [f"{high} * {other}", f"{low} * {other}"], "how": f"shift {len(low)} and add"}


def parse_product(text: str) -> Json:
    """The number behind the last `product =`: two digits at most, as that of two digits has."""
    return int(labelled("product", _NUMBER, text))


_ASKED = re.compile(r"^split ([0-9]+)\s*$|^([0-9]) \* ([0-9])\s*$")


def _pieces(high: str, low: str) -> str:
    return f"high = {high}\nlow = {low}"
