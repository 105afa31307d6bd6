"""The demo's application: what the page needs, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import reactivex as rx
from aiohttp import web
from reactivex import operators as ops
from reactivex.subject import BehaviorSubject, Subject

import rx_sse
from rx_sse.demo.job import hashing
from rx_sse.demo.machine import readings
from rx_sse.demo.people import People

Readings = rx.Observable[dict[str, Any]]
STATIC = files("rx_sse.demo") / "static"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
SLOWEST = 5.0
"""Seconds between two readings, at the slider's end."""


class Live:
    """The one stream that everybody has: a clock, this machine, and messages to everyone, as named events."""

    def __init__(self) -> None:
        self._machine = readings()
        self._said: Subject[Any] = Subject()
        self._throttles: dict[str, BehaviorSubject[float]] = {}

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_get("/live", rx_sse.sse(overflow="drop_oldest")(self.stream))
        app.router.add_post("/live/throttle", self.throttle)
        app.router.add_post("/say", self.say)

    def stream(self, request: web.Request) -> rx.Observable[rx_sse.ServerSentEvent]:
        """A pipeline of this viewer's own, over sources that all viewers share."""
        viewer = request.query.get("viewer", "")[:64]
        seconds = self._throttles.setdefault(viewer, BehaviorSubject(_seconds(request.query.get("seconds"))))
        machine = seconds.map(self._at_pace).pipe(ops.switch_latest())
        clock = rx.interval(1.0).map(lambda n: n + 1).start_with(0).map(lambda n: {"ticks": n})
        return rx.merge(
            clock.pipe(rx_sse.as_events(event="clock")),
            machine.pipe(rx_sse.as_events(event="machine")),
            self._said,
        ).pipe(ops.finally_action(partial(self._forget, viewer)))

    def _at_pace(self, seconds: float) -> rx.Observable[dict[str, Any]]:
        if not seconds:
            return self._machine
        paced: Callable[[Readings], Readings] = rx_sse.throttle_latest(seconds)
        return self._machine.pipe(paced)

    def _forget(self, viewer: str) -> None:
        self._throttles.pop(viewer, None)

    async def throttle(self, request: web.Request) -> web.Response:
        """Change the pause of one viewer's pipeline, while it runs."""
        wanted = await request.json()
        if (subject := self._throttles.get(str(wanted["viewer"]))) is not None:
            subject.on_next(_seconds(wanted["seconds"]))
        return web.json_response({"seconds": _seconds(wanted["seconds"])})

    async def say(self, request: web.Request) -> web.Response:
        """Push a message to everyone who watches: one line."""
        text = str((await request.json())["text"])[:500]
        self._said.on_next(rx_sse.ServerSentEvent({"text": text}, event="said"))
        return web.json_response({"text": text})


def _seconds(value: Any) -> float:
    try:
        return min(SLOWEST, max(0.0, float(value)))
    except (TypeError, ValueError):
        return 0.0


@rx_sse.sse
def job(request: web.Request) -> Any:
    """Hash the files of a folder; an async generator is pulled as fast as the page reads."""
    return hashing(Path(request.query.get("folder") or Path(rx_sse.__file__).parent).expanduser())


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


def make_app(bus: rx_sse.Bus | None = None, secret: str | None = None) -> web.Application:
    """The demo's application.

    Args:
        bus: carries the messages of the two people; in this process alone if None.
        secret: what tokens are signed with, where several processes share the people.
    """
    bus = bus or rx_sse.MemoryBus(history=200)
    app = rx_sse.setup(web.Application(), bus=bus, retry=1500)
    Live().add_to(app)
    People(bus, secret).add_to(app)
    app.router.add_get("/job", job)
    app.router.add_get("/", page)
    app.router.add_get("/{name}", page)
    return app
