"""The chat endpoint: reply to a request, with its fault if it has one, and an entry in the ledger."""

import asyncio
import os
import time
from asyncio import Semaphore
from collections import deque
from collections.abc import Mapping
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass, field
from random import Random
from weakref import WeakKeyDictionary

import msgspec
from aiohttp import web

from faults.answers import Model, shipped
from faults.breakages import COMPUTED, UNCOMPUTED, Measures
from faults.caching import Cache, Proxy, Reply
from faults.distortions import DISTORTIONS, Odd
from faults.faults import REJECTIONS, Fault, Rejection
from faults.ledger import Entry, Ledger, Tokens
from faults.limits import FULL, Bucket, Latency, Rate
from faults.replies import Question, answered, billed_for, payload_of, question_of
from faults.responses import Nothing, as_json, refusing, said, there
from faults.script import Script, Trouble, smooth
from faults.trials import Batches, Trials

# A body is sent, and nothing of the reply is in it.
UNTOLD = (Fault.GARBAGE, Fault.HTML_PAGE)
# Not even a status is sent.
UNSAID = (Fault.ORPHAN, Fault.ORPHAN_HANG)
KEPT_REPLIES = 64  # the latest ones, of which a stray is one


@dataclass
class Setup:
    """Settings of a server. The fields may be changed while it runs, except `rate`, `cache`, `idle` and `keep`.

    - `models` maps the names that requests use to functions (`answers.py`); `script` has the faults.
    - `slots`: so many requests are taken at once, and those beyond get a 503; with `queues`, which stays
      as it was at the start, they wait without a reply, in their order.
    - `batch` has the course of all batches, or of each by its number, from 0.
    - `prompt_cache`: the share of a prompt's tokens that is read from the provider's prompt cache, and billed as
      cached, if the same messages were seen before.
    - `idle`: seconds after which a connection that is not used is closed.
    - `seed` is for the jitter of the latency; scripts and caches have their own.
    - `bodies`: whether the ledger keeps whole requests.
    - `named`: whether replies have ids.
    - `keep`: so many entries are kept in the ledger; all if None. The totals are always of all.
    """

    models: Mapping[str, Model] = field(default_factory=shipped)
    script: Script = smooth
    latency: Latency = field(default_factory=Latency)
    slots: int | None = None
    queues: bool = False
    rate: Rate | None = None
    cache: Cache | None = None
    batch: Trials | Batches = field(default_factory=Trials)
    measures: Measures = field(default_factory=Measures)
    prompt_cache: float = 0.0
    idle: float = 75.0
    seed: int = 0
    keep: int | None = None
    named: bool = True
    bodies: bool = False


class Chat:
    """The endpoint and its state."""

    def __init__(self, setup: Setup, ledger: Ledger) -> None:
        self.setup = setup
        self.ledger = ledger
        self._server = os.urandom(4).hex()  # a client that knows two servers must not see one id twice
        self._replies = 0
        self._busy = 0
        self._queue = Semaphore(setup.slots) if setup.queues and setup.slots else nullcontext()
        self._bucket = Bucket(setup.rate) if setup.rate else None
        self._proxy = Proxy(setup.cache, self.new_id) if setup.cache else None
        self._seen: set[str] = set()
        self._latest: deque[Reply] = deque(maxlen=KEPT_REPLIES)
        self._last: Reply | None = None
        self._last_on: WeakKeyDictionary[object, Reply] = WeakKeyDictionary()

    def new_id(self) -> str:
        """An id for a reply."""
        self._replies += 1
        return "" if not self.setup.named else f"chatcmpl-{self._server}{self._replies:08d}"

    async def handle(self, request: web.BaseRequest, entry: Entry) -> web.StreamResponse:
        """Answer a request, or do what the script has for it."""
        body = await request.read()
        question = question_of(body)
        if isinstance(question, Rejection):
            return self._refuse(request, entry, question)
        if self.setup.bodies:
            entry.body = msgspec.json.decode(body)
        entry.model, entry.messages, entry.seed = question.model, question.messages, question.seed
        entry.n, entry.temperature, entry.schema_fields = question.n, question.temperature, question.schema_fields
        if self._bucket and (refusal := self._bucket.refusal(entry.arrived)):
            return self._refuse(request, entry, refusal)
        if self.setup.slots is not None and not self.setup.queues and self._busy >= self.setup.slots:
            return self._refuse(request, entry, FULL)
        self._busy += 1
        try:
            async with self._queue:
                return await self._answer(request, entry, question)
        finally:
            self._busy -= 1

    async def _answer(self, request: web.BaseRequest, entry: Entry, question: Question) -> web.StreamResponse:
        trouble = self._fault_of(entry.turn, question)
        if isinstance(trouble, Rejection):
            return self._refuse(request, entry, trouble)
        if trouble is not None:
            entry.fault = trouble.name
        if trouble in UNCOMPUTED:
            entry.status = 200 if trouble is Fault.SPACES else 0
            await UNCOMPUTED[trouble](request, b"", self.setup.measures)
            return Nothing()
        if question.model not in self.setup.models:
            return self._refuse(request, entry, REJECTIONS[Fault.NO_SUCH_MODEL])
        reply = self._earlier(request, entry, trouble)
        if reply is None:
            reply = await self._reply(entry, question, 1 if trouble is Fault.N_IGNORED else question.n)
        entry.reply_id = reply.payload["id"]
        entry.status = 0 if trouble in UNSAID else 200
        if trouble in COMPUTED:
            body = msgspec.json.encode(reply.payload)
            if await COMPUTED[trouble](request, body, self.setup.measures):
                self.ledger.deliver(entry)
            return Nothing()
        return await self._send(request, entry, reply, trouble)

    def _earlier(self, request: web.BaseRequest, entry: Entry, trouble: Trouble | None) -> Reply | None:
        """The earlier reply that is sent again instead of a new one, if that is the fault and there is one."""
        reply = None
        if trouble is Fault.DUPLICATE:
            reply = self._last_on.get(request.transport, self._last)
        elif trouble is Fault.STRAY and self._latest:
            reply = Random((self.setup.seed << 40) + entry.turn).choice(self._latest)
        if reply is None and trouble in (Fault.DUPLICATE, Fault.STRAY):
            entry.fault = None
        return reply

    async def _send(
        self, request: web.BaseRequest, entry: Entry, reply: Reply, fault: Fault | None
    ) -> web.StreamResponse:
        made = DISTORTIONS[fault](deepcopy(reply.payload)) if fault is not None else reply.payload
        response = said(made.body, kind=made.content_type) if isinstance(made, Odd) else as_json(made)
        response.headers.update(reply.headers)
        await response.prepare(request)
        await response.write_eof()
        if fault not in UNTOLD and there(request):
            self.ledger.deliver(entry)
            if fault is None:  # what may have been refused must not come back as what is known
                self._last = self._last_on[request.transport] = reply
        return response

    def _fault_of(self, turn: int, question: Question) -> Trouble | None:
        """The script's fault for a request."""
        trouble = self.setup.script(turn, question)
        if trouble is Fault.N_REFUSED and question.n == 1:
            return None
        return REJECTIONS.get(trouble, trouble) if isinstance(trouble, Fault) else trouble

    async def _reply(self, entry: Entry, question: Question, n: int) -> Reply:
        """A reply of the models, or of the cache before them."""

        async def compute() -> Reply:
            reply = await self.computed(entry, question, n)
            latency = self.setup.latency
            if latency.base or latency.jitter:
                jitter = latency.jitter * Random((self.setup.seed << 40) + entry.turn).random()
                await asyncio.sleep(latency.base + jitter)
            return reply

        if self._proxy is None:
            return await compute()
        reply = await self._proxy.reply(entry.turn, question, compute)
        entry.from_cache = reply.copied
        return reply

    async def computed(self, entry: Entry, question: Question, n: int) -> Reply:
        """Ask the model, and bill it."""
        answers = await answered(self.setup.models[question.model], question, n)
        share = 0.0
        if self.setup.prompt_cache:
            share = self.setup.prompt_cache if question.messages in self._seen else 0.0
            self._seen.add(question.messages)
        billed: Tokens = billed_for(answers, share)
        self.ledger.bill(entry, billed)
        reply = Reply(payload_of(self.new_id(), int(time.time()), question, answers, billed))
        self._latest.append(reply)
        return reply

    def _refuse(self, request: web.BaseRequest, entry: Entry, rejection: Rejection) -> web.StreamResponse:
        entry.fault, entry.status = rejection.name or rejection.code, rejection.status
        return refusing(rejection, request)
