"""Gather requests into batches, create the batches, wait for them, and return their answers: for one event loop.

A batch is created when it is full, when no new request came for a while, or at the end of its gathering time. Whatever
happens to it, each of its requests is settled exactly once.
"""

import asyncio
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from unerring.adapters.openai_batch.client import Batch, BatchApi, BatchQueueFull
from unerring.adapters.openai_batch.outcome import OutcomeReader, Samples, again
from unerring.adapters.openai_batch.pending import PendingRequest, PendingRequests
from unerring.adapters.openai_batch.polling import BatchDeadline, BatchPoller
from unerring.adapters.openai_batch.recovery import RecoveredBatches
from unerring.adapters.openai_batch.request_id import (
    MAX_GATHERED_BYTES,
    BatchMetadata,
    RequestKey,
    RequestLine,
    keys_in,
    parse_custom_id,
)
from unerring.adapters.openai_batch.spec import BatchSpec
from unerring.errors import FailureKind, ProviderBusy, ProviderDown, ProviderError
from unerring.runtime.protocols import Clock

WINDOW_MARGIN_SECONDS = 3600.0  # for which a batch is waited beyond its window
RESULTS_PER_TURN = 256  # that are read before other tasks of the event loop run
MAX_LIST_CALLS = 3  # to find a batch that may have been created without an answer


@dataclass(frozen=True, slots=True)
class SchedulerContext:
    """What a scheduler works with.

    spec: the model and the options of its batches.
    identity: the run's identity.
    api: the provider's endpoints.
    reader: the reader of outcomes.
    clock: the clock.
    """

    spec: BatchSpec
    identity: str
    api: BatchApi
    reader: OutcomeReader
    clock: Clock


@dataclass(frozen=True, slots=True)
class UnclaimedAnswers:
    """What is kept from one event loop to the next.

    kept: answers that no caller had yet.
    done: ids of batches whose answers are all settled or kept.
    """

    kept: dict[RequestKey, Samples] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)


class BatchScheduler:
    """Answers requests with batches."""

    def __init__(self, context: SchedulerContext, unclaimed: UnclaimedAnswers) -> None:
        self._context = context
        self._poller = BatchPoller(context.api, context.clock, context.spec.poll)
        self._done = unclaimed.done
        self._metadata = BatchMetadata(context.identity, context.spec.chat.model)
        self._recovered = RecoveredBatches(context.api, self._metadata, self._attach, unclaimed.done)
        self._requests = PendingRequests(unclaimed.kept, self._arrived)
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.Task[None] | None = None
        self._running = 0  # batches that were created and have not ended
        self._batch_ended = asyncio.Event()

    async def answer(self, line: RequestLine) -> Samples:
        """The samples of a request, from the next batch or from one that was created before."""
        await self._recovered.ready(line.key.step)
        return await self._requests.answer(line)

    def kept(self, samples: Samples, line: RequestLine) -> None:
        """Keep an answer that was returned and cannot be used yet, until it is asked for again."""
        self._requests.keep(line.key, samples)

    async def close(self) -> None:
        """Stop. Batches that were created continue at the provider, and are recovered by the next scheduler."""
        tasks = [*self._tasks, *([self._timer] if self._timer is not None else [])]
        for task in tasks:
            task.cancel()
        self._requests.close()
        await self._recovered.close()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _arrived(self) -> None:
        if self._requests.gathered >= self._context.spec.batch or self._requests.size >= MAX_GATHERED_BYTES:
            self._send()
        elif self._timer is None:
            self._timer = asyncio.ensure_future(self._gather())

    async def _gather(self) -> None:
        """Send the gathered requests once no new one comes, or their time is over."""
        latest = self._context.clock.time() + self._context.spec.gather
        arrivals = -1
        while arrivals != self._requests.arrivals and self._context.clock.time() < latest:
            arrivals = self._requests.arrivals
            await self._context.clock.sleep(self._context.spec.quiet)
        self._timer = None
        self._send()

    def _send(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        requests = self._requests.send()
        if requests:
            self._spawn(self._answer_by_batch(requests))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer_by_batch(self, requests: list[PendingRequest]) -> None:
        """Create a batch of requests, and settle them with its results or its failure."""
        while requests:
            try:
                batch = await self._created([request.line for request in requests if request.line is not None])
                await self._follow_open(batch, {request.name: request.key for request in requests})
            except BatchQueueFull as failure:
                if self._running:
                    await self._batch_ended.wait()  # it cost nothing, and is sent again once another batch has ended
                    requests = [request for request in requests if self._is_wanted(request)]
                    continue
                self._fail([request.key for request in requests], failure)
            except Exception as failure:  # also a bug: else the callers would wait forever
                self._fail([request.key for request in requests], failure)
            return

    def _is_wanted(self, request: PendingRequest) -> bool:
        if request.claim is None:
            self._requests.settle(request.key, ())
        return request.claim is not None

    def _fail(self, keys: Iterable[RequestKey], failure: Exception) -> None:
        for key in keys:
            self._requests.settle(key, again(failure))

    async def _follow_open(self, batch: Batch, keys: Mapping[str, RequestKey]) -> None:
        """Follow a batch whose requests are open. One that can no longer be polled is recovered later."""
        try:
            await self._follow(batch, keys)
        except ProviderDown:
            self._recovered.doubt(batch.input_file, batch.batch_id)
            raise

    async def _created(self, lines: list[RequestLine]) -> Batch:
        """The batch of these requests; raises the failure to create it."""
        file = await self._context.api.upload(b"".join(line.text() for line in lines))
        self._recovered.add_own(file)
        metadata = self._metadata.metadata([line.key.step for line in lines])
        try:
            return await self._context.api.create(file, metadata, self._context.spec.window)
        except ProviderBusy as failure:
            if failure.kind is FailureKind.RATE_LIMITED:
                raise
            return await self._created_unconfirmed(file, failure)

    async def _created_unconfirmed(self, file: str, failure: ProviderBusy) -> Batch:
        """The batch that was created of a file without an answer; raises `failure` if there is none."""
        deadline = BatchDeadline(self._context.clock.time() + WINDOW_MARGIN_SECONDS, "the list of batches")
        try:
            for call in range(MAX_LIST_CALLS):
                if call:
                    await self._context.clock.sleep(self._context.spec.poll)
                batch = await self._poller.persist(lambda: self._recovered.made_of(file), deadline)
                if batch is not None:
                    return batch
        except ProviderError:
            failure.kind = FailureKind.UNKNOWN  # whether there is one could not be found out
        self._recovered.doubt(file)
        raise failure

    async def _follow(self, batch: Batch, keys: Mapping[str, RequestKey] | None) -> None:
        """Wait for a batch, and settle its requests; `keys` are those by custom_id, None where they are not known.

        Raises `ProviderBusy` or `ProviderDown` where the outcomes of requests cannot be had any more.
        """
        latest = self._context.clock.time() + self._context.spec.window_seconds + WINDOW_MARGIN_SECONDS
        deadline = BatchDeadline(latest, f"batch {batch.batch_id}")
        self._running += 1
        try:
            ended = batch if batch.ended else await self._poller.ended(batch.batch_id, deadline)
            if ended.status == "failed":
                raise ended.rejection()
            await self._settle_all(ended, keys, deadline)
        finally:
            self._running -= 1
            self._batch_ended.set()
            self._batch_ended = asyncio.Event()

    async def _settle_all(self, batch: Batch, keys: Mapping[str, RequestKey] | None, deadline: BatchDeadline) -> None:
        outcomes = await self._poller.outcomes(batch, keys, deadline)
        for number, (name, outcome) in enumerate(outcomes.items()):
            if number % RESULTS_PER_TURN == 0:
                await asyncio.sleep(0)
            known = parse_custom_id(name)
            if known is None:
                continue
            key, n = known
            line = self._requests.line(key)
            settled = self._context.reader.settled(outcome, n, None if line is None else line.sent)
            # the failure of an unknown request of an earlier process concerns no caller
            if keys is not None or not isinstance(settled, Exception):
                self._requests.settle(key, settled)
        self._done.add(batch.batch_id)

    async def _attach(self, batch: Batch) -> None:
        """Take over a batch of another process: its requests become open, or their answers are kept."""
        keys = None
        if not batch.ended:
            keys = await self._keys_in(batch)
        if keys is None:
            await self._keep_answers(batch)
            return
        self._requests.recover(keys.values())
        self._spawn(self._follow_recovered(batch, keys))

    async def _keys_in(self, batch: Batch) -> dict[str, RequestKey] | None:
        """The requests of a batch, from its input file; None where that cannot be read any more."""
        try:
            return keys_in(await self._context.api.lines(batch.input_file)) if batch.input_file else None
        except ProviderDown as failure:
            if failure.kind is not FailureKind.INVALID:
                raise
        except ValueError:
            pass
        return None

    async def _keep_answers(self, batch: Batch) -> None:
        """Wait for a batch whose requests are not known, and keep its answers."""
        try:
            await self._follow(batch, None)
        except ProviderDown as failure:
            if failure.kind is not FailureKind.INVALID:
                raise
            # its results are gone, or it was rejected: it has no answers

    async def _follow_recovered(self, batch: Batch, keys: Mapping[str, RequestKey]) -> None:
        try:
            await self._follow_open(batch, keys)
        except Exception as failure:
            self._fail(keys.values(), failure)
