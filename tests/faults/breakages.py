"""Responses that break HTTP: resets, silence, slow bytes, and too many bytes.

Each is a coroutine function that gets the request, the body that was to be sent (empty if nothing is computed) and the
server's measures, and returns whether all of a reply was sent. They end when the client closes its connection: the
server cancels them.
"""

import asyncio
import socket
import struct
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

from aiohttp import web

from faults.faults import Fault
from faults.responses import there

CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Measures:
    """How slow and how large: seconds between the bytes of a drip, bytes of a huge reply."""

    pace: float = 1.0
    huge: int = 32 << 20


Breakage: TypeAlias = Callable[[web.BaseRequest, bytes, Measures], Awaitable[bool]]


def _head(length: int, extra: str = "") -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{extra}\r\n".encode()


def _write(request: web.BaseRequest, data: bytes) -> None:
    if request.transport is not None:
        request.transport.write(data)


def _reset(request: web.BaseRequest) -> None:
    """Close so that the client sees a reset: a linger time of 0 sends RST instead of FIN."""
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()


async def _forever() -> None:
    await asyncio.get_running_loop().create_future()


async def reset(request: web.BaseRequest, body: bytes, measures: Measures) -> bool:
    """Reset the connection without sending anything."""
    _reset(request)
    return False


async def reset_mid_body(request: web.BaseRequest, body: bytes, measures: Measures) -> bool:
    """Send half of the body, and reset the connection once that half is received."""
    _write(request, _head(len(body)) + body[: len(body) // 2])
    await asyncio.sleep(0)
    _reset(request)
    return False


async def hang(request: web.BaseRequest, body: bytes, measures: Measures) -> bool:
    """Send nothing."""
    await _forever()
    return False


async def silence(request: web.BaseRequest, body: bytes, measures: Measures) -> bool:
    """Send headers and nothing after them."""
    _write(request, _head(len(body)))
    await _forever()
    return False


async def spaces(request: web.BaseRequest, body: bytes, measures: Measures) -> bool:
    """Send one space after another, which JSON allows before a value that never comes."""
    _write(request, b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        _write(request, b"1\r\n \r\n")
        await asyncio.sleep(measures.pace)


async def drip(request: web.BaseRequest, body: bytes, measures: Measures) -> bool:
    """Send the body byte by byte."""
    _write(request, _head(len(body), "Connection: close\r\n"))
    for place in range(len(body)):
        _write(request, body[place : place + 1])
        await asyncio.sleep(measures.pace)
    return _end(request)


async def cut_short(request: web.BaseRequest, body: bytes, measures: Measures) -> bool:
    """Send half of the body as if it were all. A reply that is not valid JSON counts as not delivered."""
    half = body[: len(body) // 2]
    _write(request, _head(len(half), "Connection: close\r\n") + half)
    _end(request)
    return False


async def cut_off(request: web.BaseRequest, body: bytes, measures: Measures) -> bool:
    """Announce the whole body, send half of it and close."""
    _write(request, _head(len(body)) + body[: len(body) // 2])
    _end(request)
    return False


async def gzip_bomb(request: web.BaseRequest, body: bytes, measures: Measures) -> bool:
    """Send the right reply, after very many spaces, in gzip."""
    before, packer = _spaces(measures.huge)
    last = packer.copy()
    packed = before + last.compress(body) + last.flush()
    _write(request, _head(len(packed), "Content-Encoding: gzip\r\nConnection: close\r\n") + packed)
    return _end(request)


async def huge(request: web.BaseRequest, body: bytes, measures: Measures) -> bool:
    """Send a reply whose content is very many letters, as fast as the client takes it."""
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Connection": "close"})
    before, after = b'{"id":"chatcmpl-huge","choices":[{"index":0,"message":{"content":"', b'"}}]}'
    await response.prepare(request)
    await response.write(before)
    for sent in range(0, measures.huge, CHUNK):
        await response.write(b"a" * min(CHUNK, measures.huge - sent))
    await response.write(after)
    await response.write_eof()
    return True


def _end(request: web.BaseRequest) -> bool:
    """Close after all that was written, and say whether the client was still there."""
    whole = there(request)
    if request.transport is not None:
        request.transport.close()
    return whole


@lru_cache(maxsize=2)
def _spaces(size: int) -> tuple[bytes, Any]:
    """Spaces in gzip, and the compressor to continue with: some clients read one member of a file only."""
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    packed = [packer.compress(b" " * min(CHUNK, size - made)) for made in range(0, size, CHUNK)]
    return b"".join(packed), packer


# these happen before anything is computed
UNCOMPUTED: dict[Fault, Breakage] = {Fault.RESET: reset, Fault.HANG: hang, Fault.SPACES: spaces}

COMPUTED: dict[Fault, Breakage] = {
    Fault.ORPHAN: reset,
    Fault.ORPHAN_HANG: hang,
    Fault.SILENCE: silence,
    Fault.RESET_MID_BODY: reset_mid_body,
    Fault.DRIP: drip,
    Fault.CUT_SHORT: cut_short,
    Fault.CUT_OFF: cut_off,
    Fault.GZIP_BOMB: gzip_bomb,
    Fault.HUGE: huge,
}
