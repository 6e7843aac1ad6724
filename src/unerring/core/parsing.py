"""Parsers for answers, hardened against whatever a model may write."""

import json
import re
from functools import cache
from math import isfinite
from typing import NoReturn

from unerring.core.redflag import NullAnswer, RedFlag
from unerring.core.vote import Json


def json_answer(text: str) -> Json:
    """Read an answer that is JSON and nothing else; use it as a subtask's `parse`.

    Raises `RedFlag` for any other text, for NaN and infinities, for a key given twice, and for absurd nesting or
    numbers; and for null, which is an answer only to a question that says so (`Subtask.nullable`).
    """
    try:
        value: Json = json.loads(text, parse_constant=_refuse, parse_float=_finite, object_pairs_hook=_distinct)
    except (ValueError, RecursionError) as error:
        raise RedFlag(f"the answer is not JSON: {error}") from None
    if value is None:
        raise NullAnswer
    return value


def labelled(name: str, form: re.Pattern[str], text: str) -> str:
    """What stands behind the last `name =` of an answer, by its form.

    Raises `RedFlag` where that is not in form, whatever stood behind an earlier one.
    """
    places = [found.end() for found in _label(name).finditer(text)]
    if not places:
        raise RedFlag(f"no {name} in the answer")
    value = form.match(text, places[-1])
    if value is None:
        raise RedFlag(f"the {name} is not written as asked for")
    return value[0]


@cache
def _label(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(name)}\s*=\s*")


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    return number if isfinite(number) else _refuse(text)


def _distinct(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is given twice")
    return found
