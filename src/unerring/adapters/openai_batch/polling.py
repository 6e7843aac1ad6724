"""Waiting for a batch: to look at it costs nothing, so that whatever fails there is waited out, up to a deadline."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from unerring.adapters.openai_batch.client import Batch, BatchApi
from unerring.adapters.openai_batch.results import RequestOutcome, reconcile
from unerring.errors import FailureKind, ProviderBusy
from unerring.runtime.protocols import Clock

_Got = TypeVar("_Got")
WAIT_GROWTH = 1.5  # of the time between polls, from poll to poll
MAX_WAIT_POLLS = 8  # times the first one
MAX_LATE_POLLS = 3  # polls by which the files of a batch may come later than its end


@dataclass(frozen=True, slots=True)
class BatchDeadline:
    """Until when a batch is waited for, seconds since 1970, and what it is called."""

    at: float
    of: str


class BatchPoller:
    """Looks at batches again and again; `poll` is how often at first, in seconds."""

    def __init__(self, api: BatchApi, clock: Clock, poll: float) -> None:
        self._api = api
        self._clock = clock
        self._poll = poll

    async def ended(self, batch_id: str, deadline: BatchDeadline) -> Batch:
        """The batch once it has ended, however it did.

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
            wait = min(wait * WAIT_GROWTH, self._poll * MAX_WAIT_POLLS)

    async def outcomes(
        self, batch: Batch, requested: Collection[str] | None, deadline: BatchDeadline
    ) -> dict[str, RequestOutcome]:
        """What became of the requests of a batch that has ended; raises as `ended` does."""
        files = [
            await self.persist(partial(self._api.lines, file), deadline) if file else []
            for file in (batch.output_file, batch.error_file)
        ]
        return reconcile(requested, files[0], files[1], batch.completed, batch.status)

    async def persist(self, ask: Callable[[], Awaitable[_Got]], deadline: BatchDeadline) -> _Got:
        """What is asked for, through all passing failures."""
        wait = self._poll
        while True:
            try:
                return await ask()
            except ProviderBusy as failure:
                await self._wait(wait, deadline, str(failure), failure.retry_after or 0.0)
            wait = min(wait * 2, self._poll * MAX_WAIT_POLLS)

    async def _wait(self, seconds: float, deadline: BatchDeadline, why: str, told: float = 0.0) -> None:
        """Wait, no longer than to the deadline, and no less than was `told`."""
        left = deadline.at - self._clock.time()
        if left <= max(0.0, told):
            raise ProviderBusy(
                f"{deadline.of} did not end in the time that it was given; last: {why}", kind=FailureKind.UNKNOWN
            )
        await self._clock.sleep(max(told, min(seconds, left)))
