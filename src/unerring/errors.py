"""All exceptions that unerring raises, grouped by who has to act.

    UnerringError
    ├── InputError            you: an argument, a process or a file cannot be used as asked
    │   ├── UserCodeFailed    your module raised while it was imported, or your class while an object was made
    │   ├── ActFailed         a side effect of a function process raised an error, also when it was run again
    │   ├── NoKCanHelp        votes are right too rarely for any margin to reach the target
    │   └── ChainChanged      the process's code no longer does what the journal says it did
    ├── ProviderError         the provider: a call failed; its `kind` is a `FailureKind`
    │   ├── ProviderBusy      passing: retry the call, not before `retry_after`
    │   └── ProviderDown      lasting: retries fail until a person acts
    ├── JournalError          the journal cannot be read or written
    │   ├── NotAJournal       the file is not a journal
    │   ├── JournalBusy       another runner writes to it
    │   ├── JournalTooNew     a later unerring wrote it
    │   └── JournalDamaged    entries are damaged or missing; `intact` leading ones are not
    └── Stopped               the run stopped before its end and can be resumed
        ├── StepUndecided     a step reached its cap of votes or of flagged samples
        ├── StepRefused       the provider refuses the question of a step, and answers others
        ├── ActUnknown        it is not known whether a side effect that must not be run twice has happened
        ├── StepLimit         the given number of steps is done
        ├── BudgetSpent       the next call might cost more than is left of the budget
        ├── VotesCopied       too many replies were copies of earlier ones, from a cache
        ├── SamplesFlagged    nearly all samples were red-flagged
        ├── ModelChanged      another model answers under the same name
        ├── ProviderGone      the provider failed for longer than the run's patience
        └── Interrupted       Ctrl-C or SIGTERM

Messages say what happened and what to do. Red flags and undecided races are values, not errors. An exception that a
user's own process raises is passed on unchanged.
"""

from enum import Enum


class UnerringError(Exception):
    """Base class of all exceptions of unerring."""


class InputError(UnerringError):
    """Something cannot be done as asked; the message says what to change."""


class UserCodeFailed(InputError):
    """A user's module raised while it was imported, or a class while an object was made; `__cause__` has the error."""


class ActFailed(UserCodeFailed):
    """A side effect of a function process raised an error at each attempt; the message has the last one.

    The function may catch it and continue: then a resumed run does not try the side effect again.
    """


class NoKCanHelp(InputError):
    """Votes are right too rarely, with p <= 1/2 or never: no margin k reaches the target probability."""


class ChainChanged(InputError):
    """The process does not ask the questions, or lead to the states, that the journal has."""


class FailureKind(Enum):
    """Why a call failed. The runtime decides by it whether to retry the call, and what the call may have cost."""

    RATE_LIMITED = "rate limited"  # not processed: wait before the next call
    OVERLOADED = "overloaded"  # not processed: send fewer calls at once
    TRANSIENT = "transient"  # not processed: retry
    UNSENT = "not sent"  # cancelled before it was sent
    UNKNOWN = "unknown outcome"  # sent, and not answered: it may be billed
    QUOTA = "quota gone"  # the account has no credit left
    DENIED = "access denied"  # the key is missing or refused
    INVALID = "invalid request"  # every retry would be refused too
    REFUSED = "question refused"  # only this question is refused: too long, or against a policy


class ProviderError(UnerringError):
    """A call to the model failed. It is neither a vote nor a red flag.

    kind: why it failed.
    tokens: input and output tokens that the provider billed for it; None where it did not say.
    """

    def __init__(
        self, message: str, kind: FailureKind = FailureKind.TRANSIENT, tokens: tuple[int, int] | None = None
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.tokens = tokens


class ProviderBusy(ProviderError):
    """A passing failure: rate limit, overload, broken connection.

    retry_after: the number of seconds to wait that the provider asked for; None where it did not.
    reading: where the provider said so, and how it was read.
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
    """A lasting failure: no quota, no such model, no permission.

    status: the HTTP status; None where there was none.
    """

    def __init__(self, message: str, kind: FailureKind = FailureKind.INVALID, status: int | None = None) -> None:
        super().__init__(message, kind)
        self.status = status


class JournalError(UnerringError):
    """The journal cannot be read or written."""


class NotAJournal(JournalError, InputError):
    """The file is not a journal of unerring."""


class JournalBusy(JournalError):
    """Another process writes to the journal; a journal has one writer."""


class JournalTooNew(JournalError):
    """The journal has a version or an entry kind that this unerring does not know."""


class JournalDamaged(JournalError):
    """Entries of the journal are damaged or missing.

    intact: the number of leading entries that are not damaged.
    expected: the number of entries that were once there; None where that is not known.
    """

    def __init__(self, message: str, intact: int = 0, expected: int | None = None) -> None:
        super().__init__(message)
        self.intact = intact
        self.expected = expected


class Stopped(UnerringError):
    """The run stopped before its end; everything decided so far is in the journal.

    kind: why it stopped, in a word or two.
    journal: the path of the journal; None where there is none.
    larger: the limit that stopped it, by its name in `Options`, `Budget` or `Guards`, and a value with which the run
        can continue; None where no limit did.
    unread: whether the process's own parser or check refused all of the answers that count.
    advice: how to continue in Python; `str` has the reason and the advice.
    """

    kind = "stopped"
    journal: str | None = None
    unread = False
    advice = ""

    def __init__(self, message: str, *, larger: tuple[str, float] | None = None) -> None:
        super().__init__(message)
        self.larger = larger

    @property
    def reason(self) -> str:
        """What happened, in one line."""
        return str(self.args[0])

    def __str__(self) -> str:
        return f"{self.reason}; {self.advice}" if self.advice else self.reason


class StepUndecided(Stopped):
    """A step reached its cap of votes or of flagged samples without a winner. Nothing is elected.

    step: its number.
    tally: the votes of each choice, most votes first.
    """

    kind = "undecided"

    def __init__(self, message: str, step: int | None = None, tally: tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.step = step
        self.tally = tally


class StepRefused(Stopped):
    """The provider refuses the question of a step: it is too long, or against a policy.

    step: its number.
    """

    kind = "refused"

    def __init__(self, message: str, step: int | None = None) -> None:
        super().__init__(message)
        self.step = step


class ActUnknown(Stopped):
    """A side effect that must not be run twice was begun, and it is not known whether it happened.

    name: the name of its function.
    key: its idempotency key.
    """

    kind = "unknown act"

    def __init__(self, message: str, name: str = "", key: str = "") -> None:
        super().__init__(message)
        self.name = name
        self.key = key


class StepLimit(Stopped):
    """The run stopped after `max_steps` steps, or after as many as its process has (`kind` is "beyond length")."""

    kind = "step limit"


BEYOND_LENGTH = "beyond length"  # the `kind` of a run that is not at its end after as many steps as length() says


class BudgetSpent(Stopped):
    """The next call might cost more than is left of the run's budget."""

    kind = "budget"


class VotesCopied(Stopped):
    """Too many replies were copies of earlier ones, which are not votes."""

    kind = "copies"


class SamplesFlagged(Stopped):
    """All of a run's first samples were flagged, or nearly all of its latest ones."""

    kind = "flagged"


class ModelChanged(Stopped):
    """The endpoint now answers with another model than at the start of the run."""

    kind = "model changed"


class ProviderGone(Stopped):
    """The provider failed permanently, or for longer than the run's patience."""

    kind = "provider"


class Interrupted(Stopped):
    """The run was asked to stop (Ctrl-C, SIGTERM)."""

    kind = "interrupted"
