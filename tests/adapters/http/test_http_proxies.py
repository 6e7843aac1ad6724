"""The HTTP client through a proxy."""

import asyncio
import json

from openai_servers import BODY, CANARY, Answering, answer, client_to, serving

from tables import each
from unerring.errors import FailureKind, ProviderBusy, ProviderDown


def through(proxy, url, times=1):
    """The result of the last of some calls to `url` through a proxy served by `proxy`."""

    async def main():
        async with serving(proxy) as at:
            address = at.removesuffix("/v1").replace("http://", "http://me:secret-pw@")
            client = client_to(url, **{"HTTPS_PROXY": address, "HTTP_PROXY": address})
            try:
                return [await client.exchange(BODY) for _ in range(times)][-1]
            finally:
                await client.aclose()

    return asyncio.run(main())


def test_a_proxy_passes_plain_requests_on():
    """For plain http the proxy gets the whole address and its own password, over one connection."""
    proxy = Answering(answer(json.dumps({"through": "proxy"}).encode()))
    status, _, _ = through(proxy, "http://box.example/v1", times=3)
    assert (proxy.connections, len(proxy.requests)) == (1, 3)
    head = proxy.requests[0][0]
    assert status == 200
    assert head.startswith("POST http://box.example/v1/chat/completions HTTP/1.1")
    assert "proxy-authorization: basic" in head.lower()
    assert f"Bearer {CANARY}" in head


@each(("status", "kind"), [(502, FailureKind.TRANSIENT), (403, FailureKind.TRANSIENT), (407, FailureKind.DENIED)])
def test_a_proxy_never_sees_the_key_of_a_secure_request(status, kind):
    """A tunnel is requested with the proxy's password and without the key; if it is refused, nothing was sent."""
    proxy = Answering(answer(b"", f"{status} No"))
    got = through(proxy, "https://box.example/v1")
    ((head, _),) = proxy.requests
    assert head.startswith("CONNECT box.example:443 HTTP/1.1")
    assert "proxy-authorization: basic" in head.lower()
    assert CANARY not in head
    assert got.kind is kind
    assert isinstance(got, ProviderDown if kind is FailureKind.DENIED else ProviderBusy)
    assert "secret-pw" not in str(got)
