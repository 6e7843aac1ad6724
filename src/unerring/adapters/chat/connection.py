"""Send chat requests to one endpoint over HTTP."""

from collections.abc import Awaitable
from typing import Protocol

from unerring.adapters.http.client import Answer, HttpClient, with_body
from unerring.adapters.http.errors import Failure
from unerring.adapters.http.spec import EndpointSpec, Proxy, Secret


class ChatBackend(Protocol):
    """What answers the body of a chat request: an endpoint over HTTP, or a library."""

    def exchange(self, body: bytes) -> Awaitable[Answer | Failure]:
        """Send a body once; return the answer, or the failure to get one."""

    async def aclose(self) -> None:
        """Close what was opened on the running event loop."""


class ChatConnection(HttpClient):
    """Posts bodies to the chat completions of one endpoint."""

    def __init__(self, spec: EndpointSpec, secret: Secret, proxy: Proxy | None) -> None:
        super().__init__(spec, secret, proxy)
        self._head = self.head("POST", "/chat/completions", "application/json", "application/json")

    def exchange(self, body: bytes) -> Awaitable[Answer | Failure]:
        """Send a body once; return the answer, or the failure to get one."""
        return self.send(with_body(self._head, body))
