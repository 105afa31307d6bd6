"""A scan of all streams of an application: sums by route, distributions, and the rows that a page shows.

Scanning 10,000 streams takes about 30 ms, so the loop gets its turn after every few hundred.

Never: a row for every stream, or a reference to a stream between two scans.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Mapping
from typing import Any

from rx_sse.web.admin.distribution import AGES, BEHIND, QUEUES, Distribution
from rx_sse.web.admin.wanted import Wanted
from rx_sse.web.registry import StreamRegistry
from rx_sse.web.route_totals import RouteTotals
from rx_sse.web.stream import Stream
from rx_sse.wire.harmless import harmless, one_line

ROWS = 50
"""Routes, topics and runs that a page shows."""
BEHIND_FROM = 1.0
"""Seconds from which a queue counts as behind: it is sampled once a second, and may contain bytes that are
just being sent."""
SLICE = 250
"""Streams between two turns of the loop."""
TOPICS_SHOWN = 3
TEXT = 200
"""Characters of an untrusted text."""

Row = tuple[float, float, int, Stream]
ORDERS: Mapping[str, Callable[[Stream], float]] = {
    "queue": lambda stream: stream.outbox.size,
    "age": lambda stream: -stream.started,
    "newest": lambda stream: stream.started,
    "dropped": lambda stream: stream.outbox.dropped,
    "sent": lambda stream: stream.connection.sent,
}


class RouteState:
    """The open streams of one route.

    Attributes:
        open, stalled, behind: streams; those whose socket accepts nothing; those whose queue is not empty.
        queued: waiting bytes.
        sent: bytes since the start, streams that have ended included.
        dropped: events dropped since the start, ended streams included.
        opened: streams since the start.
    """

    __slots__ = ("behind", "dropped", "open", "opened", "queued", "sent", "stalled")

    def __init__(self) -> None:
        self.open = self.stalled = self.behind = self.queued = self.sent = self.dropped = self.opened = 0

    def shown(self, route: str) -> dict[str, Any]:
        """For the page."""
        return {"route": harmless(route), **{name: getattr(self, name) for name in self.__slots__}}


class Survey:
    """The result of a scan; `survey` makes it.

    Attributes:
        routes: all routes that have or had streams.
        open: streams in all.
        matching: streams that match the query; the distributions and rows are of these.
        stalled: of all streams, those whose socket accepts nothing.
        ages, queues, behind: distributions.
    """

    def __init__(self, now: float, totals: RouteTotals) -> None:
        self.now = now
        self.routes: dict[str, RouteState] = {}
        self.open = self.matching = self.stalled = self.queued = 0
        self.ages, self.queues, self.behind = (Distribution(it) for it in (AGES, QUEUES, BEHIND))
        self._top: list[Row] = []
        self._totals = totals
        for route, total in totals:
            state = self.routes[route] = RouteState()
            state.sent, state.dropped, state.opened = total.sent, total.dropped, total.opened

    def look(self, stream: Stream, behind: float, wanted: bool) -> None:
        """Count a stream.

        Args:
            stream: an open one.
            behind: seconds for which its queue has not been empty.
            wanted: whether it matches the query.
        """
        state = self.routes.setdefault(self._totals.name_of(stream.route), RouteState())
        size = stream.outbox.size
        state.open += 1
        state.queued += size
        state.sent += stream.connection.sent
        state.dropped += stream.outbox.dropped
        self.open += 1
        self.queued += size
        if stream.connection.paused:
            state.stalled += 1
            self.stalled += 1
        if behind:
            state.behind += 1
        if wanted:
            self.matching += 1
            self.ages.count(self.now - stream.started)
            self.queues.count(size)
            self.behind.count(behind)

    def rank(self, streams: list[Stream], wanted: Wanted) -> None:
        """Keep the first streams in the requested order, merged with the earlier ones."""
        order = ORDERS[wanted.sort]
        rows = [(order(stream), -stream.started, id(stream), stream) for stream in streams]
        self._top = heapq.nlargest(wanted.rows, (*self._top, *rows))

    def rows(self, behind: Mapping[Stream, float], names: Mapping[str, str]) -> list[dict[str, Any]]:
        """The rows of the page.

        Args:
            behind: since when queues have not been empty, on the loop's clock.
            names: topics by reference.
        """
        return [self._row(stream, behind_of(stream, behind, self.now), names) for *_, stream in self._top]

    def _row(self, stream: Stream, behind: float, names: Mapping[str, str]) -> dict[str, Any]:
        refs = stream.refs
        return {
            "id": stream.id,
            "path": one_line(stream.label, TEXT),
            "route": harmless(stream.route),
            "user": None if stream.principal is None else one_line(stream.principal.user, TEXT),
            "address": stream.remote,
            "topics": [names[ref] for ref in refs[:TOPICS_SHOWN] if ref in names],
            "more_topics": max(0, len(refs) - TOPICS_SHOWN),
            "age": round(self.now - stream.started, 1),
            "queued": len(stream.outbox),
            "bytes": stream.outbox.size,
            "behind": round(behind, 1),
            "dropped": stream.outbox.dropped,
            "sent": stream.connection.sent,
            "stalled": stream.connection.paused,
            "ending": stream.ended,
            "cursor": None if (cursor := stream.cursor) is None else one_line(cursor, TEXT),
        }


def behind_of(stream: Stream, since: Mapping[Stream, float], now: float) -> float:
    """Seconds for which a stream has been behind; 0 if it is not."""
    begun = since.get(stream)
    if begun is None or now - begun < BEHIND_FROM or stream.connection.drained:
        return 0.0
    return now - begun


async def survey(edge: StreamRegistry, wanted: Wanted, refs: frozenset[str] = frozenset()) -> Survey:
    """Scan all streams.

    Args:
        edge: the registry of the streams.
        wanted: the query.
        refs: topics that `wanted.find` matches: their streams match as well.
    """
    found = Survey(edge.parts.loop.time(), edge.routes)
    behind = edge.measures.behind
    streams = list(edge.streams)
    while streams:
        part = [stream for stream in streams[-SLICE:] if stream in edge.streams]
        del streams[-SLICE:]
        matching: list[Stream] = []
        for stream in part:
            fits = _fits(stream, wanted, refs)
            found.look(stream, behind_of(stream, behind, found.now), fits)
            if fits:
                matching.append(stream)
        found.rank(matching, wanted)
        del part, matching
        if streams:
            await asyncio.sleep(0)
    return found


def _fits(stream: Stream, wanted: Wanted, refs: frozenset[str]) -> bool:
    if wanted.route and stream.route != wanted.route:
        return False
    if not wanted.find:
        return True
    user = stream.principal
    if wanted.by_id:
        return stream.id == wanted.find
    return (user is not None and wanted.find in user.user.lower()) or not refs.isdisjoint(stream.refs)
