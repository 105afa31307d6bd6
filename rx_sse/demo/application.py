"""The demo's application: what the page needs, and nothing else."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from aiohttp import web

import rx_sse
from rx_sse.demo.guard import own_pages
from rx_sse.demo.job import Jobs
from rx_sse.demo.live import Live
from rx_sse.demo.people import People

STATIC = files("rx_sse.demo") / "static"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}


async def page(request: web.Request) -> web.Response:
    """The page and what belongs to it."""
    name = request.match_info.get("name", "index.html")
    kind = TYPES.get(Path(name).suffix)
    if kind is None or not (file := STATIC / name).is_file():
        raise web.HTTPNotFound
    headers = {
        "Cache-Control": "no-cache",
        "Content-Security-Policy": "default-src 'self'; img-src 'self' data:",
    }
    return web.Response(text=file.read_text("utf-8"), content_type=kind, headers=headers)


PACKAGE = Path(rx_sse.__file__).parent


def make_app(
    bus: rx_sse.Bus | None = None,
    secret: str | None = None,
    *,
    folder: Path = PACKAGE,
    names: tuple[str, ...] = (),
) -> web.Application:
    """The demo's application.

    Args:
        bus: carries what is kept in topics; in this process alone if None.
        secret: what tokens are signed with, where several processes share the viewers.
        folder: the one whose files a job may read.
        names: of this machine, beside ``localhost``.
    """
    bus = bus or rx_sse.MemoryBus(history=200)
    app = rx_sse.setup(web.Application(middlewares=[own_pages(*names)]), bus=bus, retry=3000)
    people = People(bus, secret)
    for part in (people, Live(bus, people.auth), Jobs(bus, people.auth, folder)):
        part.add_to(app)
    app.router.add_get("/", page)
    app.router.add_get("/{name}", page)
    return app
