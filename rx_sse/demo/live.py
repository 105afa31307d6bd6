"""The one stream of a page: a clock and this machine's readings, and everything that is kept in topics.

A browser opens six HTTP/1.1 connections to an origin, over all of its tabs. So all cards of a page share one
stream, each with event names of its own. What comes from a topic has an id and is resumed after a reconnect;
the clock and the readings are transient, since a reading that was missed is of no use to anybody.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import reactivex as rx
from aiohttp import web
from reactivex import operators as ops

import rx_sse
from rx_sse.demo.body import fields
from rx_sse.demo.job import topic_of as job_of
from rx_sse.demo.machine import readings
from rx_sse.demo.people import topic_of

Readings = rx.Observable[dict[str, Any]]
EVERYONE = "everyone"
SLOWEST = 5.0
"""Seconds between two readings, at the slider's end."""


class Live:
    """The stream, and what changes it.

    Args:
        bus: has the topics.
        auth: reads a viewer's token.
    """

    def __init__(self, bus: rx_sse.Bus, auth: rx_sse.JWTAuth) -> None:
        self._bus = bus
        self._auth = auth
        self._machine = readings()

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_get("/viewers/{viewer}/events", rx_sse.sse(auth=self._auth)(self.stream))
        app.router.add_post("/viewers/{viewer}/throttle", self.throttle)
        app.router.add_post("/say", self.say)

    def stream(self, request: web.Request) -> rx.Observable[Any]:
        """Everything that one page shows, on one connection."""
        viewer = rx_sse.principal(request)
        people = [topic_of(person) for person in viewer.claims["people"]]
        kept = self._bus.events(
            EVERYONE, job_of(viewer.user), *people, after=rx_sse.last_event_id(request), last=20
        )
        clock = rx.interval(1.0).map(lambda n: n + 1).start_with(0).map(lambda n: {"ticks": n})
        # This viewer's own pipeline; the slider pushes into a topic, so it may reach any process.
        pause = self._bus.topic(_pause_of(viewer.user)).start_with(_seconds(request.query.get("seconds")))
        machine = pause.map(self._at_pace).pipe(ops.switch_latest())
        return rx.merge(
            kept,
            clock.pipe(rx_sse.as_events(event="clock", transient=True)),
            machine.pipe(rx_sse.as_events(event="machine", transient=True)),
        )

    def _at_pace(self, seconds: float) -> Readings:
        if not seconds:
            return self._machine
        paced: Callable[[Readings], Readings] = rx_sse.throttle_latest(seconds)
        return self._machine.pipe(paced)

    async def throttle(self, request: web.Request) -> web.Response:
        """Change the pause of one viewer's pipeline, while it runs."""
        viewer = (await self._auth(request)).user
        seconds = _seconds(*await fields(request, "seconds"))
        self._bus.topic(_pause_of(viewer)).on_next(seconds)
        return web.json_response({"seconds": seconds})

    async def say(self, request: web.Request) -> web.Response:
        """Push a message to everyone who watches: one line."""
        (said,) = await fields(request, "text")
        text = str(said)[:500]
        await self._bus.publish(EVERYONE, {"text": text}, event="said")
        return web.json_response({"text": text})


def _pause_of(viewer: str) -> str:
    return rx_sse.topic_name("pause", viewer)


def _seconds(value: Any) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        return 0.0
    return min(SLOWEST, max(0.0, seconds)) if math.isfinite(seconds) else 0.0
