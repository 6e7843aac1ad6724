"""The entries of a journal that record what a person decided; fields as in `unerring.core.journal.entries`."""

from dataclasses import dataclass

from unerring.core.voting.canonical import Json
from unerring.core.voting.redflag import FlagKind


@dataclass(frozen=True, slots=True)
class Ruled:
    """A person decided a step that votes left undecided.

    choice: the person's choice, canonical JSON.
    """

    step: int
    choice: str
    time: float


@dataclass(frozen=True, slots=True)
class Redrawn:
    """A person had the samples of an undecided step set aside, to be drawn again.

    The former samples stay in the journal, and vote no more.

    model: the model to draw from; None for the run's own.
    """

    step: int
    time: float
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """How a stored sample reads by the present parser and check.

    choice: its choice, canonical JSON; None where it raises a flag.
    flag: the flag that it raises.
    reason: the sentence of the flag.
    """

    slot: int
    choice: str | None
    flag: FlagKind | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Rejudged:
    """The samples of an open step were read again by the present parser and check, and count as they read now.

    judgements: those of the samples that read in another way than before.
    """

    step: int
    judgements: tuple[Judgement, ...]
    time: float
    at: str | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """A person accepted that the process differs from the one that the run began with.

    Samples of open steps are set aside, but those of the next step stay if its question is the same (`keep`).

    changes: what changed, a sentence each.
    state: the digest of the place where the chain is from here on.
    keep: whether the next step keeps its samples.
    parameters: the parameters of the process as it is now.
    identity: its identity as it is now, as in `Opened`.
    """

    time: float
    changes: tuple[str, ...]
    state: str
    keep: bool
    parameters: dict[str, Json]
    identity: dict[str, Json] | None = None
