"""The batch endpoints: upload files, create, poll and cancel a batch, download files. Lines of a batch cost half.

A batch advances when it is polled, not by time: it is computed at the poll that ends it. Its lines are entries of the
ledger, delivered when a file that holds them is downloaded whole.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec
from aiohttp import web

from faults.batch_files import File, Line, checked, jsonl, multipart, result_line, undone_line
from faults.breakages import Measures, reset
from faults.caching import Reply
from faults.faults import REJECTIONS, Fault, Rejection
from faults.ledger import CHAT, Entry, Ledger, Tokens
from faults.replies import Payload, Question
from faults.responses import Nothing, as_json, refusing, there
from faults.trials import LineOutcomes, Trials, line_outcomes

Compute: TypeAlias = Callable[[Entry, Question, int], Awaitable[Reply]]
ENDS = ("failed", "completed", "expired", "cancelled")


@dataclass(slots=True)
class Batch:
    """The state of one batch."""

    batch_id: str
    number: int
    input_file: File
    trials: Trials
    metadata: Any
    created: int = field(default_factory=lambda: int(time.time()))
    status: str = "validating"
    polls: int = 0
    times: dict[str, int] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    errors: list[Payload] = field(default_factory=list)
    output: str | None = None
    error_output: str | None = None
    completed: int = 0
    failed: int = 0
    billed: Tokens = field(default_factory=Tokens)
    ending: asyncio.Task[None] | None = None

    def become(self, status: str) -> None:
        """Change the status, and note the time."""
        self.status = status
        self.times[f"{status}_at"] = int(time.time())

    def shape(self) -> Payload:
        """The batch as the API shows it."""
        stamps = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")
        return {
            "id": self.batch_id,
            "object": "batch",
            "endpoint": CHAT,
            "model": self.lines[0].question.model if self.lines else None,
            "errors": {"object": "list", "data": self.errors} if self.errors else None,
            "input_file_id": self.input_file.file_id,
            "completion_window": "24h",
            "status": self.status,
            "output_file_id": self.output,
            "error_file_id": self.error_output,
            "created_at": self.created,
            "expires_at": self.created + 86400,
            **{f"{stamp}_at": self.times.get(f"{stamp}_at") for stamp in stamps},
            "request_counts": {"total": len(self.lines), "completed": self.completed, "failed": self.failed},
            "usage": {
                "input_tokens": self.billed.input,
                "input_tokens_details": {"cached_tokens": self.billed.cached},
                "output_tokens": self.billed.output,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": self.billed.input + self.billed.output,
            },
            "metadata": self.metadata,
        }


class BatchEndpoints:
    """The endpoints and their state. `setup` is read for its models and its trials."""

    def __init__(self, setup: Any, ledger: Ledger, compute: Compute) -> None:
        self._setup = setup
        self._ledger = ledger
        self._compute = compute
        self._server = os.urandom(4).hex()
        self._made = 0
        self._files: dict[str, File] = {}
        self._batches: dict[str, Batch] = {}

    def _new_id(self, prefix: str) -> str:
        self._made += 1
        return f"{prefix}{self._server}{self._made:08d}"

    def _keep(self, name: str, purpose: str, content: bytes, entries: list[Entry]) -> File:
        file = File(self._new_id("file-"), name, purpose, content, entries=entries)
        self._files[file.file_id] = file
        return file

    async def upload(self, request: web.BaseRequest, entry: Entry) -> web.StreamResponse:
        """POST /v1/files."""
        form = multipart(request.headers.get("Content-Type", ""), await request.read())
        name, content = form.get("file", ("", b""))
        if not name or form.get("purpose") != ("", b"batch"):
            return refusing(Rejection(400, "invalid_file", "A file and the purpose 'batch' are needed."), request)
        return as_json(self._keep(name, "batch", content, []).shape())

    async def file(self, request: web.BaseRequest, entry: Entry) -> web.StreamResponse:
        """GET /v1/files/{id} and /v1/files/{id}/content; the latter delivers the file's content."""
        _, _, _, file_id, *rest = entry.path.split("/")
        file = self._files.get(file_id)
        if file is None or rest not in ([], ["content"]):
            return refusing(Rejection(404, "not_found", f"No such File object: {file_id}"), request)
        if not rest:
            return as_json(file.shape())
        response = web.Response(body=file.content, content_type="application/octet-stream")
        await response.prepare(request)
        await response.write_eof()
        entry.status = response.status
        if there(request):
            for each in (entry, *file.entries):
                self._ledger.deliver(each)
        return response

    async def create(self, request: web.BaseRequest, entry: Entry) -> web.StreamResponse:
        """POST /v1/batches."""
        try:
            fields = msgspec.json.decode(await request.read(), type=dict[str, Any])
        except msgspec.DecodeError as error:
            return refusing(Rejection(400, "invalid_body", str(error)), request)
        file = self._files.get(fields.get("input_file_id", ""))
        if file is None or file.purpose != "batch":
            return refusing(Rejection(404, "not_found", "No such input file."), request)
        if fields.get("endpoint") != CHAT or fields.get("completion_window") != "24h":
            return refusing(Rejection(400, "invalid_value", f"The endpoint is {CHAT}, the window 24h."), request)
        number = len(self._batches)
        trials = self._setup.batch
        batch = Batch(
            self._new_id("batch_"),
            number,
            file,
            trials if isinstance(trials, Trials) else trials(number),
            fields.get("metadata"),
        )
        self._batches[batch.batch_id] = batch
        entry.batch = batch.batch_id
        if batch.trials.created_unsaid:
            entry.fault = "CREATED_UNSAID"
            await reset(request, b"", Measures())
            return Nothing()
        return as_json(batch.shape())

    async def listing(self, request: web.BaseRequest, entry: Entry) -> web.StreamResponse:
        """GET /v1/batches: the newest first, `limit` of them, after the one named `after`."""
        newest = list(self._batches.values())[::-1]
        after, limit = request.query.get("after"), request.query.get("limit", "20")
        if not limit.isdecimal() or not 1 <= int(limit) <= 100 or (after and after not in self._batches):
            return refusing(Rejection(400, "invalid_value", "limit: 1 to 100; after: the id of a batch."), request)
        if after:
            newest = newest[newest.index(self._batches[after]) + 1 :]
        page = newest[: int(limit)]
        ends = (
            {"first_id": page[0].batch_id, "last_id": page[-1].batch_id}
            if page
            else dict.fromkeys(("first_id", "last_id"))
        )
        return as_json(
            {"object": "list", "data": [batch.shape() for batch in page], **ends, "has_more": len(page) < len(newest)}
        )

    async def batch(self, request: web.BaseRequest, entry: Entry) -> web.StreamResponse:
        """GET /v1/batches/{id}, a poll, and POST /v1/batches/{id}/cancel."""
        _, _, _, batch_id, *rest = entry.path.split("/")
        batch = self._batches.get(batch_id)
        if batch is None or rest != ([] if request.method == "GET" else ["cancel"]):
            return refusing(Rejection(404, "not_found", f"No such Batch object: {batch_id}"), request)
        entry.batch = batch_id
        if rest:
            if batch.status in ENDS:
                message = f"Cannot cancel a batch with status {batch.status!r}."
                return refusing(Rejection(409, "invalid_status", message), request)
            batch.become("cancelling")
            return as_json(batch.shape())
        batch.polls += 1
        if batch.polls in batch.trials.failing_polls:
            entry.fault = Fault.ERROR_500.name
            return refusing(REJECTIONS[Fault.ERROR_500], request)
        await self._advance(batch)
        return as_json(batch.shape())

    async def _advance(self, batch: Batch) -> None:
        """Advance by one poll."""
        if batch.status == "validating":
            batch.lines, batch.errors = checked(batch.input_file.content, self._setup.models)
            if batch.trials.rejected:
                batch.errors.append({"code": "rejected", "line": None, "message": "Rejected.", "param": None})
            batch.become("failed" if batch.errors else "in_progress")
        if batch.status == "cancelling" and not batch.lines:
            batch.lines, _ = checked(batch.input_file.content, self._setup.models)
        if batch.status not in ENDS and (batch.polls >= batch.trials.polls or batch.status == "cancelling"):
            if batch.ending is None:
                # a task of its own: it continues when the client that polls leaves
                batch.ending = asyncio.ensure_future(self._end(batch))
            await asyncio.shield(batch.ending)

    async def _end(self, batch: Batch) -> None:
        """Compute the lines that are to be computed, and write the files."""
        cancelled = batch.status == "cancelling"
        dealt = line_outcomes(batch.trials, batch.number, len(batch.lines), cancelled)
        results: dict[int, Payload] = {}
        entries: dict[int, Entry] = {}
        failures: list[Payload] = []
        for place, line in enumerate(batch.lines):
            request_id = self._new_id("batch_req_")
            if (failure := self._failure(request_id, line, place, dealt)) is not None:
                failures.append(failure)
                continue
            entry = entries[place] = self._ledger.line(batch.batch_id, line.custom_id, line.question)
            reply = await self._compute(entry, line.question, line.question.n)
            batch.billed.add(entry.billed)
            entry.status, entry.reply_id = 200, reply.payload["id"]
            if place in dealt.dropped:
                entry.fault = "DROPPED"
            else:
                results[place] = result_line(request_id, line.custom_id, reply.payload)
            if place % 64 == 0:
                await asyncio.sleep(0)
        written = [results[place] for place in dealt.order if place in results]
        if written:
            delivered = [entries[place] for place in results]
            batch.output = self._keep("output.jsonl", "batch_output", jsonl(written), delivered).file_id
        if failures:
            batch.error_output = self._keep("errors.jsonl", "batch_output", jsonl(failures), []).file_id
        batch.completed, batch.failed = len(entries), len(failures)
        batch.become("cancelled" if cancelled else "expired" if dealt.expired else "completed")

    def _failure(self, request_id: str, line: Line, place: int, dealt: LineOutcomes) -> Payload | None:
        """The line of the error file for a request that is not computed."""
        if place in dealt.expired:
            return undone_line(request_id, line.custom_id, "batch_expired")
        if place in dealt.cancelled:
            return undone_line(request_id, line.custom_id, "batch_cancelled")
        if place in dealt.failed:
            error = {
                "message": "This request failed.",
                "type": "invalid_request_error",
                "param": None,
                "code": "failed",
            }
            return result_line(request_id, line.custom_id, {"error": error}, 400)
        return None
