"""Where each request is, and who waits for it. Nothing is sent here.

A request is in one place at a time: gathered, for the next batch; then open, in a batch under way; then gone, or kept,
where its samples came and nobody waited for them. Who waits holds its claim, and a request has one claim. So an answer
is handed out once, to whoever asked for it or asks for it later in the same words, and then forgotten.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import count

from unerring.adapters.openai_batch.outcome import Samples, Settled, charged
from unerring.adapters.openai_batch.request_id import RequestKey, RequestLine
from unerring.errors import FailureKind, ProviderBusy

MAX_KEPT_ANSWERS = 50_000  # answers that nobody waits for; what is older is forgotten


@dataclass(eq=False, slots=True)
class PendingRequest:
    """A request that is gathered or open. `line` is None where an earlier process sent it."""

    key: RequestKey
    line: RequestLine | None
    claim: "asyncio.Future[Settled] | None" = None

    @property
    def name(self) -> str:
        """Its custom_id; empty where an earlier process sent it."""
        return "" if self.line is None else self.line.custom_id


class PendingRequests:
    """The requests of one event loop. `arrived` is called for each one that is gathered."""

    def __init__(self, kept: dict[RequestKey, Samples], arrived: Callable[[], None]) -> None:
        self.arrivals = 0  # that were ever gathered
        self.size = 0  # bytes gathered, at most
        self._gathered: dict[RequestKey, PendingRequest] = {}
        self._open: dict[RequestKey, PendingRequest] = {}
        self._kept = kept
        self._arrived = arrived

    @property
    def gathered(self) -> int:
        """How many requests wait to be sent."""
        return len(self._gathered)

    async def answer(self, line: RequestLine) -> Samples:
        """The samples that a request brings, `line.n` at most; raises what it is settled with in their place.

        It is gathered unless it is open already with nobody waiting for it, or its answer is kept.
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
        """All that was gathered is open from now on."""
        sent = list(self._gathered.values())
        self._open.update(self._gathered)
        self._gathered = {}
        self.size = 0
        return sent

    def found(self, keys: Iterable[RequestKey]) -> None:
        """These are open: an earlier process sent them."""
        for key in keys:
            if key not in self._open and key not in self._gathered:
                self._open[key] = PendingRequest(key, None)

    def line(self, key: RequestKey) -> RequestLine | None:
        """What was sent of an open request, where it was from here."""
        request = self._open.get(key)
        return None if request is None else request.line

    def settle(self, key: RequestKey, outcome: Settled) -> None:
        """An open request came to its end, or an answer was found to a request of earlier."""
        request = self._open.pop(key, None)
        claim = None if request is None else request.claim
        if claim is not None and not claim.done():
            claim.set_result(outcome)
        elif not isinstance(outcome, Exception):
            self.keep(key, outcome)

    def keep(self, key: RequestKey, samples: Samples) -> None:
        """Nobody waits for these samples now."""
        if samples:
            self._kept[key] = samples
        while len(self._kept) > MAX_KEPT_ANSWERS:
            del self._kept[next(iter(self._kept))]

    def close(self) -> None:
        """Whoever still waits gets to know that nothing will come any more."""
        for places, kind in ((self._gathered, FailureKind.TRANSIENT), (self._open, FailureKind.UNKNOWN)):
            for request in places.values():
                if request.claim is not None and not request.claim.done():
                    request.claim.set_result(ProviderBusy("the sampler was closed meanwhile", kind=kind))
            places.clear()

    def _claimed(self, line: RequestLine) -> PendingRequest | Samples:
        """The request that will answer a line, claimed; or its answer, where that is kept."""
        for twin in count():
            key = replace(line.key, twin=twin)
            kept = self._kept.pop(key, None)
            if kept is not None:
                return self._shared(key, kept, line)
            known = self._open.get(key) or self._gathered.get(key)
            if known is not None and known.claim is not None:
                continue  # a caller waits for that one: two who ask the same want two answers
            claim: asyncio.Future[Settled] = asyncio.get_running_loop().create_future()
            if known is not None:
                known.claim = claim
                return known
            return self._gather(PendingRequest(key, replace(line, key=key), claim), line.size)
        raise AssertionError("there is no end to numbers")

    def _gather(self, request: PendingRequest, size: int) -> PendingRequest:
        self._gathered[request.key] = request
        self.arrivals += 1
        self.size += size
        self._arrived()
        return request

    def _leave(self, request: PendingRequest, claim: "asyncio.Future[Settled]") -> None:
        """Who waited gave up: what was not sent never will be, and what comes is kept."""
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
        """The first samples of an answer: it may have been asked for more, whose numbers are still to come."""
        if len(samples) > line.n:
            self.keep(key.after(line.n), samples[line.n :])
        return tuple(charged(sample, line) for sample in samples[: line.n])
