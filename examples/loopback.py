"""What all examples share: they serve this machine alone.

A page on the web can send requests to a server on 127.0.0.1, and it can give its own name that address (DNS
rebinding) to read the answers. So a request must name this machine in `Host`, and a request that a page sends
must come from one of this server's own pages (`Origin`).
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

import rx_sse

HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


@web.middleware
async def guard(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Refuse what another site's page has sent."""
    origin = request.headers.get("Origin")
    if request.url.host not in HOSTS or (origin is not None and origin != str(request.url.origin())):
        raise web.HTTPForbidden(text="this example answers only its own pages, on this machine")
    return await handler(request)


def page(html: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    """A handler that answers with a page."""

    async def handler(request: web.Request) -> web.Response:
        return web.Response(text=html, content_type="text/html")

    return handler


def app(program: str, routes: web.RouteTableDef, bus: rx_sse.Bus) -> web.Application:
    """The application of a program whose page is a file beside it: `chat.html` of `chat.py`."""
    made = rx_sse.setup(web.Application(middlewares=[guard]), bus=bus)
    made.add_routes(routes)
    made.router.add_get("/", page(Path(program).with_suffix(".html").read_text("utf-8")))
    return made


def run(app: web.Application) -> None:
    """Serve the application on this machine, at the port in `PORT` or at 8080, until Ctrl-C."""
    web.run_app(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8080")))
