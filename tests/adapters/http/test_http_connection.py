"""The HTTP client against small servers: connections, deadlines and large answers."""

import asyncio
import gc
import socket
from contextlib import suppress

import pytest
from openai_servers import BODY, CANARY, Answering, answer, client_to, serving

from tables import each
from unerring.adapters.chat.connection import ChatConnection
from unerring.adapters.http.client import MAX_REPLY_BYTES
from unerring.adapters.http.errors import MAX_ERROR_BYTES
from unerring.adapters.http.spec import EndpointSpec, secret_for
from unerring.errors import FailureKind, ProviderBusy

DEADLINE = 0.25  # seconds
MEBIBYTE = 1 << 20


def exchanged(handler, times=1, timeout=30.0):
    """The results of calls made one after the other."""

    async def main():
        async with serving(handler) as url:
            client = client_to(url, timeout)
            try:
                return [await client.exchange(BODY) for _ in range(times)]
            finally:
                await client.aclose()

    return asyncio.run(main())


def failed(got, kind):
    assert isinstance(got, ProviderBusy), got
    assert (got.kind, got.tokens) == (kind, None)
    return str(got)


# --- requests


def test_a_request_has_its_headers():
    """It is one POST with the key, without cookies or compression, that asks caches to keep nothing."""
    server = Answering(answer(b"{}", "200 OK", "Set-Cookie: a=b"))
    assert [status for status, _, _ in exchanged(server, times=2)] == [200, 200]
    assert len(server.requests) == 2
    for head, body in server.requests:
        lines = head.lower().split("\r\n")
        assert lines[0] == "post /v1/chat/completions http/1.1"
        assert f"authorization: bearer {CANARY}" in lines
        assert {
            "accept-encoding: identity",
            "cache-control: no-cache, no-store",
            "content-type: application/json",
        } <= {*lines}
        assert not [line for line in lines if line.startswith(("cookie", "transfer-encoding", "expect"))]
        assert body == BODY
    assert server.connections == 1


def test_without_a_key_there_is_no_authorization():
    """A local server without a key gets no Authorization header."""
    server = Answering(answer())

    async def main():
        async with serving(server) as url:
            spec = EndpointSpec("m", url)
            client = ChatConnection(spec, secret_for(spec, {}), None)
            await client.exchange(BODY)
            await client.aclose()

    asyncio.run(main())
    assert "authorization" not in server.requests[0][0].lower()


def test_an_answer_is_returned_unchanged():
    """Status, headers and body are returned, whatever they are."""
    ((status, headers, body),) = exchanged(Answering(answer(b"\xff\x00", "777 What", "X-Cache: HIT")))
    assert (status, headers["x-cache"], body) == (777, "HIT", b"\xff\x00")


# --- connections


def test_a_refused_connection_costs_nothing():
    """If the connection is refused, nothing was sent."""

    async def main():
        with socket.socket() as held:  # a port that no other process can get, and none listens at
            held.bind(("127.0.0.1", 0))
            client = client_to(f"http://127.0.0.1:{held.getsockname()[1]}/v1")
            return await client.exchange(BODY)

    assert "refused" in failed(asyncio.run(main()), FailureKind.TRANSIENT)


def test_an_unknown_host_name_costs_nothing(monkeypatch):
    """If the host name has no address, nothing was sent."""

    def unknown(*args, **kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    got = asyncio.run(client_to("http://nowhere.invalid/v1").exchange(BODY))
    assert "DNS" in failed(got, FailureKind.TRANSIENT)


def test_a_server_without_tls_gets_nothing():
    """If no secure connection can be made, neither the request nor the key was sent."""
    read = []

    async def plain(reader, writer):
        read.append(await reader.read(65536))
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async def main():
        async with serving(plain) as url:
            return await client_to(url.replace("http:", "https:")).exchange(BODY)

    assert "TLS" in failed(asyncio.run(main()), FailureKind.TRANSIENT)
    assert CANARY.encode() not in b"".join(read)


def test_a_deadline_before_anything_is_sent_costs_nothing():
    """A deadline during the TLS handshake means that nothing was sent."""
    server = Answering(answer())

    async def silent(reader, writer):
        server.writers.append(writer)
        await reader.read()

    silent.writers = server.writers

    async def main():
        async with serving(silent) as url:
            return await client_to(url.replace("http:", "https:"), DEADLINE).exchange(BODY)

    assert "0.25 seconds" in failed(asyncio.run(main()), FailureKind.TRANSIENT)


def test_a_connection_that_was_dropped_is_not_used_again():
    """If a server closes an idle connection, the next call opens another and succeeds."""
    server = Answering(answer())

    async def main():
        async with serving(server) as url:
            client = client_to(url)
            for _ in range(20):
                status, _, _ = await client.exchange(BODY)
                assert status == 200
                server.writers[-1].close()
                (opened,) = client._open.values()
                while any(proto.is_connected() for kept in opened.connector._conns.values() for proto, _ in kept):
                    await asyncio.sleep(0)  # until the client has noticed it
            await client.aclose()

    asyncio.run(main())
    assert server.connections == len(server.requests) == 20


def test_an_unrequested_answer_is_never_taken_for_the_next():
    """A second answer, with the first or on an idle connection, closes it: the next call gets its own answer."""
    server = Answering(answer(b"1") + answer(b"stale"), answer(b"2"), answer(b"3"))

    async def main():
        async with serving(server) as url:
            client = client_to(url)
            got = [(await client.exchange(BODY))[2] for _ in range(2)]
            server.writers[-1].write(answer(b"stale"))
            (opened,) = client._open.values()
            ((kept, _),) = next(iter(opened.connector._conns.values()))
            while not kept.should_close:
                await asyncio.sleep(0)  # until it has come in
            got.append((await client.exchange(BODY))[2])
            await client.aclose()
            return got

    assert asyncio.run(main()) == [b"1", b"2", b"3"]
    assert server.connections == 3


def test_a_connection_with_an_unfinished_request_is_not_used_again():
    """If a server answers before it has read the whole request, the connection is closed.

    The rest of the request would be read as the next one.
    """
    connections = 0

    async def early(reader, writer):
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(b"{}", "413 Too Large"))
        await writer.drain()
        await ended.wait()
        writer.close()

    async def main():
        nonlocal ended
        ended = asyncio.Event()
        async with serving(early) as url:
            client = client_to(url, 5.0)
            got = [(await client.exchange(b"x" * 20 * MEBIBYTE))[0] for _ in range(2)]
            await client.aclose()
            ended.set()
            return got

    ended = None
    assert asyncio.run(main()) == [413, 413]
    assert connections == 2


def test_a_server_that_closes_after_each_answer_costs_no_call():
    """If connections end after each answer, only calls that had sent nothing fail.

    If the server announces it, none.
    """
    for headers in ((), ("Connection: close",)):
        server = Answering(answer(b"{}", "200 OK", *headers), close=True)
        got = exchanged(server, times=100)
        answered = [one for one in got if isinstance(one, tuple)]
        assert len(answered) == len(server.requests)
        assert len(answered) >= (100 if headers else 50)  # of two calls in a row, one at least had a new connection
        assert {one.kind for one in got if isinstance(one, ProviderBusy)} <= {FailureKind.UNKNOWN}


def test_a_request_without_an_answer_is_of_unknown_outcome():
    """If a new or kept connection ends after the request was sent, its outcome is unknown."""

    async def hang_up(writer):
        writer.close()

    server = Answering(answer(), hang_up, hang_up)
    got = exchanged(server, times=3)
    assert got[0][0] == 200
    for one in got[1:]:
        assert "closed the connection" in failed(one, FailureKind.UNKNOWN)
    assert len(server.requests) == 3  # nothing is sent twice


@each(
    ("reply", "words"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", "broke off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{", "broke off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{", ""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n{}", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", "not HTTP"),
        (f"{CANARY} {CANARY} {CANARY}\r\n\r\n".encode(), "not HTTP"),
        (f"HTTP/1.1 {CANARY} OK\r\n\r\n".encode(), "not HTTP"),
        (b"\x00\xff" * 500 + b"\r\n\r\n", "not HTTP"),
        (b"", "closed the connection"),
    ],
)
def test_an_invalid_http_answer_is_of_unknown_outcome(reply, words):
    """Answers that break off or are not HTTP are failures with messages of our own."""
    message = failed(exchanged(Answering(reply, close=True), timeout=5.0)[0], FailureKind.UNKNOWN)
    assert words in message
    assert CANARY not in message


def test_a_refusal_with_a_cut_body_counts():
    """The status says that nothing was done, even if the body is incomplete."""
    cut = b"HTTP/1.1 429 Slow down\r\nRetry-After: 7\r\nContent-Length: 100\r\n\r\n{"
    ((status, headers, body),) = exchanged(Answering(cut, close=True))
    assert (status, headers["retry-after"], body) == (429, "7", b"")
    ((status, _, _),) = exchanged(Answering(cut), timeout=DEADLINE)  # or never come
    assert status == 429


def test_calls_that_time_out_close_their_connections():
    """A call that timed out leaves no connection open."""
    closed = asyncio.Event()

    async def silent(reader, writer):
        while await reader.read(65536):
            pass
        writer.close()
        closed.set()

    async def main():
        async with serving(silent) as url:
            client = client_to(url, DEADLINE)
            failed(await client.exchange(BODY), FailureKind.UNKNOWN)
            await asyncio.wait_for(closed.wait(), 5)
            await client.aclose()

    asyncio.run(main())


# --- large answers


def peak():
    """The peak memory of this process since `forget_peak`, in bytes."""
    with open("/proc/self/status") as status:
        (line,) = [line for line in status if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def forget_peak():
    gc.collect()
    try:
        with open("/proc/self/clear_refs", "w") as control:
            control.write("5")
    except OSError:
        pytest.skip("this system does not measure the peak of memory again")


@each("head", ["Transfer-Encoding: chunked", f"Content-Length: {10 << 30}", "Connection: close"])
@each("status", [200, 500])
def test_an_endless_answer_is_cut_off(status, head):
    """Of ten gigabytes no more than the cap is read, the connection is closed, and memory stays within 64 MiB."""
    sent = 0

    async def endless(writer):
        nonlocal sent
        writer.write(f"HTTP/1.1 {status} OK\r\n{head}\r\n\r\n".encode())
        piece = b"a" * 65536
        if "chunked" in head:
            piece = b"10000\r\n" + piece + b"\r\n"
        with suppress(ConnectionError):
            for sent in range(0, 10 << 30, 65536):  # noqa: B007
                writer.write(piece)
                await writer.drain()

    forget_peak()
    before = peak()
    ((got, _, body),) = exchanged(Answering(endless))
    assert got == status
    assert len(body) == (MAX_REPLY_BYTES + 1 if status == 200 else MAX_ERROR_BYTES)
    assert sent <= len(body) + 16 * MEBIBYTE  # what the kernel holds on the way
    assert peak() - before <= 64 * MEBIBYTE


def test_a_large_request_is_sent_whole():
    """A prompt of megabytes is sent without a warning."""
    server = Answering(answer())
    body = b"x" * (5 * MEBIBYTE)

    async def main():
        async with serving(server) as url:
            client = client_to(url)
            got = await client.exchange(body)
            await client.aclose()
            return got

    assert asyncio.run(main())[0] == 200
    assert server.requests[0][1] == body


# --- loops


def test_sessions_end_with_their_loop():
    """When an event loop ends, its connections are closed and none is kept."""
    server = Answering(answer())

    async def main(client):
        async with serving(server) as url:
            client._url = type(client._url)(f"{url}/chat/completions")
            await client.exchange(BODY)
            assert len(client._open) == 1

    client = client_to("http://127.0.0.1:1/v1")
    for _ in range(3):
        asyncio.run(main(client))
        assert not client._open
