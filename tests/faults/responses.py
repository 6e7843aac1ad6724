"""JSON responses, and error replies in the form of the API."""

import msgspec
from aiohttp import web

from faults.faults import Rejection


class Nothing(web.Response):
    """The response of a handler that has used the connection itself: nothing more is sent."""


def there(request: web.BaseRequest) -> bool:
    """Whether the client has not closed its connection, as far as the kernel knows."""
    return request.transport is not None and not request.transport.is_closing()


def said(body: bytes, status: int = 200, kind: str = "application/json") -> web.Response:
    """Make a response with a body as it is."""
    return web.Response(body=body, status=status, content_type=kind)


def as_json(data: object, status: int = 200) -> web.Response:
    """Make a response of JSON."""
    return said(msgspec.json.encode(data), status)


def refusing(rejection: Rejection, request: web.BaseRequest) -> web.Response:
    """Make an error reply."""
    if rejection.html:
        page = f"<html><body><center><h1>{rejection.message}</h1></center></body></html>"
        response = said(page.encode(), rejection.status, "text/html")
    else:
        message = rejection.message
        if rejection.echo:
            # a key comes first, as it would be lost where a client keeps the beginning of a long message
            headers = sorted(request.headers.items(), key=lambda header: header[0] != "Authorization")
            message += f" The request had these headers: {dict(headers)}"
        error = {"message": message, "type": rejection.kind, "param": None, "code": rejection.code}
        response = as_json({"error": error}, rejection.status)
    response.headers.update(rejection.extra_headers())
    return response
