"""The requests of a batch: the permanent name of each, and the file that they are sent in.

A request keeps its name for as long as the run lives, in whichever process: `STEP-SLOT-DIGEST-N`, where the digest is
of the run's identity and of all that its answer depends on. So whoever finds it in a batch knows that it was asked.
Limits: a file has at most 50,000 requests and 200 MB, metadata 512 characters a value (OpenAI's API reference, "Create
batch"); names have at most 64 characters of A-Z, a-z, 0-9, - and _ (the strictest of the providers, Anthropic).
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b

import msgspec

from unerring.core.voting.sample import Settings
from unerring.errors import InputError

MAX_BATCH_REQUESTS = 50_000
MAX_GATHERED_BYTES = 150_000_000  # gathered, after which a batch is sent
MAX_BODY_BYTES = 40_000_000  # bytes
MAX_IDENTITY_CHARS = 512  # characters
ENDPOINT = "/v1/chat/completions"

RUN_KEY = "unerring"  # keys of a batch's metadata
MODEL_KEY = "model"
STEPS_KEY = "steps"


@dataclass(frozen=True, slots=True)
class RequestKey:
    """What a request asks, but for the number of samples: those of a step from number `slot` on.

    Where more than one like it is under way at once, each has its own `twin`, counted from 0.
    """

    step: int
    slot: int
    digest: str
    twin: int = 0

    def custom_id(self, n: int) -> str:
        """The name of the request for n samples."""
        twin = f"_{self.twin}" if self.twin else ""
        return f"{self.step}-{self.slot}-{self.digest}{twin}-{n}"

    def after(self, n: int) -> "RequestKey":
        """The samples that follow n of these."""
        return replace(self, slot=self.slot + n)


_NAME = re.compile(r"(-?\d{1,12})-(-?\d{1,9})-([0-9a-f]{24})(?:_(\d{1,6}))?-(\d{1,6})")


def parse_custom_id(custom_id: str) -> tuple[RequestKey, int] | None:
    """What a custom_id of ours says, and for how many samples it was asked; None for any other."""
    found = _NAME.fullmatch(custom_id) if custom_id.isascii() else None
    if found is None:
        return None
    step, slot, digest, twin, n = found.groups()
    key = RequestKey(int(step), int(slot), digest, int(twin or 0))
    return (key, int(n)) if key.custom_id(int(n)) == custom_id else None


@dataclass(frozen=True, slots=True)
class RequestLine:
    """One request: n samples of one prompt. `body` is that of a chat request, as JSON.

    `sent` are parameters in it that may be done without. `read` is the most tokens that its prompt has, `least` the
    fewest, and `limit` the most that a sample has.
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
        """Its name."""
        return self.key.custom_id(self.n)

    @property
    def size(self) -> int:
        """The most bytes that it has in the file."""
        return len(self.body) + 200

    def text(self) -> bytes:
        """What stands in the file, with the end of the line."""
        line = {"custom_id": self.custom_id, "method": "POST", "url": ENDPOINT, "body": msgspec.Raw(self.body)}
        return msgspec.json.encode(line) + b"\n"


def key_of(identity: str, model: str, prompt: str, settings: Settings) -> RequestKey:
    """A request's permanent name, but for the number of its samples.

    How its parameters are worded and which ones a server takes is left out: that is found out again in each process.
    """
    asked: list[object] = [identity, settings.seed, model, prompt, settings.temperature, settings.max_output_tokens]
    if settings.messages or settings.stop or settings.extra is not None:
        asked.append([settings.messages, settings.stop, settings.extra])
    digest = blake2b(msgspec.json.encode(asked), digest_size=12).hexdigest()
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
    """What the batches of one run and one model have in their metadata."""

    identity: str
    model: str

    def metadata(self, steps: Collection[int]) -> dict[str, str]:
        """What a batch is found again by, with the first and the last of its steps."""
        return {
            RUN_KEY: self.identity,
            MODEL_KEY: self.model[:MAX_IDENTITY_CHARS],
            STEPS_KEY: f"{min(steps)}..{max(steps)}",
        }

    def is_on(self, metadata: Mapping[str, str]) -> bool:
        """Whether a batch with this metadata is one of them."""
        return metadata.get(RUN_KEY) == self.identity and metadata.get(MODEL_KEY) == self.model[:MAX_IDENTITY_CHARS]


def steps_of(metadata: Mapping[str, str]) -> range | None:
    """The steps that a batch may have; None where its metadata does not say."""
    first, dots, last = metadata.get(STEPS_KEY, "").partition("..")
    try:
        return range(int(first), int(last) + 1) if dots else None
    except ValueError:
        return None


def keys_in(lines: Iterable[bytes]) -> dict[str, RequestKey]:
    """The requests of ours in an input file, by their names; raises `ValueError` where it is no such file."""
    found = {}
    for line in lines:
        if line.strip():
            try:
                name = _names.decode(line).custom_id
            except msgspec.DecodeError as error:
                raise ValueError(f"not a line of a batch: {error}") from None
            ours = parse_custom_id(name)
            if ours is not None:
                found[name] = ours[0]
    return found


class _ParsedName(msgspec.Struct):
    custom_id: str


_names = msgspec.json.Decoder(_ParsedName)
