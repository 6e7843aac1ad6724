"""A batch provider on the tests' own event loop that behaves as a test says, and sampling from it.

The fault server has the batch API with its everyday faults. This one has hooks before and after each request takes
effect, and writes any lines into its files.
"""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from unerring.adapters.openai_batch.sampler import BatchSampler
from unerring.core.voting.sample import Settings
from unerring.testing import FakeClock

KEY = "sk-canary-0123456789"
MODEL = "m"
UPLOAD, CREATE, LIST = ("POST", "files"), ("POST", "batches"), ("GET", "batches")
POLL, DOWNLOAD = ("GET", "batches/one"), ("GET", "files/content")


def settings(step=0, slot=0):
    return Settings(1.0, 64, 3, step, slot)


def reply(prompt, n=1, number=0):
    """A chat reply with n choices."""
    message = {"role": "assistant", "content": prompt}
    return {
        "id": f"chatcmpl-{number}",
        "model": MODEL,
        "choices": [{"index": i, "message": message, "finish_reason": "stop"} for i in range(n)],
        "usage": {"prompt_tokens": 5, "completion_tokens": 3 * n},
    }


def result_line(line, body, status=200):
    """The line of a result file for a request that was answered."""
    response = {"status_code": status, "body": body}
    return {"id": "b", "custom_id": line["custom_id"], "response": response, "error": None}


def undone_line(line, code):
    """The line for a request that was not carried out."""
    return {"id": "b", "custom_id": line["custom_id"], "response": None, "error": {"code": code, "message": code}}


def refusal(message, code=None, param=None):
    """The body of an error."""
    return {"error": {"message": message, "type": "invalid_request_error", "code": code, "param": param}}


def answer(line, place=0):
    """The line for a request that was answered with its own prompt."""
    return result_line(line, reply(prompt_of(line), line["body"].get("n", 1), place))


def prompt_of(line):
    return line["body"]["messages"][-1]["content"]


@dataclass
class Provider:
    """Batches that each end with a poll of their own, by default the second.

    `before` and `after` are called with each request, its kind and its number among those of its kind; what they
    return, if anything, is the reply. `results` makes the lines of the output and of the error file from the requests
    of a batch, and `errors` those of a batch that is rejected. `computed` counts answers by the names of requests.
    """

    before: Callable[..., Any] | None = None
    after: Callable[..., Any] | None = None
    results: Callable[..., Any] | None = None
    errors: Callable[..., Any] | None = None
    status: str = "completed"
    polls: int = 2
    listed: bool = True
    computed: Counter = field(default_factory=Counter)
    sent: list = field(default_factory=list)
    files: dict = field(default_factory=dict)
    batches: dict = field(default_factory=dict)
    turns: Counter = field(default_factory=Counter)
    url: str = ""

    async def handle(self, request):
        _, _, what, *rest = request.path.split("/")
        kind = request.method, {0: what, 1: f"{what}/one", 2: f"{what}/content"}[len(rest)]
        turn = self.turns[kind]
        self.turns[kind] += 1
        if self.before is not None and (instead := await self.before(request, kind, turn)) is not None:
            return instead
        response = await self.effect(request, kind, rest)
        if self.after is not None and (instead := await self.after(request, kind, turn)) is not None:
            return instead
        return response

    async def effect(self, request, kind, rest):
        if kind == UPLOAD:
            with (await request.post())["file"].file as file:
                content = file.read()
            self.sent.append([json.loads(line) for line in content.splitlines()])
            name = f"file-{len(self.sent)}"
            self.files[name] = content
            return web.json_response({"id": name, "object": "file"})
        if kind == CREATE:
            batch = {"id": f"batch-{len(self.batches)}", "status": "validating", "polls": 0} | await request.json()
            self.batches[batch["id"]] = batch
            return web.json_response(batch)
        if kind == LIST:
            newest = list(self.batches.values())[::-1] if self.listed else []
            after = request.query.get("after")
            if after:
                newest = newest[[batch["id"] for batch in newest].index(after) + 1 :]
            page = newest[: int(request.query["limit"])]
            return web.json_response({"object": "list", "data": page, "has_more": len(page) < len(newest)})
        if kind == DOWNLOAD:
            known = rest[0] in self.files
            return web.Response(body=self.files[rest[0]]) if known else web.json_response({}, status=404)
        batch = self.batches[rest[0]]
        batch["polls"] += 1
        if batch["polls"] >= self.polls and batch["status"] == "validating":
            self.end(batch)
        return web.json_response(batch)

    def end(self, batch):
        errors = self.errors(batch) if self.errors else []
        if errors:
            batch |= {"status": "failed", "errors": {"object": "list", "data": errors}}
            return
        asked = [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]
        output, failed = (self.results or self.answered)(asked)
        for field_name, lines in (("output_file_id", output), ("error_file_id", failed)):
            batch[field_name] = f"{batch['id']}-{field_name}" if lines else ""
            self.files[f"{batch['id']}-{field_name}"] = b"".join(
                line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines
            )
        batch |= {"status": self.status, "request_counts": {"completed": len(output)}}

    def answered(self, asked):
        self.computed.update(line["custom_id"] for line in asked)
        return [answer(line, place) for place, line in enumerate(asked)], []


@asynccontextmanager
async def listening(provider):
    """Serve a provider on loopback, in this event loop."""
    server = web.Server(provider.handle, handler_cancellation=True, access_log=None)
    listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    provider.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"
    try:
        yield provider
    finally:
        listener.close()
        await server.shutdown(0.0)


def sampler_of(provider, options="", identity="run 1", clock=None):
    spec = f"openai-batch/{MODEL}@{provider.url}{options}"
    return BatchSampler(spec, identity, {"UNERRING_API_KEY": KEY}, clock or FakeClock())


class HandClock(FakeClock):
    """A clock moved by hand: sleeping on it ends when the clock has been moved far enough."""

    def __init__(self):
        super().__init__()
        self.sleepers = []

    async def sleep(self, seconds):
        self.slept.append(seconds)
        awake = asyncio.get_running_loop().create_future()
        self.sleepers.append((self.now + seconds, awake))
        await awake

    async def advance(self, seconds):
        """Move the clock, and let those whose sleep is over run."""
        self.now += seconds
        for until, awake in [sleeper for sleeper in self.sleepers if sleeper[0] <= self.now]:
            self.sleepers.remove((until, awake))
            if not awake.done():
                awake.set_result(None)
        await asyncio.sleep(0)


async def until(holds):
    """Let other tasks run until a condition holds."""
    while not holds():
        await asyncio.sleep(0)


async def outcomes(sampler, steps, n=1):
    """The result of each of these steps: the texts of its samples, or an error."""
    calls = [sampler.sample(f"p{step}", settings(step), n) for step in steps]
    got = await asyncio.gather(*calls, return_exceptions=True)
    return [one if isinstance(one, Exception) else [sample.text for sample in one] for one in got]


def trying(provider, work, options="", clock=None):
    """Work with a sampler of a provider, and close it."""

    async def main():
        async with listening(provider):
            sampler = sampler_of(provider, options, clock=clock)
            try:
                return await work(sampler)
            finally:
                await sampler.aclose()

    return asyncio.run(main())


def at(kind, *replies):
    """A hook that sends this reply to the first requests of a kind."""

    async def hook(request, its_kind, turn):
        return await replies[turn](request) if its_kind == kind and turn < len(replies) else None

    return hook


def error(status, message="no", code=None):
    """Reply with an error."""

    async def replying(request):
        return web.json_response(refusal(message, code), status=status)

    return replying


def page(content):
    """Reply with something other than was asked for."""

    async def replying(request):
        return web.Response(text=content)

    return replying


async def hang(request):
    """Reply with nothing, and wait."""
    await asyncio.Event().wait()


async def reset(request):
    """Close the connection instead of replying."""
    request.transport.abort()
    return web.Response()


def kinds(results):
    return [one.kind if isinstance(one, Exception) else one for one in results]


async def ask_and_print(spec, identity, steps, n):
    """Ask for the first samples of so many steps, and print the results, one line a step."""
    sampler = BatchSampler(spec, identity)
    for texts in await outcomes(sampler, range(steps), n):
        print(json.dumps(texts))  # noqa: T201
    await sampler.aclose()


if __name__ == "__main__":  # a process of its own, that may be killed
    asyncio.run(ask_and_print(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
