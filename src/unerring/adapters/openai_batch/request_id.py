"""Permanent ids of the requests in batches, the lines that they are sent in, and the metadata of batches.

A request has the same id in every process of a run: `STEP-SLOT-DIGEST-N`. The digest covers the run's identity and all
that the answer depends on, so that a request found in a batch is known to be the same. Limits: a file has at most
50,000 requests and 200 MB, metadata 512 characters a value (OpenAI's API reference, "Create batch"); ids have at most
64 characters of A-Z, a-z, 0-9, - and _ (Anthropic, the strictest provider).
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b

import msgspec

from unerring.core.voting.sample import Settings
from unerring.errors import InputError

MAX_BATCH_REQUESTS = 50_000
MAX_GATHERED_BYTES = 150_000_000  # a batch is sent once so much is gathered
MAX_BODY_BYTES = 40_000_000
MAX_IDENTITY_CHARS = 512
ENDPOINT = "/v1/chat/completions"

RUN_KEY = "unerring"  # keys of a batch's metadata
MODEL_KEY = "model"
STEPS_KEY = "steps"


@dataclass(frozen=True, slots=True)
class RequestKey:
    """What a request asks, without its number of samples.

    step: the step.
    slot: the number of its first sample.
    digest: digest of the run's identity and of all that the answer depends on.
    twin: tells equal requests apart that are in flight at once, from 0.
    """

    step: int
    slot: int
    digest: str
    twin: int = 0

    def custom_id(self, n: int) -> str:
        """The custom_id of the request for n samples."""
        twin = f"_{self.twin}" if self.twin else ""
        return f"{self.step}-{self.slot}-{self.digest}{twin}-{n}"

    def after(self, n: int) -> "RequestKey":
        """The key of the samples that follow the first n."""
        return replace(self, slot=self.slot + n)


_CUSTOM_ID = re.compile(r"(-?\d{1,12})-(-?\d{1,9})-([0-9a-f]{24})(?:_(\d{1,6}))?-(\d{1,6})")


def parse_custom_id(custom_id: str) -> tuple[RequestKey, int] | None:
    """The key and the number of samples in a custom_id; None for one that unerring did not make."""
    match = _CUSTOM_ID.fullmatch(custom_id) if custom_id.isascii() else None
    if match is None:
        return None
    step, slot, digest, twin, n = match.groups()
    key = RequestKey(int(step), int(slot), digest, int(twin or 0))
    return (key, int(n)) if key.custom_id(int(n)) == custom_id else None


@dataclass(frozen=True, slots=True)
class RequestLine:
    """One request: n samples of one prompt.

    key: what it asks.
    n: the most samples.
    body: the body of a chat request, as JSON.
    sent: its parameters that can be left out.
    read: the most tokens of its prompt.
    limit: the most tokens of a sample.
    least: the fewest tokens of its prompt.
    """

    key: RequestKey
    n: int
    body: bytes
    sent: frozenset[str]
    read: int
    limit: int
    least: int = 0

    @property
    def custom_id(self) -> str:
        """The id of the request."""
        return self.key.custom_id(self.n)

    @property
    def size(self) -> int:
        """The most bytes of the line in the file."""
        return len(self.body) + 200

    def text(self) -> bytes:
        """The line in the file, with its end."""
        line = {"custom_id": self.custom_id, "method": "POST", "url": ENDPOINT, "body": msgspec.Raw(self.body)}
        return msgspec.json.encode(line) + b"\n"


def key_of(identity: str, model: str, prompt: str, settings: Settings) -> RequestKey:
    """A request's permanent key.

    The names of parameters, and which of them a server accepts, are not part of it: each process finds them out.
    """
    parts: list[object] = [identity, settings.seed, model, prompt, settings.temperature, settings.max_output_tokens]
    if settings.messages or settings.stop or settings.extra is not None:
        parts.append([settings.messages, settings.stop, settings.extra])
    digest = blake2b(msgspec.json.encode(parts), digest_size=12).hexdigest()
    return RequestKey(settings.step, settings.slot, digest)


def required_identity(identity: str) -> str:
    """The identity, or `InputError` where it cannot name a run in a batch's metadata."""
    if not 1 <= len(identity) <= MAX_IDENTITY_CHARS or not identity.isprintable():
        raise InputError(
            f"a run's identity has 1 to {MAX_IDENTITY_CHARS} printable characters; it cannot be {identity!r:.60}"
        )
    return identity


@dataclass(frozen=True, slots=True)
class BatchMetadata:
    """The metadata of the batches of one run and one model.

    identity: the run's identity.
    model: the model's name at the provider.
    """

    identity: str
    model: str

    def metadata(self, steps: Collection[int]) -> dict[str, str]:
        """The metadata of one batch, with its first and last step."""
        return {
            RUN_KEY: self.identity,
            MODEL_KEY: self.model[:MAX_IDENTITY_CHARS],
            STEPS_KEY: f"{min(steps)}..{max(steps)}",
        }

    def matches(self, metadata: Mapping[str, str]) -> bool:
        """Whether a batch with this metadata is one of them."""
        return metadata.get(RUN_KEY) == self.identity and metadata.get(MODEL_KEY) == self.model[:MAX_IDENTITY_CHARS]


def steps_of(metadata: Mapping[str, str]) -> range | None:
    """The steps that a batch may have; None where its metadata does not name them."""
    first, dots, last = metadata.get(STEPS_KEY, "").partition("..")
    try:
        return range(int(first), int(last) + 1) if dots else None
    except ValueError:
        return None


def keys_in(lines: Iterable[bytes]) -> dict[str, RequestKey]:
    """The keys of unerring's requests in an input file, by custom_id; raises `ValueError` for any other file."""
    keys = {}
    for line in lines:
        if line.strip():
            try:
                name = decode_custom_id(line).custom_id
            except msgspec.DecodeError as error:
                raise ValueError(f"not a line of a batch: {error}") from None
            known = parse_custom_id(name)
            if known is not None:
                keys[name] = known[0]
    return keys


class _CustomIdLine(msgspec.Struct):
    custom_id: str


decode_custom_id = msgspec.json.Decoder(_CustomIdLine).decode
