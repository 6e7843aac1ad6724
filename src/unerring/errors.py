"""Everything unerring raises, split by whose fault it is.

    UnerringError
    ├── InputError            yours: an argument, a process, a file that cannot be used as asked
    │   ├── UserCodeFailed    your module raised while it was imported, or your class while an object was made
    │   ├── NoKCanHelp        the voters are right too rarely for any margin to reach the target
    │   └── ChainChanged      the process's code no longer does what the journal says it did
    ├── ProviderError         the model's side; its `kind`, a `FailureKind`, says what went wrong
    │   ├── ProviderBusy      passing: try the same call again, not before `retry_after`
    │   └── ProviderDown      lasting: no further call makes sense until a person acts
    ├── JournalError          the journal's
    │   ├── NotAJournal       the file is something else
    │   ├── JournalBusy       another runner writes to it
    │   ├── JournalTooNew     a later unerring wrote it
    │   └── JournalDamaged    its entries do not add up; `intact` says how many do
    └── Stopped               ran out: the run stopped early and can go on
        ├── StepUndecided     a step met its cap on votes or on flagged samples
        ├── StepRefused       the provider refuses what a step asks, and answers other questions
        ├── StepLimit         the limit of steps asked for was reached
        ├── BudgetSpent       the next call might cost more than is left
        ├── VotesCopied       too many replies were copies of earlier ones, served by a cache
        ├── SamplesFlagged    next to none of the samples may vote: all raise red flags
        ├── ModelChanged      another model answers under the same name
        ├── ProviderGone      the provider stayed away for longer than the run's patience
        └── Interrupted       Ctrl-C or SIGTERM

Messages say what happened and what to do about it. Red flags and undecided races are values, not errors
(see `unerring.core`); an error that a user's own process raises is passed on as it is.
"""

from enum import Enum


class UnerringError(Exception):
    """Any failure that unerring foresees."""


class InputError(UnerringError):
    """What was asked for cannot be done as asked; the message says what to change."""


class UserCodeFailed(InputError):
    """A user's own module raised while it was imported, or a class while an object was made; the cause is attached."""


class NoKCanHelp(InputError):
    """Votes are right with p <= 1/2 (or never): no margin k reaches the target probability."""


class ChainChanged(InputError):
    """Replaying the journal through the process gave another state than the one recorded."""


class FailureKind(Enum):
    """Why a call brought no sample, which decides what follows and what it may have cost."""

    RATE_LIMITED = "rate limited"  # nothing was done: leave the provider alone for a while
    OVERLOADED = "overloaded"  # nothing was done: fewer calls at once
    TRANSIENT = "transient"  # nothing was done: try again
    UNSENT = "not sent"  # it was given up before anything went out
    UNKNOWN = "unknown outcome"  # it was sent, and its outcome is unknown: it may be billed
    QUOTA = "quota gone"  # the account has to be paid for
    DENIED = "access denied"  # no key, or not this one
    INVALID = "invalid request"  # it will be refused however often it is sent
    REFUSED = "question refused"  # the same, for what this one question is: too long, or against a policy


class ProviderError(UnerringError):
    """A call to the model failed. It is neither a vote nor a red flag.

    `tokens` are those that the provider billed for it all the same, read and written, where it said so.
    """

    def __init__(
        self, message: str, kind: FailureKind = FailureKind.TRANSIENT, tokens: tuple[int, int] | None = None
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.tokens = tokens


class ProviderBusy(ProviderError):
    """A passing failure: rate limit, overload, broken connection.

    `retry_after` is the number of seconds the provider asked to be left alone, if it said so, and `reading` says where
    it did and how that was read.
    """

    def __init__(
        self,
        message: str,
        retry_after: float | None = None,
        kind: FailureKind = FailureKind.TRANSIENT,
        tokens: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(message, kind, tokens)
        seconds = None if retry_after is None else float(retry_after)
        self.retry_after = None if seconds is None or not seconds >= 0.0 else seconds  # nan and -5 ask for nothing
        self.reading = ""


class ProviderDown(ProviderError):
    """A lasting failure: no quota, no such model, no permission. `status` is the HTTP status behind it, if any."""

    def __init__(self, message: str, kind: FailureKind = FailureKind.INVALID, status: int | None = None) -> None:
        super().__init__(message, kind)
        self.status = status


class JournalError(UnerringError):
    """The journal cannot be read or written."""


class NotAJournal(JournalError, InputError):
    """The file exists, and is not an unerring journal."""


class JournalBusy(JournalError):
    """Another runner holds the journal; a journal has one writer."""


class JournalTooNew(JournalError):
    """The journal has a version or an entry kind that this unerring does not know."""


class JournalDamaged(JournalError):
    """The journal's entries do not add up.

    `intact` counts the leading entries that do; `expected` is how many were once there, where known.
    """

    def __init__(self, message: str, intact: int = 0, expected: int | None = None) -> None:
        super().__init__(message)
        self.intact = intact
        self.expected = expected


class Stopped(UnerringError):
    """The run stopped before its end; everything decided so far is in the journal.

    `journal` is the journal's file; None where there is none. `larger` names the limit that stopped it, as `Options`,
    `Budget` or `Guards` do, with a value that lets it go on; None where no limit did.
    """

    kind = "stopped"
    journal: str | None = None
    larger: tuple[str, float] | None = None


class StepUndecided(Stopped):
    """A step reached its cap of votes without a winner. Nothing is elected.

    `step` is its number and `tally` the votes of each choice, most votes first. `unread` says that parser or check
    of the process took none of its answers.
    """

    kind = "undecided"

    unread = False

    def __init__(self, message: str, step: int | None = None, tally: tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.step = step
        self.tally = tally


class StepRefused(Stopped):
    """The provider refuses what a step asks: it is too long, or against a policy. `step` is its number."""

    kind = "refused"

    def __init__(self, message: str, step: int | None = None) -> None:
        super().__init__(message)
        self.step = step


class StepLimit(Stopped):
    """The run did as many steps as it was asked to, or as its process says it has (`kind` is "beyond length")."""

    kind = "step limit"


BEYOND_LENGTH = "beyond length"  # the `kind` of a run that is not at its end after as many steps as length() says


class BudgetSpent(Stopped):
    """The next call might cost more than is left of the run's budget."""

    kind = "budget"


class VotesCopied(Stopped):
    """Too many replies were copies of earlier ones: they are no votes, and the run could not be trusted."""

    kind = "copies"


class SamplesFlagged(Stopped):
    """All of a run's first samples were flagged, or nearly all of its latest: it would go on for nothing."""

    kind = "flagged"


class ModelChanged(Stopped):
    """Another model answers under the same name than the one the run began with."""

    kind = "model changed"


class ProviderGone(Stopped):
    """The provider failed permanently, or for longer than the run's patience."""

    kind = "provider"


class Interrupted(Stopped):
    """The run was asked to stop (Ctrl-C, SIGTERM)."""

    kind = "interrupted"
