"""Shapes of single values: whole numbers, numbers, decimals, yes or no, texts, dates."""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from math import isfinite
from typing import Any, cast

from unerring.core.answers.shape import PlainShape, bare, fault, unfit, wrong_kind
from unerring.core.short_text import short
from unerring.core.voting.canonical import Json
from unerring.core.voting.redflag import RedFlag

MAX_DIGITS = 4000  # of a number; Python itself refuses to read whole numbers of more than 4,300
YES, NO = frozenset({"yes", "true"}), frozenset({"no", "false"})
_WHOLE = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")
_DECIMAL = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DATETIME = re.compile(
    rf"{_DATE.pattern}[T ][0-9]{{2}}:[0-9]{{2}}(:[0-9]{{2}}(\.[0-9]{{1,6}})?)?(Z|[+-][0-9]{{2}}:[0-9]{{2}})?"
)


def _number_text(text: str, form: re.Pattern[str], name: str) -> str:
    """The text of a number. A comma may be within a number or a decimal point, so that it is refused."""
    number = bare(text)
    if form.fullmatch(number) is None:
        hint = (
            "; its comma can be read in two ways"
            if re.fullmatch(r"[+-]?[0-9][0-9,.]*", number) and "," in number
            else ""
        )
        raise fault("", f"is {short(number)}, not {name}{hint}")
    if len(number) > MAX_DIGITS:
        raise fault("", f"has more than {MAX_DIGITS:,} digits")
    return number


class WholeShape(PlainShape):
    """Whole numbers."""

    form, asked = "whole number", "a whole number"

    def __init__(self) -> None:
        self.schema = {"type": "integer"}

    def read(self, data: Json, path: str) -> Json:
        """A number without a fraction, as 3 and 3.0 are."""
        if type(data) is int:
            return data
        if type(data) is float and data.is_integer():
            return int(data)
        raise wrong_kind(path, data, self.form)

    def read_text(self, text: str) -> Json:
        """Digits alone, with a sign or without."""
        return int(_number_text(text, _WHOLE, "a whole number"))

    def write(self, value: Any) -> Json:
        """The number."""
        if type(value) is not int:
            raise unfit(value, self.form)
        return value

    def text(self, choice: Json) -> str:
        """The digits."""
        return str(choice)

    def others(self, choice: Json) -> Iterable[Json]:
        """The two next numbers."""
        assert isinstance(choice, int)
        return choice + 1, choice - 1


class NumberShape(PlainShape):
    """Numbers as floats: 1.50 and 1.5 are the same."""

    form, asked = "number", "a number"

    def __init__(self) -> None:
        self.schema = {"type": "number"}

    def read(self, data: Json, path: str) -> Json:
        """A finite number."""
        if type(data) not in {int, float}:
            raise wrong_kind(path, data, self.form)
        try:
            number = float(cast(float, data))
        except OverflowError:
            raise fault(path, "is larger than any float") from None
        if not isfinite(number):
            raise fault(path, "is not a finite number")
        return int(number) if number.is_integer() else number

    def read_text(self, text: str) -> Json:
        """A number with a decimal point, an exponent, both or neither."""
        return self.read(float(_number_text(text, _NUMBER, "a number")), "")

    def write(self, value: Any) -> Json:
        """The number."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            raise unfit(value, self.form)
        return self.read(float(value), "")

    def value(self, choice: Json) -> float:
        """The number as a float."""
        return float(cast(float, choice))

    def text(self, choice: Json) -> str:
        """The number in as few digits as tell it apart."""
        return str(choice)

    def others(self, choice: Json) -> Iterable[Json]:
        """Numbers beside it."""
        near = self.value(choice)
        return [self.read(one, "") for one in (near * 2 + 1, near / 2 - 1) if isfinite(one) and one != near]


class DecimalShape(PlainShape):
    """Decimal numbers, exact: texts in JSON, where 1.50 and 1.5 are the same."""

    form, asked = "decimal number in quotes", "a number in decimal digits"

    def __init__(self) -> None:
        self.schema = {"type": "string"}

    def read(self, data: Json, path: str) -> Json:
        """A text of digits, or a number, which is then the float that it is in JSON."""
        if type(data) is int:
            return str(data) if abs(data) < 10**MAX_DIGITS else self._too_long(path)
        if type(data) is float and isfinite(data):
            return _plain_digits(Decimal(repr(data)))
        if isinstance(data, str) and len(data) <= MAX_DIGITS and _DECIMAL.fullmatch(data):
            return _plain_digits(Decimal(data))
        raise wrong_kind(path, data, self.form)

    def _too_long(self, path: str) -> str:
        raise fault(path, f"has more than {MAX_DIGITS:,} digits")

    def read_text(self, text: str) -> Json:
        """Digits with a decimal point or without."""
        return _plain_digits(Decimal(_number_text(text, _DECIMAL, "a number in decimal digits")))

    def write(self, value: Any) -> Json:
        """Its digits."""
        if not isinstance(value, Decimal) or not value.is_finite() or abs(value.adjusted()) > MAX_DIGITS:
            raise unfit(value, self.form)
        return _plain_digits(value)

    def value(self, choice: Json) -> Decimal:
        """The number."""
        return Decimal(cast(str, choice))

    def text(self, choice: Json) -> str:
        """The digits."""
        return cast(str, choice)

    def others(self, choice: Json) -> Iterable[Json]:
        """A number beside it."""
        digits = cast(str, choice)
        return (f"1{digits}" if digits[0] != "-" else digits[1:],)


def _plain_digits(number: Decimal) -> str:
    """The digits of a decimal number, without zeros that do not count. `normalize` would round to 28 digits."""
    digits = format(number, "f")
    if "." in digits:
        digits = digits.rstrip("0").removesuffix(".")
    digits = digits.removeprefix("+")
    return "0" if digits in {"-0", ""} else digits


class YesNoShape(PlainShape):
    """Truth values: yes and no as a whole answer, true and false in JSON."""

    form, asked = "true or false", "exactly one of: yes, no"

    def __init__(self) -> None:
        self.schema = {"type": "boolean"}

    def read(self, data: Json, path: str) -> Json:
        """JSON's true or false."""
        if type(data) is not bool:
            raise wrong_kind(path, data, self.form)
        return data

    def read_text(self, text: str) -> Json:
        """Yes, no, true or false."""
        word = bare(text).casefold()
        if word not in YES | NO:
            raise fault("", f"is {short(word)}, not yes or no")
        return word in YES

    def write(self, value: Any) -> Json:
        """The value."""
        if type(value) is not bool:
            raise unfit(value, self.form)
        return value

    def text(self, choice: Json) -> str:
        """Yes or no."""
        return "yes" if choice else "no"

    def others(self, choice: Json) -> Iterable[Json]:
        """The opposite."""
        return (not choice,)


class TextShape(PlainShape):
    """Texts; a whole answer is taken without the white space around it, and may not be empty."""

    form, asked = "text", "the text of the answer"

    def __init__(self) -> None:
        self.schema = {"type": "string"}

    def read(self, data: Json, path: str) -> Json:
        """A text as it is."""
        if not isinstance(data, str):
            raise wrong_kind(path, data, self.form)
        return data

    def read_text(self, text: str) -> Json:
        """The whole answer."""
        if not (found := text.strip()):
            raise RedFlag("the answer is empty")
        return found

    def write(self, value: Any) -> Json:
        """The text."""
        if not isinstance(value, str):
            raise unfit(value, self.form)
        return str.__str__(value)

    def text(self, choice: Json) -> str:
        """The text."""
        return cast(str, choice)

    def others(self, choice: Json) -> Iterable[Json]:
        """A text that differs."""
        return (f"not {choice}",)


class DateShape(PlainShape):
    """Dates, in the form of ISO 8601 alone: 03/04/2026 can be read in two ways."""

    form, asked = "date YYYY-MM-DD", "a date in the form YYYY-MM-DD"

    def __init__(self) -> None:
        self.schema = {"type": "string", "format": "date"}

    def read(self, data: Json, path: str) -> Json:
        """A text YYYY-MM-DD that is a date."""
        if not isinstance(data, str) or not _DATE.fullmatch(data):
            raise wrong_kind(path, data, self.form)
        try:
            return date.fromisoformat(data).isoformat()
        except ValueError as error:
            raise fault(path, f"is {short(data)}, which is no date: {error}") from None

    def read_text(self, text: str) -> Json:
        """A date alone."""
        return self.read(bare(text), "")

    def write(self, value: Any) -> Json:
        """Its text."""
        if not isinstance(value, date) or isinstance(value, datetime):
            raise unfit(value, self.form)
        return value.isoformat()

    def value(self, choice: Json) -> date:
        """The date."""
        return date.fromisoformat(cast(str, choice))

    def text(self, choice: Json) -> str:
        """Its text."""
        return cast(str, choice)

    def others(self, choice: Json) -> Iterable[Json]:
        """A day beside it."""
        day = self.value(choice)
        return ((day + timedelta(1 if day < date.max else -1)).isoformat(),)


class DatetimeShape(PlainShape):
    """Dates with a time, in the form of ISO 8601. One with an offset is the moment that it names, kept in UTC."""

    form, asked = "date and time YYYY-MM-DDTHH:MM:SS", "a date and time in the form YYYY-MM-DDTHH:MM:SS"

    def __init__(self) -> None:
        self.schema = {"type": "string"}

    def read(self, data: Json, path: str) -> Json:
        """A text that is a date with a time."""
        if not isinstance(data, str) or not _DATETIME.fullmatch(data):
            raise wrong_kind(path, data, self.form)
        try:
            return self._moment(datetime.fromisoformat(data))
        except (ValueError, OverflowError) as error:
            raise fault(path, f"is {short(data)}, which is no date and time: {error}") from None

    @staticmethod
    def _moment(moment: datetime) -> str:
        return (moment if moment.tzinfo is None else moment.astimezone(UTC)).isoformat()

    def read_text(self, text: str) -> Json:
        """A date and time alone."""
        return self.read(bare(text), "")

    def write(self, value: Any) -> Json:
        """Its text."""
        if not isinstance(value, datetime):
            raise unfit(value, self.form)
        return self._moment(value)

    def value(self, choice: Json) -> datetime:
        """The date and time."""
        return datetime.fromisoformat(cast(str, choice))

    def text(self, choice: Json) -> str:
        """Its text."""
        return cast(str, choice)

    def others(self, choice: Json) -> Iterable[Json]:
        """A day beside it."""
        moment = self.value(choice)
        return ((moment + timedelta(1 if moment.year < 9999 else -1)).isoformat(),)
