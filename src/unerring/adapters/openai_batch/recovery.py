"""Batches of earlier processes of the same run, found again by their metadata: what is in them is not bought twice.

The list of batches is looked through once, at the first use, and again where a batch may have been made though nobody
said so. A batch is opened when a step is asked for that it may have: most batches of a long run hold nothing that is
ever asked for again.
"""

import asyncio
from bisect import insort
from collections.abc import Awaitable, Callable, Container
from dataclasses import dataclass
from functools import partial

from unerring.adapters.openai_batch.client import Batch, BatchApi
from unerring.adapters.openai_batch.outcome import again
from unerring.adapters.openai_batch.request_id import BatchMetadata, steps_of
from unerring.errors import FailureKind, ProviderDown, ProviderError

ANY_STEP = range(-(1 << 62), 1 << 62)  # where the metadata does not say


@dataclass(frozen=True, slots=True)
class StepRange:
    """Steps that a batch may have."""

    batch: Batch
    steps: range

    @property
    def end(self) -> int:
        """The first step that comes after them all."""
        return self.steps.stop


class RecoveredBatches:
    """The batches of one run and one model that were made elsewhere, and are not open yet."""

    def __init__(
        self, api: BatchApi, mark: BatchMetadata, open_batch: Callable[[Batch], Awaitable[None]], done: Container[str]
    ) -> None:
        """`open_batch` makes a batch's requests known, and returns once they are. Those `done` hold nothing more."""
        self._api = api
        self._mark = mark
        self._open = open_batch
        self._done = done
        self._looked = False
        self._own: set[str] = set()  # batches that are no news, by their ids and their input files
        self._closed: list[StepRange] = []  # by their ends
        self._under_way: dict[str, asyncio.Task[None]] = {}

    async def ready(self, step: int) -> None:
        """Return once all batches that may have requests of this step are open."""
        if not self._looked:
            await self._once("", self._look)
        while (found := self._covering(step)) is not None:
            await self._once(found.batch.batch_id, partial(self._opened, found))

    def mine(self, input_file: str) -> None:
        """The batch of this file is no news, whenever it is seen in the list."""
        self._own.add(input_file)

    def doubt(self, input_file: str, batch_id: str = "") -> None:
        """Look again before anything else is asked, and take the batch of this file for one made elsewhere."""
        self._own -= {input_file, batch_id}
        self._looked = False

    async def made_of(self, input_file: str) -> Batch | None:
        """The batch that was made of a file, if the account has one."""
        after: str | None = None
        while True:
            shown, more = await self._api.page(after)
            for batch in shown:
                if batch.input_file == input_file:
                    return batch
            if not more or not shown or shown[-1].batch_id == after:
                return None
            after = shown[-1].batch_id

    async def close(self) -> None:
        """Leave off."""
        for task in list(self._under_way.values()):
            task.cancel()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)

    def _covering(self, step: int) -> StepRange | None:
        """A batch that may have requests of this step, and is not open yet; those of earlier steps are passed over."""
        for found in reversed(self._closed):
            if found.end <= step:
                return None
            if step in found.steps:
                return found
        return None

    async def _look(self) -> None:
        """Go through the account's batches, for those of this run that are news."""
        after: str | None = None
        news: list[StepRange] = []
        while True:
            try:
                shown, more = await self._api.page(after)
            except ProviderDown as failure:
                if failure.kind is not FailureKind.INVALID:
                    raise
                break  # this provider has no such list: nothing can be found again
            news += [StepRange(batch, steps_of(batch.metadata) or ANY_STEP) for batch in shown if self._is_news(batch)]
            if not more or not shown or shown[-1].batch_id == after:
                break
            after = shown[-1].batch_id
        for found in news:
            if self._is_news(found.batch):  # unless one page had what another had, too
                self._own |= {found.batch.batch_id, found.batch.input_file}
                insort(self._closed, found, key=lambda one: one.end)
        self._looked = True

    def _is_news(self, batch: Batch) -> bool:
        if batch.status == "failed" or batch.batch_id in self._done:  # of one that failed, nothing was done
            return False
        seen = batch.batch_id in self._own or (bool(batch.input_file) and batch.input_file in self._own)
        return not seen and self._mark.is_on(batch.metadata)

    async def _opened(self, found: StepRange) -> None:
        await self._open(found.batch)
        self._closed.remove(found)

    async def _once(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Do something once, whoever asks for it meanwhile; all of them learn of its failure."""
        task = self._under_way.get(name)
        if task is None:
            task = self._under_way[name] = asyncio.ensure_future(_done(work))
            task.add_done_callback(lambda done: self._over(name, done))
        try:
            await asyncio.shield(task)
        except ProviderError as failure:
            raise again(failure) from None

    def _over(self, name: str, task: "asyncio.Task[None]") -> None:
        self._under_way.pop(name, None)
        if not task.cancelled():
            task.exception()  # a caller may have asked, and left


async def _done(work: Callable[[], Awaitable[None]]) -> None:
    await work()
