"""Two users at once, each with a value of their own in a context variable, as a middleware sets it for each
request, on real sockets.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

from aiohttp import web

import rx_sse
from rx_sse.testing import OpenStream, open_stream, serve

tenant: ContextVar[str] = ContextVar("tenant", default="nobody")
USERS = ("alice", "bob")


@web.middleware
async def sets_tenant(request: web.Request, handler: Any) -> web.StreamResponse:
    """What structlog, OpenTelemetry, Sentry and translations do for each request."""
    tenant.set(request.query.get("me", "?"))
    response: web.StreamResponse = await handler(request)
    return response


@asynccontextmanager
async def both(
    handler: Callable[[web.Request], Any], **options: Any
) -> AsyncIterator[tuple[web.Application, dict[str, OpenStream]]]:
    """A stream of each user, both open; `options` are those of `rx_sse.setup`."""
    app = rx_sse.setup(web.Application(middlewares=[sets_tenant]), **options)
    app.router.add_get("/", rx_sse.sse(handler))
    async with (
        serve(app) as url,
        open_stream(url, "/?me=alice") as alice,
        open_stream(url, "/?me=bob") as bob,
    ):
        yield app, {"alice": alice, "bob": bob}
