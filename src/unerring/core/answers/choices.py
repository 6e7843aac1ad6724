"""The shape of answers that are one of several: choices that are listed, members of an enum, `Literal`."""

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Any, cast

from unerring.core.answers.atoms import NumberShape
from unerring.core.answers.shape import PlainShape, Schema, bare, fault, json_word, unfit
from unerring.core.short_text import short
from unerring.core.voting.canonical import Json, canonical
from unerring.core.voting.redflag import RedFlag

MAX_NAMED_CHOICES = 12  # in the message of a red flag


class ChoicesShape(PlainShape):
    """One of several values.

    Case, white space, quotes and a final period do not matter where only one choice is meant: of "A" and "a" an answer
    must be exactly one.
    """

    def __init__(self, choices: Sequence[Json], values: Sequence[Any]) -> None:
        """Each choice stands for the value in the same place."""
        self._choices = list(choices)
        self._values = list(values)
        self._by_canonical = {canonical(one): place for place, one in enumerate(self._choices)}
        texts = [self.text(one) for one in self._choices]
        if len({*texts}) < len(texts):
            twice = next(one for one in texts if texts.count(one) > 1)
            raise ValueError(f"the choice {short(twice)} is given twice")
        if any(not one.strip() for one in texts):
            raise ValueError("a choice is an empty text")
        self._by_text = dict(zip(texts, self._choices, strict=True))
        self._by_key: dict[str, list[Json]] = {}
        for text, choice in self._by_text.items():
            self._by_key.setdefault(_key(text), []).append(choice)
        quote = '"' if any("," in one or len(one.splitlines()) > 1 for one in texts) else ""  # else a, b is one or two
        shown = ", ".join(f"{quote}{one}{quote}" for one in texts)
        self.asked = f"exactly one of: {shown}"
        self.form = " | ".join(canonical(one) for one in self._choices)
        kind: Schema = {"type": "string"} if all(isinstance(one, str) for one in self._choices) else {}
        self.schema = {**kind, "enum": self._choices}
        self._named = ", ".join(texts[:MAX_NAMED_CHOICES]) + ", ..." * (len(texts) > MAX_NAMED_CHOICES)

    def read(self, data: Json, path: str) -> Json:
        """A choice as JSON data; a text as in a whole answer."""
        if isinstance(data, str):
            return self._meant(data, path, texts_alone=True)
        if isinstance(data, list | dict) or canonical(data) not in self._by_canonical:
            raise fault(path, f"is {json_word(data)}, none of: {self._named}")
        return self._choices[self._by_canonical[canonical(data)]]

    def read_text(self, text: str) -> Json:
        """A choice as text."""
        return self._meant(text, "", texts_alone=False)

    def _meant(self, text: str, path: str, texts_alone: bool) -> Json:
        """The choice that a text means; with `texts_alone` numbers and truth values are not written as texts."""
        exact, key = self._by_text.get(text.strip()), _key(text)
        found: list[Json] = [exact] if exact is not None else self._by_key.get(key, []) if key else []
        found = found or [one for one in self._choices if _is_number(one) and _same_number(text, one)]
        if texts_alone:
            found = [*filter(_is_text, found)]
        if len(found) > 1:
            raise fault(path, f"is {short(text)}, which may mean any of: {', '.join(map(self.text, found))}")
        if not found:
            raise fault(path, f"is {short(text.strip())}, none of: {self._named}")
        return found[0]

    def write(self, value: Any) -> Json:
        """The choice of a value."""
        for choice, one in zip(self._choices, self._values, strict=True):
            if type(one) is type(value) and one == value:
                return choice
        raise unfit(value, self._named)

    def value(self, choice: Json) -> Any:
        """The value of a choice."""
        return self._values[self._by_canonical[canonical(choice)]]

    def text(self, choice: Json) -> str:
        """A text as it is, another choice as JSON."""
        return choice if isinstance(choice, str) else canonical(choice)

    def others(self, choice: Json) -> Iterable[Json]:
        """The other choices."""
        return [one for one in self._choices if canonical(one) != canonical(choice)]


def _key(text: str) -> str:
    return " ".join(bare(text).split()).casefold()


def _is_text(choice: Json) -> bool:
    return isinstance(choice, str)


def _is_number(choice: Json) -> bool:
    return type(choice) in {int, float}


def _same_number(text: str, choice: Json) -> bool:
    try:
        return NumberShape().read_text(text) == choice
    except RedFlag:
        return False


def listed_choices(given: Iterable[Any], least: int = 2) -> ChoicesShape:
    """The shape of choices that a person lists, `least` or more: texts, numbers, truth values, members of an enum."""
    choices = list(given)
    if isinstance(given, set | frozenset):  # in an order that is the same in every process
        choices.sort(
            key=lambda one: (type(one).__name__, one) if isinstance(one, str) else (type(one).__name__, repr(one))
        )
    for one in choices:
        if isinstance(one, type) or one is None or not isinstance(one, str | int | float | bool | Enum):
            hint = f"; for an array of them write list[{one.__name__}]" if isinstance(one, type) else ""
            raise TypeError(f"a choice is a text, a number, True or False, not {short(one)}{hint}")
    if len(choices) < least:
        raise ValueError(f"an answer has two choices or more; got {short(choices)}")
    return ChoicesShape([_choice(one) for one in choices], choices)


def enum_shape(kind: type[Enum]) -> ChoicesShape:
    """The shape of an enum's members: by their values where all of these are texts, else by their names."""
    members = list(kind)
    if not members:
        raise TypeError(f"{kind.__name__} has no members to choose from")
    return ChoicesShape([_choice(one) for one in members], members)


def _choice(one: Any) -> Json:
    """The choice of a listed value or a member of an enum."""
    if not isinstance(one, Enum):
        return str.__str__(one) if isinstance(one, str) else cast(Json, one)
    by_value = all(isinstance(member.value, str) for member in type(one))
    return str.__str__(one.value) if by_value else one.name
