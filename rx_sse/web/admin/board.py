"""The content of the admin page of one application: computed once for all pages with the same query.

Without an open page nothing is computed, except a point of the charts every few seconds.

Never: two pages cost twice, or a closed page anything.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from rx_sse.bus.bus import core_of
from rx_sse.errors import Overloaded
from rx_sse.histogram import Histogram
from rx_sse.tasks import start
from rx_sse.web.admin.processes import Processes
from rx_sse.web.admin.rates import PERIOD, Rates, Reading
from rx_sse.web.admin.run_table import RunTable
from rx_sse.web.admin.survey import ROWS, TEXT, Survey, survey
from rx_sse.web.admin.topic_table import topic_table
from rx_sse.web.admin.wanted import Wanted
from rx_sse.web.registry import StreamRegistry
from rx_sse.wire.harmless import harmless, one_line

logger = logging.getLogger("rx_sse")

REFRESH = 1.0
"""Seconds between two updates."""
FRESH = 0.9
"""Seconds for which a result serves all pages with the same query."""
LOOKS = 64
"""Different searches at a time."""
SOON = 0.5
"""Seconds from the first point of the charts to the second."""
ENDED = 20
"""Ended streams shown."""
WATCHED = 15.0
"""Seconds after which a page counts as closed."""

Look = tuple[float, "asyncio.Task[dict[str, Any]]"]


class Board:
    """The content of one application's pages.

    Attributes:
        edge: the streams; None until the application starts.
    """

    def __init__(self) -> None:
        self.edge: StreamRegistry | None = None
        self.runs: RunTable | None = None
        self._processes: Processes | None = None
        self._rates = Rates({})
        self._looks: dict[Wanted, Look] = {}
        self._looked = float("-inf")
        self._task: asyncio.Task[None] | None = None

    def watch(self, edge: StreamRegistry) -> Callable[[], None]:
        """Start with the application; the outermost application that was set up applies.

        Returns:
            The function that ends it.
        """
        if self.edge is not None:
            return lambda: None
        self.edge = edge
        self._rates = Rates({name: it.bounds for name, it in _histograms(edge).items()})
        self._processes = Processes(edge.bus, version("rx-sse"))
        self.runs = None if edge.bus is None else RunTable(edge.bus)
        self._looked = float("-inf")
        self._task = start(self._run, edge, self._processes, name="rx_sse admin")
        return self._close

    def _close(self) -> None:
        self.edge = None
        if self._task is not None:
            self._task.cancel()
        if self._processes is not None:
            self._processes.close()
        if self.runs is not None:
            self.runs.close()
        for _, task in self._looks.values():
            task.cancel()
        self._looks.clear()
        self._task = self._processes = self.runs = None

    # -- called by pages -------------------------------------------------------------------------------------

    async def look(self, wanted: Wanted) -> dict[str, Any]:
        """The present content of the page.

        Raises:
            Overloaded: too many different searches at a time.
        """
        assert self.edge is not None
        now = self.edge.parts.loop.time()
        if now - self._looked > WATCHED and self._processes is not None:
            self._processes.ask(now)
        self._looked = now
        found = self._looks.get(wanted)
        if found is None or now - found[0] > FRESH:
            self._looks = {key: look for key, look in self._looks.items() if now - look[0] <= FRESH}
            if len(self._looks) >= LOOKS:
                raise Overloaded(f"{LOOKS} different searches are looked at already", retry_after=2.0)
            found = self._looks[wanted] = (
                now,
                start(self._look, self.edge, wanted, name="rx_sse admin look"),
            )
        return await asyncio.shield(found[1])

    @property
    def number(self) -> int:
        """The number of the newest point of the charts."""
        return self._rates.number

    def rates(self) -> dict[str, Any]:
        """The last minutes, for the page."""
        return self._rates.shown()

    # -- inside ----------------------------------------------------------------------------------------------

    async def _look(self, edge: StreamRegistry, wanted: Wanted) -> dict[str, Any]:
        bus = edge.bus
        topics = None if bus is None else await topic_table(bus, wanted.find)
        await asyncio.sleep(0)
        found = await survey(edge, wanted, frozenset() if topics is None else topics.refs)
        routes = sorted(found.routes.items(), key=lambda item: (-item[1].open, item[0]))
        now = edge.parts.loop.time()
        return {
            "stats": asdict(edge.stats()) | {"stalled": found.stalled, "queued": found.queued},
            "bus": None if bus is None else asdict(bus.stats()),
            "routes": [state.shown(route) for route, state in routes[:ROWS]],
            "routes_all": len(routes),
            "open": found.open,
            "limit": edge.limits.connections,
            "matching": found.matching,
            "distributions": {
                "age": found.ages.shown(),
                "queue": found.queues.shown(),
                "behind": found.behind.shown(),
            },
            "streams": found.rows(edge.measures.behind, {} if topics is None else topics.names),
            "ended": _ended(edge, now, wanted.find),
            "topics": None if topics is None else topics.shown,
            "runs": None if self.runs is None else self.runs.shown(now),
            "processes": None if self._processes is None else self._processes.shown(),
        }

    async def _run(self, edge: StreamRegistry, processes: Processes) -> None:
        """Add a point to the charts every few seconds, while the application runs."""
        loop = edge.parts.loop
        due = loop.time()
        for number in itertools.count():
            try:
                await self._point(edge, processes)
            except Exception:
                logger.exception("a point of the admin page's charts is missing")
            # The first rate is there soon, not after a whole period.
            due = max(due + (SOON if number == 0 else PERIOD), loop.time())
            await asyncio.sleep(due - loop.time())

    async def _point(self, edge: StreamRegistry, processes: Processes) -> None:
        """Add one point to the charts, and report the figures of this process."""
        found = await survey(edge, Wanted(sort="newest"))  # holds streams, so it does not outlive this call
        self._rates.add(_reading(edge, found))
        now = edge.parts.loop.time()
        processes.say(now, _figures(edge, found), ask=now - self._looked <= WATCHED)


def _ended(edge: StreamRegistry, now: float, find: str) -> list[dict[str, Any]]:
    """The streams that ended last; with a search, those whose user or path matches."""
    fits = (
        end for end in reversed(edge.recent) if find in end.label.lower() or find in (end.user or "").lower()
    )
    return [
        {
            "path": one_line(end.label, TEXT),
            "user": None if end.user is None else one_line(end.user, TEXT),
            "reason": end.reason,
            "age": round(end.lasted, 1),
            "ago": round(now - end.at, 1),
        }
        for end in itertools.islice(fits, ENDED)
    ]


def _histograms(edge: StreamRegistry) -> dict[str, Histogram]:
    """Those of which the charts show the worst value, in seconds."""
    return {"stall": edge.measures.stalls, "lag": edge.measures.lag}


def _figures(edge: StreamRegistry, found: Survey) -> dict[str, float]:
    bus = edge.bus
    return {
        "streams": found.open,
        "stalled": found.stalled,
        "sent": sum(state.sent for state in found.routes.values()),
        "topics": 0 if bus is None else len(core_of(bus).topics),
        "published": 0 if bus is None else bus.stats().published,
    }


def _reading(edge: StreamRegistry, found: Survey) -> Reading:
    stats = edge.stats()
    counters: dict[str, float] = {
        "opened": stats.opened,
        "ended": sum(stats.ended.values()),
        "shed": stats.shed,
        "dropped": stats.dropped,
        "sent": sum(state.sent for state in found.routes.values()),
    }
    if edge.bus is not None:
        bus = edge.bus.stats()
        counters |= {"published": bus.published, "delivered": bus.delivered}
    routes = {harmless(name): (state.open, state.sent) for name, state in found.routes.items()}
    histograms = {name: tuple(it.counts) for name, it in _histograms(edge).items()}
    gauges = {"open": found.open, "stalled": found.stalled, "queued": found.queued}
    return Reading(found.now, gauges, counters, routes, histograms)
