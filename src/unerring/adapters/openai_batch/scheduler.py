"""Batches gathered, sent, waited for and taken apart: all of it on one event loop.

A batch is sent when it is full, when nothing new arrived for a while, or when it was gathered for long enough.
Whatever becomes of it, each of its requests is settled, once.
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

WINDOW_MARGIN_SECONDS = 3600.0  # seconds beyond its window that a batch is waited for
RESULTS_PER_TURN = 256  # results that are read before others on the event loop have their turn
MAX_LIST_CALLS = 3  # for a batch that may have been made, though nobody said so


@dataclass(frozen=True, slots=True)
class SchedulerContext:
    """What a desk works for and with: a model and a run, the provider's endpoints, a reader of answers, and time."""

    spec: BatchSpec
    identity: str
    api: BatchApi
    reader: OutcomeReader
    clock: Clock


@dataclass(frozen=True, slots=True)
class UnclaimedAnswers:
    """What outlives an event loop: answers that nobody has had yet, and batches that hold nothing more."""

    kept: dict[RequestKey, Samples] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)


class BatchScheduler:
    """Answers requests by batches."""

    def __init__(self, business: SchedulerContext, memory: UnclaimedAnswers) -> None:
        self._spec = business.spec
        self._identity = business.identity
        self._api = business.api
        self._reader = business.reader
        self._clock = business.clock
        self._poller = BatchPoller(self._api, self._clock, self._spec.poll)
        self._done = memory.done
        self._found = RecoveredBatches(
            self._api, BatchMetadata(self._identity, self._spec.chat.model), self._attach, memory.done
        )
        self._requests = PendingRequests(memory.kept, self._arrived)
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.Task[None] | None = None
        self._under_way = 0  # batches made, and not ended
        self._an_end = asyncio.Event()

    async def answer(self, line: RequestLine) -> Samples:
        """The samples that a request brings, with the next batch or from one that was made before."""
        await self._found.ready(line.key.step)
        return await self._requests.answer(line)

    def kept(self, samples: Samples, line: RequestLine) -> None:
        """Keep an answer that was handed out and cannot be used yet, for when it is asked for again."""
        self._requests.keep(line.key, samples)

    async def close(self) -> None:
        """Leave off. Batches that were made go on, and are found again by whoever asks for the same."""
        tasks = [*self._tasks, *([self._timer] if self._timer is not None else [])]
        for task in tasks:
            task.cancel()
        self._requests.close()
        await self._found.close()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _arrived(self) -> None:
        if self._requests.gathered >= self._spec.batch or self._requests.size >= MAX_GATHERED_BYTES:
            self._send()
        elif self._timer is None:
            self._timer = asyncio.ensure_future(self._gather())

    async def _gather(self) -> None:
        """Send what is gathered once it is time to."""
        until = self._clock.time() + self._spec.gather
        arrivals = -1
        while arrivals != self._requests.arrivals and self._clock.time() < until:
            arrivals = self._requests.arrivals
            await self._clock.sleep(self._spec.quiet)
        self._timer = None
        self._send()

    def _send(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        requests = self._requests.send()
        if requests:
            self._spawn(self._buy(requests))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _buy(self, requests: list[PendingRequest]) -> None:
        """Make a batch of requests, and see it to its end."""
        while requests:
            try:
                batch = await self._made([request.line for request in requests if request.line is not None])
                await self._see_through(batch, {request.name: request.key for request in requests})
            except BatchQueueFull as failure:
                if self._under_way:
                    await self._an_end.wait()  # it cost nothing, and there will be room
                    requests = [request for request in requests if self._is_wanted(request)]
                    continue
                self._fail([request.key for request in requests], failure)
            except Exception as failure:  # a bug, too, is passed on to those who would wait for ever
                self._fail([request.key for request in requests], failure)
            return

    def _is_wanted(self, request: PendingRequest) -> bool:
        if request.claim is None:
            self._requests.settle(request.key, ())
        return request.claim is not None

    def _fail(self, keys: Iterable[RequestKey], failure: Exception) -> None:
        for key in keys:
            self._requests.settle(key, again(failure))

    async def _see_through(self, batch: Batch, keys: Mapping[str, RequestKey]) -> None:
        """Follow a batch whose requests are open. One that may not be followed any more is looked for again later."""
        try:
            await self._follow(batch, keys)
        except ProviderDown:
            self._found.doubt(batch.input_file, batch.batch_id)
            raise

    async def _made(self, lines: list[RequestLine]) -> Batch:
        """The batch of these requests; raises what came of it instead."""
        file = await self._api.upload(b"".join(line.text() for line in lines))
        self._found.mine(file)
        metadata = BatchMetadata(self._identity, self._spec.chat.model).metadata([line.key.step for line in lines])
        try:
            return await self._api.create(file, metadata, self._spec.window)
        except ProviderBusy as failure:
            if failure.kind is FailureKind.RATE_LIMITED:
                raise
            return await self._made_unsaid(file, failure)

    async def _made_unsaid(self, file: str, failure: ProviderBusy) -> Batch:
        """The batch that was made of a file though nobody said so; raises the failure to say so if there is none."""
        deadline = BatchDeadline(self._clock.time() + WINDOW_MARGIN_SECONDS, "the list of batches")
        try:
            for look in range(MAX_LIST_CALLS):
                if look:
                    await self._clock.sleep(self._spec.poll)
                batch = await self._poller.persist(lambda: self._found.made_of(file), deadline)
                if batch is not None:
                    return batch
        except ProviderError:
            failure.kind = FailureKind.UNKNOWN  # nobody could say whether there is one
        self._found.doubt(file)
        raise failure

    async def _follow(self, batch: Batch, keys: Mapping[str, RequestKey] | None) -> None:
        """Wait for a batch, and settle its requests; `keys` are those by name, None where nobody knows.

        Raises `ProviderBusy` or `ProviderDown` where nothing more will be known of those that are not settled.
        """
        deadline = BatchDeadline(
            self._clock.time() + self._spec.window_seconds + WINDOW_MARGIN_SECONDS, f"batch {batch.batch_id}"
        )
        self._under_way += 1
        try:
            ended = batch if batch.ended else await self._poller.ended(batch.batch_id, deadline)
            if ended.status == "failed":
                raise ended.rejection()
            await self._take_apart(ended, keys, deadline)
        finally:
            self._under_way -= 1
            self._an_end.set()
            self._an_end = asyncio.Event()

    async def _take_apart(self, batch: Batch, keys: Mapping[str, RequestKey] | None, deadline: BatchDeadline) -> None:
        outcomes = await self._poller.outcomes(batch, keys, deadline)
        for place, (name, outcome) in enumerate(outcomes.items()):
            if place % RESULTS_PER_TURN == 0:
                await asyncio.sleep(0)
            known = parse_custom_id(name)
            if known is None:
                continue
            key, n = known
            line = self._requests.line(key)
            settled = self._reader.settled(outcome, n, None if line is None else line.sent)
            # an answer of earlier that failed is no news to anybody
            if keys is not None or not isinstance(settled, Exception):
                self._requests.settle(key, settled)
        self._done.add(batch.batch_id)

    async def _attach(self, batch: Batch) -> None:
        """Take up a batch that was made elsewhere: what is in it is open, or answered."""
        keys = None
        if not batch.ended:
            keys = await self._asked_in(batch)
        if keys is None:
            await self._read_on(batch)
            return
        self._requests.found(keys.values())
        self._spawn(self._follow_found(batch, keys))

    async def _asked_in(self, batch: Batch) -> dict[str, RequestKey] | None:
        """The requests of a batch, by what was put up for it; None where that cannot be had any more."""
        try:
            return keys_in(await self._api.lines(batch.input_file)) if batch.input_file else None
        except ProviderDown as failure:
            if failure.kind is not FailureKind.INVALID:
                raise
        except ValueError:
            pass
        return None

    async def _read_on(self, batch: Batch) -> None:
        """Wait for a batch of which nobody knows what it asks; what it answers is kept."""
        try:
            await self._follow(batch, None)
        except ProviderDown as failure:
            if failure.kind is not FailureKind.INVALID:
                raise
            # its results are gone, or it was turned away: there is nothing to be had from it

    async def _follow_found(self, batch: Batch, keys: Mapping[str, RequestKey]) -> None:
        try:
            await self._see_through(batch, keys)
        except Exception as failure:
            self._fail(keys.values(), failure)
