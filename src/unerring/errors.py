"""Everything unerring raises, split by whose fault it is.

    UnerringError
    ├── InputError            yours: an argument, a process, a file that cannot be used as asked
    │   ├── NoKCanHelp        the voters are right too rarely for any margin to reach the target
    │   └── ChainChanged      the process's code no longer does what the journal says it did
    ├── ProviderError         the model's side
    │   ├── ProviderBusy      passing: try the same call again, not before `retry_after`
    │   └── ProviderDown      lasting: no further call makes sense until somebody acts
    ├── JournalError          the journal's
    │   ├── NotAJournal       the file is something else
    │   ├── JournalBusy       another runner writes to it
    │   ├── JournalTooNew     a later unerring wrote it
    │   └── JournalDamaged    its entries do not add up; `intact` says how many do
    └── Stopped               ran out: the run stopped early and can go on
        ├── StepUndecided     a step met its cap on votes or on flagged samples
        ├── StepLimit         the limit of steps asked for was reached
        ├── ProviderGone      the provider stayed away for longer than the run's patience
        └── Interrupted       Ctrl-C or SIGTERM

Messages say what happened and what to do about it. Red flags and undecided races are values, not errors
(see `unerring.core`); an error that a user's own process raises is passed on as it is.
"""


class UnerringError(Exception):
    """Any failure that unerring foresees."""


class InputError(UnerringError):
    """What was asked for cannot be done as asked; the message says what to change."""


class NoKCanHelp(InputError):
    """Votes are right with p <= 1/2 (or never): no margin k reaches the target probability."""


class ChainChanged(InputError):
    """Replaying the journal through the process gave another state than the one recorded."""


class ProviderError(UnerringError):
    """A call to the model failed. It is neither a vote nor a red flag."""


class ProviderBusy(ProviderError):
    """A passing failure: rate limit, overload, broken connection.

    `retry_after` is the number of seconds the provider asked to be left alone, if it said so.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ProviderDown(ProviderError):
    """A lasting failure: no quota, no such model, no permission."""


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

    def __init__(self, message: str, intact: int, expected: int | None = None) -> None:
        super().__init__(message)
        self.intact = intact
        self.expected = expected


class Stopped(UnerringError):
    """The run stopped before its end; everything decided so far is in the journal."""

    kind = "stopped"


class StepUndecided(Stopped):
    """A step's race met its cap without a winner. Nothing is elected in its place."""

    kind = "undecided"


class StepLimit(Stopped):
    """The run did as many steps as it was asked to."""

    kind = "step limit"


class ProviderGone(Stopped):
    """The provider failed for good, or for longer than the run's patience."""

    kind = "provider"


class Interrupted(Stopped):
    """The run was asked to stop (Ctrl-C, SIGTERM)."""

    kind = "interrupted"
