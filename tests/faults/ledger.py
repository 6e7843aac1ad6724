"""The ledger of the server, which tests compare with: every request, its answer, and its cost.

Replies computed are billed, delivered or not; rejections, copies from a cache and what was never computed are not.
Delivered means that all of a reply was handed to the kernel for a connection that its client had not closed.
"""

import time
from collections import Counter, deque
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from hashlib import blake2b
from threading import Condition
from typing import Any

import msgspec

CHAT = "/v1/chat/completions"
BATCH_PRICE = 0.5


def digest(data: bytes) -> str:
    """Name bytes by 16 hexadecimal digits."""
    return blake2b(data, digest_size=8).hexdigest()


@dataclass(slots=True)
class Tokens:
    """Tokens billed. The input tokens include the cached ones."""

    input: int = 0
    output: int = 0
    cached: int = 0

    def add(self, other: "Tokens", sign: int = 1) -> None:
        """Count others in, or out again."""
        self.input += sign * other.input
        self.output += sign * other.output
        self.cached += sign * other.cached

    def dollars(self, input_price: float, output_price: float, cached_price: float | None = None) -> float:
        """What they cost, at prices per million tokens; cached ones at the input price if they have none."""
        cached = input_price if cached_price is None else cached_price
        return ((self.input - self.cached) * input_price + self.cached * cached + self.output * output_price) / 1e6


@dataclass(slots=True)
class Entry:
    """One request; in batch mode also one line of a batch, whose path is that of the batch's endpoint.

    `number` counts all requests from 0, `turn` those of the same path. `arrived` and `ended` are seconds of
    `time.monotonic`. `status` is 0 if nothing was answered. `fault` names what went wrong on purpose.
    `messages` and `authorization` are digests; the key itself is not kept. `computed` replies are billed;
    `delivered` ones were sent whole (see above). `body` is the request as it came, if bodies are kept.
    """

    number: int
    turn: int
    path: str
    arrived: float
    authorization: str | None = None
    model: str = ""
    messages: str = ""
    seed: int | None = None
    n: int = 1
    temperature: float | None = None
    schema_fields: tuple[str, ...] = ()
    fault: str | None = None
    status: int = 0
    reply_id: str | None = None
    billed: Tokens = field(default_factory=Tokens)
    price: float = 1.0
    computed: bool = False
    delivered: bool = False
    from_cache: bool = False
    batch: str | None = None
    custom_id: str | None = None
    ended: float | None = None
    body: dict[str, Any] | None = None


@dataclass(slots=True)
class Totals:
    """Sums over all requests that have ended, and over those in flight for `requests` and `most_in_flight`.

    `requests`, `completed`, `rejected`, `unanswered` and `in_flight` are of the chat endpoint. `completed` counts
    replies of status 200 that were delivered, copies included; `rejected` those of status 400 and up; `unanswered` the
    rest. `orphans` are replies computed and not delivered, `copies` those that a cache answered with. `faults` and
    `paths` count requests by fault and by path. Lines of batches are counted in the `batch_` fields alone.
    """

    requests: int = 0
    completed: int = 0
    rejected: int = 0
    unanswered: int = 0
    orphans: int = 0
    copies: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    billed_delivered: Tokens = field(default_factory=Tokens)
    billed_undelivered: Tokens = field(default_factory=Tokens)
    batch_lines: int = 0
    batch_orphans: int = 0
    batch_delivered: Tokens = field(default_factory=Tokens)
    batch_undelivered: Tokens = field(default_factory=Tokens)
    faults: Counter[str] = field(default_factory=Counter)
    paths: Counter[str] = field(default_factory=Counter)

    def dollars(self, input_price: float, output_price: float, cached_price: float | None = None) -> float:
        """The whole bill, at prices per million tokens; batches at half of them."""
        prices = (input_price, output_price, cached_price)
        chat = self.billed_delivered.dollars(*prices) + self.billed_undelivered.dollars(*prices)
        return chat + BATCH_PRICE * (self.batch_delivered.dollars(*prices) + self.batch_undelivered.dollars(*prices))


class Ledger:
    """The entries, or the last `keep` of them, and the totals. Written by the server's thread, read by any."""

    def __init__(self, keep: int | None = None) -> None:
        self._entries: deque[Entry] = deque(maxlen=keep)
        self._totals = Totals()
        self._number = 0
        self._lock = Condition()  # notified of each request that comes or ends

    @property
    def totals(self) -> Totals:
        """A copy of the sums so far."""
        with self._lock:
            return deepcopy(self._totals)

    @property
    def entries(self) -> list[Entry]:
        """The entries kept, in the order of arrival."""
        with self._lock:
            return list(self._entries)

    @property
    def chats(self) -> list[Entry]:
        """Those of the chat endpoint, without lines of batches."""
        return [entry for entry in self.entries if entry.path == CHAT and entry.batch is None]

    def settled(self, patience: float = 5.0) -> Totals:
        """The sums once no chat request is in flight: a client may have its reply before it is entered here."""
        if not self.wait_for(lambda totals: not totals.in_flight, patience):
            raise TimeoutError(f"{self.totals.in_flight} requests are still in flight after {patience:g} seconds")
        return self.totals

    def wait_for(self, condition: Callable[[Totals], bool], patience: float) -> bool:
        """Wait until the sums meet a condition; returns whether they did within so many seconds."""
        with self._lock:
            return self._lock.wait_for(lambda: condition(self._totals), patience)

    def wake(self) -> None:
        """Wake the waiting tests after a change that is not in the sums."""
        with self._lock:
            self._lock.notify_all()

    def as_json(self, entries: bool = True) -> dict[str, Any]:
        """Totals and entries as JSON data."""
        return msgspec.to_builtins({"totals": self.totals, "entries": self.entries if entries else []})

    def open(self, path: str, authorization: str | None = None) -> Entry:
        """Begin the entry of a request that came in."""
        with self._lock:
            totals = self._totals
            entry = Entry(self._number, totals.paths[path], path, time.monotonic())
            if authorization is not None:
                entry.authorization = digest(authorization.encode())
            self._number += 1
            totals.paths[path] += 1
            if path == CHAT:
                totals.requests += 1
                totals.in_flight += 1
                totals.most_in_flight = max(totals.most_in_flight, totals.in_flight)
            self._entries.append(entry)
            self._lock.notify_all()
            return entry

    def line(self, batch: str, custom_id: str, question: Any) -> Entry:
        """Begin the entry of a line of a batch. It is ended at once, and delivered with the file that holds it."""
        with self._lock:
            entry = Entry(self._number, self._totals.batch_lines, CHAT, time.monotonic(), price=BATCH_PRICE)
            entry.model, entry.messages, entry.seed, entry.n = (
                question.model,
                question.messages,
                question.seed,
                question.n,
            )
            entry.batch, entry.custom_id, entry.ended = batch, custom_id, entry.arrived
            self._number += 1
            self._totals.batch_lines += 1
            self._entries.append(entry)
            return entry

    def bill(self, entry: Entry, billed: Tokens) -> None:
        """A reply was computed."""
        with self._lock:
            entry.billed, entry.computed = billed, True
            if entry.ended is not None:
                self._sum(entry, 1)

    def deliver(self, entry: Entry) -> None:
        """A reply was sent whole."""
        with self._lock:
            if entry.ended is None:
                entry.delivered = True
            elif not entry.delivered:
                self._sum(entry, -1)
                entry.delivered = True
                self._sum(entry, 1)

    def close(self, entry: Entry) -> None:
        """End a request's entry."""
        with self._lock:
            entry.ended = time.monotonic()
            totals = self._totals
            if entry.fault is not None:
                totals.faults[entry.fault] += 1
            if entry.path != CHAT:
                return
            totals.in_flight -= 1
            totals.copies += entry.from_cache
            if entry.status >= 400:
                totals.rejected += 1
            elif entry.delivered:
                totals.completed += 1
            else:
                totals.unanswered += 1
            self._sum(entry, 1)
            self._lock.notify_all()

    def _sum(self, entry: Entry, sign: int) -> None:
        if not entry.computed:
            return
        totals = self._totals
        if entry.batch is not None:
            (totals.batch_delivered if entry.delivered else totals.batch_undelivered).add(entry.billed, sign)
            totals.batch_orphans += 0 if entry.delivered else sign
        else:
            (totals.billed_delivered if entry.delivered else totals.billed_undelivered).add(entry.billed, sign)
            totals.orphans += 0 if entry.delivered else sign
