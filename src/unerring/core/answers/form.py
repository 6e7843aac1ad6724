"""Forms of whole answers: how a prompt asks for one, how its text is read, and what value it gives."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from unerring.core.answers.annotations import FORMS, shape_of
from unerring.core.answers.choices import listed_choices
from unerring.core.answers.containers import AnyShape, OptionalShape
from unerring.core.answers.json_schema import SchemaShape
from unerring.core.answers.shape import PlainShape, Schema, Shape
from unerring.core.answers.tools import ToolCallsShape
from unerring.core.short_text import short
from unerring.core.voting.canonical import Json, NotJson, canonical
from unerring.core.voting.parsing import json_answer, lenient_json, without_wrapping
from unerring.core.voting.redflag import NullAnswer, RedFlag
from unerring.errors import InputError

T = TypeVar("T")
HOW_STRICT = "json", "lenient-json"  # how strictly answers are read


@dataclass(frozen=True, slots=True)
class AnswerForm(Generic[T]):
    """The form of an answer.

    parse: turns an answer's text into the choice, JSON data that is the same for equal values; raises `RedFlag`.
    value: turns a choice into the value.
    choice: turns a value into its choice; raises `TypeError` for a value of another form.
    text: writes a choice as an answer that `parse` accepts.
    others: some other choices than one, which the noise sampler gives as wrong answers.
    sentence: what the prompt says of the form, at its end; empty where the prompt says it itself.
    schema: the JSON schema that is sent to endpoints; None where the answer is not one JSON object, or the strict mode
        of endpoints cannot say it.
    nullable: whether null is an answer.
    """

    parse: Callable[[str], Json]
    value: Callable[[Json], T]
    choice: Callable[[Any], Json]
    text: Callable[[Json], str]
    others: Callable[[Json], tuple[Json, ...]]
    sentence: str
    schema: Schema | None
    nullable: bool


def answer_form(answer: Any, parse: str = HOW_STRICT[0]) -> AnswerForm[Any]:
    """The form of answers from what a person writes: a list of choices, a type, a JSON schema, or a function.

    With `parse="lenient-json"` an answer may also be in a Markdown fence, or after one `<think>` block.

    Raises `TypeError` or `ValueError` for what cannot be the form of an answer.
    """
    if parse not in HOW_STRICT:
        raise InputError(f"parse must be one of {', '.join(HOW_STRICT)}, not {parse!r:.40}")
    lenient = parse != HOW_STRICT[0]
    if isinstance(answer, list | tuple | set | frozenset | range):
        return _plain_form(listed_choices(answer), lenient)
    if isinstance(answer, Mapping):
        return _schema_form(answer, lenient)
    if callable(answer) and _is_function(answer):
        return _function_form(answer)
    if answer is None or isinstance(answer, str | int | float):
        raise TypeError(f"answer is {FORMS}; got {short(answer)}")
    shape = shape_of(answer)
    return _plain_form(shape, lenient) if isinstance(shape, PlainShape) else _json_form(shape, lenient)


def tools_form(shape: ToolCallsShape) -> AnswerForm[Any]:
    """The form of answers that are calls of tools; endpoints are sent the tools, so that no prompt describes them."""

    def read(text: str) -> Json:
        try:
            data = json_answer(text)
        except RedFlag:
            raise RedFlag(f"no tool is called; there are {shape.form}") from None
        return shape.read(data, "")

    return _form_of(shape, read, canonical, "", None, nullable=False)


def _is_function(answer: Any) -> bool:
    """Whether an answer is a function that parses, not a type such as `list[int]`, which can be called too."""
    return not isinstance(answer, type) and type(answer).__module__ not in {"typing", "types", "typing_extensions"}


def _plain_form(shape: PlainShape, lenient: bool) -> AnswerForm[Any]:
    """The form of answers that are plain text."""

    def read(text: str) -> Json:
        return shape.read_text(without_wrapping(text) if lenient else text)

    nullable = isinstance(shape, OptionalShape)
    end = "." if shape.asked.startswith("exactly") else f"{',' * (', or ' in shape.asked)} and nothing else."
    return _form_of(shape, read, shape.text, f"Answer with {shape.asked}{end}", None, nullable)


def _json_form(shape: Shape, lenient: bool, nullable: bool | None = None) -> AnswerForm[Any]:
    """The form of answers that are JSON."""
    if nullable is None:
        nullable = isinstance(shape, OptionalShape) or (isinstance(shape, AnyShape) and shape.takes_null)

    def read(text: str) -> Json:
        try:
            data = (lenient_json if lenient else json_answer)(text)
        except NullAnswer:
            if not nullable:
                raise
            data = None
        return shape.read(data, "")

    is_object = shape.schema is not None and shape.schema.get("type") == "object"
    sentence = f"Answer with {shape.asked_json}"
    return _form_of(shape, read, canonical, sentence, shape.schema if is_object else None, nullable)


def _schema_form(schema: Mapping[Any, Any], lenient: bool) -> AnswerForm[Any]:
    """The form of answers that a JSON schema describes."""
    if any(isinstance(one, type) for one in schema.values()):
        raise TypeError("a dict as an answer is a JSON schema; for named fields write a dataclass or a TypedDict")
    shape = SchemaShape(schema)
    return _json_form(shape, lenient, shape.takes_null)


def _function_form(parse: Callable[[str], Json]) -> AnswerForm[Any]:
    """The form of answers that a person's own function reads; the prompt says how they look."""
    any_data = AnyShape()
    return AnswerForm(parse, any_data.value, any_data.write, canonical, lambda _: (), "", None, nullable=False)


def _form_of(
    shape: Shape,
    read: Callable[[str], Json],
    text: Callable[[Json], str],
    sentence: str,
    schema: Schema | None,
    nullable: bool,
) -> AnswerForm[Any]:
    others = partial(_others, shape)
    return AnswerForm(partial(_read, read), shape.value, shape.write, text, others, sentence, schema, nullable)


def _read(read: Callable[[str], Json], text: str) -> Json:
    """The choice of a text; what is no JSON data in it is the fault of the answer."""
    try:
        choice = read(text)
        canonical(choice)
    except NotJson as error:
        raise RedFlag(str(error)) from None
    except RecursionError:
        raise RedFlag("the answer is nested too deeply") from None
    return choice


def _others(shape: Shape, choice: Json) -> tuple[Json, ...]:
    """Other choices, without those that the form does not take: a class's own checks may refuse them."""
    found = []
    for one in shape.others(choice):
        with suppress(RedFlag):
            found.append(shape.read(one, ""))
    return tuple(one for one in found if canonical(one) != canonical(choice))
