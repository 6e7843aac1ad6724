"""Replies that are billed and sent whole, but have wrong or unusual contents.

Each is a function from a payload, which it may change, to what is sent: the payload, or bytes with their type.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from faults.answers import tokens
from faults.faults import Fault
from faults.ledger import Tokens
from faults.replies import Payload, usage_of

PAGE = b"<!doctype html><html><head><title>Sign in</title></head><body><h1>Sign in to continue</h1></body></html>"


@dataclass(frozen=True, slots=True)
class Odd:
    """A body other than the payload as JSON of the right type."""

    body: bytes
    content_type: str = "application/json"


Distortion: TypeAlias = Callable[[Payload], Payload | Odd]


def _empty_choices(payload: Payload) -> Payload:
    return payload | {"choices": []}


def _no_choices(payload: Payload) -> Payload:
    del payload["choices"]
    return payload


def _null_content(payload: Payload) -> Payload:
    for choice in payload["choices"]:
        choice["message"]["content"] = None
    return payload


def _refusal(payload: Payload) -> Payload:
    for choice in payload["choices"]:
        choice["message"] |= {"content": None, "refusal": "I'm sorry, I can't assist with that request."}
    return payload


def _filtered(payload: Payload) -> Payload:
    for choice in payload["choices"]:
        choice["message"]["content"] = None
        choice["finish_reason"] = "content_filter"
    return payload


def _length(payload: Payload) -> Payload:
    for choice in payload["choices"]:
        choice["finish_reason"] = "length"
    return payload


def _cut_at_field(payload: Payload) -> Payload:
    for choice in payload["choices"]:
        choice["message"]["content"] = without_last_field(choice["message"]["content"])
    return _length(payload)


def without_last_field(text: str) -> str:
    """Drop the last field of a JSON object, or the last line of a text that has several."""
    try:
        fields = json.loads(text)
    except ValueError:
        fields = None
    if isinstance(fields, dict) and fields:
        return json.dumps(dict(list(fields.items())[:-1]))
    return text.rpartition("\n")[0] or text


def _equal(payload: Payload) -> Payload:
    first = payload["choices"][0]
    return payload | {"choices": [first | {"index": index} for index in range(len(payload["choices"]))]}


def _equal_index(payload: Payload) -> Payload:
    for choice in payload["choices"]:
        choice["index"] = 0
    return payload


def _swapped(payload: Payload) -> Payload:
    return payload | {"model": f"{payload['model']}-swapped", "system_fingerprint": "fp_swapped"}


def _no_usage(payload: Payload) -> Payload:
    del payload["usage"]
    return payload


def _lessened(payload: Payload, **counts: int) -> Payload:
    return payload | {"usage": payload["usage"] | counts}


def _usage_of_one(payload: Payload) -> Payload:
    return _lessened(payload, completion_tokens=tokens(payload["choices"][0]["message"]["content"]))


def _unchanged(payload: Payload) -> Payload:
    return payload


DISTORTIONS: dict[Fault, Distortion] = {
    Fault.EMPTY_CHOICES: _empty_choices,
    Fault.NULL_CONTENT: _null_content,
    Fault.NO_CHOICES: _no_choices,
    Fault.GARBAGE: lambda payload: Odd(b"upstream said: \xff\xfe{'choices': ..."),
    Fault.REFUSAL: _refusal,
    Fault.FILTERED: _filtered,
    Fault.LENGTH: _length,
    Fault.CUT_AT_FIELD: _cut_at_field,
    Fault.HTML_TYPE: lambda payload: Odd(msgspec.json.encode(payload), "text/html"),
    Fault.HTML_PAGE: lambda payload: Odd(PAGE, "text/html"),
    Fault.DUPLICATE: _unchanged,  # which reply is sent again: chat.py
    Fault.STRAY: _unchanged,
    Fault.N_IGNORED: _unchanged,  # so many answers are asked for: chat.py
    Fault.N_EQUAL: _equal,
    Fault.N_EQUAL_INDEX: _equal_index,
    Fault.SWAPPED: _swapped,
    Fault.NO_USAGE: _no_usage,
    Fault.ZERO_USAGE: lambda payload: payload | {"usage": usage_of(Tokens())},
    Fault.TINY_USAGE: lambda payload: payload | {"usage": usage_of(Tokens(1, 1))},
    Fault.USAGE_WITHOUT_INPUT: lambda payload: _lessened(payload, prompt_tokens=0),
    Fault.USAGE_WITHOUT_OUTPUT: lambda payload: _lessened(payload, completion_tokens=0),
    Fault.USAGE_OF_ONE: _usage_of_one,
}
