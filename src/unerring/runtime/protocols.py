"""The seams: what the runtime needs from the outside, and all it knows of it."""

from collections.abc import Coroutine, Sequence
from typing import Protocol, runtime_checkable

from unerring.core.journal.decided_step import DecidedStep
from unerring.core.journal.entries import Entry
from unerring.core.journal.state import RunState
from unerring.core.voting.sample import Sample, Settings, Usage


@runtime_checkable
class Sampler(Protocol):
    """What answers: a model endpoint, a model in this process, or a stand-in for one.

    One that cannot heed a run's system message and further fields (`Settings.messages` and `extra`) says so with an
    attribute `takes_request = False`, and is refused where they are given.
    """

    @property
    def name(self) -> str:
        """The specification that makes this sampler again, such as `embedded`."""

    @property
    def paid(self) -> bool:
        """Whether a call costs something that a crash must not hide: its intent is journaled first."""

    @property
    def compact(self) -> bool:
        """Whether it wants a subtask's compact prompt where there is one."""

    async def sample(self, prompt: str, settings: Settings, n: int) -> Sequence[Sample]:
        """Draw n samples of one prompt, in the order of their numbers.

        May return fewer (at least one): the rest is asked for again. Raises `ProviderBusy` for a passing
        failure and `ProviderDown` for a lasting one; anything else it raises is a bug. It makes one request and never
        tries again: the runtime does, and journals every try.
        """


@runtime_checkable
class Endpoint(Sampler, Protocol):
    """A sampler beyond a network: calls to one account are paced together, and what one costs at most is known."""

    @property
    def account(self) -> str:
        """What a provider's limits apply to, such as its host and a digest of the key: never the key itself."""

    def worst(self, prompt: str, settings: Settings, n: int) -> Usage:
        """The most tokens that a call for n samples can be billed for."""

    async def aclose(self) -> None:
        """Close its connections, on the event loop that it was used on."""


class Journal(Protocol):
    """Where entries go. One writer; entries come back in the order they were appended."""

    def append(self, entry: Entry) -> None:
        """Add an entry. It is not durable yet."""

    async def commit(self) -> None:
        """Return once everything appended so far would survive a power cut."""

    @property
    def pending(self) -> int:
        """Entries appended and not yet durable."""

    def close(self) -> None:
        """Make everything durable and let go of the journal."""


class Clock(Protocol):
    """Time, as a value that comes in."""

    def time(self) -> float:
        """Seconds since 1970."""

    def sleep(self, seconds: float) -> Coroutine[None, None, None]:
        """Wait, when awaited."""


class Observer(Protocol):
    """Who watches a run. Called on the event loop, after each committed step; must return at once.

    It may also offer `notice(line)`, for a line for people where something takes a while in which no step is decided.
    """

    def decided(self, decided: DecidedStep, state: RunState) -> None:
        """A step was committed."""
