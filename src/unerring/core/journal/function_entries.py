"""The entries of a journal that function processes have besides those of chains; fields as in `entries`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ActBegun:
    """A side effect is about to be run: durable before it begins.

    step: the number of the next step.
    name: the name of its function.
    key: its idempotency key.
    once: whether it is never run twice.
    arguments: the digest of its arguments; None where they are no JSON data.
    """

    step: int
    name: str
    key: str
    once: bool
    time: float
    arguments: str | None = None


@dataclass(frozen=True, slots=True)
class ActEnded:
    """A side effect was run.

    result: its result, canonical JSON.
    state: the digest of the state after it.
    by_person: whether a person said so, after it was not known.
    """

    step: int
    result: str
    state: str
    time: float
    by_person: bool = False


@dataclass(frozen=True, slots=True)
class ActErred:
    """A side effect raised an error, or a person said that it did not happen.

    reason: the error, in a line.
    state: the digest of the state where the function continued after the error; None where it is run again.
    by_person: whether a person said that it did not happen: it may be run again, or not be there any more.
    """

    step: int
    reason: str
    time: float
    state: str | None = None
    by_person: bool = False


@dataclass(frozen=True, slots=True)
class Conceded:
    """A step stayed undecided, and the function continued: it caught `StepUndecided`.

    reason: the error's message.
    state: the digest of the state that this leads to.
    """

    step: int
    reason: str
    state: str
