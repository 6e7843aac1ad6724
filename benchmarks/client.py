"""Processor time that a call takes in unerring and in other clients, with 1, 64 and 512 calls in flight.

    python3 -m venv /tmp/peers && /tmp/peers/bin/pip install -e . -r benchmarks/requirements.txt
    /tmp/peers/bin/python benchmarks/client.py [--calls N] [--rounds N] [--logprobs TOKENS]

A server in a separate process answers every chat request at once with the same reply of 0.9 kB, so that only the
client is measured: the processor time of its process, which other load on the machine changes little. Every client
runs in a new process, is warmed up first, and takes its turn in every round; its best round counts. Compare the
ratios.

The clients: unerring's calls as a run makes them, with all checks: rate limiter, retries, the deadline, an intent in
memory, a budget in dollars reserved and settled, log-probabilities, and copies distinguished from votes. (Voting and
the disk are measured by engine.py.) Then the sampler alone; aiohttp with the shortest loop that reads the answer's
text, with its JSON read by the standard library or by msgspec; httpx in the same loop; the openai package as its
documentation shows it, without its own retries. A run makes Python's garbage collector run less often, and all others
leave it as it is; for comparison aiohttp is measured with the same threshold as well.
"""

import asyncio
import json
import multiprocessing
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from multiprocessing.connection import Connection
from typing import Any, TypeAlias

from common import Row, give_out, in_fresh_process, parser_for
from unerring.adapters.openai import OpenAISampler
from unerring.core.journal.entries import Allowed, Entry, Opened
from unerring.core.journal.spend import SpendLimits, Tariff
from unerring.core.journal.state import RunState
from unerring.core.voting.copies import CopyDetector, SentCall
from unerring.core.voting.policy import Policy
from unerring.core.voting.sample import Settings
from unerring.runtime.calls.ledger import CallTries, Ledger
from unerring.runtime.calls.retry import Caller, CallRequest
from unerring.runtime.config import RunConfig, Speculation, StopRequest
from unerring.runtime.signals import fewer_collections
from unerring.testing import MemoryJournal

WIDTHS = 1, 64, 512
WARM_UP = 300  # calls
OF_AIOHTTP = 0.8  # of the calls that aiohttp by itself makes in the same time
OF_OPENAI = 8.0
PROMPT = "Rules: move one disk at a time, never a larger one onto a smaller one. " * 20 + "State: [[3, 2, 1], [], []]"
ANSWER = "move = [1, 0, 2]\nnext_state = [[3, 2], [], [1]]\n" * 6
SETTINGS = Settings(0.1, 750, 3, 0, 0)
NAME = "0123456789abcdef01234567"
NUMBERS = count(1 << 92)
KEY = "sk-benchmark-0123456789"

Call: TypeAlias = Callable[[int], Awaitable[str]]


def reply(tokens: int) -> bytes:
    """The reply of the server, with so many log-probabilities."""
    each = [{"token": "mov", "logprob": -0.02, "bytes": [109, 111, 118], "top_logprobs": []}] * tokens
    message = {"role": "assistant", "content": ANSWER, "refusal": None, "annotations": []}
    details = {"cached_tokens": 0, "audio_tokens": 0}
    body = {
        "id": f"chatcmpl-{NAME}",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "bench-1",
        "choices": [
            {
                "index": 0,
                "message": message,
                "logprobs": {"content": each, "refusal": None} if tokens else None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 412,
            "completion_tokens": 96,
            "total_tokens": 508,
            "prompt_tokens_details": details,
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        },
        "service_tier": "default",
        "system_fingerprint": "fp_0123456789",
    }
    return json.dumps(body).encode()


class Answering(asyncio.Protocol):
    """Answers every request with the same bytes but for a new id, without reading more of it than its length."""

    def __init__(self, body: bytes) -> None:
        head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nServer: bench\r\nx-request-id: req_0123456789\r\n"
        answer = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        self._before, self._after = answer.split(NAME.encode())
        self._got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._got += data
        while (end := self._got.find(b"\r\n\r\n")) >= 0:
            head = self._got[:end].lower()
            place = head.find(b"content-length:")
            length = int(head[place + 15 :].split(b"\r\n", 1)[0]) if place >= 0 else 0
            if len(self._got) < end + 4 + length:
                return
            self._got = self._got[end + 4 + length :]
            self._transport.write(b"%b%024x%b" % (self._before, next(NUMBERS), self._after))


def serve(port_pipe: Connection, body: bytes) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Answering(body), "127.0.0.1", 0, backlog=1024)
        port_pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


@contextmanager
def serving(body: bytes) -> Iterator[str]:
    """The server's base URL."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=serve, args=(sender, body), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{receiver.recv()}/v1"
    finally:
        process.terminate()
        process.join()


def question(seed: int) -> dict[str, Any]:
    """The request body that every client sends."""
    return {
        "model": "bench-1",
        "messages": [{"role": "user", "content": PROMPT}],
        "max_tokens": SETTINGS.max_output_tokens,
        "temperature": SETTINGS.temperature,
        "seed": seed,
        "logprobs": True,
    }


def run_unerring(url: str, width: int, calls: int) -> float:
    """All that stands between a run and the wire, at the pace of the garbage collector that a run sets."""

    async def work() -> float:
        sampler = OpenAISampler(f"openai/bench-1@{url}", {"UNERRING_API_KEY": KEY})
        config = RunConfig(speculation=Speculation(in_flight=width))
        ledger = ledger_for(sampler, config)
        account, stop, copies = ledger.state.account, StopRequest(), CopyDetector()
        caller = Caller(config, width)

        async def call(number: int) -> str:
            settings = Settings(0.1, SETTINGS.max_output_tokens, 3, number, 0)
            key = next(numbers), 0, "state"
            tries = CallTries(ledger, (key[0], 0, 1), "state", config.stop, stop)
            (sample,) = await caller.call(CallRequest(sampler, PROMPT, settings, 1), tries, stop)
            ledger.state.calls.in_flight.discard(key)
            account.settle(key, ledger.price(sampler, sample.usage))
            assert copies.judge(sampler.name, SentCall(PROMPT), sample, text_known=False) is None
            return sample.text

        numbers = count()
        try:
            return await timed(call, width, calls)
        finally:
            await sampler.aclose()

    with fewer_collections():
        return asyncio.run(work())


def ledger_for(sampler: OpenAISampler, config: RunConfig) -> Ledger:
    """The accounting of a new run with a budget in dollars; its entries are not stored."""

    class Nowhere(MemoryJournal):
        def append(self, entry: Entry) -> None:
            pass

    state = RunState()
    state.apply(Opened("calls", {}, sampler.name, Policy().to_json(), 3, "0", None, "benchmark", 0.0))
    state.apply(Allowed(SpendLimits(money=10**18), {sampler.name: Tariff(400_000, 1_600_000, 100_000)}))
    return Ledger(state, Nowhere(), config)


def run_sampler(url: str, width: int, calls: int) -> float:
    async def work() -> float:
        sampler = OpenAISampler(f"openai/bench-1@{url}", {"UNERRING_API_KEY": KEY})

        async def call(number: int) -> str:
            settings = Settings(0.1, SETTINGS.max_output_tokens, 3, number, 0)
            return (await sampler.sample(PROMPT, settings, 1))[0].text

        try:
            return await timed(call, width, calls)
        finally:
            await sampler.aclose()

    return asyncio.run(work())


def run_aiohttp_json(url: str, width: int, calls: int) -> float:
    return _aiohttp(url, width, calls, lambda value: json.dumps(value).encode(), json.loads)


def run_aiohttp_fewer_collections(url: str, width: int, calls: int) -> float:
    with fewer_collections():
        return run_aiohttp_json(url, width, calls)


def run_aiohttp_msgspec(url: str, width: int, calls: int) -> float:
    import msgspec

    return _aiohttp(url, width, calls, msgspec.json.encode, msgspec.json.decode)


def _aiohttp(
    url: str, width: int, calls: int, encode: Callable[[Any], bytes], decode: Callable[[bytes], Any]
) -> float:
    import aiohttp

    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}

    async def work() -> float:
        async with aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(limit=0)) as session:

            async def call(number: int) -> str:
                async with session.post(f"{url}/chat/completions", data=encode(question(number))) as response:
                    return text_in(decode(await response.read()))

            return await timed(call, width, calls)

    return asyncio.run(work())


def run_httpx(url: str, width: int, calls: int) -> float:
    import httpx

    headers = {"Authorization": f"Bearer {KEY}"}

    async def work() -> float:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        async with httpx.AsyncClient(headers=headers, limits=limits, timeout=120) as client:

            async def call(number: int) -> str:
                return text_in((await client.post(f"{url}/chat/completions", json=question(number))).json())

            return await timed(call, width, calls)

    return asyncio.run(work())


def run_openai(url: str, width: int, calls: int) -> float:
    from openai import AsyncOpenAI

    async def work() -> float:
        async with AsyncOpenAI(api_key=KEY, base_url=url, max_retries=0, timeout=120) as client:

            async def call(number: int) -> str:
                completion = await client.chat.completions.create(**question(number))
                text = completion.choices[0].message.content
                assert text is not None
                return text

            return await timed(call, width, calls)

    return asyncio.run(work())


def text_in(value: Any) -> str:
    text = value["choices"][0]["message"]["content"]
    assert isinstance(text, str)
    return text


async def timed(call: Call, width: int, calls: int) -> float:
    """Processor time for each of the calls, in microseconds; `width` of them are in flight at a time."""
    numbers = iter(range(10**9))

    async def worker(until: int) -> None:
        while next(numbers) < until:
            assert await call(until) == ANSWER

    await asyncio.gather(*(worker(max(WARM_UP, 2 * width)) for _ in range(width)))
    numbers = iter(range(10**9))
    started = time.process_time()
    await asyncio.gather(*(worker(calls) for _ in range(width)))
    return (time.process_time() - started) / calls * 1e6


@dataclass(frozen=True)
class Client:
    """A client that makes the calls.

    name: its name in the table.
    run: makes calls to a URL, so many in flight and so many in all; returns microseconds of processor time a call.
    share: the part of --calls that it makes; slow clients make fewer.
    at_least: how many calls unerring has to make in the time of one; None for no claim.
    """

    name: str
    run: Callable[[str, int, int], float]
    share: float = 1.0
    at_least: float | None = None


CLIENTS = (
    Client("unerring", run_unerring),
    Client("unerring's sampler without the engine", run_sampler),
    Client("aiohttp with json", run_aiohttp_json, at_least=OF_AIOHTTP),
    Client("aiohttp with msgspec", run_aiohttp_msgspec),
    Client("aiohttp with json, fewer garbage collections", run_aiohttp_fewer_collections),
    Client("httpx", run_httpx, share=0.1),
    Client("openai", run_openai, share=0.1, at_least=OF_OPENAI),
)


def missing() -> str | None:
    """One line that says what to install, or None if all is here."""
    try:
        import httpx  # noqa: F401
        import openai  # noqa: F401
    except ImportError as error:
        return (
            f"the peers are not all installed ({error}): python3 -m venv /tmp/peers && /tmp/peers/bin/pip install "
            "-e . -r benchmarks/requirements.txt, then run this script with /tmp/peers/bin/python"
        )
    return None


def costs_of(url: str, calls: int, rounds: int, clients: tuple[Client, ...]) -> dict[str, dict[int, float]]:
    """Microseconds of processor time a call, of every client at every width: the best of the rounds."""
    best: dict[str, dict[int, float]] = {client.name: {} for client in clients}
    for number in range(1, rounds + 1):
        for width in WIDTHS:
            for client in clients:
                count = max(int(calls * client.share), 2 * width)
                cost = in_fresh_process(client.run, url, width, count)
                best[client.name][width] = min(cost, best[client.name].get(width, cost))
                print(f"round {number}  {width:>3} in flight  {client.name:<45}{cost:>10,.0f} µs/call", flush=True)
    return best


def rows_of(costs: dict[str, dict[int, float]]) -> list[Row]:
    own = costs[CLIENTS[0].name]
    rows = []
    for client in CLIENTS[1:]:
        if client.name not in costs:
            continue
        ratios = {width: costs[client.name][width] / own[width] for width in WIDTHS}
        figure = ", ".join(f"{ratio:.2f} with {width}" for width, ratio in ratios.items())
        must = "" if client.at_least is None else f"≥ {client.at_least:g} with each"
        holds = None if client.at_least is None else min(ratios.values()) >= client.at_least
        what = f"calls a second of processor time, relative to {client.name}"
        rows.append(Row(what, f"{figure} calls in flight", must, holds))
    return rows


def main() -> int:
    parser = parser_for(__doc__)
    parser.add_argument("--calls", type=int, default=20_000, help="calls of the fast clients; slow ones make a tenth")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--logprobs", type=int, default=0, metavar="TOKENS", help="log-probabilities in the reply")
    parser.add_argument("--no-peers", action="store_true", help="only what needs nothing installed")
    args = parser.parse_args()
    if not args.no_peers and (line := missing()) is not None:
        print(line, file=sys.stderr)
        return 2
    clients = CLIENTS[:4] if args.no_peers else CLIENTS
    body = reply(args.logprobs)
    with serving(body) as url:
        costs = costs_of(url, args.calls, args.rounds, clients)
    print(f"\nprocessor milliseconds for 1,000 calls, best of {args.rounds}; a reply of {len(body):,} bytes")
    print(f"{'':<45}" + "".join(f"{f'{width} in flight':>20}" for width in WIDTHS))
    for name, by_width in costs.items():
        print(f"{name:<45}" + "".join(f"{by_width[width]:>20,.0f}" for width in WIDTHS))
    from importlib.metadata import version

    names = ("aiohttp", "msgspec") if args.no_peers else ("aiohttp", "msgspec", "httpx", "openai")
    figures = {
        "calls": args.calls,
        "rounds": args.rounds,
        "reply_bytes": len(body),
        "cpu_us_per_call": costs,
        "peers": {name: version(name) for name in names},
    }
    return give_out(args, figures, rows_of(costs))


if __name__ == "__main__":
    sys.exit(main())
