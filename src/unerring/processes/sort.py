"""Sorting by merges, one comparison a step: each step sees two numbers and says which is the smaller.

Runs begin as single numbers. The two oldest are merged into one, which goes to the end of the queue, until one run is
left: about n log2(n) steps for n numbers, and no call ever sees the list.
"""

import re
from collections import deque
from collections.abc import Iterable
from functools import partial

from unerring.core.chain import Chain, Rehearsal, Subtask
from unerring.core.voting.canonical import Json, JsonObject
from unerring.core.voting.parsing import labelled
from unerring.core.voting.redflag import RedFlag
from unerring.errors import InputError

MAX_NUMBERS = 10_000
MAX_NUMBER = 10**12
EXAMPLE_NUMBERS = 38, -5, 1204, 0, -77, 38, 9, 512
_ITEM = rf"[+-]?[0-9]{{1,{len(str(MAX_NUMBER))}}}"
_LEAST, _MOST = "(?:the )?(?:smallest|least|lowest)", "(?:the )?(?:largest|greatest|highest|biggest)"
_UP = rf"(?:in|into) (?:ascending|increasing) order|(?:from )?{_LEAST} to {_MOST}"
_DOWN = rf"(?:in|into) (?:descending|decreasing) order|(?:from )?{_MOST} to {_LEAST}"
_FORM = (  # as the paper's authors ask for an answer
    r"(?: and (?:output|return|give|print)(?: only)? the(?: sorted)?(?: json)? list(?: on a single line)?"
    r"(?: after '#+')?)?"
)
_TASK = re.compile(
    r"(?:(?:sort|order|arrange)(?: the| these)?(?: following)?(?: list of)?(?: whole)?(?: numbers| integers| list)?"
    rf"(?: (?:{_UP}|(?P<before>{_DOWN})))?{_FORM} ?:? ?)?"
    rf"(?P<open>[\[(])? ?(?P<list>{_ITEM}(?:(?: ?[,;] ?| ){_ITEM})+) ?[\])]?"
    rf"(?: (?:{_UP}|(?P<after>{_DOWN}))){{0,1}}{_FORM} ?\.?",
    re.I,
)
_LINE_END = re.compile(r"(?<=[0-9])[ \t\r]*\n\s*(?=[+-]?[0-9])")
_GROUPED = re.compile(r"[+-]?[0-9]{1,3}(?:,[0-9]{3})+")


def order_in(text: str) -> tuple[list[int], bool] | None:
    """The two or more numbers that a text asks to be sorted, and whether the largest comes first.

    None where it asks for anything else. Raises `InputError` for numbers whose commas can be read in two ways.
    """
    found = _TASK.fullmatch(" ".join(_LINE_END.sub("; ", text).split()))
    if found is None:
        return None
    downwards = (found["before"] or found["after"]) is not None
    return _numbers(found["list"], found["open"] == "["), downwards


def numbers_in(text: str) -> list[int] | None:
    """The numbers that a text asks to be sorted, as they stand there; None where it asks for anything else."""
    found = order_in(text)
    return None if found is None else found[0]


def _numbers(listed: str, in_brackets: bool) -> list[int]:
    """The numbers of a list. Raises `InputError` where commas may be within numbers, as in 1,234, or between them."""
    apart = re.split(r" ?; ?| ?, | ,|(?<!,) ", listed)
    grouped = [one for one in apart if "," in one]
    separated = [int(number) for number in re.split(r"[ ,;]+", listed)]
    if not grouped or not all(map(_GROUPED.fullmatch, grouped)) or (in_brackets and len(apart) == 1):
        return separated
    if len(apart) > 1 and len(apart) == listed.count(";") + 1:  # the semicolons separate, so that commas do not
        return [int(one.replace(",", "")) for one in apart]
    raise InputError(
        f"the commas of {listed[:40]} can be read in two ways: write {grouped[0].replace(',', '')} for one number, "
        "and a blank after each comma between numbers"
    )


class Sort(Chain[JsonObject, int]):
    """The chain: from a list of integers to the same integers in order.

    A state is `{"runs": lists, "merged": list}`: the first two runs are being merged, and `merged` has the numbers
    taken from them so far. A choice is the number to take next. With `descending` the steps are the same, and the
    answer is reversed.

    numbers: the integers.
    descending: whether the largest comes first.
    """

    embedded = "embedded/digits"

    def __init__(self, numbers: list[int] | tuple[int, ...] = EXAMPLE_NUMBERS, descending: bool = False) -> None:
        if not isinstance(numbers, list | tuple) or len(numbers) > MAX_NUMBERS:
            raise InputError(f"numbers must be a list of at most {MAX_NUMBERS:,} whole numbers, such as [3,1,2]")
        for number in numbers:
            if type(number) is not int or abs(number) > MAX_NUMBER:
                raise InputError(
                    f"numbers must be whole, from -{MAX_NUMBER:,} to {MAX_NUMBER:,}, and {number!r} is not"
                )
        if type(descending) is not bool:
            raise InputError(f"descending is true or false, not {descending!r}")
        self.numbers = list(numbers)
        self.descending = descending

    def parameters(self) -> dict[str, Json]:
        return {"numbers": [*self.numbers], **({"descending": True} if self.descending else {})}

    def length(self) -> int:
        """The number of comparisons, which depends on the order of the numbers."""
        runs, count = deque([number] for number in self.numbers), 0
        while len(runs) > 1:
            first, second = runs.popleft(), runs.popleft()
            # one run is at its end with the comparison that takes its last number
            last = min(first[-1], second[-1])
            short, other = (first, second) if first[-1] <= second[-1] else (second, first)
            count += len(short) + sum(number < last or (number == last and other is first) for number in other)
            runs.append(sorted(first + second))
        return count

    def start(self) -> JsonObject:
        return {"runs": [[number] for number in self.numbers], "merged": []}

    def subtask(self, state: JsonObject) -> Subtask | None:
        if len(state["runs"]) < 2:
            return None
        first, second = _heads(state)
        return Subtask(full_prompt(first, second), partial(parse, first, second), compact_prompt(first, second))

    def advance(self, state: JsonObject, choice: int) -> JsonObject:
        first, second, *others = state["runs"]
        merged = [*state["merged"], choice]
        if choice == first[0]:
            first = first[1:]
        else:
            second = second[1:]
        if first and second:
            return {"runs": [first, second, *others], "merged": merged}
        return {"runs": [*others, merged + first + second], "merged": []}

    def answer(self, state: JsonObject) -> list[int]:
        """The numbers in the order that was asked for."""
        found: list[int] = state["runs"][0] if state["runs"] else []
        return found[::-1] if self.descending else found

    def truth(self, state: JsonObject) -> int:
        """The right choice from any state."""
        return min(_heads(state))

    def verify(self, choices: Iterable[int], finished: bool) -> str | None:
        """Check each decided choice and the sorted list; returns the first error, or None."""
        state = self.start()
        for step, choice in enumerate(choices):
            if self.subtask(state) is None:
                return f"step {step}: the list is sorted before it"
            if type(choice) is not int or choice != self.truth(state):
                return f"step {step}: of {' and '.join(map(str, _heads(state)))} the smaller is not {choice!r}"
            state = self.advance(state, choice)
        left = [number for run in state["runs"] for number in run]
        if finished and (self.subtask(state) is not None or left != sorted(self.numbers)):
            return "the run ends with a list that is not the sorted one"
        return None

    def rehearse(self, prompt: str) -> Rehearsal:
        """The smaller number, and as wrong answers the other one or a number that was not asked about."""
        asked = _ASKED.match(prompt)
        if asked is None:
            raise InputError("this is not a compact prompt of a sort")
        first, second = map(int, asked.groups())
        least, most = min(first, second), max(first, second)

        def answer(number: int) -> str:
            return f"smaller = {_aligned(number, len(asked[1]))}"

        return Rehearsal(answer(least), (answer(most if most > least else least + 1),))


def _heads(state: JsonObject) -> tuple[int, int]:
    first, second = state["runs"][:2]
    return first[0], second[0]


def compact_prompt(first: int, second: int) -> str:
    """The question in the fewest words: `-0005 or +1204`, both with a sign and as many digits."""
    width = 1 + len(str(max(abs(first), abs(second))))
    return f"{_aligned(first, width)} or {_aligned(second, width)}\n"


def _aligned(number: int, width: int) -> str:
    """A number with its sign and leading zeros, so that its places stand where another one's do."""
    return f"{number:+0{width}d}"


def full_prompt(first: int, second: int) -> str:
    """The question for a general chat model."""
    return f"""You carry out one step of sorting a list.

Which of these two integers is the smaller one? (Of two negative ones it is the one further from zero. If they are
equal, give that number.)

{first}
{second}

End your answer with exactly this line, filled in, and nothing after it:
smaller = the number"""


_NUMBER = re.compile(r"[+-]?[0-9]{1,13}(?!\.?[0-9])")


def parse(first: int, second: int, text: str) -> Json:
    """The number behind the last `smaller =`; flags one that is neither of the two."""
    number = int(labelled("smaller", _NUMBER, text))
    if number not in (first, second):
        raise RedFlag("the smaller number is neither of the two")
    return number


_ASKED = re.compile(r"^([+-][0-9]+) or ([+-][0-9]+)\s*$")
