"""The entries of a journal: one class for each kind.

A journal is an append-only list of entries. The state of a run is computed from its entries
(`unerring.core.journal.state`); their bytes are made by `unerring.core.journal.codec`. The same in all entries:

step: the number of the step, from 0.
slot: the number of a sample within its step, from 0; of a call, that of its first sample.
count: the number of samples that a call asks for.
at: the digest of the guessed state that the step is asked from; None where the chain has reached that state.
time: when it happened, seconds since 1970.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import NamedTuple, TypeAlias

from unerring.core.journal.function_entries import ActBegun, ActEnded, ActErred, Conceded
from unerring.core.journal.review_entries import Accepted, Redrawn, Rejudged, Ruled
from unerring.core.journal.spend import Charge, SpendLimits, Tariff
from unerring.core.voting.canonical import Json
from unerring.core.voting.redflag import FlagKind
from unerring.core.voting.sample import Finish, Message, Usage
from unerring.errors import FailureKind

JOURNAL_VERSION = 1
DRAFT_SLOT = -1  # in place of a sample's number: a call that drafts a guess
PROBE_SLOT = -2  # this number or a lower one in place of a sample's number: a call that probes the endpoint


@dataclass(frozen=True, slots=True)
class Opened:
    """The first entry of a journal: what is run, and how.

    process: the name of the process.
    parameters: its parameters, as JSON data.
    model: the name of the sampler or ensemble.
    policy: how steps are decided, as `Policy.to_json` writes it.
    seed: the seed of the run's samples.
    start: the first state of the chain, canonical JSON.
    length: the number of steps; None where the process does not say.
    software: the version of unerring that wrote it.
    time: when the run began.
    version: the version of the journal format.
    plan: what the run was planned for; its certificate uses it, and nothing is decided by it.
    request: the run's request settings (`unerring.core.request`); None for none.
    identity: what identifies the process besides `parameters`: `{"version": ..., "arguments": {...}}`.
    origin: the run that this one was forked from: `{"journal", "process", "model", "step", "hash"}`.
    """

    process: str
    parameters: dict[str, Json]
    model: str
    policy: dict[str, Json]
    seed: int
    start: str
    length: int | None
    software: str
    time: float
    version: int = JOURNAL_VERSION
    plan: dict[str, Json] | None = None
    request: dict[str, Json] | None = None
    identity: dict[str, Json] | None = None
    origin: dict[str, Json] | None = None


@dataclass(frozen=True, slots=True)
class Intent:
    """A paid call for samples `slot` to `slot + count - 1` of a step is about to be sent.

    slot: the first sample; `DRAFT_SLOT` for a drafted guess, `PROBE_SLOT` or below for a probe.
    worst: the most that the call can cost; it is charged until the outcome is known.
    """

    step: int
    slot: int
    count: int
    at: str | None = None
    worst: Charge | None = None


class Reply(NamedTuple):  # there is one for each sample, and a frozen dataclass takes four times as long to make
    """One sample as it was received; part of a `Replies` entry.

    text: its text; where an earlier sample of the step has the same text, that sample's number.
    choice: its canonical choice, or the number of the earlier sample with the same choice; None where it may not vote.
    flag: why it may not vote; None for a vote.
    usage: its tokens.
    finish: why the model stopped writing.
    logprob: mean log-probability of its tokens, nats; None where the model gives none.
    voter: the number of its voter.
    reply_id: the provider's id of the sample.
    reason: the sentence of the flag, shortened.
    """

    step: int
    slot: int
    text: str | int
    choice: str | int | None
    flag: FlagKind | None
    usage: Usage
    finish: Finish
    logprob: float | None
    voter: int
    reply_id: str | None = None
    reason: str | None = None

    @property
    def candidate(self) -> int | None:
        """The number of the step's first sample with the same choice; None where this is no vote."""
        return self.slot if isinstance(self.choice, str) else self.choice


@dataclass(frozen=True, slots=True)
class Replies:
    """The samples of one call, numbered without a gap.

    replies: the samples, by number.
    question: the digest of the question (`digests.question_digest`), in the first entry with samples of a step from
        one state; None in later ones.
    """

    replies: tuple[Reply, ...]
    at: str | None = None
    question: str | None = None

    def __post_init__(self) -> None:
        step, slot = self.replies[0].step, self.replies[0].slot
        for reply in self.replies:
            if reply.step != step or reply.slot != slot:
                raise ValueError("the samples of a call are of one step, and numbered without a gap")
            slot += 1


@dataclass(frozen=True, slots=True)
class QuestionText:
    """The text of a question that a person may read: its samples differ, were flagged, or were set aside.

    wordings: the prompts that it was asked in.
    messages: its own messages before the prompt, without the run's system message; None in older journals.
    """

    step: int
    wordings: tuple[str, ...]
    at: str | None = None
    messages: tuple[Message, ...] | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The provider refused to answer a step's question, but answers other questions.

    The step waits for a person to decide it, or to change how it is asked; a session that resumes asks it again.

    reason: what the provider said.
    """

    step: int
    reason: str
    at: str | None = None


@dataclass(frozen=True, slots=True)
class Drafted:
    """A paid drafting model returned a guess of a step's choice. The guess never votes, and is not kept.

    usage: the tokens of the call.
    charge: what the call cost; None where its price is not known.
    """

    step: int
    usage: Usage
    at: str | None = None
    charge: Charge | None = None


@dataclass(frozen=True, slots=True)
class Probed:
    """A probe call came back. Its answer never votes.

    step: the number of the next step at that moment.
    finding: what the probes showed, in the last entry of a probe; empty before.
    charge: what the call cost.
    slot: the number of the call, `PROBE_SLOT` or below.
    """

    step: int
    finding: str
    charge: Charge
    slot: int = PROBE_SLOT


@dataclass(frozen=True, slots=True)
class Voter:
    """The name behind a voter's number, written before its first reply.

    number: the number that replies refer to, from 0.
    name: the name of the model, with wording and member where there are several.
    """

    number: int
    name: str


@dataclass(frozen=True, slots=True)
class Served:
    """The model that a provider says answered, written when it first says so.

    voter: the number of the voter.
    model: the provider's name of the model, and its fingerprint.
    """

    voter: int
    model: str


@dataclass(frozen=True, slots=True)
class Failed:
    """A paid call came back without samples.

    reason: the error, as text.
    kind: what is known of the call's outcome. A call of unknown outcome stays charged at its worst case.
    charge: what the call was billed, where the provider said so.
    """

    step: int
    slot: int
    count: int
    reason: str
    at: str | None = None
    kind: FailureKind = FailureKind.TRANSIENT
    charge: Charge | None = None


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A paid call in flight was abandoned, because its step was no longer needed. Its outcome stays unknown.

    wrong_guess: whether its step was asked from a wrongly guessed state; else the run stopped.
    """

    step: int
    slot: int
    count: int
    at: str | None = None
    wrong_guess: bool = False


@dataclass(frozen=True, slots=True)
class Committed:
    """A step's verdict became part of the chain.

    state: the digest of the state it leads to, or of the state's place.
    """

    step: int
    state: str


@dataclass(frozen=True, slots=True)
class Shortlisted:
    """Votes did not decide the next step, and its question allows a shortlist.

    The step's choice is `{"candidates": [...]}`, the choices that had votes, for the process to have them judged.
    """

    step: int


@dataclass(frozen=True, slots=True)
class Allowed:
    """The budget of the run from here on, and the prices of its voters.

    limits: what the run may spend in all.
    tariffs: prices by the voter's name.
    """

    limits: SpendLimits
    tariffs: Mapping[str, Tariff] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Inherited:
    """A step that was decided in the run which this one was forked from.

    choice: its choice, canonical JSON.
    state: the digest of the state it leads to.
    """

    step: int
    choice: str
    state: str


@dataclass(frozen=True, slots=True)
class Resumed:
    """A session resumed the run. Values that are not None replace the run's own from here on.

    vote_cap, flag_cap, min_replies: as in `Policy`; none is lower than before.
    nonce, echo: as in `Request`.
    """

    time: float
    vote_cap: int | None = None
    flag_cap: int | None = None
    nonce: bool | None = None
    echo: bool | None = None
    min_replies: int | None = None


@dataclass(frozen=True, slots=True)
class Paused:
    """A session stopped cleanly before the end of the run.

    kind: the kind of stop, such as `interrupted` or `budget`.
    reason: why it stopped, as a sentence.
    latency: mean seconds that its calls took; None where it made none.
    """

    kind: str
    reason: str
    time: float
    latency: float | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """The last entry: the chain ended.

    steps: the number of its steps.
    latency: as in `Paused`.
    """

    steps: int
    time: float
    latency: float | None = None


Entry: TypeAlias = (
    Opened
    | Allowed
    | Intent
    | Replies
    | QuestionText
    | Refused
    | Drafted
    | Probed
    | Voter
    | Served
    | Failed
    | Cancelled
    | Committed
    | Shortlisted
    | Ruled
    | Redrawn
    | Rejudged
    | Accepted
    | Inherited
    | ActBegun
    | ActEnded
    | ActErred
    | Conceded
    | Resumed
    | Paused
    | Finished
)


def digest_of(canonical_state: str) -> str:
    """The digest of a state, 12 hex digits: enough to notice a process whose code has changed."""
    return blake2b(canonical_state.encode(), digest_size=6).hexdigest()
