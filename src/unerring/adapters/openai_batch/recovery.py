"""Recover batches that earlier processes of the same run created, by their metadata, so that no sample is paid twice.

The list of batches is read at the first use, and again where a batch may have been created without an answer that says
so. A batch is opened when a step is asked for that it may have: most batches of a long run hold nothing that is asked
for again.
"""

import asyncio
from bisect import insort
from collections.abc import AsyncIterator, Awaitable, Callable, Container
from dataclasses import dataclass
from functools import partial

from unerring.adapters.openai_batch.client import Batch, BatchApi
from unerring.adapters.openai_batch.outcome import again
from unerring.adapters.openai_batch.request_id import BatchMetadata, steps_of
from unerring.errors import FailureKind, ProviderDown, ProviderError

ANY_STEP = range(-(1 << 62), 1 << 62)  # of a batch whose metadata does not name its steps


@dataclass(frozen=True, slots=True)
class StepRange:
    """A batch and its range of steps.

    batch: the batch.
    steps: the steps that it may have.
    """

    batch: Batch
    steps: range


class RecoveredBatches:
    """The batches of one run and one model that other processes created, and that are not open yet."""

    def __init__(
        self,
        api: BatchApi,
        metadata: BatchMetadata,
        open_batch: Callable[[Batch], Awaitable[None]],
        done: Container[str],
    ) -> None:
        """`open_batch` adds the requests of a batch, and returns once it has. Batches in `done` stay closed."""
        self._api = api
        self._metadata = metadata
        self._open = open_batch
        self._done = done
        self._listed = False
        self._known: set[str] = set()  # ids and input files of batches that were opened or created here
        self._closed: list[StepRange] = []  # not opened yet, sorted by their ends
        self._running: dict[str, asyncio.Task[None]] = {}

    async def ready(self, step: int) -> None:
        """Return once all batches that may have requests of this step are open."""
        if not self._listed:
            await self._once("", self._list)
        while (closed := self._covering(step)) is not None:
            await self._once(closed.batch.batch_id, partial(self._opened, closed))

    def add_own(self, input_file: str) -> None:
        """Do not open the batch of this file: it is created here."""
        self._known.add(input_file)

    def doubt(self, input_file: str, batch_id: str = "") -> None:
        """Read the list again before the next request, and open the batch of this file if it is there."""
        self._known -= {input_file, batch_id}
        self._listed = False

    async def made_of(self, input_file: str) -> Batch | None:
        """The account's batch of an input file, if it has one."""
        async for batch in self._batches():
            if batch.input_file == input_file:
                return batch
        return None

    async def _batches(self) -> AsyncIterator[Batch]:
        """The account's batches, newest first, read page by page."""
        after: str | None = None
        while True:
            shown, more = await self._api.page(after)
            for batch in shown:
                yield batch
            if not more or not shown or shown[-1].batch_id == after:
                return
            after = shown[-1].batch_id

    async def close(self) -> None:
        """Cancel what is running."""
        for task in list(self._running.values()):
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    def _covering(self, step: int) -> StepRange | None:
        """A batch that may have requests of this step and is not open yet."""
        for closed in reversed(self._closed):
            if closed.steps.stop <= step:
                return None
            if step in closed.steps:
                return closed
        return None

    async def _list(self) -> None:
        """Read the account's list of batches, and note those of this run that are new."""
        new: list[StepRange] = []
        try:
            async for batch in self._batches():
                if self._is_new(batch):
                    new.append(StepRange(batch, steps_of(batch.metadata) or ANY_STEP))
        except ProviderDown as failure:
            if failure.kind is not FailureKind.INVALID:
                raise
            # this provider has no such list: nothing can be recovered
        for closed in new:
            if self._is_new(closed.batch):  # two pages may have the same batch
                self._known |= {closed.batch.batch_id, closed.batch.input_file}
                insort(self._closed, closed, key=lambda one: one.steps.stop)
        self._listed = True

    def _is_new(self, batch: Batch) -> bool:
        if batch.status == "failed" or batch.batch_id in self._done:  # no request of a failed one was carried out
            return False
        seen = batch.batch_id in self._known or (bool(batch.input_file) and batch.input_file in self._known)
        return not seen and self._metadata.matches(batch.metadata)

    async def _opened(self, closed: StepRange) -> None:
        await self._open(closed.batch)
        self._closed.remove(closed)

    async def _once(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Do some work once for all callers that ask for it meanwhile; all of them get its failure."""
        task = self._running.get(name)
        if task is None:
            task = self._running[name] = asyncio.ensure_future(work())
            task.add_done_callback(lambda done: self._over(name, done))
        try:
            await asyncio.shield(task)
        except ProviderError as failure:
            raise again(failure) from None

    def _over(self, name: str, task: "asyncio.Task[None]") -> None:
        self._running.pop(name, None)
        if not task.cancelled():
            task.exception()  # retrieved here: the caller that waited for it may have left
