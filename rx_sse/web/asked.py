"""The part of a request that its open stream needs.

The request itself, with its headers, its parser and its task, is released when the stream is open: it takes
ten times the memory of a stream.
"""

from __future__ import annotations

from aiohttp import web

from rx_sse.web.negotiation import comes_back, resource_of


class Asked:
    """The part of a request that its stream needs; a `Stream` is one.

    Args:
        request: the request.
        remote: the client's address.
        names: of its route and its handler.

    Attributes:
        method, path, query: of the resource; together they identify the stream for a reconnect.
        remote: the client's address, as reported by the configured proxies.
        route: method and path as the application declares it (`GET /orders/{id}`): streams are grouped by it.
        handler: the name of the handler.
        comes_back: whether the client may reconnect by itself.
    """

    __slots__ = ("comes_back", "handler", "method", "path", "query", "remote", "route")

    def __init__(self, request: web.Request, remote: str | None, names: tuple[str, str]) -> None:
        self.method, self.path, self.query = resource_of(request)
        self.remote = remote
        self.route, self.handler = names
        self.comes_back = comes_back(request)

    @property
    def label(self) -> str:
        """Method and path."""
        return f"{self.method} {self.path}"

    @property
    def resource(self) -> tuple[str, str, str]:
        """Method, path and query."""
        return self.method, self.path, self.query
