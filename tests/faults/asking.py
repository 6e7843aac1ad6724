"""A plain client for tests of the server: sends one request and returns all parts of the reply."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import aiohttp

from faults.ledger import Entry
from faults.server import FaultServer
from unerring.processes.hanoi import Hanoi

CHAIN = Hanoi(5)
QUESTION = CHAIN.subtask(CHAIN.start())
PATIENCE_SECONDS = 5.0


@dataclass(frozen=True)
class Got:
    """A status, headers and a body; or no status, and the error instead of the body."""

    status: int | None
    headers: dict[str, str]
    body: Any

    @property
    def texts(self) -> list[str]:
        return [choice["message"]["content"] for choice in self.body["choices"]]


class Client:
    """A session of a server's base URL."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session, self.url = session, url

    async def send(self, method: str, path: str, patience: float = PATIENCE_SECONDS, **how: Any) -> Got:
        """Send a request; JSON bodies are decoded, others left as bytes."""
        limit = aiohttp.ClientTimeout(total=patience)
        try:
            async with self.session.request(method, self.url + path, timeout=limit, **how) as response:
                body = await response.read()
                headers = {name.lower(): value for name, value in response.headers.items()}
        except (aiohttp.ClientError, TimeoutError) as error:
            return Got(None, {}, error)
        try:
            return Got(response.status, headers, json.loads(body))
        except ValueError:
            return Got(response.status, headers, body)

    async def ask(self, prompt: str = QUESTION.prompt, patience: float = PATIENCE_SECONDS, **fields: Any) -> Got:
        """Ask one question."""
        body = {"model": "noise", "messages": [{"role": "user", "content": prompt}], "seed": 1} | fields
        headers = {"Authorization": "Bearer canary"}
        return await self.send("POST", "/chat/completions", patience, json=body, headers=headers)


async def left(call: Coroutine[Any, Any, Got], server: FaultServer, computed: bool) -> Got:
    """Make a call and close the connection without its answer, once the server has begun to process it."""
    number = server.ledger.totals.requests
    task = asyncio.ensure_future(call)
    while len(server.ledger.chats) <= number or not _begun(server.ledger.chats[number], computed):
        await asyncio.sleep(0.005)
    done, _ = await asyncio.wait([task], timeout=0.03)
    task.cancel()
    return task.result() if done else Got(None, {}, None)


def _begun(entry: Entry, computed: bool) -> bool:
    return entry.computed if computed else entry.fault is not None


def asking(url: str, work: Callable[[Client], Coroutine[Any, Any, Any]]) -> Any:
    """Run a coroutine function with a client, and return its result."""

    async def main() -> Any:
        async with aiohttp.ClientSession() as session:
            return await work(Client(session, url))

    return asyncio.run(main())


def asked_once(url: str, prompt: str = QUESTION.prompt, **fields: Any) -> Got:
    """Ask one question, on a connection of its own."""
    return asking(url, lambda client: client.ask(prompt, **fields))


def asked_often(url: str, count: int, at_once: bool = False, **fields: Any) -> list[Got]:
    """Ask a question repeatedly, with seeds from 0: one after the other, or all at once."""

    async def work(client: Client) -> list[Got]:
        calls = [client.ask(**({"seed": seed} | fields)) for seed in range(count)]
        return await asyncio.gather(*calls) if at_once else [await call for call in calls]

    return asking(url, work)
