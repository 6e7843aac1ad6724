"""Protocols of what the runtime uses: samplers, endpoints, journals, clocks, observers."""

from collections.abc import Coroutine, Sequence
from typing import Protocol, runtime_checkable

from unerring.core.journal.decided_step import DecidedStep
from unerring.core.journal.entries import Entry
from unerring.core.journal.state import RunState
from unerring.core.voting.sample import Sample, Settings, Usage


@runtime_checkable
class Sampler(Protocol):
    """What answers questions: a model endpoint, a model in this process, or a stand-in for one.

    A sampler that ignores a run's system message and further fields (`Settings.messages` and `extra`) says so with an
    attribute `takes_request = False`; runs that have them refuse it. One that is to be asked for a limited number of
    samples a call says how many with an attribute `call_size`.
    """

    @property
    def name(self) -> str:
        """The specification that makes this sampler again, such as `embedded`."""

    @property
    def paid(self) -> bool:
        """Whether calls cost something: then the intent of each is journaled before it is sent."""

    @property
    def compact(self) -> bool:
        """Whether it takes a subtask's compact prompt where there is one."""

    async def sample(self, prompt: str, settings: Settings, n: int) -> Sequence[Sample]:
        """Draw n samples of one prompt, in the order of their numbers.

        May return fewer (at least one): the rest is asked for again. Raises `ProviderBusy` for a passing failure and
        `ProviderDown` for a lasting one; any other error counts as a bug. It sends one request and never retries: the
        runtime does, and journals every try.
        """


@runtime_checkable
class Endpoint(Sampler, Protocol):
    """A sampler over a network: calls of an account share a rate limiter, and the most that each can cost is known."""

    @property
    def account(self) -> str:
        """What a provider's limits apply to, such as its host and a digest of the key: never the key itself."""

    def worst(self, prompt: str, settings: Settings, n: int) -> Usage:
        """The most tokens that a call for n samples can be billed for."""

    async def aclose(self) -> None:
        """Close its connections, on the event loop that it was used on."""


@runtime_checkable
class BatchEndpoint(Endpoint, Protocol):
    """An endpoint that answers many calls together, hours later."""

    @property
    def batch_calls(self) -> int:
        """How many calls fit into one batch: with fewer in flight, batches are sent half empty."""


class Journal(Protocol):
    """Where entries are stored. It has one writer, and keeps the order in which entries were appended."""

    def append(self, entry: Entry) -> None:
        """Add an entry. It is not durable yet."""

    async def commit(self) -> None:
        """Return once all entries appended so far would survive a power cut."""

    @property
    def pending(self) -> int:
        """Entries appended and not yet durable."""

    def close(self) -> None:
        """Make all entries durable and close the journal."""


class Clock(Protocol):
    """A source of time, so that tests need not wait."""

    def time(self) -> float:
        """Seconds since 1970."""

    def sleep(self, seconds: float) -> Coroutine[None, None, None]:
        """Wait, when awaited."""


class Observer(Protocol):
    """What watches a run. It is called on the event loop after each committed step, and must return at once.

    It may also have a method `notice(line)`, called with a line for people where no step can be decided for a while.
    """

    def decided(self, decided: DecidedStep, state: RunState) -> None:
        """A step was committed."""
