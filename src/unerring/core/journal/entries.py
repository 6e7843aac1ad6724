"""The entries of a journal.

A journal is a list of entries that is only ever appended to; whatever is known of a run is the fold of its
entries (`unerring.core.journal.state`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import NamedTuple, TypeAlias

from unerring.core.journal.spend import Charge, SpendLimits, Tariff
from unerring.core.voting.canonical import Json
from unerring.core.voting.redflag import FlagKind
from unerring.core.voting.sample import Finish, Message, Usage
from unerring.errors import FailureKind

JOURNAL_VERSION = 1
DRAFT_SLOT = -1  # in place of a sample's number: the call drafts a guess
PROBE_SLOT = -2  # in place of a sample's number, and whatever is lower: the call tries out what the provider does


@dataclass(frozen=True, slots=True)
class Opened:
    """The first entry: what is run, and how. `time` is seconds since 1970, as everywhere here.

    `plan` is what the run was planned for, used by its certificate; nothing is decided by it. `request` is the run's
    request settings (`unerring.core.request`); None for none.
    `identity` identifies the process where `parameters` do not: `{"version": ..., "arguments": {...}}`.
    `origin` is the run that this one was forked from: `{"journal", "process", "model", "step", "hash"}`.
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

    step: the number of the step, from 0.
    slot: the number of the call's first sample, from 0; `DRAFT_SLOT` for a drafted guess, `PROBE_SLOT` for a probe.
    count: the number of samples that the call asks for.
    at: the digest of the guessed state that the step is asked from; None where it is the state that the chain has
        reached. It means the same in every entry.
    worst: the most that the call can cost; it is charged until the outcome is known.
    """

    step: int
    slot: int
    count: int
    at: str | None = None
    worst: Charge | None = None


class Reply(NamedTuple):  # a frozen dataclass takes four times as long to make, and there is one for each sample
    """One sample as it was received; part of a `Replies` entry.

    `text` and `choice` hold the sample's text and its canonical choice where they are new in this step, else
    the number of the earlier sample that had the same. `choice` is None, and `flag` says why, where the
    sample may not vote; `reason` is the flag's own sentence, shortened.
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
        """The number of the sample that spells out the choice of this vote; None where it is no vote."""
        return self.slot if isinstance(self.choice, str) else self.choice


@dataclass(frozen=True, slots=True)
class Replies:
    """The samples of one call, numbered without a gap.

    `question` is the digest of what was asked (`comparison.question_digest`), in the first entry that has samples of a
    step from one place; later ones of that place leave it out.
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
    """The text of a question that people will look at: its samples differ, were flagged, or were set aside.

    wordings: the prompts that it was asked in.
    messages: its own messages before them, without the run's system message; None where an earlier version kept none.
    """

    step: int
    wordings: tuple[str, ...]
    at: str | None = None
    messages: tuple[Message, ...] | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The provider refused what the step asks, and answers other questions; `reason` is what it said.

    The step waits for a person to decide it, or to change how it is asked; a session that resumes asks it again.
    """

    step: int
    reason: str
    at: str | None = None


@dataclass(frozen=True, slots=True)
class Drafted:
    """A paid drafting model was asked to guess a step's choice. Its answer never votes, and is not kept."""

    step: int
    usage: Usage
    at: str | None = None
    charge: Charge | None = None


@dataclass(frozen=True, slots=True)
class Probed:
    """A trial call came back, and what it cost; the last one of a trial says what was found. No answer ever votes."""

    step: int
    finding: str
    charge: Charge
    slot: int = PROBE_SLOT


@dataclass(frozen=True, slots=True)
class Voter:
    """The name behind a voter's number, written before its first reply."""

    number: int
    name: str


@dataclass(frozen=True, slots=True)
class Served:
    """What a provider says answers as this voter, the first time it says so: a model's name and its fingerprint."""

    voter: int
    model: str


@dataclass(frozen=True, slots=True)
class Failed:
    """A paid call came back without samples: the intent is settled, and nothing was received.

    Where `kind` is that its outcome is unknown it stays charged at its worst; `charge` is what it was billed for all
    the same, where the provider said so.
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
    """A paid call under way was abandoned, since its step was not needed any more: its outcome stays unknown.

    `wrong_guess` says that its step was asked ahead from a state that was not to be; else the run stopped.
    """

    step: int
    slot: int
    count: int
    at: str | None = None
    wrong_guess: bool = False


@dataclass(frozen=True, slots=True)
class Committed:
    """The step's verdict became part of the chain. `state` is a digest of the state it leads to, or of its place."""

    step: int
    state: str


@dataclass(frozen=True, slots=True)
class Shortlisted:
    """Votes settled nothing on the step at the frontier, whose question allows for that.

    The step comes to the choices that had votes, `{"candidates": [...]}`, for the process to have them judged.
    """

    step: int


@dataclass(frozen=True, slots=True)
class Allowed:
    """What the run may take in all from here on, and the prices of its voters by name."""

    limits: SpendLimits
    tariffs: Mapping[str, Tariff] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ruled:
    """A person decided a step that votes left undecided: the choice, in canonical form, is theirs."""

    step: int
    choice: str
    time: float


@dataclass(frozen=True, slots=True)
class Redrawn:
    """A person had the samples of an undecided step set aside, to be drawn again, from another model if one is named.

    Those set aside stay in the journal, and vote no more.
    """

    step: int
    time: float
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """How a stored sample reads now: its choice in canonical JSON, or the flag that it raises and the reason."""

    slot: int
    choice: str | None
    flag: FlagKind | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Rejudged:
    """The samples of an open step were read again by the present parser and check, and count as they read now.

    `judgements` are of the samples that read otherwise than before; `at` is as in `Replies`.
    """

    step: int
    judgements: tuple[Judgement, ...]
    time: float
    at: str | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """A person accepted that the process is no longer the one that the run began with.

    `changes` are sentences. The chain stands at the place with the digest `state` from here on. Samples of open steps
    are set aside, but for the next step's where `keep` says that its question is the same. `parameters` and `identity`
    are those of the process as it is now.
    """

    time: float
    changes: tuple[str, ...]
    state: str
    keep: bool
    parameters: dict[str, Json]
    identity: dict[str, Json] | None = None


@dataclass(frozen=True, slots=True)
class Inherited:
    """A step that was decided in the run which this one was forked from: its choice, and the place it leads to."""

    step: int
    choice: str
    state: str


@dataclass(frozen=True, slots=True)
class Resumed:
    """A runner took the journal up again; what is not None replaces the run's own setting from here on.

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
    """A runner stopped in good order before the end. `latency` is how long its calls took, seconds on average."""

    kind: str
    reason: str
    time: float
    latency: float | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """The last entry: the chain ended after so many steps. `latency` is as in `Paused`."""

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
    | Resumed
    | Paused
    | Finished
)


def digest_of(canonical_state: str) -> str:
    """A short digest of a state: enough to notice a process whose code has changed, 12 hex digits."""
    return blake2b(canonical_state.encode(), digest_size=6).hexdigest()
