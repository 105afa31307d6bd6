"""One process: a bus, an application with its routes, and the real aiohttp server, without a port."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, Protocol

import reactivex.operators as ops
from aiohttp import web
from reactivex import Observable, abc

import rx_sse
from rx_sse import Bus, Overflow, Principal, ServerSentEvent
from rx_sse.errors import PublishRefused, PublishUnknown

from .chain import name_of
from .loop import Loop
from .trace import Trace
from .transport import Wire


class Link(Protocol):
    """What ties one life of a process to what outlives it."""

    crowded: bool
    """Whether its queue is full."""
    abandoned: list[str]
    """What it had not got rid of when it ended."""

    def kill(self) -> None:
        """The process is gone."""
        ...


LAST = 5
"""Entries with which `newest` begins."""
SINCE = 30.0
"""Seconds back at which `since` begins."""
MakeBus = Callable[[], tuple[Bus, Link | None]]


def third(payload: str) -> bool:
    """What the filtering routes let through: every third event."""
    return int(payload.rsplit("-", 1)[1]) % 3 == 0


def anything(payload: str) -> bool:
    """What the others let through."""
    return True


class Process:
    """A process that can be started, closed in order, and killed.

    Args:
        name: for the trace.
        topics: those to whose values something in the process subscribes; without any, it watches its log
            only while it has clients.
        make_bus: the bus of each of its lives, and its link to a broker.
        options: of every stream.
    """

    def __init__(
        self, name: str, topics: tuple[str, ...], loop: Loop, trace: Trace, make_bus: MakeBus, **options: Any
    ) -> None:
        self.name = name
        self.topics = topics
        self.loop = loop
        self.trace = trace
        self._make_bus = make_bus
        self._options = options
        self.bus: Bus | None = None
        self.link: Link | None = None
        self.accepts = False
        """Whether clients can connect."""
        self.ended = -math.inf
        """When its last life ended."""
        self.wires: list[Wire] = []
        self.abandoned: list[str] = []
        """Pushes that the log had not stored when its time to do so was over."""
        self.values: list[tuple[str, str]] = []
        """What a subscriber to the values of every topic got in this life: topic and payload."""
        self.refused = False
        """Whether it refused a push in this life."""
        self.holes: set[str] = set()
        """Topics in which `bus.errors` told of a gap in this life."""
        self.dropped: set[str] = set()
        """Topics of which `bus.errors` said that pushes could not be stored."""
        self._runner: web.AppRunner | None = None
        self._protocol: Callable[[], asyncio.Protocol] | None = None

    async def start(self) -> None:
        """A new life."""
        self.trace.note(self.name, "starts")
        self.bus, self.link = self._make_bus()
        app = web.Application()
        rx_sse.setup(app, bus=self.bus, **self._options)
        for path, handler in _routes(self.bus, None).items():
            app.router.add_get(path, handler)
        for path, handler in _routes(self.bus, _user_of).items():
            app.router.add_get(f"/my{path}", handler)
        self._runner = runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        server: Any = runner.server
        self._protocol = server
        self.values, self.holes = [], set()
        self.bus.errors.subscribe(self._trouble)
        for topic in self.topics:
            self.bus.topic(topic).subscribe(partial(self._value, self.values, topic))
        self.accepts = True

    def _value(self, values: list[tuple[str, str]], topic: str, value: str) -> None:
        values.append((topic, name_of(value)))

    def _trouble(self, trouble: Any) -> None:
        if trouble.gap is not None:
            self.holes.add(trouble.topic)
        elif isinstance(trouble.error, PublishRefused | PublishUnknown):
            self.dropped.add(trouble.topic)

    async def stop(self) -> None:
        """An orderly end, as at a deploy."""
        self.trace.note(self.name, "closes")
        runner = self._runner
        assert runner is not None
        self.accepts = False
        await runner.shutdown()
        server: Any = runner.server
        await server.shutdown(1.0)
        await runner.cleanup()
        self.bus = None
        if self.link is not None:
            self.abandoned += self.link.abandoned
        self.ended = self.loop.time()
        self.trace.note(self.name, "closed")

    def kill(self) -> None:
        """It is gone without a word: what it had under way is lost."""
        self.trace.note(self.name, "is killed")
        self.accepts = False
        self.ended = self.loop.time()
        if self.link is not None:
            self.link.kill()
        wires, self.wires = self.wires, []
        for wire in wires:
            wire.abort()
        bus, runner, self.bus = self.bus, self._runner, None
        assert bus is not None and runner is not None
        # A corpse on a loop that goes on: it is buried where nobody sees it.
        self.loop.create_task(runner.cleanup())

    def protocol(self) -> asyncio.Protocol:
        """The server's end of a new connection."""
        assert self._protocol is not None
        return self._protocol()


def _later(source: Observable[Any]) -> Observable[Any]:
    """Every event a while later: a cut finds some on their way."""

    def subscribe(
        observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        loop = asyncio.get_running_loop()
        return source.subscribe(
            lambda event: loop.call_later(0.3, observer.on_next, event) and None,
            observer.on_error,
            observer.on_completed,
            scheduler=scheduler,
        )

    return Observable(subscribe)


def _user_of(request: web.Request) -> Principal:
    """Who asks, with a token of which time."""
    user, issued_at = request.headers["Authorization"].split(" ")
    return Principal(user, issued_at=float(issued_at))


def _routes(bus: Bus, auth: Callable[[web.Request], Principal] | None) -> dict[str, Any]:
    """The streams that it serves."""
    sse = partial(rx_sse.sse, auth=auth)

    def topics(request: web.Request) -> list[str]:
        return request.match_info["topics"].split("+")

    @sse()
    async def plain(request: web.Request) -> Observable[Any]:
        return bus.events(*topics(request), after=rx_sse.last_event_id(request))

    @sse()
    async def filtered(request: web.Request) -> Observable[Any]:
        return bus.events(
            *topics(request),
            after=rx_sse.last_event_id(request),
            filter=lambda event: third(name_of(event.data)),
        )

    @sse()
    async def piped(request: web.Request) -> Observable[Any]:
        def wanted(event: ServerSentEvent) -> bool:
            return third(name_of(event.data))

        return bus.events(*topics(request), after=rx_sse.last_event_id(request)).pipe(ops.filter(wanted))

    @sse()
    async def delayed(request: web.Request) -> Observable[Any]:
        return bus.events(
            *topics(request),
            after=rx_sse.last_event_id(request),
            filter=lambda event: third(name_of(event.data)),
        ).pipe(_later)

    @sse(overflow=Overflow("drop_oldest", max_events=8))
    async def dropping(request: web.Request) -> Observable[Any]:
        return bus.events(*topics(request), after=rx_sse.last_event_id(request))

    @sse()
    async def newest(request: web.Request) -> Observable[Any]:
        return bus.events(*topics(request), after=rx_sse.last_event_id(request), last=LAST)

    @sse()
    async def since(request: web.Request) -> Observable[Any]:
        back = timedelta(seconds=SINCE)
        return bus.events(*topics(request), after=rx_sse.last_event_id(request), since=back)

    @sse()
    async def merged(request: web.Request) -> Observable[Any]:
        after = rx_sse.last_event_id(request)
        first, *others = (bus.events(topic, after=after) for topic in topics(request))
        return first.pipe(ops.merge(*others))

    return {
        "/plain/{topics}": plain,
        "/filtered/{topics}": filtered,
        "/delayed/{topics}": delayed,
        "/piped/{topics}": piped,
        "/dropping/{topics}": dropping,
        "/merged/{topics}": merged,
        "/newest/{topics}": newest,
        "/since/{topics}": since,
    }
