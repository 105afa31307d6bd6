"""The demo's application: what the page needs, and nothing else."""

from __future__ import annotations

import asyncio
import re
from importlib.resources import files
from pathlib import Path

from aiohttp import web

import rx_sse
from rx_sse.demo.document import document_page
from rx_sse.demo.guard import own_pages
from rx_sse.demo.history import make_bus
from rx_sse.demo.job import Jobs
from rx_sse.demo.live import Live
from rx_sse.demo.people import People
from rx_sse.demo.viewers import Viewers

STATIC = files("rx_sse.demo") / "static"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
}


async def page(request: web.Request) -> web.Response:
    """The page and what belongs to it."""
    name = request.match_info.get("name", "index.html")
    kind = TYPES.get(Path(name).suffix)
    if kind is None or Path(name).name != name or not (file := STATIC / name).is_file():
        raise web.HTTPNotFound
    return web.Response(text=file.read_text("utf-8"), content_type=kind, headers=HEADERS)


async def document(request: web.Request) -> web.Response:
    """A page of the documentation, where the package runs in a clone."""
    name = request.match_info["name"]
    # A name that was sent as `..%2f…` has slashes by now.
    if not re.fullmatch(r"[\w-]+\.md", name) or not (file := DOCS / name).is_file():
        raise web.HTTPNotFound(text=f"{name} is a page of docs/ in a clone of rx_sse; this is none")
    text = document_page(name, await asyncio.to_thread(file.read_text, "utf-8"))
    return web.Response(text=text, content_type="text/html", headers=HEADERS)


PACKAGE = Path(rx_sse.__file__).parent
DOCS = PACKAGE.parent / "docs"
PAUSE = 0.03
"""Seconds: with it, hashing this library takes about as long as a reload or a second tab."""


def make_app(
    bus: rx_sse.Bus | None = None,
    secret: str | None = None,
    *,
    folder: Path = PACKAGE,
    names: tuple[str, ...] = (),
    pause: float = PAUSE,
    supervised: bool = False,
) -> web.Application:
    """The demo's application.

    Args:
        bus: carries what is kept in topics; in this process alone if None.
        secret: what tokens are signed with, where several processes share the viewers.
        folder: the one whose files a job may read.
        names: of this machine, beside ``localhost``.
        pause: seconds that a job waits for between two files.
        supervised: whether another process takes the place of this one if it dies; then the page may kill it.
    """
    bus = bus or make_bus(db="")
    app = rx_sse.setup(web.Application(middlewares=[own_pages(*names)]), bus=bus, retry=1000)
    viewers = Viewers(secret)
    auth = viewers.auth
    for part in (
        viewers,
        People(bus, auth),
        Live(bus, auth, supervised=supervised),
        Jobs(bus, auth, folder, pause),
    ):
        part.add_to(app)
    app.add_subapp("/admin", rx_sse.admin_app(scope=None))
    app.router.add_get("/docs/{name}", document)
    app.router.add_get("/", page)
    app.router.add_get("/{name}", page)
    return app
