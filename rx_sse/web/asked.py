"""The part of a request that its open stream needs.

The request itself, with its headers, its parser and its task, is released when the stream is open: it takes
ten times the memory of a stream.
"""

from __future__ import annotations

from aiohttp import web

from rx_sse.web.negotiation import comes_back, resource_of
from rx_sse.web.notices import handler_name
from rx_sse.web.trusted_proxies import address_of


class Asked:
    """The part of a request that its stream needs; a `Stream` is one.

    Attributes:
        method, path, query: of the resource; together they identify the stream for a reconnect.
        remote: the client's address, as reported by the configured proxies.
        route: method and path as the application declares it (`GET /orders/{id}`): streams are grouped by it.
        handler: the name of the handler.
        comes_back: whether the client may reconnect by itself.
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
    """The route of a request; if none matched, as in a middleware, its handler is used instead."""
    resource = request.match_info.route.resource
    return f"{method} {handler if resource is None else resource.canonical}"
