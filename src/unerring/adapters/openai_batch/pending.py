"""The pending requests of one event loop: gathered for the next batch, open in a batch, or answered and kept.

A request is in one of these states at a time. A caller that waits holds the request's claim, and a request has one
claim. So an answer is returned once, to the caller that asked for it or that asks the same later, and then forgotten.
Nothing is sent here.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import count

from unerring.adapters.openai_batch.outcome import Samples, Settled, charged
from unerring.adapters.openai_batch.request_id import RequestKey, RequestLine
from unerring.errors import FailureKind, ProviderBusy

MAX_KEPT_ANSWERS = 50_000  # that no caller waits for; older ones are forgotten


@dataclass(eq=False, slots=True)
class PendingRequest:
    """A request that is gathered or open.

    key: what it asks.
    line: what was sent; None where an earlier process sent it.
    claim: the future of the caller that waits for it; None where no caller does.
    """

    key: RequestKey
    line: RequestLine | None
    claim: "asyncio.Future[Settled] | None" = None

    @property
    def name(self) -> str:
        """The custom_id; empty where an earlier process sent the request."""
        return "" if self.line is None else self.line.custom_id


class PendingRequests:
    """The pending requests of one event loop. `arrived` is called for each one that is gathered."""

    def __init__(self, kept: dict[RequestKey, Samples], arrived: Callable[[], None]) -> None:
        self.arrivals = 0  # requests that were ever gathered
        self.size = 0  # bytes of the gathered requests, at most
        self._gathered: dict[RequestKey, PendingRequest] = {}
        self._open: dict[RequestKey, PendingRequest] = {}
        self._kept = kept
        self._arrived = arrived

    @property
    def gathered(self) -> int:
        """How many requests are gathered."""
        return len(self._gathered)

    async def answer(self, line: RequestLine) -> Samples:
        """The samples of a request, `line.n` at most; raises the error that it is settled with.

        The request is gathered, unless the same is open without a waiting caller, or its answer is kept.
        """
        request = self._claimed(line)
        if not isinstance(request, PendingRequest):
            return request
        claim = request.claim
        assert claim is not None
        try:
            outcome = await claim
        except asyncio.CancelledError:
            self._leave(request, claim)
            raise
        if isinstance(outcome, Exception):
            raise outcome
        return self._shared(request.key, outcome, line)

    def send(self) -> list[PendingRequest]:
        """Make all gathered requests open, and return them."""
        sent = list(self._gathered.values())
        self._open.update(self._gathered)
        self._gathered = {}
        self.size = 0
        return sent

    def recover(self, keys: Iterable[RequestKey]) -> None:
        """Add open requests that an earlier process sent."""
        for key in keys:
            if key not in self._open and key not in self._gathered:
                self._open[key] = PendingRequest(key, None)

    def line(self, key: RequestKey) -> RequestLine | None:
        """What was sent for an open request; None where an earlier process sent it."""
        request = self._open.get(key)
        return None if request is None else request.line

    def settle(self, key: RequestKey, outcome: Settled) -> None:
        """Give an open request its outcome; an answer that no caller waits for is kept."""
        request = self._open.pop(key, None)
        claim = None if request is None else request.claim
        if claim is not None and not claim.done():
            claim.set_result(outcome)
        elif not isinstance(outcome, Exception):
            self.keep(key, outcome)

    def keep(self, key: RequestKey, samples: Samples) -> None:
        """Keep samples that no caller waits for now."""
        if samples:
            self._kept[key] = samples
        while len(self._kept) > MAX_KEPT_ANSWERS:
            del self._kept[next(iter(self._kept))]

    def close(self) -> None:
        """Fail all callers that still wait."""
        for requests, kind in ((self._gathered, FailureKind.TRANSIENT), (self._open, FailureKind.UNKNOWN)):
            for request in requests.values():
                if request.claim is not None and not request.claim.done():
                    request.claim.set_result(
                        ProviderBusy("the sampler was closed while the call was waiting for its batch", kind=kind)
                    )
            requests.clear()

    def _claimed(self, line: RequestLine) -> PendingRequest | Samples:
        """The request that will answer a line, claimed; or the answer, where it is kept."""
        for twin in count():
            key = replace(line.key, twin=twin)
            kept = self._kept.pop(key, None)
            if kept is not None:
                return self._shared(key, kept, line)
            known = self._open.get(key) or self._gathered.get(key)
            if known is not None and known.claim is not None:
                continue  # a caller waits for it: two callers that ask the same want two answers
            claim: asyncio.Future[Settled] = asyncio.get_running_loop().create_future()
            if known is not None:
                known.claim = claim
                return known
            return self._gather(PendingRequest(key, replace(line, key=key), claim), line.size)
        raise AssertionError("count() does not end")

    def _gather(self, request: PendingRequest, size: int) -> PendingRequest:
        self._gathered[request.key] = request
        self.arrivals += 1
        self.size += size
        self._arrived()
        return request

    def _leave(self, request: PendingRequest, claim: "asyncio.Future[Settled]") -> None:
        """Give up a claim: a request that was not sent is dropped, and an answer that comes is kept."""
        if claim.done() and not claim.cancelled():
            outcome = claim.result()
            if not isinstance(outcome, Exception):
                self.keep(request.key, outcome)
            return
        request.claim = None
        if self._gathered.get(request.key) is request:
            assert request.line is not None
            self.size -= request.line.size
            del self._gathered[request.key]

    def _shared(self, key: RequestKey, samples: Samples, line: RequestLine) -> Samples:
        """The first samples of an answer. It may have more, for the slots after these, which are kept."""
        if len(samples) > line.n:
            self.keep(key.after(line.n), samples[line.n :])
        return tuple(charged(sample, line) for sample in samples[: line.n])
