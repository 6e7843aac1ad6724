"""A sample: what a model answered, before anything is made of it."""

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


NOTED_REASONING = "the reply has reasoning instead of an answer"
NOTED_TOOLS = "the reply has tool calls instead of an answer"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens read and written. Of those read, `cached_tokens` came from the provider's prompt cache, at its price.

    A prompt cache spares reading, not answering: samples stay independent of each other.
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
    """One answer of a model, raw.

    `logprob` is the mean natural log-probability of its tokens under the model's own distribution
    (temperature 1), where the engine gives it. `voter` names the model that answered. `reply_id` is the
    provider's identity of the sample (distinct for each one of a reply) and `cached` says that the provider admits to
    a copy: a copied answer is not a second vote. `served` is what the provider says has answered: its model and its
    fingerprint, as far as it says. `seconds` is how long the answer took, where a network lies between. `reason` is
    the provider's own word for why it ended. `made` is the time at which the provider says that it made the answer,
    minus that at which it was received, in seconds. `note` says what else a reply had whose text is empty.
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
        """The log-probability as it is journaled: three digits, the least number there is for minus infinity."""
        if self.logprob is None or isnan(self.logprob):
            return None
        return float(f"{max(-1e300, min(self.logprob, 1e300)):.3g}")


def least_tokens(text: str) -> int:
    """The fewest tokens that a text can be: one for every eight characters that are no white space.

    Tokenizers make one of two to five characters of ordinary text, and of long runs of white space alone one of many.
    """
    return -(-len("".join(text.split())) // 8)


class Message(NamedTuple):
    """One message of a conversation, as chat APIs have them."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Settings:
    """How to draw samples for one step.

    `step` and `slot` say which samples these are: a call for n samples asks for the step's samples numbered
    `slot` to `slot + n - 1`, counted from 0. With `seed`, the run's own, they name a sample for good, so a
    sampler that can be seeded gives the same sample for the same three numbers.

    `schema` is the JSON schema of an answer, as JSON text, for endpoints that can hold a model to one. `messages`
    stand before the prompt: a system message, example turns. A model stops before it writes any string of `stop`.
    `extra` are further fields of a request's body, a JSON object as text; None where there are none.
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

    def conversation(self, prompt: str) -> list[dict[str, str]]:
        """The messages and then the prompt, as chat APIs take them: [{"role": ..., "content": ...}, ...]."""
        return [{"role": role, "content": content} for role, content in (*self.messages, Message("user", prompt))]

    def sample_seed(self, offset: int = 0) -> int:
        """A 63-bit seed of the sample `offset` places after the first, distinct for every sample of a run."""
        name = f"{self.seed}:{self.step}:{self.slot + offset}".encode()
        return int.from_bytes(blake2b(name, digest_size=8).digest(), "big") >> 1
