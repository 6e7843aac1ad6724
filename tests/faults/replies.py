"""Parse questions, and build replies in the form of the API."""

import asyncio
import inspect
import re
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import msgspec

from faults.answers import Answer, Model
from faults.faults import Rejection
from faults.ledger import Tokens, digest

Payload: TypeAlias = dict[str, Any]
FINGERPRINT = "fp_faults"
MOST_CHOICES = 128


class _Held(msgspec.Struct):
    name: str
    strict: bool
    schema: dict[str, Any]


class _Format(msgspec.Struct):
    type: Literal["json_schema"]
    json_schema: _Held


class _Body(msgspec.Struct):
    model: str
    messages: msgspec.Raw
    n: int | None = None
    seed: int | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    logprobs: bool | None = None
    stream: bool | None = None
    response_format: _Format | None = None


class _Part(msgspec.Struct):
    text: str = ""


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Part] | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """The content of a chat request. `prompt` is the text of its last message, `messages` the digest of them all.

    `schema_fields` are the fields of the JSON schema of the answer; empty without one.
    """

    model: str
    prompt: str
    messages: str
    body: str
    n: int = 1
    seed: int | None = None
    temperature: float = 1.0
    max_tokens: int | None = None
    logprobs: bool = False
    schema_fields: tuple[str, ...] = ()


_bodies = msgspec.json.Decoder(_Body)
_messages = msgspec.json.Decoder(list[_Message])


def question_of(body: bytes) -> Question | Rejection:
    """Read the body of a chat request, or return what is wrong with it."""
    try:
        asked = _bodies.decode(body)
        messages = _messages.decode(asked.messages)
    except msgspec.DecodeError as error:
        return Rejection(400, "invalid_body", f"We could not parse the body of your request: {error}")
    if not messages:
        return Rejection(400, "empty_array", "Invalid 'messages': empty array.")
    n = 1 if asked.n is None else asked.n
    if not 1 <= n <= MOST_CHOICES:
        return Rejection(400, "integer_out_of_range", f"Invalid 'n': it is from 1 to {MOST_CHOICES}.")
    if asked.stream:
        return Rejection(400, "unsupported_value", "This server does not stream.")
    schema = asked.response_format.json_schema.schema if asked.response_format else {}
    if schema and (schema.get("additionalProperties") is not False or schema["required"] != [*schema["properties"]]):
        # as OpenAI has it for strict schemas
        return Rejection(400, "invalid_request_error", "Invalid schema for response_format 'answer'.")
    content = messages[-1].content
    return Question(
        model=asked.model,
        prompt=content if isinstance(content, str) else "".join(part.text for part in content or ()),
        messages=digest(bytes(asked.messages)),
        body=digest(body),
        n=n,
        seed=asked.seed,
        temperature=1.0 if asked.temperature is None else asked.temperature,
        max_tokens=asked.max_completion_tokens or asked.max_tokens,
        logprobs=bool(asked.logprobs),
        schema_fields=tuple(schema.get("properties", ())),
    )


async def answered(model: Model, question: Question, n: int) -> list[Answer]:
    """Ask a model for n answers."""
    asked = (question.prompt, question.temperature, question.seed)
    answers = [model(*asked, index, question.max_tokens) for index in range(n)]
    if inspect.isawaitable(answers[0]):
        return await asyncio.gather(*answers)
    return answers


_PIECES = re.compile(r".{1,4}", re.DOTALL)  # as tokens are counted (`answers.tokens`)


def _logprobs(answer: Answer) -> Payload:
    """Log-probabilities token by token, in the form of the API."""
    pairs = answer.logprobs
    if isinstance(pairs, int | float):
        pairs = [(piece, pairs) for piece in _PIECES.findall(answer.text)]
    content = [
        {"token": token, "logprob": logprob, "bytes": list(token.encode()), "top_logprobs": []}
        for token, logprob in pairs
    ]
    return {"content": content, "refusal": None}


def usage_of(billed: Tokens) -> Payload:
    """The usage of a reply."""
    return {
        "prompt_tokens": billed.input,
        "completion_tokens": billed.output,
        "total_tokens": billed.input + billed.output,
        "prompt_tokens_details": {"cached_tokens": billed.cached},
    }


def billed_for(answers: list[Answer], cached_share: float) -> Tokens:
    """The tokens of a reply: its prompt once, and all of the output."""
    read = answers[0].input_tokens
    return Tokens(read, sum(answer.output_tokens for answer in answers), int(read * cached_share))


def _calls(reply_id: str, answer: Answer) -> Payload:
    """The tool calls of a message, in the form of the API; nothing where there are none."""
    if not answer.calls:
        return {}
    calls = [
        {"id": f"call_{reply_id}_{place}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for place, (name, arguments) in enumerate(answer.calls)
    ]
    return {"tool_calls": calls, **({} if answer.text else {"content": None})}


def payload_of(reply_id: str, created: int, question: Question, answers: list[Answer], billed: Tokens) -> Payload:
    """A whole reply."""
    return {
        "id": reply_id,
        "object": "chat.completion",
        "created": created,
        "model": question.model,
        "system_fingerprint": FINGERPRINT,
        "choices": [
            {
                "index": index,
                "message": {"role": "assistant", "content": answer.text, "refusal": None, **_calls(reply_id, answer)},
                "finish_reason": answer.finish,
                "logprobs": _logprobs(answer) if question.logprobs else None,
            }
            for index, answer in enumerate(answers)
        ],
        "usage": usage_of(billed),
    }
