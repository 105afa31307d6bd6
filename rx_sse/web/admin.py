"""What an operator looks at: health for the orchestrator, and a page with the open streams.

For `app.add_subapp("/admin", rx_sse.admin_app(auth=...))`:

* `GET /health/live`: 200 while the process answers.
* `GET /health/ready`: 503 while the application is closing, or while this process is deaf though others are
  not. Not while the broker is away: if every process turned red, an ingress would answer 503 for all of them,
  and a browser's EventSource gives up for good on that.
* `GET /health/broker`: 503 while published events do not reach this process.
* `GET /`: the page, to which `/admin` leads; `GET /streams`: the same, once a second, as an event stream;
  one connection for all tabs, where the application serves `rx_sse.js`.

Standard: the names are those of Kubernetes' probes.
Never: it shows a payload, a token or a query.
"""

from __future__ import annotations

import itertools
from dataclasses import asdict
from html import escape
from importlib.resources import files
from typing import Any

import reactivex as rx
from aiohttp import web

from rx_sse.bus.bus import core_of
from rx_sse.errors import Overloaded
from rx_sse.web.registry import StreamRegistry, registry_of
from rx_sse.web.rejection import Cause
from rx_sse.web.script import script_path
from rx_sse.web.sse import Auth, authenticate, sse
from rx_sse.wire.harmless import harmless

SHOWN = 200
"""Streams that the page shows, the longest queues first."""
PERIOD = 1.0


def admin_app(*, auth: Auth | None = None) -> web.Application:
    """An application with health and the inspector page.

    Args:
        auth: the authenticator of the page; the health endpoints are open to all. Without it the page is as
            open as its address is: mount it where only operators reach it.

    Returns:
        An application for `app.add_subapp("/admin", …)`, below one that was set up.
    """
    app = web.Application()

    async def page(request: web.Request) -> web.StreamResponse:
        if auth is not None:
            try:
                await authenticate(auth, request)
            except Overloaded as error:
                return registry_of(request).unavailable(request, error, Cause.UNKNOWN_TOKEN)
        client = escape(script_path(request) or "", quote=True)
        text = PAGE.read_text("utf-8").replace('data-client=""', f'data-client="{client}"', 1)
        return web.Response(text=text, content_type="text/html", headers=HEADERS)

    app.router.add_get("/health/live", _live)
    app.router.add_get("/health/ready", _ready)
    app.router.add_get("/health/broker", _broker)
    app.router.add_get("", _with_slash)
    app.router.add_get("/", page)
    app.router.add_get("/streams", sse(auth=auth, overflow="latest")(_streams))
    return app


PAGE = files("rx_sse.web") / "admin.html"
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self' 'unsafe-inline'; img-src data:",
}


async def _with_slash(request: web.Request) -> web.Response:
    """The page's own address: what it loads is relative to it, and so is this, whatever a proxy cut off."""
    raise web.HTTPPermanentRedirect(f"{request.rel_url.raw_name}/")


async def _live(request: web.Request) -> web.Response:
    return web.json_response({"live": True})


async def _ready(request: web.Request) -> web.Response:
    edge = registry_of(request)
    deaf = edge.bus is not None and core_of(edge.bus).deaf()
    ready = not edge.closing and not deaf
    return web.json_response(
        {"ready": ready, "closing": edge.closing, "deaf": deaf}, status=200 if ready else 503
    )


async def _broker(request: web.Request) -> web.Response:
    edge = registry_of(request)
    ready = edge.bus is None or edge.bus.ready()
    return web.json_response({"ready": ready, "bus": edge.bus is not None}, status=200 if ready else 503)


def _streams(request: web.Request) -> rx.Observable[dict[str, Any]]:
    edge = registry_of(request)
    return rx.interval(PERIOD).start_with(0).map(lambda _: snapshot(edge))


def snapshot(edge: StreamRegistry) -> dict[str, Any]:
    """The state of an application's streams, as the page shows it."""
    now = edge.parts.loop.time()
    longest = sorted(edge.streams, key=lambda stream: (-stream.outbox.size, stream.started))
    return {
        "stats": asdict(edge.stats()),
        "bus": None if edge.bus is None else asdict(edge.bus.stats()),
        "streams": [
            {
                "path": stream.label,
                "user": None if stream.principal is None else harmless(stream.principal.user),
                "age": round(now - stream.started, 1),
                "queued": len(stream.outbox),
                "bytes": stream.outbox.size,
                "dropped": stream.outbox.dropped,
                "sent": stream.connection.sent,
                "stalled": stream.connection.paused,
                "cursor": stream.cursor and harmless(stream.cursor),
            }
            for stream in itertools.islice(longest, SHOWN)
        ],
        "ended": [
            {
                "path": end.label,
                "reason": end.reason,
                "age": round(end.lasted, 1),
                "ago": round(now - end.at, 1),
            }
            for end in reversed(edge.recent)
        ],
    }
