"""What an open stream has to know of the request that it answers.

The request itself, with its headers, its parser and its task, is let go when the stream is open: it weighs
ten times what a stream does.
"""

from __future__ import annotations

from aiohttp import web

from rx_sse.web.negotiation import comes_back, resource_of
from rx_sse.web.notices import handler_name
from rx_sse.web.trusted_proxies import address_of


class Asked:
    """A request, as far as its stream needs it; a `Stream` is one.

    Attributes:
        method, path, query: of the resource; together they name the stream to come back to.
        remote: the client's address, as far as the configured proxies know it.
        route: method and path as the application declares it (`GET /orders/{id}`): what streams are grouped
            by.
        handler: the name of the function whose stream it is.
        comes_back: whether the client may connect again by itself.
    """

    __slots__ = ("comes_back", "handler", "method", "path", "query", "remote", "route")

    def __init__(self, request: web.Request) -> None:
        self.method, self.path, self.query = resource_of(request)
        self.remote = address_of(request)
        self.handler = handler_name(request)
        self.route = _route_of(request, self.method, self.handler)
        self.comes_back = comes_back(request)

    @property
    def label(self) -> str:
        """Method and path."""
        return f"{self.method} {self.path}"

    @property
    def resource(self) -> tuple[str, str, str]:
        """Method, path and query."""
        return self.method, self.path, self.query


def _route_of(request: web.Request, method: str, handler: str) -> str:
    """The route of a request; where none matched, as in a middleware, its handler stands for it."""
    resource = request.match_info.route.resource
    return f"{method} {handler if resource is None else resource.canonical}"
