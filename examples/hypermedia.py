"""htmx 4 and Datastar on one page.

Both take finished pieces of HTML over event streams. htmx swaps the data of unnamed messages; Datastar has
events of its own, which its Python package writes as text. `RawFrame` sends such text untouched.
"""

from __future__ import annotations

from datetime import datetime
from html import escape

import loopback
import reactivex as rx
from aiohttp import web
from datastar_py import ServerSentEventGenerator
from reactivex import operators as ops
from reactivex.subject import BehaviorSubject

import rx_sse

HTMX = "https://cdn.jsdelivr.net/npm/htmx.org@4.0.1/dist"
DATASTAR = "https://cdn.jsdelivr.net/gh/starfederation/datastar@1.0.0/bundles/datastar.js"

PAGE = """<!doctype html><meta charset=utf-8><title>Hypermedia</title><link rel=icon href="data:,">
<script src="{htmx}/htmx.min.js"></script><script src="{htmx}/ext/hx-sse.min.js"></script>
<script type=module src="{datastar}"></script>
<h2>htmx</h2><p id=clock hx-sse:connect="/clock" hx-swap=innerHTML></p>
<p id=countdown hx-sse:connect="/countdown" hx-sse:close="stream-end" hx-swap=innerHTML></p>
<h2>Datastar</h2><div data-init="@get('/board')"><p id=board></p></div>
<form hx-post="/say" hx-swap=none><input name=text><button>Say it to everyone</button></form>
"""

said: BehaviorSubject[str] = BehaviorSubject("nothing yet")
routes = web.RouteTableDef()


@routes.get("/clock")
@rx_sse.sse
def clock(request: web.Request) -> rx.Observable[str]:
    """Plain messages whose data is HTML: what htmx swaps."""
    return rx.interval(1.0).start_with(0).map(lambda _: f"<b>{datetime.now():%H:%M:%S}</b>")


@routes.get("/countdown")
@rx_sse.sse
def countdown(request: web.Request) -> rx.Observable[str]:
    """A stream that ends. htmx would open it again and again; `hx-sse:close` names the end."""
    return rx.interval(0.2).pipe(ops.take(6)).map(lambda n: f"{5 - n} …" if n < 5 else "<b>lift-off</b>")


@routes.get("/board")
@rx_sse.sse
def board(request: web.Request) -> rx.Observable[rx_sse.RawFrame]:
    """Datastar's own events, as its package writes them. Encoded once, for all who watch."""
    return board_frames


def patch(text: str) -> rx_sse.RawFrame:
    """A Datastar event that replaces the board."""
    return rx_sse.RawFrame(str(ServerSentEventGenerator.patch_elements(f"<p id=board>{escape(text)}</p>")))


board_frames: rx.Observable[rx_sse.RawFrame] = said.pipe(ops.map(patch))


@routes.post("/say")
async def say(request: web.Request) -> web.Response:
    """Push a text to everyone."""
    said.on_next(str((await request.post())["text"])[:200])
    return web.Response(status=204)


def make_app(htmx: str = HTMX, datastar: str = DATASTAR) -> web.Application:
    """The application, and where its page finds the two libraries."""
    app = rx_sse.setup(web.Application(middlewares=[loopback.guard]))
    app.add_routes(routes)
    app.router.add_get("/", loopback.page(PAGE.format(htmx=htmx, datastar=datastar)))
    return app


if __name__ == "__main__":
    loopback.run(make_app())
