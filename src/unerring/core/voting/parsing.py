"""Parsers for answers: JSON, JSON in a fence or after thoughts, or plain text; anything else raises a red flag."""

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from math import isfinite
from typing import NoReturn

from unerring.core.voting.canonical import Json
from unerring.core.voting.redflag import NullAnswer, RedFlag
from unerring.errors import InputError

MAX_CACHE_ENTRIES = 256  # examples and names of fields: a process may have new ones at each step


def json_answer(text: str) -> Json:
    """Read an answer that is JSON and nothing else; use it as a subtask's `parse`.

    Raises `RedFlag` for any other text, for NaN and infinities, for a key given twice, for extreme nesting or numbers,
    and for null, which is an answer only to a question that allows it (`Subtask.nullable`).
    """
    try:
        value = strict_json(text)
    except ValueError as error:
        raise RedFlag(f"the answer is not JSON: {error}") from None
    if value is None:
        raise NullAnswer
    return value


def strict_json(text: str) -> Json:
    """Read JSON and nothing else: no NaN or infinity, no key given twice. Raises `ValueError` with what is wrong."""
    try:
        value: Json = json.loads(
            text, parse_constant=_refuse_constant, parse_float=_finite_number, object_pairs_hook=_distinct_keys
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except json.JSONDecodeError:
        raise
    except ValueError as error:
        if "integer string conversion" in str(error):  # Python's own words, which advise to change the interpreter
            raise ValueError(f"a whole number in it has more than {sys.get_int_max_str_digits():,} digits") from None
        raise
    return value


def lenient_json(text: str) -> Json:
    """Read JSON like `json_answer`, also in one Markdown fence, or after one leading `<think>` block.

    Any other words before, between or after raise `RedFlag`, with a message that says where they are.
    """
    return json_answer(without_wrapping(text))


def without_wrapping(text: str) -> str:
    """The answer in one Markdown fence, or after one leading `<think>` block; raises `RedFlag` for words around it."""
    return _unfenced(_after_thoughts(text.strip()))


def _after_thoughts(text: str) -> str:
    """The text after one leading block of thoughts."""
    opening, closing = "<think>", "</think>"
    if not text.startswith(opening):
        return _check_thoughts(opening, closing, text)
    _, closed, answer = text.partition(closing)
    if not closed:
        raise RedFlag("the <think> block does not end")
    return _check_thoughts(opening, closing, answer.strip())


def _check_thoughts(opening: str, closing: str, text: str) -> str:
    """Return the text; raise `RedFlag` where thoughts begin a second time, or end without a beginning."""
    if text.startswith(opening):
        raise RedFlag("there is a second <think> block")
    if closing in text and not text.startswith(tuple('{["`')):  # within an answer it is the answer's own text
        raise RedFlag("a </think> ends thoughts that did not begin")
    return text


def _unfenced(text: str) -> str:
    """The content of a fence that is the whole text; a text without a fence as it is."""
    if "```" not in text or text.startswith(tuple('{["')):
        return text
    if not text.startswith("```"):
        raise RedFlag("there are words before the fence")
    first, _, inside = text.partition("\n")
    language = first.removeprefix("```").strip()
    if language.lower() not in {"", "json"}:
        raise RedFlag(f"the fence begins with {language[:20]!r}, which is neither JSON nor the end of the line")
    if "```" not in inside:
        raise RedFlag("the fence does not end")
    if not inside.endswith("```"):
        raise RedFlag("there is more after the fence")
    return inside.removesuffix("```")


def text_answer(text: str) -> Json:
    """Read an answer as it is written, without the white space around it; an empty one raises `RedFlag`."""
    answer = text.strip()
    if not answer:
        raise RedFlag("the answer is empty")
    return answer


PARSERS: dict[str, Callable[[str], Json]] = {"json": json_answer, "lenient-json": lenient_json, "text": text_answer}


def parser_named(name: object, among: Iterable[str] = PARSERS) -> Callable[[str], Json]:
    """The parser of a name, as in `--parse lenient-json`; raises `InputError` for a name that is not in `among`."""
    if not isinstance(name, str) or name not in among:
        raise InputError(f"parse must be one of {', '.join(among)}, not {name!r}")
    return PARSERS[name]


def repeats_example(example: str, text: str, choice: Json) -> str | None:
    """The text that an answer copied from the example in its prompt; None where nothing was copied.

    That is the whole example at the end of the answer; or, where the example is JSON, one of its strings among the
    strings of the choice, ignoring case and white space.
    """
    answer, whole = _normalized(text), _normalized(example)
    if whole and (answer == whole or answer.endswith(f" {whole}")):
        return example
    shown = _example_texts(example)
    return next((one for one in _texts(choice) if _normalized(one) in shown), None) if shown else None


@lru_cache(MAX_CACHE_ENTRIES)
def _example_texts(example: str) -> frozenset[str]:
    try:
        value: Json = json.loads(example)
    except (ValueError, RecursionError):
        return frozenset()
    return frozenset(filter(None, map(_normalized, _texts(value))))


def _texts(value: Json) -> Iterator[str]:
    """Every string in a value, apart from keys."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for item in value if isinstance(value, list) else value.values():
            yield from _texts(item)


def _normalized(text: str) -> str:
    """A text without what copies of it may differ in: case, white space, marks at its ends."""
    return " ".join(text.split()).casefold().strip(" .…<>\"'`")


def labelled(name: str, form: re.Pattern[str], text: str) -> str:
    """The value after the last `name =` of an answer.

    Raises `RedFlag` where there is none, or where it does not match `form`, whatever earlier ones are.
    """
    places = [found.end() for found in _label(name).finditer(text)]
    if not places:
        raise RedFlag(f"no {name} in the answer")
    value = form.match(text, places[-1])
    if value is None:
        raise RedFlag(f"the {name} is not written as asked for")
    return value[0]


@lru_cache(MAX_CACHE_ENTRIES)
def _label(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(name)}\s*=\s*")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite_number(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError(f"no number is as large as {text[:20]}")
    return number


def _distinct_keys(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for number, key in enumerate(keys) if key in keys[:number])
        raise ValueError(f"a key is given twice: {twice[:40]!r}")
    return found
