"""Poll a batch until it has ended. Polls cost nothing, so that failed ones are repeated, up to a deadline."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from unerring.adapters.openai_batch.client import Batch, BatchApi
from unerring.adapters.openai_batch.results import RequestOutcome, reconcile
from unerring.errors import FailureKind, ProviderBusy
from unerring.runtime.protocols import Clock

_Got = TypeVar("_Got")
WAIT_GROWTH = 1.5  # factor of the wait from poll to poll
MAX_WAIT_FACTOR = 8  # the longest wait in units of the first one
MAX_LATE_POLLS = 3  # polls that find a batch ended and its files still missing


@dataclass(frozen=True, slots=True)
class BatchDeadline:
    """The time until which something is waited for.

    at: seconds since 1970.
    of: what is waited for, in messages.
    """

    at: float
    of: str


class BatchPoller:
    """Polls batches; `poll` is the first wait between two polls, in seconds."""

    def __init__(self, api: BatchApi, clock: Clock, poll: float) -> None:
        self._api = api
        self._clock = clock
        self._poll = poll

    async def ended(self, batch_id: str, deadline: BatchDeadline) -> Batch:
        """The batch once it has ended, with whichever status.

        Raises `ProviderBusy` of unknown outcome at the deadline, and `ProviderDown` where polling is refused.
        """
        wait, late = self._poll, 0
        while True:
            batch = await self.persist(partial(self._api.batch, batch_id), deadline)
            if batch.ended:
                late += 1
                if not batch.lacks_files or late > MAX_LATE_POLLS:
                    return batch
            await self._wait(wait, deadline, f"it is {batch.status}")
            wait = min(wait * WAIT_GROWTH, self._poll * MAX_WAIT_FACTOR)

    async def outcomes(
        self, batch: Batch, requested: Collection[str] | None, deadline: BatchDeadline
    ) -> dict[str, RequestOutcome]:
        """The outcomes of a batch that has ended, by custom_id; raises as `ended` does."""
        files = [
            await self.persist(partial(self._api.lines, file), deadline) if file else []
            for file in (batch.output_file, batch.error_file)
        ]
        return reconcile(requested, files[0], files[1], batch.completed, batch.status)

    async def persist(self, ask: Callable[[], Awaitable[_Got]], deadline: BatchDeadline) -> _Got:
        """The result of `ask`, which is repeated after each transient failure."""
        wait = self._poll
        while True:
            try:
                return await ask()
            except ProviderBusy as failure:
                await self._wait(wait, deadline, str(failure), failure.retry_after or 0.0)
            wait = min(wait * 2, self._poll * MAX_WAIT_FACTOR)

    async def _wait(self, seconds: float, deadline: BatchDeadline, reason: str, least: float = 0.0) -> None:
        """Wait, until the deadline at most and `least` seconds at least; raises `ProviderBusy` at the deadline."""
        left = deadline.at - self._clock.time()
        if left <= max(0.0, least):
            raise ProviderBusy(f"{deadline.of} did not end in time; last poll: {reason}", kind=FailureKind.UNKNOWN)
        await self._clock.sleep(max(least, min(seconds, left)))
