"""The batch API of an OpenAI-compatible address: upload and download files; create, show and list batches.

Each method sends one request and repeats nothing. It raises `ProviderBusy` or `ProviderDown`, by the rules of the chat
endpoint. Only `create` can fail with an unknown outcome: all others cost nothing, and may be repeated.
"""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from secrets import token_hex
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec
from aiohttp import StreamReader

from unerring.adapters.http.client import MAX_REPLY_BYTES, BodyReader, HttpClient, with_body
from unerring.adapters.http.deadlines import Deadline
from unerring.adapters.http.errors import Failure, failure, one_line, read_error
from unerring.adapters.http.spec import EndpointSpec, Proxy, Secret
from unerring.adapters.openai_batch.request_id import ENDPOINT
from unerring.adapters.openai_batch.results import UNREADABLE
from unerring.errors import FailureKind, ProviderBusy, ProviderDown

MAX_FILE_BYTES = 1 << 29  # of results; later lines count as missing
MIN_UPLOAD_BYTES_PER_SECOND = 100_000.0  # an upload has so much more time than other requests
MAX_DOWNLOAD_SECONDS = 3600.0
PAGE_BATCHES = 100  # the most that OpenAI allows
ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
QUEUE_FULL = "token_limit_exceeded"  # OpenAI: too many tokens wait in batches already
ANY_TYPE = "*/*"

_Shape = TypeVar("_Shape")


class BatchQueueFull(ProviderBusy):
    """A batch was rejected until others have ended. It cost nothing."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as the provider shows it.

    batch_id: its id.
    status: its status, in lower case.
    input_file: id of the file with its requests; empty where it is not given, as for the other files.
    output_file: id of the file with its answers.
    error_file: id of the file with its errors.
    completed: how many requests the provider says it carried out; None where it does not say.
    metadata: what it was created with.
    codes: codes of the errors that it was rejected for.
    reason: these errors in one line.
    """

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
        """Whether its status is final."""
        return self.status in ENDED

    @property
    def lacks_files(self) -> bool:
        """Whether requests were carried out, and the files with their results are not there yet."""
        return bool(self.completed) and not self.output_file and not self.error_file

    def rejection(self) -> ProviderBusy | ProviderDown:
        """The failure of all requests of a rejected batch: none of them was carried out."""
        words = f"the batch was rejected: {self.reason or 'the provider gives no reason'}"
        if QUEUE_FULL in self.codes:
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


class BatchApi:
    """The batch and file endpoints of one address."""

    def __init__(self, spec: EndpointSpec, secret: Secret, proxy: Proxy | None) -> None:
        self._client = HttpClient(spec, secret, proxy)
        self._place = spec.place
        self._timeout = spec.timeout
        self._secret = secret

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        await self._client.aclose()

    async def upload(self, content: bytes) -> str:
        """Upload a file of requests; returns its id."""
        boundary = token_hex(16)
        head = self._client.head("POST", "/files", ANY_TYPE, f"multipart/form-data; boundary={boundary}")
        before = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="unerring.jsonl"\r\n'
            "Content-Type: application/jsonl\r\n\r\n"
        )
        message = with_body(head, before.encode(), content, f"\r\n--{boundary}--\r\n".encode())
        seconds = self._timeout + len(content) / MIN_UPLOAD_BYTES_PER_SECOND
        return self._decoded(await self._request(message, seconds=seconds), _File).id

    async def create(self, file_id: str, metadata: Mapping[str, str], window: str) -> Batch:
        """Make a batch of a file. The outcome of a call that fails after it was sent is unknown."""
        fields = {"input_file_id": file_id, "endpoint": ENDPOINT, "completion_window": window, "metadata": metadata}
        head = self._client.head("POST", "/batches", ANY_TYPE, "application/json")
        body = await self._request(with_body(head, msgspec.json.encode(fields)), failed=FailureKind.UNKNOWN)
        return _batch(self._decoded(body, _BatchBody, FailureKind.UNKNOWN), self._secret)

    async def batch(self, batch_id: str) -> Batch:
        """The present status of a batch."""
        return _batch(self._decoded(await self._get(f"/batches/{quote(batch_id, safe='')}"), _BatchBody), self._secret)

    async def page(self, after: str | None) -> tuple[list[Batch], bool]:
        """A page of the account's batches, newest first, after the batch `after`; and whether there are more pages."""
        query = f"?limit={PAGE_BATCHES}" + ("" if after is None else f"&after={quote(after, safe='')}")
        page = self._decoded(await self._get(f"/batches{query}"), _Page)
        batches = []
        for raw in page.data:
            with suppress(*UNREADABLE):  # such a batch is not one of ours
                batches.append(_batch(msgspec.json.decode(raw, type=_BatchBody), self._secret))
        return batches, bool(page.has_more)

    async def lines(self, file_id: str) -> list[bytes]:
        """The lines of a file. A line that is longer than any answer is cut short, so that it cannot be read."""
        lines: list[bytes] = []
        await self._get(f"/files/{quote(file_id, safe='')}/content", partial(_read_lines, lines))
        return lines

    async def _get(self, path: str, read: BodyReader | None = None) -> bytes:
        return await self._request(self._client.head("GET", path, ANY_TYPE), read)

    async def _request(
        self,
        message: bytes,
        read: BodyReader | None = None,
        seconds: float | None = None,
        failed: FailureKind = FailureKind.TRANSIENT,
    ) -> bytes:
        """The body of a success; raises the failure otherwise. `failed` is its kind where an answer is missing."""
        result = await self._exchanged(message, read, seconds, failed)
        if isinstance(result, bytes):
            return result
        raise result  # no local variable of this frame holds what the server sent, which may be the key

    async def _exchanged(
        self, message: bytes, read: BodyReader | None, seconds: float | None, failed: FailureKind
    ) -> bytes | Failure:
        result = await self._client.send(message, read, seconds)
        if not isinstance(result, tuple):
            if result.kind is FailureKind.UNKNOWN:
                result.kind = failed
            return result
        status, headers, body = result
        if status < 300:
            return body
        return failure(status, read_error(body), headers, self._place, self._secret, time.time())

    def _decoded(self, body: bytes, shape: type[_Shape], failed: FailureKind = FailureKind.TRANSIENT) -> _Shape:
        try:
            return msgspec.json.decode(body, type=shape)
        except UNREADABLE:
            words = f"{self._place}: its answer is not one of the batch API"
            raise ProviderBusy(one_line(words, self._secret), kind=failed) from None


def _batch(shown: _BatchBody, secret: Secret) -> Batch:
    """A batch as it was answered; its reason names three errors at most."""
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
    body = bytes(raw)
    if body == b"null":
        return []
    try:
        return msgspec.json.decode(body, type=_Errors).data or []
    except UNREADABLE:
        return [_BatchErrorBody(message=body[:1000].decode("utf-8", "replace"))]


async def _read_lines(lines: list[bytes], content: StreamReader, deadline: Deadline) -> bytes:
    """Add the lines of a body that may be large to `lines`. Each piece has the time of a whole request."""
    latest = time.monotonic() + MAX_DOWNLOAD_SECONDS
    rest, size = b"", 0
    while size < MAX_FILE_BYTES and (piece := await content.readany()):
        if time.monotonic() < latest:
            deadline.restart()
        size += len(piece)
        first, *others = piece.split(b"\n")
        rest = rest + first if len(rest) <= MAX_REPLY_BYTES else rest
        for other in others:
            lines.append(_shortened(rest))
            rest = other
    lines.append(_shortened(rest))
    return b""


def _shortened(line: bytes) -> bytes:
    return line if len(line) <= MAX_REPLY_BYTES else line[:1000]
