"""The line to an endpoint: one HTTP exchange after the other, in connections that are kept, under a deadline.

Nothing that aiohttp raises gets out, since its exceptions carry the headers of the request along, and with them the
key: they become failures in words of our own. A call is given up as `UNKNOWN` once its request began to be written,
and as `TRANSIENT` before.
"""

import asyncio
import os
import ssl
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from unerring.adapters.openai_deadline import Deadlines
from unerring.adapters.openai_failures import LARGEST_ERROR, Failure, one_line
from unerring.adapters.openai_reply import LARGEST_REPLY
from unerring.adapters.openai_spec import Proxy, Secret, Spec
from unerring.errors import FailureKind, ProviderBusy, ProviderDown

# uvicorn and Node close connections that were idle for 5 seconds: to use one just then loses a call for nothing.
KEEP_ALIVE = 4.0  # seconds
MOST_STALE = 8  # connections that turn out to be closed before one gives up

Answered: TypeAlias = tuple[int, Mapping[str, str], bytes]  # status, headers, body


class Line:
    """Posts bodies to one address. Each event loop has a session of its own, which is closed as the loop ends."""

    def __init__(self, spec: Spec, secret: Secret, proxy: Proxy | None) -> None:
        self._where = spec.place
        self._secret = secret
        self._timeout = spec.timeout
        self._url = URL(f"{spec.url}/chat/completions", encoded=True)
        self._headers = CIMultiDict(
            {
                "Accept": "application/json",
                "Accept-Encoding": "identity",
                "Cache-Control": "no-cache, no-store",
                "Content-Type": "application/json",
                "User-Agent": "unerring",
            }
        )
        if secret.header is not None:
            self._headers["Authorization"] = secret.header
        self._through: dict[str, Any] = {}
        if proxy is not None:
            self._through = {"proxy": proxy.url}
            if (login := proxy.header) is not None:
                self._through["proxy_headers"] = {"Proxy-Authorization": login}
                if self._url.scheme == "http":  # no tunnel: the proxy reads the request itself
                    self._headers["Proxy-Authorization"] = login
            self._through["headers"] = self._headers
        self._open: dict[asyncio.AbstractEventLoop, _Open] = {}

    async def exchange(self, body: bytes) -> Answered | Failure:
        """Post a body, and return what was answered or the failure to get an answer.

        The answer's body is cut one byte beyond `LARGEST_REPLY`, that of an error at `LARGEST_ERROR`.
        """
        sending = Sending(body)
        response: aiohttp.ClientResponse | None = None
        try:
            opened = self._open.get(asyncio.get_running_loop()) or await self._opened()
            with opened.deadlines():
                response = await self._posted(opened.session, sending)
                return response.status, response.headers, await _read(response)
        except TimeoutError as error:
            words = f"no answer within {self._timeout:g} seconds" if error.errno is None else words_for(error)
        except aiohttp.ClientHttpProxyError as error:
            words = f"its proxy answered {error.status}"
            if error.status == 407:
                return ProviderDown(f"{self._where}: {words}, and wants a user and a password", FailureKind.DENIED)
        except Exception as error:  # asyncio, ssl and the parsers below aiohttp raise more than it says
            words = words_for(error)
        finally:
            if response is not None:
                response.close()  # hangs up where the answer was not read to its end
        if response is not None and response.status >= 300:
            return response.status, response.headers, b""  # a refusal, whatever became of its words
        kind = FailureKind.UNKNOWN if sending.begun else FailureKind.TRANSIENT
        return ProviderBusy(one_line(f"{self._where}: {words}", self._secret), None, kind)

    async def _posted(self, session: aiohttp.ClientSession, sending: "Sending") -> aiohttp.ClientResponse:
        """Send the request, once: another connection is taken only where one that was kept took nothing of it."""
        for last in (*(False,) * MOST_STALE, True):
            try:
                return await session.post(self._url, data=sending, allow_redirects=False, **self._through)
            except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
                if last or sending.begun or isinstance(error, aiohttp.ClientConnectorError):
                    raise
        raise AssertionError

    async def aclose(self) -> None:
        """Close the session of the running loop."""
        opened = self._open.get(asyncio.get_running_loop())
        if opened is not None:
            await opened.holding.aclose()

    async def _opened(self) -> "_Open":
        # A loop that ends closes the asynchronous generators that began on it, and thereby what they hold.
        loop = asyncio.get_running_loop()
        holding = self._holding(loop)
        session = await anext(holding)
        self._open[loop] = opened = _Open(session, Deadlines(loop, self._timeout), holding)
        return opened

    async def _holding(self, loop: asyncio.AbstractEventLoop) -> AsyncGenerator[aiohttp.ClientSession, None]:
        session = aiohttp.ClientSession(
            # aiohttp sends a session's own headers to a proxy as well, and the key is not the proxy's
            headers=None if self._through else self._headers,
            # the runtime decides how many calls are made at once
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
            trust_env=False,
        )
        try:
            yield session
        finally:
            self._open.pop(loop, None)
            await session.close()


@dataclass(frozen=True, slots=True)
class _Open:
    """What one event loop has of a line. `holding` is what closes the session."""

    session: aiohttp.ClientSession
    deadlines: Deadlines
    holding: AsyncGenerator[aiohttp.ClientSession, None]


class Sending(aiohttp.BytesPayload):
    """A body on its way. `begun` says whether any of it, or of the headers before it, may have left."""

    def __init__(self, body: bytes) -> None:
        # not BytesPayload's own, which warns of large bodies
        super(aiohttp.BytesPayload, self).__init__(body, content_type="application/json")
        self._size = len(body)
        self.begun = False

    async def write_with_length(self, writer: Any, content_length: int | None) -> None:
        """Write, knowing that a connection which is closed by now takes nothing."""
        transport = writer.transport
        self.begun |= transport is not None and not transport.is_closing()
        await super().write_with_length(writer, content_length)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    most = LARGEST_REPLY + 1 if response.status < 300 else LARGEST_ERROR
    content = response.content
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
        case aiohttp.ClientResponseError():
            return "what it answered is no HTTP"
        case OSError(errno=int() as number):
            return os.strerror(number)
    return f"the connection failed ({type(error).__name__})"
