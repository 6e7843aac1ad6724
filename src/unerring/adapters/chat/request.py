"""The body of a chat request, and what is left out of it once a server refused a parameter.

Servers differ in which parameters they know. A parameter that a server refuses by name is not sent again; the runtime,
which alone repeats calls, repeats the call that was refused.
"""

import logging
import re
from typing import TypeAlias, TypeVar

import msgspec

from unerring.adapters.http.errors import ErrorBody
from unerring.adapters.http.spec import EndpointSpec
from unerring.core.voting.sample import Message, Settings
from unerring.errors import FailureKind, ProviderBusy, ProviderDown

# The positive range of a signed 32-bit integer, which is all that Gemini and llama.cpp take. Two samples of a step
# share a seed about once in 2**31 pairs.
SEED_MASK = (1 << 31) - 1
LIMITS = "max_tokens", "max_completion_tokens"  # the second is what OpenAI's reasoning models want
MAX_KEPT_PARTS = 64  # encoded parts of bodies: one for each kind of settings, and of messages before the question

# Tokens that a chat template may add to a prompt: its marks, and the system prompt that some models bring along.
TEMPLATE_TOKENS = 256
MESSAGE_TOKENS = 16  # tokens that a template may add for each message before the prompt
SCHEMA_TOKENS = 256  # with which an endpoint may ask a model to keep to a schema, besides the schema itself

_OPTIONAL = "temperature", "seed", "logprobs", "n"
FORMAT = "response_format"  # how an answer's JSON schema is sent
# `n` alone is too common a word; in quotes, or next to words about its value, it means the parameter.
_NAMES_N = re.compile(r"""['"`]n['"`]|\bn\s*(?:[=:<>]|must\b|should\b|parameter|is not|greater)|parameter:?\s+n\b""")
_LENGTHS = re.compile(r"context.{0,20}length|too large|too long", re.IGNORECASE)

_QUESTION = b'{"role":"user","content":'
_SettingsKey: TypeAlias = tuple[float, int, str | None, tuple[str, ...], str | None, str | None]
_Key = TypeVar("_Key")

_encode = msgspec.json.encode
log = logging.getLogger("unerring")


def _settings_key(settings: Settings) -> _SettingsKey:
    """The settings that decide the end of a body; seed and number of samples are encoded for each request."""
    return (
        settings.temperature,
        settings.max_output_tokens,
        settings.schema,
        settings.stop,
        settings.extra,
        settings.tools,
    )


def _kept(parts: dict[_Key, bytes], key: _Key, part: bytes) -> bytes:
    """The part of a body, kept for the next request."""
    if len(parts) >= MAX_KEPT_PARTS:
        parts.clear()
    parts[key] = part
    return part


class RequestForm:
    """The form of one sampler's requests. It changes when a server refuses a parameter."""

    def __init__(self, spec: EndpointSpec, name: str | None = None) -> None:
        """`name` is the sampler's name in warnings: that of the specification, if it is None."""
        self._name = spec.name if name is None else name
        self._model = b'{"model":%s,"messages":[' % _encode(spec.model)
        self.with_reasons = False  # whether the server was seen to give finish reasons
        self._limit = LIMITS[0]
        options = [("seed", spec.seed), ("logprobs", spec.logprobs), ("n", spec.several), (FORMAT, spec.schema)]
        self._left_out = {name for name, sent in options if not sent}
        self._heads: dict[tuple[Message, ...], bytes] = {(): self._model + _QUESTION}
        self._tails: dict[_SettingsKey, bytes] = {}
        self._update()

    def _update(self) -> None:
        self._seeded = "seed" not in self._left_out
        self._tails.clear()
        self._sent = frozenset({self._limit, *_OPTIONAL} - self._left_out)
        self._sent_alone = self._sent - {"n"}
        self._formats = frozenset({FORMAT} - self._left_out)

    def many(self, n: int) -> int:
        """How many samples one request asks for, where n are wanted."""
        return 1 if "n" in self._left_out else n

    def body(self, prompt: str, settings: Settings, n: int) -> bytes:
        """The body of a request for n samples; n is a result of `many`.

        Raises `ProviderDown` for a prompt that cannot be encoded.
        """
        try:
            head = self._heads.get(settings.messages) or self._head(settings.messages)
            tail = self._tails.get(_settings_key(settings)) or self._tail(settings)
            parts = [head, _encode(prompt), tail]
        except UnicodeEncodeError:
            words = "the prompt has lone surrogates (half characters) in it, which cannot be sent"
            raise ProviderDown(words, FailureKind.REFUSED) from None
        if self._seeded:
            parts.append(b',"seed":%d' % (settings.sample_seed() & SEED_MASK))
        parts.append(b"}" if n == 1 else b',"n":%d}' % n)
        return b"".join(parts)

    def _head(self, messages: tuple[Message, ...]) -> bytes:
        before = [_encode({"role": role, "content": content}) + b"," for role, content in messages]
        return _kept(self._heads, messages, b"".join([self._model, *before, _QUESTION]))

    def _tail(self, settings: Settings) -> bytes:
        fields: dict[str, object] = {
            self._limit: settings.max_output_tokens,
            "temperature": settings.temperature,
            "logprobs": True,
        }
        if settings.schema is not None:
            schema = {"name": "answer", "strict": True, "schema": msgspec.Raw(settings.schema.encode())}
            fields[FORMAT] = {"type": "json_schema", "json_schema": schema}
        sent = {name: value for name, value in fields.items() if name not in self._left_out}
        if settings.stop:
            sent["stop"] = settings.stop
        if settings.tools is not None:
            sent["tools"] = msgspec.Raw(settings.tools.encode())
        parts = [_encode(sent)[1:-1]]
        if settings.extra is not None:
            parts.append(settings.extra.encode()[1:-1])
        return _kept(self._tails, _settings_key(settings), b"}]," + b",".join(filter(None, parts)))

    def sent(self, n: int, schema: bool = False) -> frozenset[str]:
        """The parameters of a request for n samples, with a schema or not, that can be left out or renamed."""
        names = self._sent if n > 1 else self._sent_alone
        return names | self._formats if schema else names

    def without(self, name: str) -> bool:
        """From now on leave a parameter out, or rename it; returns whether that changes anything."""
        if name in LIMITS:
            other = LIMITS[1 - LIMITS.index(name)]
            changed = self._limit == name and name == LIMITS[0]
            self._limit = other if changed else self._limit
        else:
            changed = name not in self._left_out
            self._left_out.add(name)
            if changed and name == "temperature":
                log.warning("%s takes no temperature: samples are drawn at its own", self._name)
        self._update()
        return changed

    def retry_without(self, name: str, place: str) -> ProviderBusy:
        """Leave out a parameter that the server at `place` refused; returns the failure that repeats the call."""
        self.without(name)
        if name == "n":  # llama.cpp takes as many as it has slots
            words = f"{place} takes fewer samples a call: from now on it is asked for one at a time"
        else:
            instead = f"with {LIMITS[1]} instead" if name == LIMITS[0] else "without it"
            words = f"{place} takes no {name}: from now on it is asked {instead}"
        return ProviderBusy(words, retry_after=0.0)


def refused_parameter(status: int, error: ErrorBody, sent: frozenset[str]) -> str | None:
    """The parameter that a refusal names, of those `sent`; None where it names none that can be left out."""
    if status not in {400, 403, 422}:
        return None
    names = sent - {LIMITS[1]}  # there is no third name for it
    message = error.message[:2000]
    if error.param in names:
        named = error.param
    else:
        words = set(re.findall(r"[a-z_]+", message.lower()))
        named = next((name for name in sorted(names - {"n"}) if name in words), "")
        if not named and "n" in names and _NAMES_N.search(message):
            named = "n"
    if named == LIMITS[0] and _LENGTHS.search(f"{error.codes} {message}"):
        return None  # its value is refused, not its name
    if status == 403 and named != "logprobs":
        return None  # OpenAI refuses the log-probabilities of some models with 403
    return named or None


def most_tokens(prompt: str, settings: Settings) -> int:
    """The most input tokens of a request: no tokenizer makes more tokens of a text than it has bytes.

    Counted are the prompt, the messages before it, a chat template, and a schema, tools and further fields, since an
    endpoint may put these into the prompt.
    """
    tokens = _utf8_bytes(prompt) + TEMPLATE_TOKENS
    for message in settings.messages:
        tokens += _utf8_bytes(message.content) + MESSAGE_TOKENS
    if settings.schema is not None:
        tokens += SCHEMA_TOKENS + _utf8_bytes(settings.schema)
    if settings.tools is not None:
        tokens += SCHEMA_TOKENS + _utf8_bytes(settings.tools)
    if settings.extra is not None:
        tokens += _utf8_bytes(settings.extra)
    return tokens


def _utf8_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))  # most texts need not be encoded
