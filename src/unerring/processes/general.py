"""Roles for chat models, which split and solve any problem that can be put in words.

Only the last line of an answer is read, which is JSON; other answers are red-flagged. Endpoints that can hold a model
to a JSON schema are sent one: there the whole answer is one object, with a field for thoughts.
"""

import re
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from unerring.core.chain import Subtask
from unerring.core.tree import ComposedAnswer
from unerring.core.voting.canonical import Json, canonical
from unerring.core.voting.parsing import json_answer, parser_named
from unerring.core.voting.redflag import RedFlag

REPLY_PARSERS = "json", "lenient-json"  # names of parsers that may read the roles' replies
Read: TypeAlias = Callable[[str], Json]


class General:
    """The general roles.

    linear: whether problems are split into steps that follow each other (see `Roles`).
    parse: how strictly replies are read: `json`, or `lenient-json`.
    """

    def __init__(self, linear: bool = False, parse: str = REPLY_PARSERS[0]) -> None:
        self.linear = linear
        self._read = parser_named(parse, REPLY_PARSERS)

    def split(self, problem: str) -> Subtask:
        how, example = (_STEPS, _STEPS_EXAMPLE) if self.linear else (_PARTS, _PARTS_EXAMPLE)
        parse = partial(parse_split, read=self._read)
        return Subtask(f"{how}\n\nThe problem:\n{problem}", parse, schema=_SPLIT_SCHEMA, example=example)

    def solve(self, problem: str, before: Json) -> Subtask:
        asked = f"{_SOLVE}\n\nThe problem:\n{problem}"
        if before is not None:
            asked += f"\n\nThe answer of the step before, which this one starts from:\n{_answer_text(before)}"
        return Subtask(asked, partial(parse_answer, read=self._read), schema=_ANSWER_SCHEMA, example=_ANSWER_EXAMPLE)

    def compose(self, problem: str, how: str, parts: list[str], answers: list[Json]) -> Subtask | ComposedAnswer:
        solved = "\n".join(
            f"- {part}\n  answer: {_answer_text(answer)}" for part, answer in zip(parts, answers, strict=True)
        )
        asked = f"{_COMPOSE}\n\nThe problem:\n{problem}\n\nIts parts:\n{solved}\n\nThe plan:\n{how}"
        return Subtask(asked, partial(parse_answer, read=self._read), schema=_ANSWER_SCHEMA, example=_WHOLE_EXAMPLE)

    def judge(self, problem: str, candidates: list[Json]) -> Subtask:
        listed = "\n".join(f"{number}. {canonical(one)}" for number, one in enumerate(candidates, start=1))
        return Subtask(
            f"{_JUDGE}\n\nThe problem:\n{problem}\n\nThe candidates:\n{listed}",
            partial(parse_choice, read=self._read),
            schema=_CHOICE_SCHEMA,
        )


# Examples in the prompts, which no answer may repeat, except for "one after the other".
_PARTS_EXAMPLE = '{"parts": ["first smaller problem", "second smaller problem"], "how": "how the answers go together"}'
_STEPS_EXAMPLE = '{"parts": ["first step", "second step"]}'
_ANSWER_EXAMPLE = '{"answer": "the answer"}'
_WHOLE_EXAMPLE = '{"answer": "the answer to the whole problem"}'

_PARTS = """You plan how a problem is solved; you do not solve it.

Split it into at least two smaller problems, and say how the answer follows from theirs. Each must be solvable without
the others' answers, and say in its own words all that is needed for it. If the problem is so small that it can be
answered in one simple step, do not split it.

End with exactly one line of JSON, and nothing after it. Either
{"parts": ["first smaller problem", "second smaller problem"], "how": "how the answers go together"}
or, for a problem that is small enough,
{"parts": []}"""

_STEPS = """You plan how a problem is solved; you do not solve it.

Split it into a list of single, simple steps. They are carried out one after the other, each by somebody who sees only
the words of that step and the answer of the step before, so say in each what it needs; the last one's answer is the
answer to the problem. If one simple step is enough, do not split it.

End with exactly one line of JSON, and nothing after it. Either
{"parts": ["first step", "second step"], "how": "one after the other"}
or, for a problem of one step,
{"parts": []}"""

_SOLVE = """Solve the problem. Think it through if you like.

End with exactly one line of JSON, and nothing after it:
{"answer": the answer}
The answer is a number, a text or a list of these, in its shortest form: no units, no explanation."""

_COMPOSE = """A problem was split into parts, and these are solved. Put their answers together by the plan.

End with exactly one line of JSON, and nothing after it:
{"answer": the answer to the whole problem}
The answer is a number, a text or a list of these, in its shortest form: no units, no explanation."""

_JUDGE = """Others have proposed different ways to go on with a problem, or different answers. Choose the best one:
right in every detail, complete, and as simple as it can be.

End with exactly one line of JSON, and nothing after it:
{"choice": the number of the candidate}"""


def _schema(**fields: Json) -> dict[str, Json]:
    """The schema of an object with these fields and, before them, one for thoughts.

    Strict endpoints want every field to be required.
    """
    properties: dict[str, Json] = {"thoughts": {"type": "string"}, **fields}
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


_ONE: list[Json] = [{"type": "number"}, {"type": "string"}]
_SPLIT_SCHEMA = _schema(parts={"type": "array", "items": {"type": "string"}}, how={"type": "string"})
_ANSWER_SCHEMA = _schema(answer={"anyOf": [*_ONE, {"type": "array", "items": {"anyOf": _ONE}}]})
_CHOICE_SCHEMA = _schema(choice={"type": "integer"})


def _answer_text(answer: Json) -> str:
    return answer if isinstance(answer, str) else canonical(answer)


def last_json_object(text: str, read: Read = json_answer) -> dict[str, Any]:
    """The JSON object at the end of an answer, without its thoughts; raises `RedFlag` for other answers.

    The last line may be in a Markdown fence. `read` parses an answer that is one object as a whole.
    """
    try:
        value = read(text.strip())
    except RedFlag:
        value = json_answer(_last_line(text))
    if not isinstance(value, dict):
        raise RedFlag("the last line is no JSON object")
    return {name: part for name, part in value.items() if name != "thoughts"}


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.strip().splitlines()]
    while lines and (not lines[-1] or lines[-1] == "```"):
        lines.pop()
    return lines[-1] if lines else ""


def _only(text: str, name: str, read: Read) -> Json:
    value = last_json_object(text, read)
    if set(value) != {name}:
        raise RedFlag(f"the last line has other names than {name!r}")
    found: Json = value[name]
    return found


def parse_split(text: str, read: Read = json_answer) -> Json:
    """The split in an answer; only its form is checked here."""
    value = last_json_object(text, read)
    if value.get("parts") == [] and set(value) <= {"parts", "how"}:
        return {"parts": []}
    if set(value) != {"parts", "how"}:
        raise RedFlag("the last line has other names than parts and how")
    return value


_WHOLE = re.compile(r"[+-]?[0-9]{1,4000}|[+-]?[0-9]{1,3}(,[0-9]{3})+")


def parse_answer(text: str, read: Read = json_answer) -> Json:
    """The answer in canonical form: whole numbers as numbers, texts without needless blanks."""
    return canonical_answer(_only(text, "answer", read))


def canonical_answer(value: Json) -> Json:
    """An answer's canonical form, which stays the same when it is made again; raises `RedFlag` for empty answers."""
    if isinstance(value, list):
        return [canonical_answer(item) for item in value]
    if isinstance(value, dict):
        return {name: canonical_answer(item) for name, item in value.items()}
    if value is None or value == "":
        raise RedFlag("the answer is empty")
    if not isinstance(value, str):
        return value
    text = " ".join(value.split())
    if not text:
        raise RedFlag("the answer is empty")
    return int(text.replace(",", "")) if _WHOLE.fullmatch(text) else text


def parse_choice(text: str, read: Read = json_answer) -> Json:
    """The place of the chosen candidate, from 0; raises `RedFlag` for an answer without a number."""
    number = _only(text, "choice", read)
    if type(number) is not int:
        raise RedFlag("the choice is no number")
    return number - 1
