"""A caching proxy in front of the models, like those of gateways: it answers with copies of earlier replies.

A copy comes at once, without the latency of the models, and is not billed, whatever its usage says.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from random import Random

from faults.ledger import Tokens
from faults.replies import Payload, Question, usage_of

# What gateways call a hit: Cloudflare, OpenRouter, Helicone, and what CDNs say.
HIT_HEADERS = (
    ("x-cache", "HIT"),
    ("cf-aig-cache-status", "HIT"),
    ("x-openrouter-cache-status", "HIT"),
    ("helicone-cache", "HIT"),
)


@dataclass(frozen=True, slots=True)
class Cache:
    """Settings of a caching proxy.

    - `ignores_seed`: the key is messages, model and n; otherwise it is the whole body.
    - `headers` go with a hit; with a miss they say MISS.
    - `fresh`: a hit has an id and a time of its own.
    - `free`: a hit has a usage of 0; otherwise its usage is copied.
    - `coalesces`: nothing is kept, but requests in flight with one key share one reply.
    - `delay`: seconds that a copy from the cache takes.
    - `hits`: the probability that a copy is used if there is one, drawn by the turn and `seed`.
    """

    name: str
    ignores_seed: bool = True
    headers: tuple[tuple[str, str], ...] = ()
    fresh: bool = False
    free: bool = False
    coalesces: bool = False
    delay: float = 0.0
    hits: float = 1.0
    seed: int = 0

    def at(self, hits: float, seed: int = 0) -> "Cache":
        """The same cache, answering only a share of what it could."""
        return replace(self, hits=hits, seed=seed)


# The six variants. The last five ignore the seed.
WHOLE_BODY = Cache("WHOLE_BODY", ignores_seed=False)  # no header; the id and usage of the original
IGNORES_SEED = Cache("IGNORES_SEED")  # no header; the id and usage of the original
MARKED = Cache("MARKED", headers=HIT_HEADERS, fresh=True)  # headers; a new id, usage copied
FRESH = Cache("FRESH", fresh=True)  # no header; a new id, usage copied: only the time shows it
FREE = Cache("FREE", fresh=True, free=True)  # no header; a new id, usage 0
COALESCING = Cache("COALESCING", coalesces=True, fresh=True)  # no header; a new id, usage copied, the same latency
CACHES = {cache.name: cache for cache in (WHOLE_BODY, IGNORES_SEED, MARKED, FRESH, FREE, COALESCING)}


@dataclass(slots=True)
class Reply:
    """A reply before it is sent. `copied` says that it was computed for another request."""

    payload: Payload
    headers: dict[str, str] = field(default_factory=dict)
    copied: bool = False


class Proxy:
    """The state of a cache: replies by key. `new_id` makes ids for copies that pretend to be new."""

    def __init__(self, cache: Cache, new_id: Callable[[], str]) -> None:
        self._cache = cache
        self._new_id = new_id
        self._kept: dict[tuple[str, ...], Payload] = {}
        self._in_flight: dict[tuple[str, ...], asyncio.Task[Reply]] = {}

    async def reply(self, turn: int, question: Question, compute: Callable[[], Awaitable[Reply]]) -> Reply:
        """Answer with a copy if there is one, and compute otherwise."""
        cache = self._cache
        key = (question.model, question.messages, str(question.n)) if cache.ignores_seed else (question.body,)
        may_copy = cache.hits >= 1.0 or Random(f"{cache.seed}:{turn}").random() < cache.hits
        if cache.coalesces:
            return await self._shared(key, may_copy, compute)
        if may_copy and key in self._kept:
            if cache.delay:
                await asyncio.sleep(cache.delay)
            return self._copy(self._kept[key])
        reply = await compute()
        self._kept.setdefault(key, reply.payload)
        return self._missed(reply)

    async def _shared(self, key: tuple[str, ...], may_copy: bool, compute: Callable[[], Awaitable[Reply]]) -> Reply:
        leader = self._in_flight.get(key) if may_copy else None
        if leader is not None:
            return self._copy((await asyncio.shield(leader)).payload)
        if key in self._in_flight:
            return self._missed(await compute())
        # a task of its own: the first to ask may leave while others wait
        task: asyncio.Task[Reply] = asyncio.ensure_future(compute())
        self._in_flight[key] = task
        task.add_done_callback(lambda _: self._in_flight.pop(key))
        return self._missed(await asyncio.shield(task))

    def _missed(self, reply: Reply) -> Reply:
        reply.headers |= {name: "MISS" for name, _ in self._cache.headers}
        return reply

    def _copy(self, payload: Payload) -> Reply:
        if self._cache.fresh:
            payload = payload | {"id": self._new_id(), "created": int(time.time())}
        if self._cache.free:
            payload = payload | {"usage": usage_of(Tokens())}
        return Reply(payload, dict(self._cache.headers), copied=True)
