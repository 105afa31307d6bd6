"""The streams of one application: their shared resources, admission, and the shutdown.

Standard: RFC 9110 §15.6.4 for refused requests.
Never: it holds a stream that has ended, or keeps a shutdown waiting beyond its window.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from aiohttp import web

from rx_sse.bus.bus import core_of
from rx_sse.errors import Overloaded, UsageError
from rx_sse.web.auth.challenge import invalid_token
from rx_sse.web.auth.refusals import Refusals
from rx_sse.web.end_reason import End
from rx_sse.web.limits import Limits
from rx_sse.web.log_fields import stream_fields
from rx_sse.web.loop_resources import LoopResources
from rx_sse.web.measures import Measures
from rx_sse.web.notices import Notices
from rx_sse.web.opening_rate import OpeningRate
from rx_sse.web.options import Options, resolve
from rx_sse.web.principal import Principal
from rx_sse.web.registry_stats import Ended, RegistryStats
from rx_sse.web.rejection import Cause, shed
from rx_sse.web.route_totals import RouteTotals
from rx_sse.web.shutdown import drained
from rx_sse.web.stream import Stream
from rx_sse.web.trusted_proxies import address_of, site_of
from rx_sse.web.watchdog import Watchdog

if TYPE_CHECKING:
    from rx_sse.bus import Bus
    from rx_sse.web.tracing import Tracing

logger = logging.getLogger("rx_sse")

OPENS: web.RequestKey[bool] = web.RequestKey("rx_sse.opens", bool)
"""Set on a request whose stream has been counted as opened."""
HANDLERS = 1_000
"""Handlers whose options are cached. Beyond it the cache starts anew: there are so many only if an
application decorates one for each request."""
RECENT = 500
"""Ended streams that are kept for the admin page."""


class StreamRegistry:
    """The streaming state of an application, kept under `REGISTRY`.

    Args:
        bus: the bus that the application starts and closes, alone or with others; None without one, until the
            start finds one in a sub-application (see `buses`).
        allow_origins: origins that may read streams from other sites.
        limits: limits on streams and users.
        drain: seconds over which streams are closed at a shutdown.
        finish_runs: whether runs get that time to end first.
        options: defaults for every stream.
        debug: show the errors of streams to their clients; None for the loop's debug mode.
        tracing: the spans of streams; None for none.

    Attributes:
        closing: the shutdown has begun.
        debug: errors are shown.
        notices: messages logged once, or seldom.
    """

    def __init__(
        self,
        *,
        bus: Bus | None,
        allow_origins: frozenset[str],
        limits: Limits,
        drain: float,
        finish_runs: bool = False,
        options: Mapping[str, Any],
        debug: bool | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self.debug = debug is True
        self.tracing = tracing
        self.notices = Notices()
        self._debug = debug
        self.bus = bus
        self.allow_origins = allow_origins
        self.limits = limits
        self.drain = drain
        self._finish_runs = finish_runs
        self.buses: tuple[Bus, ...] = () if bus is None else (bus,)
        """The buses whose revocations apply: the application's own, and from the start on those of its
        sub-applications."""
        self.refusals = Refusals()
        self.closing = False
        self.streams: set[Stream] = set()
        self.recent: deque[Ended] = deque(maxlen=RECENT)
        self._options = options
        self._resolved: dict[int, tuple[Mapping[str, Any], Options]] = {}
        self._parts: LoopResources | None = None
        self._by_user: dict[str, set[Stream]] = {}
        self._by_address: Counter[str] = Counter()
        self._opening = OpeningRate(limits.opens_per_second)
        self._opened = 0
        self._shed = 0
        self._dropped = 0
        self._ended: Counter[str] = Counter()
        self.routes = RouteTotals()
        self.proxied = False
        """There are trusted proxies, so the peer of a connection may not be the client."""
        self.emptied: asyncio.Future[None] | None = None
        self._heeded: dict[int, tuple[object, Callable[[], None]]] = {}
        self.measures = Measures(self)
        self.defaults = resolve(options)

    @property
    def parts(self) -> LoopResources:
        """The resources that the streams share.

        Raises:
            UsageError: the application has not been started.
        """
        if self._parts is None:
            raise UsageError(
                "the application has not been started: rx_sse streams need a running aiohttp application"
            )
        return self._parts

    def options(self, own: Mapping[str, Any]) -> Options:
        """The options of a handler over those of the application. `own` is cached, so it must not change."""
        found = self._resolved.get(id(own))
        if found is None:
            if len(self._resolved) >= HANDLERS:
                self._resolved.clear()
            found = self._resolved[id(own)] = (own, resolve(self._options, own))
        return found[1]

    def once(self, own: Mapping[str, Any]) -> Options:
        """The options of a single stream over those of the application."""
        return resolve(self._options, own)

    def stats(self) -> RegistryStats:
        """The present statistics."""
        return RegistryStats(
            open=len(self.streams),
            opened=self._opened,
            shed=self._shed,
            dropped=self._dropped + sum(stream.outbox.dropped for stream in self.streams),
            ended=dict(self._ended),
            closing=self.closing,
        )

    # -- admission -------------------------------------------------------------------------------------------

    def address_of(self, request: web.BaseRequest) -> str | None:
        """The address of a request's client."""
        return address_of(request) if self.proxied else request.remote

    def refuse(
        self, request: web.BaseRequest, principal: Principal | None, *, strict: bool = False
    ) -> web.StreamResponse | None:
        """The answer to a request that may not open a stream now, or None if it may.

        Raises:
            web.HTTPUnauthorized: the principal has been revoked.
        """
        limits = self.limits
        if self.closing:
            return self.shed(request, Cause.CLOSING, strict=strict)
        if limits.connections is not None and len(self.streams) >= limits.connections:
            self.notices.seldom(Cause.CONNECTIONS, "streams are refused: %d are open", len(self.streams))
            return self.shed(request, Cause.CONNECTIONS, strict=strict)
        own = self._by_user.get(principal.user) if principal is not None else None
        if own is not None and limits.per_user is not None and len(own) >= limits.per_user:
            return self.shed(request, Cause.USER, strict=strict)
        if limits.per_address is not None:
            site = site_of(self.address_of(request))
            if self._by_address[site] >= limits.per_address:
                return self.shed(request, Cause.ADDRESS, strict=strict)
        if principal is not None:
            try:
                reason = self.refused(principal)
            except Overloaded as error:
                return self.unavailable(request, error, Cause.UNKNOWN_TOKEN, strict=strict)
            if reason is not None:
                self.refusals.tell(request, 401, f"the token was refused: {reason}", kind="revoked")
                raise invalid_token()
        if limits.opens_per_second is not None and OPENS not in request:
            wait = self._opening.take()  # once for a request, which is checked twice
            if wait > 0:
                rate = limits.opens_per_second
                self.notices.seldom(
                    Cause.OPENING, "streams are refused: %d were opened within a second", rate
                )
                return self.shed(request, Cause.OPENING, seconds=wait, strict=strict)
            request[OPENS] = True
        return None

    def refused(self, principal: Principal) -> str | None:
        """The reason why a bus refuses a principal (it was revoked, say), in words; None if none does.

        Raises:
            Overloaded: the revocations are not loaded: every token is refused.
        """
        for bus in self.buses:
            known = core_of(bus).revocations
            if not known.loaded:
                raise Overloaded("the bus has not told yet which tokens are revoked", retry_after=1.0)
            if known.is_revoked(principal.user, principal.token_id, principal.issued_at):
                return "it was revoked"
            if (reason := known.outlives(principal.issued_at, principal.expires_at)) is not None:
                return reason
        return None

    def unavailable(
        self,
        request: web.BaseRequest,
        error: Overloaded,
        cause: Cause = Cause.UNAVAILABLE,
        *,
        strict: bool = False,
    ) -> web.StreamResponse:
        """Refuse a stream because something that it needs does not answer: the client gets a general text,
        the log the reason."""
        self.notices.seldom((cause, str(error)), "streams are refused: %s", error, error=error.__cause__)
        return self.shed(request, cause, seconds=error.retry_after or 2.0, strict=strict)

    def shed(
        self, request: web.BaseRequest, cause: Cause, *, seconds: float = 2.0, strict: bool = False
    ) -> web.StreamResponse:
        """Refuse a stream for now, and count it."""
        self._shed += 1
        status = 429 if cause in (Cause.USER, Cause.ADDRESS) else 503
        return shed(request, cause, status=status, seconds=seconds, strict=strict)

    def add(self, stream: Stream) -> None:
        """A stream begins."""
        self.streams.add(stream)
        self._opened += 1
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("stream %s begins", stream.label, extra=stream_fields(stream))
        self.routes.added(stream)
        if stream.principal is not None:
            self._by_user.setdefault(stream.principal.user, set()).add(stream)
        if self.limits.per_address is not None:
            self._by_address[site_of(stream.remote)] += 1

    def remove(self, stream: Stream, end: End) -> None:
        """A stream has ended."""
        if stream not in self.streams:
            return
        self.streams.discard(stream)
        self._ended[end.value] += 1
        now = self.parts.loop.time()
        user = None if stream.principal is None else stream.principal.user
        self.recent.append(Ended(stream.label, end.value, now - stream.started, now, user))
        self.measures.ended(stream, now - stream.started)
        if self.tracing is not None:
            self.tracing.ended(stream, end, stream.connection.sent)
        if logger.isEnabledFor(logging.DEBUG):
            fields = stream_fields(
                stream, reason=end.value, seconds=now - stream.started, bytes=stream.connection.sent
            )
            logger.debug("stream %s has ended: %s", stream.label, end.value, extra=fields)
        self._dropped += stream.outbox.dropped
        self.routes.removed(stream)
        if stream.principal is not None and (own := self._by_user.get(stream.principal.user)) is not None:
            own.discard(stream)
            if not own:
                del self._by_user[stream.principal.user]
        if self.limits.per_address is not None:
            site = site_of(stream.remote)
            self._by_address[site] -= 1
            if self._by_address[site] <= 0:
                del self._by_address[site]
        if self.emptied is not None and not self.streams and not self.emptied.done():
            self.emptied.set_result(None)

    def revoked(self, user: str | None, token_id: str | None, issued_before: float | None) -> None:
        """End the streams whose tokens a revocation of the bus matches."""
        for stream in list(self._by_user.get(user, ()) if user is not None else self.streams):
            if stream.principal is not None and self.refused(stream.principal) is not None:
                stream.expire(End.REVOKED)

    def withdrawn(self, concerned: Callable[[Principal], bool]) -> None:
        """End the streams of principals whose key an authenticator has withdrawn."""
        for stream in list(self.streams):
            if stream.principal is not None and concerned(stream.principal):
                stream.expire(End.REVOKED)

    def heed(self, auth: object) -> None:
        """Watch, once, the withdrawals of an authenticator."""
        watch = getattr(auth, "watch", None)
        if watch is not None and id(auth) not in self._heeded:
            self._heeded[id(auth)] = (auth, watch(self.withdrawn))  # held, so that its id stays its own

    # -- life ------------------------------------------------------------------------------------------------

    async def life(self, app: web.Application) -> AsyncIterator[None]:
        """The `cleanup_ctx` of the application: the bus works from before the first stream until after the
        last."""
        # A mount in a sub-application has a bus of its own: its revocations apply to the streams here as
        # well.
        self.buses = tuple(dict.fromkeys((*self.buses, *_buses_below(app))))
        self.bus = self.buses[0] if self.buses else None
        self._parts = parts = LoopResources(None if self.bus is None else core_of(self.bus).runtime.fanout)
        self.closing = False
        self.debug = parts.loop.get_debug() if self._debug is None else self._debug
        async with contextlib.AsyncExitStack() as held:
            held.callback(parts.close)
            held.callback(Watchdog(parts.loop, self.measures.answered).close)
            self.measures.start(parts.loop)
            held.callback(self.measures.close)
            for bus in self.buses:
                core = core_of(bus)
                core.check_workers()
                if core.dumps is None:
                    core.encode_with(self.defaults.dumps)
                await core.start_for(self)
                self.measures.watch(core)
                if self.tracing is not None and core.publisher is not None:
                    core.publisher.tracing = self.tracing.published
                held.push_async_callback(core.close_for, self)
                held.callback(core.revocations.watch(self.revoked).dispose)
                core.quotas.bind(self, topics=self.limits.topics_per_user, keys=self.limits.keys_per_user)
                held.callback(core.quotas.release, self)
            held.callback(self._heed_nobody)
            for watch in _watchers_below(app):
                held.callback(watch(self))
            try:
                yield
            finally:
                self.closing = True

    def _heed_nobody(self) -> None:
        while self._heeded:
            _, stop = self._heeded.popitem()[1]
            stop()

    async def shutdown(self, app: web.Application) -> None:
        """Close every stream, each with its own reconnection time, and wait for them within the window."""
        self.closing = True
        if self._finish_runs and self.drain:
            await asyncio.gather(*(core_of(bus).runs.finish(self.drain) for bus in self.buses))
        await drained(self)


REGISTRY: web.AppKey[StreamRegistry] = web.AppKey("rx_sse.registry", StreamRegistry)
WATCHER: web.AppKey[Callable[[StreamRegistry], Callable[[], None]]] = web.AppKey("rx_sse.watcher")
"""In this application or a sub-application: begins to watch the outer application's streams when that
application starts, and returns the function that ends it. With several `setup` around it, each calls it, the
outermost first."""


def _below(app: web.Application) -> Iterator[web.Application]:
    """The applications that were added to one with `add_subapp`, and those below them."""
    for resource in app.router.resources():
        below = resource.get_info().get("app")
        if below is not None:
            yield below
            yield from _below(below)


def _buses_below(app: web.Application) -> list[Bus]:
    edges = [below.get(REGISTRY) for below in _below(app)]
    return [edge.bus for edge in edges if edge is not None and edge.bus is not None]


def _watchers_below(app: web.Application) -> list[Callable[[StreamRegistry], Callable[[], None]]]:
    return [part[WATCHER] for part in (app, *_below(app)) if WATCHER in part]


def registry_of(request: web.BaseRequest) -> StreamRegistry:
    """The registry of a request: that of the outermost application with a `setup`.

    Raises:
        UsageError: no application around the request was set up.
    """
    apps = request.match_info.apps if isinstance(request, web.Request) else ()
    for app in apps:
        if (edge := app.get(REGISTRY)) is not None:
            return edge
    raise UsageError("this application streams without rx_sse: call rx_sse.setup(app) before it is started")
