"""The line to an endpoint: one HTTP exchange after the other, in connections that are kept, under a deadline.

aiohttp makes, secures, pools and closes the connections, and reads what comes back. Its session, which would stand
between, is left out: it makes every request again, with its headers, cookies, redirects and timers, and that takes a
third of the processor time of a call. All requests of a line differ in their bodies alone.

Nothing that aiohttp raises gets out, since its exceptions carry the headers of the request along, and with them the
key: they become failures in words of our own. A call is given up as `UNKNOWN` once its request was written, and as
`TRANSIENT` before.
"""

import asyncio
import os
import ssl
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import HttpProcessingError, RawResponseMessage
from yarl import URL

from unerring.adapters.chat.response import LARGEST_REPLY
from unerring.adapters.http.deadlines import Deadlines
from unerring.adapters.http.errors import LARGEST_ERROR, Failure, one_line
from unerring.adapters.http.spec import EndpointSpec, Proxy, Secret
from unerring.errors import FailureKind, ProviderBusy, ProviderDown

# uvicorn and Node close connections that were idle for 5 seconds: to use one just then loses a call for nothing.
KEEP_ALIVE = 4.0  # seconds
MOST_STALE = 8  # kept connections that turn out to be closed before one gives up
# Asyncio makes room for 256 KiB at each read. That much most allocators map and unmap every time, which took a quarter
# of the processor time of a call.
AT_ONCE = 1 << 16  # bytes
NO_LIMIT = aiohttp.ClientTimeout(total=None)  # the deadline is our own

Answered: TypeAlias = tuple[int, Mapping[str, str], bytes]  # status, headers, body


class Connection:
    """Posts bodies to one address. Each event loop has connections of its own, which are closed as the loop ends."""

    def __init__(self, spec: EndpointSpec, secret: Secret, proxy: Proxy | None) -> None:
        self._where = spec.place
        self._secret = secret
        self._timeout = spec.timeout
        self._url = URL(f"{spec.url}/chat/completions", encoded=True)
        host = self._url.host_port_subcomponent or ""
        self._headers = {
            "Host": host,
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "Cache-Control": "no-cache, no-store",
            "Content-Type": "application/json",
            "User-Agent": "unerring",
        }
        if secret.header is not None:
            self._headers["Authorization"] = secret.header
        self._through: dict[str, Any] = {}
        if proxy is not None:
            self._through["proxy"] = URL(proxy.url)
            if (login := proxy.header) is not None:
                # with the host, which aiohttp would add for the first connection, and find none kept for the second
                self._through["proxy_headers"] = {"Proxy-Authorization": login, "Host": host}
                if self._url.scheme == "http":  # no tunnel: the proxy reads the request itself
                    self._headers["Proxy-Authorization"] = login
        self._open: dict[asyncio.AbstractEventLoop, _LoopConnections] = {}

    async def exchange(self, body: bytes) -> Answered | Failure:
        """Post a body, and return what was answered or the failure to get an answer.

        The answer's body is cut one byte beyond `LARGEST_REPLY`, that of an error at `LARGEST_ERROR`.
        """
        connection: aiohttp.connector.Connection | None = None
        sent = False
        answered: RawResponseMessage | None = None
        try:
            opened = self._open.get(asyncio.get_running_loop()) or await self._opened()
            with opened.deadlines():
                connection, protocol = await opened.connection()
                sent = True
                opened.post(protocol, body)
                answered, content = await _answer(protocol)
                read = await _read(answered.code, content)
                if not _unsent(connection):
                    connection.release()  # hangs up where the answer was not read to its end
                return answered.code, answered.headers, read
        except TimeoutError as error:
            words = f"no answer within {self._timeout:g} seconds" if error.errno is None else words_for(error)
        except aiohttp.ClientHttpProxyError as error:
            words = f"its proxy answered {error.status}"
            if error.status == 407:
                return ProviderDown(f"{self._where}: {words}, and wants a user and a password", FailureKind.DENIED)
        except Exception as error:  # asyncio, ssl and the parsers below aiohttp raise more than it says
            words = words_for(error)
        finally:
            if connection is not None:
                _hang_up(connection)
        if answered is not None and answered.code >= 300:
            return answered.code, answered.headers, b""  # a refusal, whatever became of its words
        kind = FailureKind.UNKNOWN if sent else FailureKind.TRANSIENT
        return ProviderBusy(one_line(f"{self._where}: {words}", self._secret), None, kind)

    async def aclose(self) -> None:
        """Close the connections of the running loop."""
        opened = self._open.get(asyncio.get_running_loop())
        if opened is not None:
            await opened.holding.aclose()

    async def _opened(self) -> "_LoopConnections":
        # A loop that ends closes the asynchronous generators that began on it, and thereby what they hold.
        loop = asyncio.get_running_loop()
        holding = self._holding(loop)
        connector = await anext(holding)
        request = aiohttp.ClientRequest("POST", self._url, loop=loop, **self._through)
        head = _head(request, self._headers)
        self._open[loop] = opened = _LoopConnections(connector, request, head, Deadlines(loop, self._timeout), holding)
        return opened

    async def _holding(self, loop: asyncio.AbstractEventLoop) -> AsyncGenerator[aiohttp.TCPConnector, None]:
        # the runtime decides how many calls are made at once
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE)
        try:
            yield connector
        finally:
            self._open.pop(loop, None)
            await connector.close()


@dataclass(frozen=True, slots=True)
class _LoopConnections:
    """What one event loop has of a line.

    `request` says where connections go, and `head` is what stands before the length of each body. `holding` is what
    closes the connections.
    """

    connector: aiohttp.TCPConnector
    request: aiohttp.ClientRequest
    head: bytes
    deadlines: Deadlines
    holding: AsyncGenerator[aiohttp.TCPConnector, None]

    async def connection(self) -> tuple[aiohttp.connector.Connection, ResponseHandler]:
        """A connection that is fit for a request: a kept one that has ended, or has more to say, is left."""
        for _ in range(MOST_STALE):
            connection = await self.connector.connect(self.request, [], NO_LIMIT)
            protocol, transport = connection.protocol, connection.transport
            if protocol is not None and protocol.is_connected() and not protocol.should_close:
                if getattr(transport, "max_size", 0) > AT_ONCE:
                    transport.max_size = AT_ONCE  # type: ignore[union-attr]
                return connection, protocol
            connection.close()
        raise aiohttp.ServerDisconnectedError

    def post(self, protocol: ResponseHandler, body: bytes) -> None:
        """Send a request. Nothing of it is sent again: what became of it is in the answer or unknown."""
        protocol.set_response_params(read_until_eof=True, auto_decompress=False)
        assert protocol.transport is not None
        protocol.transport.write(b"%b%d\r\n\r\n%b" % (self.head, len(body), body))


def _head(request: aiohttp.ClientRequest, headers: Mapping[str, str]) -> bytes:
    """A request's first lines, up to the length of its body."""
    through = request.proxy is not None and not request.is_ssl()
    target = str(request.url) if through else request.url.raw_path_qs
    lines = [f"POST {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "Content-Length: "]
    return "\r\n".join(lines).encode()


def _unsent(connection: aiohttp.connector.Connection) -> bool:
    """Whether a part of the request has not left: what a server that answers early may take for the next one."""
    transport = connection.transport
    return transport is not None and transport.get_write_buffer_size() > 0


def _hang_up(connection: aiohttp.connector.Connection) -> None:
    """End a connection, at once: to close one waits until the other side has taken all. Of no effect once released."""
    if _unsent(connection):
        assert connection.transport is not None
        connection.transport.abort()
    connection.close()


async def _answer(protocol: ResponseHandler) -> tuple[RawResponseMessage, aiohttp.StreamReader]:
    """The head of an answer and what its body is read from, past interim ones (RFC 9110, section 15.2)."""
    while True:
        message, content = await protocol.read()
        if not 100 <= message.code <= 199 or message.code == 101:
            return message, content


async def _read(status: int, content: aiohttp.StreamReader) -> bytes:
    most = LARGEST_REPLY + 1 if status < 300 else LARGEST_ERROR
    body = await content.readany()
    if content.at_eof():
        return body[:most]
    chunks, size = [body], len(body)
    while size < most and (chunk := await content.readany()):
        chunks.append(chunk)
        size += len(chunk)
    return b"".join(chunks)[:most]


def words_for(error: Exception) -> str:
    """What happened, without anything that the other side could have put in."""
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
            return "it hung up without an answer"
        case aiohttp.ClientResponseError() | HttpProcessingError():
            return "what it answered is no HTTP"
        case OSError(errno=int() as number):
            return os.strerror(number)
    return f"the connection failed ({type(error).__name__})"
