"""The batch endpoints of an OpenAI-compatible address: files up and down, batches made, looked at and listed.

One call here is one request there, and nothing is tried again. What fails is raised as `ProviderBusy` or
`ProviderDown`, in the words and by the rules of the chat endpoint. Only to make a batch can have an unknown outcome:
all else costs nothing, and may be done over.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, TypeAlias, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec
from yarl import URL

from unerring.adapters.chat.response import LARGEST_REPLY
from unerring.adapters.http.connection import KEEP_ALIVE, words_for
from unerring.adapters.http.errors import LARGEST_ERROR, failure, one_line, read_error
from unerring.adapters.http.spec import EndpointSpec, Proxy, Secret
from unerring.adapters.openai_batch.request_id import ENDPOINT
from unerring.errors import FailureKind, ProviderBusy, ProviderDown

LARGEST_FILE = 1 << 29  # bytes of results that are read: those beyond count as missing
SLOWEST = 100_000.0  # bytes a second that an upload may take, beyond the time that any request has
LONGEST_DOWNLOAD = 3600.0  # seconds
PAGE = 100  # batches a page, the most that OpenAI gives
ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
CROWDED = "token_limit_exceeded"  # OpenAI: too many tokens wait in batches already

Taking: TypeAlias = Callable[[aiohttp.ClientResponse, asyncio.Timeout], Awaitable[Any]]
_Got = TypeVar("_Got")


class BatchQueueFull(ProviderBusy):
    """A batch was turned away until others have ended. It cost nothing."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as the provider shows it. `completed` is how many requests it says were carried out, if it does."""

    batch_id: str
    status: str
    input_file: str = ""
    output_file: str = ""
    error_file: str = ""
    completed: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    codes: frozenset[str] = frozenset()
    reason: str = ""

    @property
    def ended(self) -> bool:
        """Whether nothing more will become of it."""
        return self.status in ENDED

    @property
    def lacks_files(self) -> bool:
        """Whether it says that requests were carried out, and not yet where their results are."""
        return bool(self.completed) and not self.output_file and not self.error_file

    def rejection(self) -> ProviderBusy | ProviderDown:
        """What a batch that failed means for those who wait for it: it was checked, and nothing of it was done."""
        words = f"the batch was turned away: {self.reason or 'the provider does not say why'}"
        if CROWDED in self.codes:
            return BatchQueueFull(words, kind=FailureKind.RATE_LIMITED)
        return ProviderDown(words)


class _Counts(msgspec.Struct):
    completed: int | None = None


class _BatchErrorBody(msgspec.Struct):
    code: str | None = None
    message: str | None = None
    line: int | None = None


class _Errors(msgspec.Struct):
    data: list[_BatchErrorBody] | None = None


class _BatchBody(msgspec.Struct):
    id: str
    status: str
    input_file_id: str | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    request_counts: _Counts | None = None
    metadata: dict[str, Any] | None = None
    errors: msgspec.Raw = msgspec.Raw(b"null")


class _File(msgspec.Struct):
    id: str


class _Page(msgspec.Struct):
    data: list[msgspec.Raw]
    has_more: bool | None = None


class Upload(aiohttp.BytesPayload):
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


class BatchApi:
    """The endpoints of one address. Each event loop has a session of its own, which is closed as the loop ends."""

    def __init__(self, spec: EndpointSpec, secret: Secret, proxy: Proxy | None) -> None:
        self._base = spec.url
        self._where = spec.place
        self._timeout = spec.timeout
        self._secret = secret
        # by request, since aiohttp sends the headers of a session to a proxy as well, and the key is not the proxy's
        self._headers = {
            "Accept-Encoding": "identity",
            "Cache-Control": "no-cache, no-store",
            "User-Agent": "unerring",
        }
        if secret.header is not None:
            self._headers["Authorization"] = secret.header
        self._through: dict[str, Any] = {}
        if proxy is not None:
            self._through["proxy"] = proxy.url
            if (login := proxy.header) is not None:
                self._through["proxy_headers"] = {"Proxy-Authorization": login}
                if self._base.startswith("http:"):  # no tunnel: the proxy reads the request itself
                    self._headers["Proxy-Authorization"] = login
        self._sessions: dict[asyncio.AbstractEventLoop, AsyncGenerator[aiohttp.ClientSession, None]] = {}
        self._session: dict[asyncio.AbstractEventLoop, aiohttp.ClientSession] = {}

    async def aclose(self) -> None:
        """Close the session of the running loop."""
        holding = self._sessions.get(asyncio.get_running_loop())
        if holding is not None:
            await holding.aclose()

    async def upload(self, content: bytes) -> str:
        """Put up a file of requests; returns its id."""
        form = aiohttp.FormData()
        form.add_field("purpose", "batch")
        form.add_field("file", BytesIO(content), filename="unerring.jsonl", content_type="application/jsonl")
        seconds = self._timeout + len(content) / SLOWEST
        return self._read(await self._request("POST", "/files", form, seconds), _File).id

    async def create(self, file_id: str, metadata: Mapping[str, str], window: str) -> Batch:
        """Make a batch of a file. Of unknown outcome, if it fails once the request may have left."""
        asked = {"input_file_id": file_id, "endpoint": ENDPOINT, "completion_window": window, "metadata": metadata}
        sending = Upload(msgspec.json.encode(asked))
        return self._shown(await self._request("POST", "/batches", sending, self._timeout), FailureKind.UNKNOWN)

    async def batch(self, batch_id: str) -> Batch:
        """Look at a batch."""
        return self._shown(await self._request("GET", f"/batches/{quote(batch_id, safe='')}", None, self._timeout))

    async def page(self, after: str | None) -> tuple[list[Batch], bool]:
        """The account's batches, the newest first, behind one of them; and whether there are more."""
        query = f"?limit={PAGE}" + ("" if after is None else f"&after={quote(after, safe='')}")
        page = self._read(await self._request("GET", f"/batches{query}", None, self._timeout), _Page)
        shown = []
        for raw in page.data:
            try:
                shown.append(_batch(msgspec.json.decode(raw, type=_BatchBody), self._secret))
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue  # not of our making: ours are shown as they are when they are looked at
        return shown, bool(page.has_more)

    async def lines(self, file_id: str) -> list[bytes]:
        """The lines of a file. One that is longer than any answer comes as a line that cannot be read."""
        path = f"/files/{quote(file_id, safe='')}/content"
        lines: list[bytes] = await self._request("GET", path, None, self._timeout, self._taken_lines)
        return lines

    async def _request(
        self,
        method: str,
        path: str,
        sent: aiohttp.FormData | Upload | None,
        seconds: float,
        take: Taking | None = None,
    ) -> Any:
        """What `take` makes of the answer: its body, unless it is given otherwise."""
        got = await self._exchanged(method, path, sent, seconds, take or _taken)
        if isinstance(got, ProviderBusy | ProviderDown):
            raise got  # from here: no local name holds what the server said, which may be the key
        return got

    async def _exchanged(
        self, method: str, path: str, sent: aiohttp.FormData | Upload | None, seconds: float, take: Taking
    ) -> Any:
        """What is taken of the answer, or the failure to get one."""
        response: aiohttp.ClientResponse | None = None
        try:
            async with asyncio.timeout(seconds) as limit:
                session = self._session.get(asyncio.get_running_loop()) or await self._opened()
                response = await session.request(
                    method,
                    URL(self._base + path, encoded=True),
                    data=sent,
                    headers=self._headers,
                    allow_redirects=False,
                    **self._through,
                )
                if response.status < 300:
                    return await take(response, limit)
                said = read_error(await response.content.read(LARGEST_ERROR))
                return failure(response.status, said, response.headers, self._where, self._secret, time.time())
        except TimeoutError as error:
            words = f"no answer within {seconds:g} seconds" if error.errno is None else words_for(error)
        except aiohttp.ClientHttpProxyError as error:
            words = f"its proxy answered {error.status}"
            if error.status == 407:
                return ProviderDown(f"{self._where}: {words}, and wants a user and a password", FailureKind.DENIED)
        except Exception as error:  # nothing that aiohttp raises gets out: it carries the key along
            words = words_for(error)
        finally:
            if response is not None:
                response.close()
        unknown = isinstance(sent, Upload) and sent.begun
        return self._busy(words, FailureKind.UNKNOWN if unknown else FailureKind.TRANSIENT)

    async def _taken_lines(self, response: aiohttp.ClientResponse, limit: asyncio.Timeout) -> list[bytes]:
        """The lines of a body that may be large: it has the usual time for each piece."""
        loop = asyncio.get_running_loop()
        latest = loop.time() + LONGEST_DOWNLOAD
        lines: list[bytes] = []
        rest, size = b"", 0
        while size < LARGEST_FILE and (piece := await response.content.readany()):
            limit.reschedule(min(latest, loop.time() + self._timeout))
            size += len(piece)
            first, *others = piece.split(b"\n")
            rest = rest + first if len(rest) <= LARGEST_REPLY else rest
            for other in others:
                lines.append(_bounded(rest))
                rest = other
        lines.append(_bounded(rest))
        return lines

    async def _opened(self) -> aiohttp.ClientSession:
        # a loop that ends closes the asynchronous generators that began on it, and thereby what they hold
        loop = asyncio.get_running_loop()
        holding = self._sessions[loop] = self._holding(loop)
        session = self._session[loop] = await anext(holding)
        return session

    async def _holding(self, loop: asyncio.AbstractEventLoop) -> AsyncGenerator[aiohttp.ClientSession, None]:
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
            trust_env=False,
        )
        try:
            yield session
        finally:
            self._sessions.pop(loop, None)
            self._session.pop(loop, None)
            await session.close()

    def _read(self, body: bytes, shape: type[_Got]) -> _Got:
        try:
            return msgspec.json.decode(body, type=shape)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise self._busy("it answered something else than the batch API has", FailureKind.TRANSIENT) from None

    def _shown(self, body: bytes, kind: FailureKind = FailureKind.TRANSIENT) -> Batch:
        try:
            return _batch(msgspec.json.decode(body, type=_BatchBody), self._secret)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise self._busy("what it answered is no batch", kind) from None

    def _busy(self, words: str, kind: FailureKind) -> ProviderBusy:
        return ProviderBusy(one_line(f"{self._where}: {words}", self._secret), kind=kind)


def _batch(shown: _BatchBody, secret: Secret) -> Batch:
    errors = _errors(shown.errors)
    reasons = [
        (f"line {error.line}: " if error.line is not None else "") + f"{error.message or ''} ({error.code})"
        for error in errors[:3]
    ]
    more = [f"and {len(errors) - 3} more"] if len(errors) > 3 else []
    return Batch(
        shown.id,
        shown.status.lower().replace("canceled", "cancelled"),
        shown.input_file_id or "",
        shown.output_file_id or "",
        shown.error_file_id or "",
        None if shown.request_counts is None else shown.request_counts.completed,
        {key: value for key, value in (shown.metadata or {}).items() if isinstance(value, str)},
        frozenset(error.code for error in errors if error.code),
        one_line("; ".join([*reasons, *more]), secret),
    )


def _errors(raw: msgspec.Raw) -> list[_BatchErrorBody]:
    told = bytes(raw)
    if told == b"null":
        return []
    try:
        return msgspec.json.decode(told, type=_Errors).data or []
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return [_BatchErrorBody(message=told[:1000].decode("utf-8", "replace"))]


async def _taken(response: aiohttp.ClientResponse, limit: asyncio.Timeout) -> bytes:
    chunks, size = [], 0
    while size < LARGEST_REPLY and (chunk := await response.content.readany()):
        chunks.append(chunk)
        size += len(chunk)
    return b"".join(chunks)


def _bounded(line: bytes) -> bytes:
    return line if len(line) <= LARGEST_REPLY else line[:1000]
