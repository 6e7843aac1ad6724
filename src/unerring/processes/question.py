"""The process of one question: a single step, whose choice is the answer (`unerring ask`)."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from unerring.core.answers.ask import make_ask
from unerring.core.answers.form import HOW_STRICT
from unerring.core.chain import Chain, Subtask
from unerring.core.functions.awaitables import Ask
from unerring.core.suggestions import did_you_mean
from unerring.core.voting.canonical import Json
from unerring.errors import InputError

ANSWER_TYPES: dict[str, type] = {
    "text": str,
    "int": int,
    "float": float,
    "decimal": Decimal,
    "bool": bool,
    "date": date,
    "datetime": datetime,
}
"""Types of answers by the names that journals and the command line have for them."""


class OneQuestion(Chain[list[Json], Json]):
    """A process of one step.

    ask: the question.
    """

    def __init__(  # noqa: PLR0913, PLR0917  (one parameter for each part of a question)
        self,
        prompt: str,
        answer: Json = "text",
        parse: str = HOW_STRICT[0],
        system: str | None = None,
        messages: Sequence[Mapping[str, str]] = (),
        stop: Sequence[str] = (),
        paraphrases: Sequence[str] = (),
        show_form: bool = True,
        schema: bool = True,
    ) -> None:
        """`answer` is the name of a type, a list of choices, or a JSON schema; the rest is as in `unerring.ask`."""
        given = {
            "answer": answer,
            "parse": parse,
            "system": system,
            "messages": [dict(one) for one in messages],
            "stop": [*stop],
            "paraphrases": [*paraphrases],
            "show_form": show_form,
            "schema": schema,
        }
        self._parameters: dict[str, Any] = {name: value for name, value in given.items() if value != _USUAL[name]}
        try:
            self.ask: Ask[Any] = make_ask(prompt, **{**given, "answer": answer_type(answer)})
        except (TypeError, ValueError) as error:
            raise InputError(str(error)) from None
        self._parameters["prompt"] = prompt

    def parameters(self) -> dict[str, Json]:
        return dict(self._parameters)

    def length(self) -> int:
        """One step."""
        return 1

    def start(self) -> list[Json]:
        return []

    def subtask(self, state: list[Json]) -> Subtask | None:
        return None if state else self.ask.subtask

    def advance(self, state: list[Json], choice: Json) -> list[Json]:
        self.ask.value(choice)  # raises for one of another form
        return [choice]

    def answer(self, state: list[Json]) -> Json:
        """The choice that was decided."""
        return state[0] if state else None


_USUAL: dict[str, Any] = {
    "answer": "text",
    "parse": HOW_STRICT[0],
    "system": None,
    "messages": [],
    "stop": [],
    "paraphrases": [],
    "show_form": True,
    "schema": True,
}


def answer_type(answer: Json) -> Any:
    """The form of an answer, as `unerring.ask` takes it, that JSON data names."""
    if not isinstance(answer, str):
        return answer
    if answer not in ANSWER_TYPES:
        raise InputError(f"an answer is one of {', '.join(ANSWER_TYPES)}{did_you_mean(answer, ANSWER_TYPES) or '.'}")
    return ANSWER_TYPES[answer]


def named_answer(answer: Any) -> Json:
    """The JSON data that names a form of answers; None where none does, as for a class of a person's own."""
    if isinstance(answer, Mapping):
        return dict(answer)
    if isinstance(answer, list | tuple) and all(type(one) in {str, int, float, bool} for one in answer):
        return [*answer]
    return next((name for name, kind in ANSWER_TYPES.items() if kind is answer), None)
