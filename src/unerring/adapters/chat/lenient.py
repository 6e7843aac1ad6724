"""The fields of a chat reply that are used, and a lenient reader for replies that are not quite valid.

Python's own decoder accepts NaN, lone surrogates and numbers of any size; bytes that are not UTF-8 become U+FFFD. A
field of a wrong type counts as missing.
"""

import json
import math
import re
from typing import Annotated, Any, TypeAlias

import msgspec

from unerring.core.voting.sample import NOTE_REASONING, NOTE_TOOL_CALLS

# Larger replies are not read leniently: it would take too long. (A valid reply may be larger.)
MAX_LENIENT_BYTES = 1 << 20
MAX_PARTS = 150_000  # commas, colons and brackets
MAX_TOKEN_COUNT = 1_000_000_000  # larger counts are ignored

_LONE_SURROGATES = re.compile("[\ud800-\udfff]")  # the decoder has joined those that are pairs

Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=MAX_TOKEN_COUNT)]

END_TOKEN_TEXT = msgspec.Raw(b'""')  # text of a token that ends an answer and is not part of it
NULL = msgspec.Raw(b"null")


def is_there(raw: msgspec.Raw) -> bool:
    """Whether a field, such as an error, has content: some servers always send an empty one."""
    return raw != NULL and bytes(raw) not in {b"{}", b"[]", b'""', b"false"}


class TokenDetails(msgspec.Struct, gc=False):
    """Tokens of the prompt that were read from a prompt cache, and those written to it."""

    cached_tokens: Count | None = None
    cache_write_tokens: Count | None = None


class ReplyUsage(msgspec.Struct, gc=False):
    """The usage of a reply, in the names of OpenAI and of Anthropic."""

    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    prompt_tokens_details: TokenDetails | None = None
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    prompt_cache_hit_tokens: Count | None = None  # DeepSeek

    def counts(self) -> tuple[int | None, int, int | None]:
        """Tokens of the prompt, those of them read from a prompt cache, tokens of the answers; None where not given.

        A usage with more cached tokens than tokens of the prompt counts as missing. A token that is written to a
        prompt cache counts as 1.25, as it is billed (Anthropic; OpenAI from GPT-5.6 on).
        """
        details = self.prompt_tokens_details
        cached = self.cache_read_input_tokens or self.prompt_cache_hit_tokens or 0
        stored = self.cache_creation_input_tokens or 0
        read = self.prompt_tokens
        if read is None and self.input_tokens is not None:  # Anthropic's input_tokens leaves out cached tokens
            read = self.input_tokens + cached + stored
        if details is not None:
            cached = max(cached, details.cached_tokens or 0)
            stored = max(stored, details.cache_write_tokens or 0)
        if read is not None:
            if max(cached, stored) > read:  # it contradicts itself: none of its counts can be trusted
                return None, 0, None
            read += -(-stored // 4)
        return read, cached, self.output_tokens if self.completion_tokens is None else self.completion_tokens


class ContentPart(msgspec.Struct, gc=False):
    """A part of a message's content."""

    type: str = ""
    text: str | None = None


class ReplyMessage(msgspec.Struct, gc=False):
    """The message of an answer."""

    content: str | list[ContentPart] | None = None
    refusal: str | None = None
    reasoning_content: msgspec.Raw = NULL  # DeepSeek, vLLM, llama.cpp
    reasoning: msgspec.Raw = NULL  # OpenRouter, Ollama, Groq
    tool_calls: msgspec.Raw = NULL
    function_call: msgspec.Raw = NULL

    def in_place_of_text(self) -> str | None:
        """What a message without a text has instead: tool calls, reasoning, or nothing."""
        if is_there(self.tool_calls) or is_there(self.function_call):
            return NOTE_TOOL_CALLS
        parts = self.content if isinstance(self.content, list) else ()
        reasoned = any(part.type in {"thinking", "reasoning"} for part in parts)
        reasoned = reasoned or is_there(self.reasoning_content) or is_there(self.reasoning)
        return NOTE_REASONING if reasoned else None


class TokenLogprob(msgspec.Struct, gc=False):
    """One token's log-probability. `token` is its text as undecoded JSON, since it may be half a character."""

    logprob: float | None = None
    token: msgspec.Raw = NULL


class ReplyLogprobs(msgspec.Struct, gc=False):
    """Log-probabilities, in the forms of OpenAI and of Together."""

    content: list[TokenLogprob] | None = None
    token_logprobs: list[float | None] | None = None


class ReplyChoice(msgspec.Struct, gc=False):
    """One answer. Some servers put its text into `text`."""

    message: ReplyMessage | None = None
    finish_reason: str | None = None
    logprobs: ReplyLogprobs | None = None
    text: str | None = None
    error: msgspec.Raw = NULL


class ReplyBody(msgspec.Struct, gc=False):
    """The fields of a reply that are used."""

    id: str | None = None
    created: Any = None  # of any type: a number written as text must not make the reply unreadable
    model: str | None = None
    system_fingerprint: str | None = None
    choices: list[ReplyChoice] | None = None
    usage: ReplyUsage | None = None
    error: msgspec.Raw = NULL


def read_leniently(body: bytes) -> ReplyBody | None:
    """Read a reply field by field; None where it is not a JSON object. Never raises."""
    if len(body) > MAX_LENIENT_BYTES or sum(map(body.count, (b",", b":", b"{", b"["))) > MAX_PARTS:
        return None
    text = body.decode("utf-8", "replace").strip("\ufeff \t\r\n\0")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, dict):
        return None
    return ReplyBody(
        id=_text(value.get("id")) or (str(value["id"])[:100] if _is_number(value.get("id")) else None),
        created=value.get("created"),
        model=_text(value.get("model")),
        system_fingerprint=_text(value.get("system_fingerprint")),
        choices=[_choice(choice) for choice in _list(value.get("choices")) if isinstance(choice, dict)],
        usage=_tokens(value.get("usage")),
        error=_raw(value.get("error")),
    )


def _choice(value: dict[str, object]) -> ReplyChoice:
    message = value.get("message")
    return ReplyChoice(
        message=_message(message) if isinstance(message, dict) else None,
        finish_reason=_reason(value.get("finish_reason")),
        logprobs=_logprobs(value.get("logprobs")),
        text=_text(value.get("text")),
        error=_raw(value.get("error")),
    )


def _reason(value: object) -> str | None:
    """A finish reason; one of a wrong type becomes an unknown reason, not a missing one."""
    return _sound(value) if isinstance(value, str) else None if value is None else f"not a text: {value!r:.80}"


def _message(value: dict[str, object]) -> ReplyMessage:
    content = value.get("content")
    parts: str | list[ContentPart] | None = _text(content)
    if isinstance(content, list):
        parts = [_part(part) for part in content if isinstance(part, dict | str)]
    others = (value.get(name) for name in ("reasoning_content", "reasoning", "tool_calls", "function_call"))
    return ReplyMessage(parts, _text(value.get("refusal")), *map(_raw, others))


def _part(value: dict[str, object] | str) -> ContentPart:
    if isinstance(value, str):
        return ContentPart("text", _sound(value))
    return ContentPart(_text(value.get("type")) or "", _text(value.get("text")))


def _logprobs(value: object) -> ReplyLogprobs | None:
    if not isinstance(value, dict):
        return None
    tokens = (token for token in _list(value.get("content")) if isinstance(token, dict))
    content = [
        TokenLogprob(number(each.get("logprob")), END_TOKEN_TEXT if each.get("token") == "" else NULL)
        for each in tokens
    ]
    return ReplyLogprobs(content, [number(each) for each in _list(value.get("token_logprobs"))])


def _tokens(value: object) -> ReplyUsage | None:
    if not isinstance(value, dict):
        return None
    details = value.get("prompt_tokens_details")
    return ReplyUsage(
        prompt_tokens=_whole(value.get("prompt_tokens")),
        completion_tokens=_whole(value.get("completion_tokens")),
        prompt_tokens_details=TokenDetails(
            _whole(details.get("cached_tokens")), _whole(details.get("cache_write_tokens"))
        )
        if isinstance(details, dict)
        else None,
        input_tokens=_whole(value.get("input_tokens")),
        output_tokens=_whole(value.get("output_tokens")),
        cache_read_input_tokens=_whole(value.get("cache_read_input_tokens")),
        cache_creation_input_tokens=_whole(value.get("cache_creation_input_tokens")),
        prompt_cache_hit_tokens=_whole(value.get("prompt_cache_hit_tokens")),
    )


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str | None:
    return _sound(value) if isinstance(value, str) else None


def _sound(text: str) -> str:
    """The text with U+FFFD for lone surrogates, which UTF-8, and so a journal, cannot hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return _LONE_SURROGATES.sub("\ufffd", text)
    return text


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def number(value: object) -> float | None:
    """A number as a float; None for anything else, and for a number that no float holds."""
    if not _is_number(value):
        return None
    try:
        return float(value)  # type: ignore[arg-type]
    except OverflowError:
        return None


def _whole(value: object) -> int | None:
    """A count: a whole number, which some servers write as 12.0."""
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        value = int(value)
    whole = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_TOKEN_COUNT
    return value if whole and isinstance(value, int) else None


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value).encode()) if value else NULL
