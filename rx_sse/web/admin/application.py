"""The routes of `app.add_subapp("/admin", rx_sse.admin_app(auth=...))`.

* `GET /health/…`: see `health`; open to all.
* `GET /`: the page, to which `/admin` leads.
* `GET /streams?find=&route=&sort=`: what it shows, once a second, as an event stream, with an event `rates`
  for the charts every few seconds; one connection for all tabs, where the application serves `rx_sse.js`.
* `POST /actions/{name}`: see `actions`.
* `GET /follow?topic=`: see `follow`.

Never: it shows a token or a query; or a payload, except to users that may act.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

from rx_sse.errors import Overloaded, UsageError
from rx_sse.web.admin.access import Access
from rx_sse.web.admin.actions import Actions
from rx_sse.web.admin.board import REFRESH, Board
from rx_sse.web.admin.follow import Follow
from rx_sse.web.admin.health import add_health
from rx_sse.web.admin.page import asset, assets, page
from rx_sse.web.admin.wanted import Wanted
from rx_sse.web.registry import WATCHER, registry_of
from rx_sse.web.rejection import Cause
from rx_sse.web.sse import Auth, sse


def admin_app(*, auth: Auth | None = None, scope: str | None = "admin") -> web.Application:
    """An application with health and the admin page.

    Args:
        auth: the authenticator of the page; the health endpoints need none. Without it the page is as
            accessible as its address: mount it where only operators reach it.
        scope: the scope that a principal needs for the actions of the page (end a stream, revoke a user, stop
            a run, publish, follow a topic). Without `auth` no viewer has a scope, so the page only displays.
            None: seeing the page suffices for acting.

    Returns:
        An application for `app.add_subapp("/admin", …)`, below one that was set up.

    Raises:
        UsageError: a scope that is not a non-empty string.
    """
    if scope is not None and (not isinstance(scope, str) or not scope):
        raise UsageError(f"admin_app(scope={scope!r}) must be the name of a scope, or None for none")
    assets()  # missing package files are detected at the start
    board, access = Board(), Access(auth, scope)
    pages = _Pages(board, access)
    app = web.Application()
    app[WATCHER] = board.watch
    add_health(app)
    app.router.add_get("", _with_slash)
    app.router.add_get("/", pages.page)
    app.router.add_get("/streams", sse(auth=auth)(pages.streams))
    app.router.add_get("/follow", sse(auth=auth)(Follow(access).stream))
    app.router.add_post("/actions/{name}", Actions(board, access).post)
    app.router.add_get("/{name}", asset)
    return app


class _Pages:
    def __init__(self, board: Board, access: Access) -> None:
        self._board = board
        self._access = access

    async def page(self, request: web.Request) -> web.StreamResponse:
        try:
            who = await self._access.viewer(request)
        except Overloaded as error:
            return registry_of(request).unavailable(request, error, Cause.UNKNOWN_TOKEN)
        return page(request, self._access, who)

    def streams(self, request: web.Request) -> AsyncIterator[Any]:
        self._access.check_origin(request)
        return _looks(self._board, Wanted.of(request.query))


async def _looks(board: Board, wanted: Wanted) -> AsyncIterator[Any]:
    """The content of a page, for as long as it is open."""
    number = -1
    while True:
        found = await board.look(wanted)
        if number != board.number:
            number = board.number
            found = found | {"rates": board.rates()}
        yield found
        await asyncio.sleep(REFRESH)


async def _with_slash(request: web.Request) -> web.Response:
    """Redirect to the page's own address: the page's links are relative to it, and so is this redirect,
    whatever prefix a proxy removed."""
    raise web.HTTPPermanentRedirect(f"{request.rel_url.raw_name}/")
