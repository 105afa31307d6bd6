"""The names of routes, and the totals of the ended streams of each.

Never: more than `MOST` routes are counted separately; a route is code, so an application has few.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from aiohttp import web

from rx_sse.web.notices import handler_name

if TYPE_CHECKING:
    from rx_sse.web.stream import Stream

MOST = 500
OTHER = "other routes"


class RouteTotal:
    """The sums of one route.

    Attributes:
        opened: streams that were opened.
        ended: streams that have ended.
        sent: bytes sent by ended streams.
        dropped: events that ended streams lost to their policy.
    """

    __slots__ = ("dropped", "ended", "opened", "sent")

    def __init__(self) -> None:
        self.opened = 0
        self.ended = 0
        self.sent = 0
        self.dropped = 0


class RouteTotals:
    """The sums of all routes."""

    __slots__ = ("_names", "_totals")

    def __init__(self) -> None:
        self._totals: dict[str, RouteTotal] = {}
        self._names: dict[tuple[web.AbstractRoute, str], tuple[str, str]] = {}

    def __iter__(self) -> Iterator[tuple[str, RouteTotal]]:
        return iter(self._totals.items())

    def names(self, request: web.Request) -> tuple[str, str]:
        """The name of the route of a request, as the application declares it, and that of the handler.

        If no route matched, as in a middleware, the handler is named instead.
        """
        route, method = request.match_info.route, request.method
        names = self._names.get((route, method))
        if names is None:
            handler = handler_name(request)
            resource = route.resource
            names = f"{method} {handler if resource is None else resource.canonical}", handler
            if resource is not None and len(self._names) < MOST:  # otherwise the route is this request's own
                self._names[route, method] = names
        return names

    def added(self, stream: Stream) -> None:
        """A stream begins."""
        total = self._totals.get(stream.route) or self._of(stream)
        total.opened += 1

    def removed(self, stream: Stream) -> None:
        """A stream has ended."""
        total = self._of(stream)
        total.ended += 1
        total.sent += stream.connection.sent
        total.dropped += stream.outbox.dropped

    def name_of(self, route: str) -> str:
        """The name under which a route is counted."""
        return route if route in self._totals else OTHER

    def _of(self, stream: Stream) -> RouteTotal:
        route = stream.route
        if route not in self._totals and len(self._totals) >= MOST:
            route = OTHER
        total = self._totals.get(route)
        if total is None:
            total = self._totals[route] = RouteTotal()
        return total
