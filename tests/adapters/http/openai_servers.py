"""Small servers on the test's event loop, and clients for them."""

import asyncio
from contextlib import asynccontextmanager, suppress

from unerring.adapters.chat.connection import ChatConnection
from unerring.adapters.http.spec import EndpointSpec, proxy_for, secret_for
from unerring.adapters.trust.permission import GIVEN

CANARY = "sk-canary-5d1f0c9a7e"
BODY = b'{"model":"m"}'


def client_to(url, timeout=30.0, **environ):
    spec = EndpointSpec("m", url, timeout=timeout)
    secret = secret_for(spec, {"UNERRING_API_KEY": CANARY}, GIVEN.allowing([spec.host]))
    return ChatConnection(spec, secret, proxy_for(spec, environ))


def answer(body=b"{}", status="200 OK", *headers):
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Answering:
    """A server that answers each request with the next of `replies`, and keeps the requests."""

    def __init__(self, *replies, close=False):
        self.replies = list(replies)
        self.close = close
        self.requests = []
        self.connections = 0
        self.writers = []

    async def __call__(self, reader, writer):
        self.connections += 1
        self.writers.append(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:-2])
                self.requests.append((head, await reader.readexactly(int(fields.get("content-length", 0)))))
                reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
                await (reply(writer) if callable(reply) else self.said(writer, reply))
                if self.close:
                    break
        writer.close()

    @staticmethod
    async def said(writer, reply):
        writer.write(reply)
        await writer.drain()


@asynccontextmanager
async def serving(handler):
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()
        for writer in getattr(handler, "writers", ()):
            writer.close()
