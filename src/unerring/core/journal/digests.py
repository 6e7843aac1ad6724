"""Digests of questions and identities of processes: compared between sessions to notice changes."""

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache, partial
from hashlib import blake2b
from typing import Any

from unerring.core.chain import Subtask
from unerring.core.checked_chain import MADE_WITH, CheckedChain
from unerring.core.journal.entries import digest_of
from unerring.core.short_text import MAX_SHORT_CHARS, shortened
from unerring.core.voting.canonical import Json, NotJson, canonical

SCRIPT_MODULE = "__main__"  # the module that a class belongs to which is defined in the script that runs
FUNCTION_PREFIX = "function "  # begins the name of a model that is a Python function; no name makes it again
DIGEST_PARTS = (("wording", 10), ("schema", 6), ("settings", 6))  # of a question's digest, and the hex digits of each
MAX_EXCERPT_CHARS = 50  # of a changed wording in a sentence
CHARS_BEFORE_DIFFERENCE = 20  # of such an excerpt
DIGEST_PREFIX = "digest "  # of an argument of which only the digest is kept


def question_digest(subtask: Subtask, request: str = "") -> str:
    """The digest of a question: its wordings, its schema, and the settings of its requests.

    `request` is the run's request settings, as JSON text. The digest has 22 hex digits. Each part has its own digits
    (`DIGEST_PARTS`), so that a difference can be named.
    """
    schema = "" if subtask.schema is None else subtask.schema_text(compact=False) or ""
    (_, of_wording), (_, of_schema), (_, of_settings) = DIGEST_PARTS
    texts = (subtask.prompt, subtask.compact, *subtask.paraphrases)
    each = ["null" if one is None else json.dumps(one) for one in texts]
    wordings = f"[{', '.join(each)}]"  # as json.dumps writes the list, in a fifth of its time
    return (
        _digest(wordings, of_wording)
        + _cached_digest(schema, of_schema)
        + _cached_digest(_settings(subtask, request), of_settings)
    )


def _settings(subtask: Subtask, request: str) -> str:
    """The settings of a question as text: all that it has apart from its wordings and its schema."""
    if not subtask.messages and not subtask.stop:
        sent = _without_messages(request)
    else:
        messages = [dict(one) for one in subtask.messages]
        sent = json.dumps([messages, list(subtask.stop), request], sort_keys=True)
    if subtask.tools:
        sent += subtask.tools_text(compact=False) or ""
    read = [subtask.shortlist, subtask.nullable, subtask.example, subtask.echo]
    return sent if read == [None, False, None, None] else sent + json.dumps(read)


@lru_cache(maxsize=64)  # most questions have none, and the same request settings
def _without_messages(request: str) -> str:
    return json.dumps([[], [], request])


def _digest(part: str, digits: int) -> str:
    return blake2b(part.encode("utf-8", "surrogatepass"), digest_size=digits // 2).hexdigest()


_cached_digest = lru_cache(maxsize=64)(_digest)  # for parts that are the same at nearly every step


def question_difference(before: str, now: str) -> str:
    """The parts in which two digests of questions differ, in words."""
    names, at = [], 0
    for name, digits in DIGEST_PARTS:
        if before[at : at + digits] != now[at : at + digits]:
            names.append(name)
        at += digits
    return " and ".join(names) or "digest"


def question_change(before: str, now: str, wordings: tuple[str, ...] | None, subtask: Subtask) -> str:
    """How a step's question changed since it was asked, as the end of a sentence.

    `before` and `now` are the digests, and `wordings` the former prompts, where the journal has them.
    """
    parts = question_difference(before, now)
    if "wording" not in parts:
        return f"its {parts} changed"
    shown = None if wordings is None else _wording_change(wordings, subtask)
    return f"its {parts} changed{f': {shown}' if shown else ' (edited, or has it chance, a clock or a file in it?)'}"


def _wording_change(before: tuple[str, ...], subtask: Subtask) -> str | None:
    """The first difference between the former prompts and the present ones; None where they are the same."""
    asked = subtask.wordings(False), subtask.wordings(True)
    if before in asked:
        return None
    now = max(asked, key=lambda one: len(_common_start(before[0], one[0])))
    if len(now) != len(before):
        return f"{len(before)} of them, now {len(now)}"
    was, is_now = next((was, is_now) for was, is_now in zip(before, now, strict=True) if was != is_now)
    start = len(_common_start(was, is_now)) - CHARS_BEFORE_DIFFERENCE
    return f"{_excerpt(was, start)} is now {_excerpt(is_now, start)}"


def _common_start(one: str, other: str) -> str:
    """The longest text that both texts begin with."""
    same = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        same += 1
    return one[:same]


def _excerpt(text: str, start: int) -> str:
    """A part of a text in quotes, with control characters escaped."""
    start = max(0, start) if len(text) > MAX_EXCERPT_CHARS else 0
    part = text[start : start + MAX_EXCERPT_CHARS]
    return f'"{"…" * (start > 0)}{repr(part)[1:-1]}{"…" * (start + len(part) < len(text))}"'


def identity_of(chain: CheckedChain) -> dict[str, Json]:
    """Identify a process by its version and constructor arguments.

    Where there is no `parameters()`, arguments are read from attributes of the same name; if one has no such
    attribute, from all attributes. Numbers are kept as they are, other values as digests.
    """
    identity: dict[str, Json] = {}
    version = chain.version
    if version is not None and not callable(version):
        identity["version"] = version if isinstance(version, str | int | float) else _value_or_digest(version)
    if not chain.has_parameters and (arguments := _arguments(chain.original)):
        identity["arguments"] = arguments
    if chain.function is not None and (held := _held(chain.function.function)):
        identity["arguments"] = held
    return identity


def _held(function: Any) -> dict[str, Json]:
    """What a function has besides the arguments of its call: those of a `functools.partial`, the object of a method.

    It is no parameter of the run, as it need not be JSON data: the function's name alone does not make it again.
    """
    values: dict[str, Json] = {}
    if isinstance(function, partial):
        given = inspect.signature(function.func).bind_partial(*function.args, **function.keywords).arguments
        values = {name: _value_or_digest(value) or "an object" for name, value in given.items()}
        function = function.func
    owner = getattr(function, "__self__", None)
    return values if owner is None or isinstance(owner, type) else _arguments(owner) | values


def _arguments(chain: object) -> dict[str, Json]:
    """The constructor's arguments by name; all attributes where one of the arguments has no attribute of its name."""
    try:
        names = list(inspect.signature(type(chain)).parameters)
    except (TypeError, ValueError):  # a class of C, or one without a signature
        return {}
    attributes = _attributes(chain)
    values = {name: attributes[held] for name in names for held in (name, f"_{name}") if held in attributes}
    if len({*names} - values.keys()) > 0:
        values |= {held: value for held, value in attributes.items() if held.lstrip("_") not in values}
    return {name: kept for name, value in sorted(values.items()) if (kept := _value_or_digest(value)) is not None}


def _attributes(chain: object) -> dict[str, object]:
    """An object's attributes by name, with those of slots and private ones of its class."""
    mangled = re.compile(rf"_{type(chain).__name__.lstrip('_')}__")
    slots = (name for kind in type(chain).__mro__ for name in getattr(kind, "__slots__", ()))
    held = {name: getattr(chain, name) for name in slots if hasattr(chain, name)} | getattr(chain, "__dict__", {})
    return {mangled.sub("", name): value for name, value in held.items() if name != MADE_WITH}


def _value_or_digest(value: object) -> Json:
    """A number as it is, or the digest of any other value: it may be a secret. None where its text varies."""
    if isinstance(value, int | float):
        return repr(value)
    try:
        text = canonical(value)  # type: ignore[arg-type]
    except NotJson:
        text = repr(value)
        if " at 0x" in text or isinstance(value, set | frozenset):  # where it lies in memory, or any order
            return None
    return f"{DIGEST_PREFIX}{digest_of(text)}"


def differences(before: Mapping[str, Json], now: Mapping[str, Json], what: str) -> Iterator[str]:
    """The differences between two sets of named values, a sentence each: "its parameter rows was 9 and is 8"."""
    for name in sorted(before.keys() | now.keys()):
        if name not in now:
            yield f"its {what} {name} is gone"
        elif name not in before:
            yield f"its {what} {name} was not there"
        elif canonical(before[name]) != canonical(now[name]):
            was, now_is = _short_value(before[name]), _short_value(now[name])
            hidden = was.startswith(DIGEST_PREFIX) or now_is.startswith(DIGEST_PREFIX)
            yield f"its {what} {name} changed" if hidden else f"its {what} {name} was {was} and is {now_is}"


def identity_differences(before: Mapping[str, Json] | None, now: Mapping[str, Json] | None) -> Iterator[str]:
    """The differences between two identities; nothing where the first was not kept."""
    if before is None:
        return
    now = now or {}
    if before.get("version") != now.get("version"):
        yield f"its version was {_short_value(before.get('version'))} and is {_short_value(now.get('version'))}"
    were, are = before.get("arguments"), now.get("arguments")
    yield from differences(
        were if isinstance(were, dict) else {}, are if isinstance(are, dict) else {}, "constructor's argument"
    )


def same_process(one: str, other: str) -> bool:
    """Whether two names may be of one process: a class of a script has another module when it is imported."""
    if one == other:
        return True
    (module, colon, name), (other_module, _, other_name) = one.partition(":"), other.partition(":")
    return bool(colon) and name == other_name and SCRIPT_MODULE in {module, other_module}


def _short_value(value: Json) -> str:
    return shortened(value if isinstance(value, str) else canonical(value), MAX_SHORT_CHARS)
