"""A sample: the raw answer of a model, and the settings it is drawn with."""

from dataclasses import dataclass
from enum import Enum
from hashlib import blake2b
from math import isnan
from typing import NamedTuple


class Finish(Enum):
    """Why the model stopped writing."""

    STOP = "stop"
    LENGTH = "length"
    REFUSED = "refused"  # the model declined, or a filter of the provider's stepped in
    OTHER = "other"  # for a reason that is not known to leave the answer whole: an error, a full window, a tool call


NOTE_REASONING = "the reply has reasoning instead of an answer"
NOTE_TOOL_CALLS = "the reply has tool calls instead of an answer"


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens of a sample.

    input_tokens: tokens read.
    output_tokens: tokens written.
    cached_tokens: those of the tokens read that came from the provider's prompt cache, at its price.

    A prompt cache saves reading, not answering: samples stay independent of each other.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
        )


@dataclass(frozen=True, slots=True)
class Sample:
    """One raw answer of a model.

    text: the text of the answer.
    usage: tokens read and written.
    finish: why the model stopped writing.
    logprob: mean log-probability of its tokens in nats, at temperature 1; None where the engine does not give it.
    voter: the name of the model that answered.
    reply_id: the provider's id of the sample, distinct for each sample of a reply.
    cached: whether the provider says that it is a copy of an earlier reply: a copy is not a second vote.
    served: the model and fingerprint that the provider says have answered.
    seconds: how long the answer took over a network.
    reason: the provider's own word for why the answer ended.
    made: creation time by the provider's clock minus the time of receipt, in seconds.
    note: what a reply with an empty text has instead, such as reasoning or tool calls.
    """

    text: str
    usage: Usage = Usage()
    finish: Finish = Finish.STOP
    logprob: float | None = None
    voter: str = ""
    reply_id: str | None = None
    cached: bool = False
    served: str | None = None
    seconds: float | None = None
    reason: str | None = None
    made: float | None = None
    note: str | None = None

    @property
    def rounded_logprob(self) -> float | None:
        """The log-probability as it is journaled: three digits; minus infinity becomes the lowest number."""
        if self.logprob is None or isnan(self.logprob):
            return None
        return float(f"{max(-1e300, min(self.logprob, 1e300)):.3g}")


def min_tokens(text: str) -> int:
    """The fewest tokens that a text can have: one for every eight characters that are not white space.

    Tokenizers make one token of two to five characters of ordinary text, but also one of much white space in a row.
    """
    return -(-len("".join(text.split())) // 8)


class Message(NamedTuple):
    """One message of a conversation, as chat APIs have them."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Settings:
    """How to draw the samples of a call.

    temperature: sampling temperature.
    max_output_tokens: the number of tokens that an answer may have, at most.
    seed: the run's seed.
    step: the number of the step, from 0.
    slot: the number within the step of the first sample, from 0.
    schema: the JSON schema of an answer, as JSON text, for endpoints that can enforce one.
    messages: messages before the prompt: a system message, example turns.
    stop: strings before which the model stops writing.
    extra: further fields of the request's body: a JSON object as text; None where there are none.
    tools: tools that the model may call: a JSON array as text, as OpenAI's chat protocol has it; None where there are
        none. The text of a sample with calls is a JSON array of `{"name": ..., "arguments": {...}}`.

    A call for n samples asks for the step's samples number `slot` to `slot + n - 1`. With the run's `seed`, step and
    number identify a sample: a sampler that can be seeded gives the same sample for the same three numbers.
    """

    temperature: float
    max_output_tokens: int
    seed: int
    step: int
    slot: int
    schema: str | None = None
    messages: tuple[Message, ...] = ()
    stop: tuple[str, ...] = ()
    extra: str | None = None
    tools: str | None = None

    @property
    def chars_besides_prompt(self) -> int:
        """The characters that a model may read besides the prompt: messages, schema, tools, fields of the request."""
        texts = (self.schema or "", self.extra or "", self.tools or "", *(content for _, content in self.messages))
        return sum(map(len, texts))

    def conversation(self, prompt: str) -> list[dict[str, str]]:
        """The messages and then the prompt, as chat APIs take them: [{"role": ..., "content": ...}, ...]."""
        return [{"role": role, "content": content} for role, content in (*self.messages, Message("user", prompt))]

    def sample_seed(self, offset: int = 0) -> int:
        """A 63-bit seed of the sample `offset` places after the first, distinct for every sample of a run."""
        name = f"{self.seed}:{self.step}:{self.slot + offset}".encode()
        return int.from_bytes(blake2b(name, digest_size=8).digest(), "big") >> 1
