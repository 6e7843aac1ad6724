"""The body of a request; and leaving out of it what a server says it does not take.

Servers differ in which parameters they know. What one refuses by name it is not sent again; the call that found it out
is repeated by the runtime, which owns all repetition.
"""

import re
from typing import TypeAlias, TypeVar

import msgspec

from unerring.adapters.http.errors import ErrorBody
from unerring.adapters.http.spec import EndpointSpec
from unerring.core.voting.sample import Message, Settings

# As many bits as a signed 32-bit integer has, which is all that Gemini and llama.cpp take. Two samples of a step share
# one about once in 2**31 pairs.
SEED_BITS = (1 << 31) - 1
LIMITS = "max_tokens", "max_completion_tokens"  # the second is what OpenAI's reasoning models want
MOST_TAILS = 64  # kinds of settings, and of messages before the question, whose part of the body is kept

_OPTIONAL = "temperature", "seed", "logprobs", "n"
FORMAT = "response_format"  # how an answer's JSON schema is sent
# `n` alone is no word to look for; in quotes, or where something is said about its value, it is.
_NAMES_N = re.compile(r"""['"`]n['"`]|\bn\s*(?:[=:<>]|must\b|should\b|parameter|is not|greater)|parameter:?\s+n\b""")
_LENGTHS = re.compile(r"context.{0,20}length|too large|too long", re.IGNORECASE)

_QUESTION = b'{"role":"user","content":'
_Tail: TypeAlias = tuple[float, int, str | None, tuple[str, ...], str | None]
_Part = TypeVar("_Part")

_encode = msgspec.json.encode


def _tail_of(settings: Settings) -> _Tail:
    """Key of a cached request-body suffix; seed and number of samples are not part of it."""
    return settings.temperature, settings.max_output_tokens, settings.schema, settings.stop, settings.extra


def _kept(parts: dict[_Part, bytes], key: _Part, part: bytes) -> bytes:
    """The part of a body, kept for the next one."""
    if len(parts) >= MOST_TAILS:
        parts.clear()
    parts[key] = part
    return part


class RequestForm:
    """What requests of one sampler look like. It changes where a server refuses a parameter."""

    def __init__(self, spec: EndpointSpec) -> None:
        self._model = b'{"model":%s,"messages":[' % _encode(spec.model)
        self.with_reasons = False  # whether the server was seen to give finish reasons
        self._limit = LIMITS[0]
        left_out = [("seed", spec.seed), ("logprobs", spec.logprobs), ("n", spec.several), (FORMAT, spec.schema)]
        self._left_out = {name for name, sent in left_out if not sent}
        self._heads: dict[tuple[Message, ...], bytes] = {(): self._model + _QUESTION}
        self._tails: dict[_Tail, bytes] = {}
        self._settle()

    def _settle(self) -> None:
        self._seeded = "seed" not in self._left_out
        self._tails.clear()
        self._sent = frozenset({self._limit, *_OPTIONAL} - self._left_out)
        self._sent_alone = self._sent - {"n"}
        self._formats = frozenset({FORMAT} - self._left_out)

    def many(self, n: int) -> int:
        """How many samples a request asks for, where n are wanted."""
        return 1 if "n" in self._left_out else n

    def body(self, prompt: str, settings: Settings, n: int) -> bytes:
        """The body of a request for n samples, as many as `many` says.

        Raises `UnicodeEncodeError` for half characters in the prompt.
        """
        head = self._heads.get(settings.messages) or self._head(settings.messages)
        tail = self._tails.get(_tail_of(settings)) or self._tail(settings)
        parts = [head, _encode(prompt), tail]
        if self._seeded:
            parts.append(b',"seed":%d' % (settings.sample_seed() & SEED_BITS))
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
            held = {"name": "answer", "strict": True, "schema": msgspec.Raw(settings.schema.encode())}
            fields[FORMAT] = {"type": "json_schema", "json_schema": held}
        sent = {name: value for name, value in fields.items() if name not in self._left_out}
        if settings.stop:
            sent["stop"] = settings.stop
        parts = [_encode(sent)[1:-1]]
        if settings.extra is not None:
            parts.append(settings.extra.encode()[1:-1])
        return _kept(self._tails, _tail_of(settings), b"}]," + b",".join(filter(None, parts)))

    def sent(self, n: int, schema: bool = False) -> frozenset[str]:
        """The parameters in a request for n samples, by a schema or not, that may be done without or reworded."""
        names = self._sent if n > 1 else self._sent_alone
        return names | self._formats if schema else names

    def without(self, name: str) -> bool:
        """From now on leave a parameter out, or word it otherwise; returns whether that is news."""
        if name in LIMITS:
            other = LIMITS[1 - LIMITS.index(name)]
            news = self._limit == name and name == LIMITS[0]
            self._limit = other if news else self._limit
        else:
            news = name not in self._left_out
            self._left_out.add(name)
        self._settle()
        return news


def refused_parameter(status: int, said: ErrorBody, sent: frozenset[str]) -> str | None:
    """The one of the parameters sent that a refusal names, if it names one that a request can do without."""
    if status not in {400, 403, 422}:
        return None
    names = sent - {LIMITS[1]}  # there is no third wording
    message = said.message[:2000]
    if said.param in names:
        named = said.param
    else:
        words = set(re.findall(r"[a-z_]+", message.lower()))
        named = next((name for name in sorted(names - {"n"}) if name in words), "")
        if not named and "n" in names and _NAMES_N.search(message):
            named = "n"
    if named == LIMITS[0] and _LENGTHS.search(f"{said.codes} {message}"):
        return None  # its value is the trouble
    if status == 403 and named != "logprobs":
        return None  # OpenAI refuses log-probabilities of some models so
    return named or None
