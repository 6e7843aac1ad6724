"""Digests of questions and identities of processes, compared to notice what changed between two sessions."""

import inspect
import json
from collections.abc import Iterator, Mapping
from hashlib import blake2b

from unerring.core.entries import digest_of
from unerring.core.process import Chain, Subtask
from unerring.core.shortening import shortened
from unerring.core.vote import Json, NotJson, canonical

SCRIPT = "__main__"  # the module that a class belongs to which is defined in the script that runs
PARTS = (("wording", 10), ("schema", 6), ("settings", 6))  # of a question's digest, and the hex digits of each
MAX_SHOWN_CHARS = 60  # of a value in a sentence
DIGEST = "digest "  # before what stands for a constructor's argument whose value is not kept


def question_digest(subtask: Subtask, request: str = "") -> str:
    """The digest of what a subtask asks: of all its wordings, its schema, and the settings of its requests.

    `request` is the run's request settings, as JSON text. The digest has 22 hex digits; each part has digits of its
    own (`PARTS`), so that a difference can be named.
    """
    wordings = [subtask.prompt, subtask.compact, *subtask.paraphrases]
    schema = "" if subtask.schema is None else subtask.held_to(compact=False) or ""
    beside = [[dict(one) for one in subtask.messages], list(subtask.stop), request]
    parts = json.dumps(wordings), schema, json.dumps(beside, sort_keys=True)
    return "".join(
        blake2b(part.encode("utf-8", "surrogatepass"), digest_size=digits // 2).hexdigest()
        for part, (_, digits) in zip(parts, PARTS, strict=True)
    )


def question_difference(before: str, now: str) -> str:
    """What differs between two questions by their digests, in words."""
    names, at = [], 0
    for name, digits in PARTS:
        if before[at : at + digits] != now[at : at + digits]:
            names.append(name)
        at += digits
    return " and ".join(names) or "digest"


def identity_of(chain: Chain) -> dict[str, Json]:
    """Identify a process by its version and constructor arguments.

    Arguments are looked for where there is no `parameters()`, in attributes of their names. Numbers are kept as they
    are, and of any other JSON data a digest; what is no JSON data is left out.
    """
    identity: dict[str, Json] = {}
    version = getattr(chain, "version", None)
    if isinstance(version, str | int | float):
        identity["version"] = version
    if getattr(chain, "parameters", None) is None and (arguments := _arguments(chain)):
        identity["arguments"] = arguments
    return identity


def _arguments(chain: Chain) -> dict[str, Json]:
    try:
        names = list(inspect.signature(type(chain)).parameters)
    except (TypeError, ValueError):  # a class of C, or one without a signature
        return {}
    found: dict[str, Json] = {}
    attributes = {**getattr(type(chain), "__dict__", {}), **getattr(chain, "__dict__", {})}
    for name in names:
        for attribute in (name, f"_{name}"):
            if attribute not in attributes:
                continue
            try:
                text = canonical(attributes[attribute])
            except NotJson:
                break
            plain = isinstance(attributes[attribute], int | float | None)
            found[name] = (
                text if plain else f"{DIGEST}{digest_of(text)}"
            )  # a text may be a key, which no journal keeps
            break
    return found


def differences(before: Mapping[str, Json], now: Mapping[str, Json], what: str) -> Iterator[str]:
    """What differs between two sets of named values, a sentence each: "its parameter rows was 9 and is 8"."""
    for name in sorted(before.keys() | now.keys()):
        if name not in now:
            yield f"its {what} {name} is gone"
        elif name not in before:
            yield f"its {what} {name} was not there"
        elif canonical(before[name]) != canonical(now[name]):
            was, now_is = _shown(before[name]), _shown(now[name])
            hidden = was.startswith(DIGEST) or now_is.startswith(DIGEST)
            yield f"its {what} {name} changed" if hidden else f"its {what} {name} was {was} and is {now_is}"


def identity_differences(before: Mapping[str, Json] | None, now: Mapping[str, Json] | None) -> Iterator[str]:
    """What differs between two identities; nothing where the first was not kept."""
    if before is None:
        return
    now = now or {}
    if before.get("version") != now.get("version"):
        yield f"its version was {_shown(before.get('version'))} and is {_shown(now.get('version'))}"
    were, are = before.get("arguments"), now.get("arguments")
    yield from differences(
        were if isinstance(were, dict) else {}, are if isinstance(are, dict) else {}, "constructor's argument"
    )


def same_process(one: str, other: str) -> bool:
    """Whether two names may be of one process: a class of a script has another module when it is imported."""
    if one == other:
        return True
    (module, colon, name), (other_module, _, other_name) = one.partition(":"), other.partition(":")
    return bool(colon) and name == other_name and SCRIPT in {module, other_module}


def _shown(value: Json) -> str:
    return shortened(value if isinstance(value, str) else canonical(value), MAX_SHOWN_CHARS)
