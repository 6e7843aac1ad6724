"""The server: a real HTTP server on loopback, run in a thread of the tests' process or in a process of its own.

with serving(script=listed(Fault.ERROR_500, None, Fault.RESET)) as server:
    ...                            # a client of server.url
    server.ledger.totals.orphans   # what really happened
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import Any, TypeAlias

from aiohttp import web

from faults.batches import BatchEndpoints
from faults.chat import Chat, Setup
from faults.faults import Rejection
from faults.ledger import CHAT, Entry, Ledger
from faults.responses import Nothing, as_json, refusing, there

LARGEST_BODY = 256 << 20
GRACE_SECONDS = 0.2

Handler: TypeAlias = Callable[[web.BaseRequest, Entry], Awaitable[web.StreamResponse]]


class FaultServer:
    """The endpoints. `url` is the base URL for clients and ends in /v1; `root` is the same without /v1."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.ledger = Ledger(setup.keep)
        self.root = ""
        self.errors: list[Exception] = []
        self._chat = Chat(setup, self.ledger)
        self._batches = BatchEndpoints(setup, self.ledger, self._chat.computed)
        self._routes: dict[tuple[str, str], Handler] = {
            ("POST", CHAT): self._chat.handle,
            ("GET", "/v1/models"): self._models,
            ("POST", "/v1/files"): self._batches.upload,
            ("POST", "/v1/batches"): self._batches.create,
            ("GET", "/v1/batches"): self._batches.listing,
        }
        self._server: web.Server | None = None
        self._listener: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """The base URL for clients."""
        return f"{self.root}/v1"

    async def start(self, port: int = 0) -> None:
        """Listen on loopback, at a free port unless one is given."""
        loop = asyncio.get_running_loop()

        def made(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
            return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=LARGEST_BODY)

        self._server = web.Server(
            self._handle,
            request_factory=made,
            access_log=None,
            handler_cancellation=True,  # what hangs ends when its client leaves
            keepalive_timeout=self.setup.idle,
        )
        self._listener = await loop.create_server(self._server, "127.0.0.1", port, backlog=1024)
        self.root = f"http://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """Stop, and cancel hanging requests."""
        assert self._server is not None
        assert self._listener is not None
        self._listener.close()
        await self._server.shutdown(GRACE_SECONDS)
        for model in self.setup.models.values():
            if close := getattr(model, "close", None):
                await asyncio.to_thread(close)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        if path in ("/ledger", "/v1/ledger"):
            return as_json(self.ledger.as_json("totals" not in request.query))
        entry = self.ledger.open(path, request.headers.get("Authorization"))
        try:
            handler = self._route(request.method, path)
            response = await handler(request, entry)
            if not response.prepared and not isinstance(response, Nothing):
                entry.status = response.status
                await response.prepare(request)
                await response.write_eof()
                if there(request):
                    self.ledger.deliver(entry)
            return response
        except ConnectionError:  # the client left
            return Nothing()
        except Exception as error:
            self.errors.append(error)
            raise
        finally:
            self.ledger.close(entry)

    def _route(self, method: str, path: str) -> Handler:
        if (handler := self._routes.get((method, path))) is not None:
            return handler
        if path.startswith("/v1/batches/") and method in ("GET", "POST"):
            return self._batches.batch
        return self._batches.file if path.startswith("/v1/files/") and method == "GET" else self._unknown

    async def _models(self, request: web.BaseRequest, entry: Entry) -> web.StreamResponse:
        listing = [
            {"id": name, "object": "model", "created": 1700000000, "owned_by": "faults"} for name in self.setup.models
        ]
        return as_json({"object": "list", "data": listing})

    async def _unknown(self, request: web.BaseRequest, entry: Entry) -> web.StreamResponse:
        return refusing(Rejection(404, "unknown_url", f"Unknown request URL: {request.method} {entry.path}"), request)


@contextmanager
def serving(**fields: Any) -> Iterator[FaultServer]:
    """Run a server with an event loop of its own in a thread, until the block ends; `fields` are those of `Setup`.

    An exception in the server itself is raised at the end of the block.
    """
    server = FaultServer(Setup(**fields))
    ready, failed = Event(), []
    stop: asyncio.Event | None = None
    loop: asyncio.AbstractEventLoop | None = None

    async def main() -> None:
        nonlocal stop, loop
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        await server.start()
        ready.set()
        await stop.wait()
        await server.stop()

    def run() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:
            failed.append(error)
        finally:
            ready.set()

    thread = Thread(target=run, name="fault-server", daemon=True)
    thread.start()
    ready.wait()
    try:
        if failed:
            raise failed[0]
        yield server
    finally:
        with suppress(RuntimeError):
            if loop is not None and stop is not None:
                loop.call_soon_threadsafe(stop.set)
        thread.join()
    if failed or server.errors:
        raise [*failed, *server.errors][0]
