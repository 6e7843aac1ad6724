"""Shapes: how one kind of value is written in an answer, and read back."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

from unerring.core.short_text import short
from unerring.core.voting.canonical import Json
from unerring.core.voting.redflag import RedFlag

Schema = dict[str, Json]
_QUOTES = {'"': '"', "'": "'", "`": "`", "\u201c": "\u201d", "\u2018": "\u2019"}


class Shape(ABC):
    """How one kind of value is written as JSON data, and read back.

    form: how a prompt describes it, such as "whole number".
    schema: the JSON schema of its data, with which an endpoint can hold a model to it; None where none does exactly
        that in the strict mode of endpoints, where an object has all of its keys and no others.
    """

    form: str
    schema: Schema | None = None

    @property
    def asked_json(self) -> str:
        """What follows "Answer with" in a prompt where the whole answer is JSON."""
        kind = {"{": "one JSON object", "[": "one JSON array"}.get(self.form[:1], "JSON")
        return f"{kind} of this form and nothing else:\n{self.form}"

    @abstractmethod
    def read(self, data: Json, path: str) -> Json:
        """The choice of JSON data, the same for equal values; raises `RedFlag` with the path of a fault."""

    @abstractmethod
    def write(self, value: Any) -> Json:
        """The choice of a value; raises `TypeError` for a value of another kind."""

    def value(self, choice: Json) -> Any:
        """The value of a choice."""
        return choice

    def others(self, choice: Json) -> Iterable[Json]:
        """Some other choices, which the noise sampler gives as wrong answers; none where there is no obvious one."""
        return ()


class PlainShape(Shape):
    """A shape whose values are written as plain text where they are the whole answer.

    asked: what follows "Answer with" in a prompt.
    """

    asked: str

    @abstractmethod
    def read_text(self, text: str) -> Json:
        """The choice that an answer's text stands for; raises `RedFlag` for other texts."""

    @abstractmethod
    def text(self, choice: Json) -> str:
        """The text of a choice."""


def fault(path: str, said: str) -> RedFlag:
    """The red flag of a part of an answer: `said` follows its path, as in "is missing"."""
    return RedFlag(f"{path or 'the answer'} {said}")


def wrong_kind(path: str, data: object, form: str) -> RedFlag:
    """The red flag of a part of an answer that is of another kind than asked for."""
    return fault(path, f"is {json_word(data)}, not of the form: {form}")


def unfit(value: object, form: str) -> TypeError:
    """The error of a value, such as a guess, that is not of the form of the answer."""
    return TypeError(f"{short(value)} is not of the form of the answer: {form:.80}")


def json_word(data: object) -> str:
    """A value of JSON in a few words, for messages."""
    match data:
        case None:
            return "null"
        case bool():
            return "true" if data else "false"
        case list():
            return f"an array of {len(data):,}"
        case dict():
            return "an object"
        case _:
            return short(data)


def inner(path: str, key: str | int) -> str:
    """The path of an item or a field within a path."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{key:.40}" if path else f"{key:.40}"


def bare(text: str) -> str:
    """A short answer without what does not belong to it: white space around it, quotes, and a final period."""
    text = text.strip().removesuffix(".").rstrip()
    if len(text) > 1 and text[0] in _QUOTES and text[-1] == _QUOTES[text[0]]:
        text = text[1:-1].strip().removesuffix(".").rstrip()
    return text
