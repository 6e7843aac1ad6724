"""HTTP client for one endpoint: kept connections for each event loop, a deadline for each request, failures as values.

aiohttp opens, secures, pools and closes the connections, and parses the answers. Its `ClientSession` is not used: it
rebuilds every request, with headers, cookies, redirects and timers, which takes a third of a call's CPU time. Here
a caller may build the head of its requests once.

No exception of aiohttp leaves this module, since such an exception holds the headers of the request, and with them
the key. A request that fails after it was written is `UNKNOWN`, one that fails before is `TRANSIENT`.
"""

import asyncio
import os
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import HttpProcessingError, RawResponseMessage
from yarl import URL

from unerring.adapters.http.deadlines import Deadline, Deadlines
from unerring.adapters.http.errors import MAX_ERROR_BYTES, Failure, one_line
from unerring.adapters.http.spec import EndpointSpec, Proxy, Secret
from unerring.errors import FailureKind, ProviderBusy, ProviderDown

MAX_REPLY_BYTES = 16 << 20
# uvicorn and Node close connections that were idle for 5 seconds; a request sent just then would fail.
KEEP_ALIVE_SECONDS = 4.0
MAX_STALE_CONNECTIONS = 8  # kept connections found closed, one after the other, before the request fails
# asyncio allocates 256 KiB for each read. Most allocators map and unmap a block of that size every time, which took a
# quarter of a call's CPU time.
READ_SIZE_BYTES = 1 << 16
NO_TIMEOUT = aiohttp.ClientTimeout(total=None)  # `Deadlines` ends requests instead

Answer: TypeAlias = tuple[int, Mapping[str, str], bytes]  # status, headers, body
BodyReader: TypeAlias = Callable[[aiohttp.StreamReader, Deadline], Awaitable[bytes]]


class HttpClient:
    """Sends requests to one endpoint. Each event loop has its own connections, closed with `aclose` or as it ends."""

    def __init__(self, spec: EndpointSpec, secret: Secret, proxy: Proxy | None) -> None:
        self.place = spec.place
        self._secret = secret
        self._timeout = spec.timeout
        self._url = URL(spec.url, encoded=True)
        host = self._url.host_port_subcomponent or ""
        self._headers = {
            "Host": host,
            "Accept-Encoding": "identity",
            "Cache-Control": "no-cache, no-store",
            "User-Agent": "unerring",
        }
        if secret.header is not None:
            self._headers["Authorization"] = secret.header
        self._target = self._url.raw_path.rstrip("/")
        self._proxy: dict[str, Any] = {}
        if proxy is not None:
            tunneled = self._url.scheme == "https"  # else the proxy reads the request itself
            self._target = self._target if tunneled else spec.url
            self._proxy["proxy"] = URL(proxy.url)
            if (login := proxy.header) is not None:
                # aiohttp would add the host for the first connection, and then find no kept one for the second
                self._proxy["proxy_headers"] = {"Proxy-Authorization": login, "Host": host}
                if not tunneled:
                    self._headers["Proxy-Authorization"] = login
        self._open: dict[asyncio.AbstractEventLoop, _LoopConnections] = {}

    def head(self, method: str, path: str, accept: str, content_type: str = "") -> bytes:
        """The first lines of a request, up to the length of its body, or to their end where it has none."""
        headers = self._headers | {"Accept": accept}
        if content_type:
            headers["Content-Type"] = content_type
        lines = [f"{method} {self._target}{path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, "Content-Length: " if content_type else "\r\n"]).encode()

    async def send(
        self, message: bytes, read: BodyReader | None = None, seconds: float | None = None
    ) -> Answer | Failure:
        """Send a request, head and body, once; return the answer, or the failure to get one.

        `read` reads the body of a success, and `seconds` replaces the endpoint's timeout. Without `read`, a body is
        cut one byte beyond `MAX_REPLY_BYTES`; that of an error always at `MAX_ERROR_BYTES`.
        """
        connection: aiohttp.connector.Connection | None = None
        sent = False
        answer: RawResponseMessage | None = None
        try:
            loop = asyncio.get_running_loop()
            opened = self._open.get(loop) or await self._opened(loop)
            with opened.deadlines() if seconds is None else Deadlines(loop, seconds)() as deadline:
                connection, protocol = await opened.connection()
                sent = True
                protocol.set_response_params(read_until_eof=True, auto_decompress=False)
                assert protocol.transport is not None
                protocol.transport.write(message)
                answer, content = await _final_answer(protocol)
                if read is None or answer.code >= 300:
                    body = await _read_body(answer.code, content)
                else:
                    body = await read(content, deadline)
                if not _is_writing(connection):
                    connection.release()  # closes it where the answer was not read to its end
                return answer.code, answer.headers, body
        except TimeoutError as error:
            within = self._timeout if seconds is None else seconds
            words = f"no answer within {within:g} seconds" if error.errno is None else _description(error)
        except aiohttp.ClientHttpProxyError as error:
            words = f"its proxy answered {error.status}"
            if error.status == 407:
                return ProviderDown(f"{self.place}: {words}, and needs a user and a password", FailureKind.DENIED)
        except Exception as error:  # asyncio, ssl and aiohttp's parsers raise more than aiohttp documents
            words = _description(error)
        finally:
            if connection is not None:
                _close(connection)
        if answer is not None and answer.code >= 300:
            return answer.code, answer.headers, b""  # the status alone says that the request was refused
        kind = FailureKind.UNKNOWN if sent else FailureKind.TRANSIENT
        return ProviderBusy(one_line(f"{self.place}: {words}", self._secret), None, kind)

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        opened = self._open.get(asyncio.get_running_loop())
        if opened is not None:
            await opened.closing.aclose()

    async def _opened(self, loop: asyncio.AbstractEventLoop) -> "_LoopConnections":
        closing = self._connector(loop)
        connector = await anext(closing)
        request = aiohttp.ClientRequest("POST", self._url, loop=loop, **self._proxy)
        self._open[loop] = opened = _LoopConnections(connector, request, Deadlines(loop, self._timeout), closing)
        return opened

    async def _connector(self, loop: asyncio.AbstractEventLoop) -> AsyncGenerator[aiohttp.TCPConnector, None]:
        # An event loop closes the asynchronous generators that began on it as it ends: that closes the connector.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_SECONDS)  # the runtime limits calls
        try:
            yield connector
        finally:
            self._open.pop(loop, None)
            await connector.close()


@dataclass(frozen=True, slots=True)
class _LoopConnections:
    """The connections of one event loop.

    connector: aiohttp's pool of connections.
    request: where connections go; aiohttp finds kept ones by it.
    deadlines: the deadlines of requests in flight.
    closing: the generator that closes the connector.
    """

    connector: aiohttp.TCPConnector
    request: aiohttp.ClientRequest
    deadlines: Deadlines
    closing: AsyncGenerator[aiohttp.TCPConnector, None]

    async def connection(self) -> tuple[aiohttp.connector.Connection, ResponseHandler]:
        """A usable connection; kept ones that were closed meanwhile, or hold unread bytes, are dropped."""
        for _ in range(MAX_STALE_CONNECTIONS):
            connection = await self.connector.connect(self.request, [], NO_TIMEOUT)
            protocol, transport = connection.protocol, connection.transport
            if protocol is not None and protocol.is_connected() and not protocol.should_close:
                if getattr(transport, "max_size", 0) > READ_SIZE_BYTES:
                    transport.max_size = READ_SIZE_BYTES  # type: ignore[union-attr]
                return connection, protocol
            connection.close()
        raise aiohttp.ServerDisconnectedError


def with_body(head: bytes, *parts: bytes) -> bytes:
    """A request's head and its body, in one part or several, as one message."""
    return b"".join([head, b"%d\r\n\r\n" % sum(map(len, parts)), *parts])


def _is_writing(connection: aiohttp.connector.Connection) -> bool:
    """Whether a part of the request is unsent. A server that answers early may take that part for the next request."""
    transport = connection.transport
    return transport is not None and transport.get_write_buffer_size() > 0


def _close(connection: aiohttp.connector.Connection) -> None:
    """Close a connection at once, without waiting until all is sent. A released connection is not affected."""
    if _is_writing(connection):
        assert connection.transport is not None
        connection.transport.abort()
    connection.close()


async def _final_answer(protocol: ResponseHandler) -> tuple[RawResponseMessage, aiohttp.StreamReader]:
    """The head of the answer and the stream of its body; interim answers are skipped (RFC 9110, section 15.2)."""
    while True:
        message, content = await protocol.read()
        if not 100 <= message.code <= 199 or message.code == 101:
            return message, content


async def _read_body(status: int, content: aiohttp.StreamReader) -> bytes:
    max_bytes = MAX_REPLY_BYTES + 1 if status < 300 else MAX_ERROR_BYTES
    body = await content.readany()
    if content.at_eof():
        return body[:max_bytes]
    chunks, size = [body], len(body)
    while size < max_bytes and (chunk := await content.readany()):
        chunks.append(chunk)
        size += len(chunk)
    return b"".join(chunks)[:max_bytes]


def _description(error: Exception) -> str:
    """What went wrong, in fixed words: nothing that the server sent is repeated."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return "its name is not known (DNS)"
        case aiohttp.ClientConnectorCertificateError(certificate_error=ssl.SSLCertVerificationError() as reason):
            return f"its certificate is not to be trusted: {reason.verify_message}"
        case aiohttp.ClientSSLError():
            return "no secure connection could be made (TLS)"
        case aiohttp.ClientPayloadError():
            return "the reply broke off"
        case aiohttp.ServerDisconnectedError():
            return "it closed the connection without an answer"
        case aiohttp.ClientResponseError() | HttpProcessingError():
            return "its answer is not HTTP"
        case OSError(errno=int() as number):
            return os.strerror(number)
    return f"the connection failed ({type(error).__name__})"
