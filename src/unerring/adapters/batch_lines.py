"""The requests of a batch: what each is called for good, and the file that they are sent in.

A request keeps its name for as long as the run lives, in whichever process: `STEP-SLOT-DIGEST-N`, where the digest is
of the run's identity and of all that its answer depends on. So whoever finds it in a batch knows that it was asked.
Limits: a file has at most 50,000 requests and 200 MB, metadata 512 characters a value (OpenAI's API reference, batches);
names have at most 64 characters of A-Z, a-z, 0-9, - and _ (the strictest of the providers that take such files).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b

import msgspec

from unerring.core.sample import Settings
from unerring.errors import InputError

MOST_REQUESTS = 50_000
MOST_BYTES = 190_000_000  # of 200 MB, with room for whoever counts otherwise
MOST_IDENTITY = 512  # characters
ENDPOINT = "/v1/chat/completions"

RUN = "unerring"  # keys of a batch's metadata
MODEL = "model"
STEPS = "steps"


@dataclass(frozen=True, slots=True)
class Line:
    """One request: n samples of one prompt. `key` is its name without the n; `text` its line of the file, with the end.

    Where more than one like it is under way at once, each has its own `twin`, counted from 0.
    """

    step: int
    slot: int
    n: int
    digest: str
    body: bytes
    twin: int = 0

    @property
    def key(self) -> str:
        return f"{self.step}-{self.slot}-{self.digest}" + (f"_{self.twin}" if self.twin else "")

    @property
    def custom_id(self) -> str:
        return f"{self.key}-{self.n}"

    @property
    def text(self) -> bytes:
        line = {"custom_id": self.custom_id, "method": "POST", "url": ENDPOINT, "body": msgspec.Raw(self.body)}
        return msgspec.json.encode(line) + b"\n"


@dataclass(frozen=True, slots=True)
class Named:
    """What a custom_id says: the key, and for how many samples it was asked."""

    key: str
    n: int


def line_of(identity: str, settings: Settings, n: int, body: Mapping[str, object]) -> Line:
    """The request for n samples, with the body of a chat request.

    `n` and the seed are left out of its digest: they follow from what its name and its run's identity say.
    """
    asked = {name: value for name, value in body.items() if name not in {"n", "seed"}}
    told = msgspec.json.encode([identity, settings.seed, asked], order="deterministic")
    digest = blake2b(told, digest_size=12).hexdigest()
    return Line(settings.step, settings.slot, n, digest, msgspec.json.encode(body))


def named(custom_id: str) -> Named | None:
    """What a custom_id of ours says; None for any other."""
    key, _, n = custom_id.rpartition("-")
    return Named(key, int(n)) if key and n.isascii() and n.isdecimal() and len(n) < 10 else None


def required_identity(identity: str) -> str:
    """The identity, or `InputError` where it cannot name a run in a batch's metadata."""
    if not 1 <= len(identity) <= MOST_IDENTITY or not identity.isprintable():
        raise InputError(
            f"a run's identity has 1 to {MOST_IDENTITY} printable characters, to be found again by it; not {identity!r:.60}"
        )
    return identity


def metadata_of(identity: str, model: str, steps: Iterable[int]) -> dict[str, str]:
    """What a batch is found again by: its run, its model, and the first and the last step in it."""
    each = list(steps)
    return {RUN: identity, MODEL: model[:MOST_IDENTITY], STEPS: f"{min(each)}..{max(each)}"}


def steps_of(metadata: Mapping[str, str]) -> range | None:
    """The steps that a batch may have; None where its metadata does not say."""
    first, dots, last = metadata.get(STEPS, "").partition("..")
    try:
        return range(int(first), int(last) + 1) if dots else None
    except ValueError:
        return None


def custom_ids(lines: Iterable[bytes]) -> set[str]:
    """The names of the requests in an input file; raises `ValueError` where it is no such file."""
    found = set()
    for line in lines:
        if line.strip():
            try:
                found.add(_names.decode(line).custom_id)
            except msgspec.DecodeError as error:
                raise ValueError(f"not a line of a batch: {error}") from None
    return found


class _Name(msgspec.Struct):
    custom_id: str


_names = msgspec.json.Decoder(_Name)
