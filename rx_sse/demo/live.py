"""The one stream of a browser: the content of all its pages, except for the progress of a job (job.py).

A browser opens six HTTP/1.1 connections to an origin, over all of its tabs. So all cards of all tabs share
one stream, each with event names of its own. Events of a topic have an id and are resumed after a reconnect;
the clock, the readings and the marbles are transient: a missed one is of no use later.

A new page fetches `history` first: the stream may be open already, and continues from now.
"""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Callable
from typing import Any

import reactivex as rx
from aiohttp import web
from reactivex import operators as ops

import rx_sse
from rx_sse.demo.body import fields, new_key
from rx_sse.demo.job import topic_of as job_of
from rx_sse.demo.machine import readings
from rx_sse.demo.people import topic_of
from rx_sse.demo.pipeline import marbles, pipeline
from rx_sse.demo.settings import Settings
from rx_sse.demo.slow import SlowReader

EVERYONE = "everyone"
KILL = "kill"
"""The topic that tells a process to die."""
LAST = 20
"""Entries of each topic that a new page shows."""


class Live:
    """The stream, and the routes that change it.

    Args:
        bus: stores the topics.
        auth: reads a viewer's token.
        supervised: whether a page may kill this process.
    """

    def __init__(self, bus: rx_sse.Bus, auth: rx_sse.JWTAuth, *, supervised: bool = False) -> None:
        self._bus = bus
        self._auth = auth
        self._supervised = supervised
        self._machine = readings()
        self._settings = Settings(bus, auth)
        self._slow = SlowReader()

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        self._settings.add_to(app)
        self._slow.add_to(app)
        app.router.add_get("/viewers/{viewer}/events", rx_sse.sse(auth=self._auth)(self.stream))
        app.router.add_get("/viewers/{viewer}/history", self.history)
        app.router.add_post("/viewers/{viewer}/marble", self.marble)
        app.router.add_post("/say", self.say)
        if self._supervised:
            app.router.add_post("/viewers/{viewer}/kill", self.kill)
            app.cleanup_ctx.append(self._mortal)

    def stream(self, request: web.Request) -> rx.Observable[Any]:
        """The content of all pages of one browser, on one connection."""
        viewer = rx_sse.principal(request)
        kept = self._bus.events(*_kept(viewer), after=rx_sse.last_event_id(request), last=0)
        chosen = self._settings.of(viewer.user)
        own = self._bus.topic(_marbles_of(viewer.user))
        source = rx.merge(marbles(), own).pipe(ops.share())
        slow = _changes(chosen, "policy").map(lambda policy: self._slow.watched(policy, request))
        return rx.merge(
            kept,
            source.pipe(_transient("source")),
            pipeline(source, _changes(chosen, "operator")).pipe(_transient("result")),
            slow.pipe(ops.switch_latest(), _transient("slow")),
            rx.interval(1.0).start_with(-1).map(self._clock).pipe(_transient("clock")),
            self._machine.pipe(_transient("machine")),
            chosen.pipe(_transient("settings")),
        )

    async def history(self, request: web.Request) -> web.Response:
        """The newest entries of the viewer's topics, as the stream would have sent them, and its settings."""
        viewer = await self._auth(request)
        pages = [await self._bus.history(topic, last=LAST) for topic in _kept(viewer)]
        found = [
            {"type": entry.event or "message", "data": entry.data, "time": entry.time.timestamp()}
            for page in pages
            for entry in page
        ]
        settings = self._settings.now(viewer.user)
        return web.json_response({"settings": settings, "supervised": self._supervised, "entries": found})

    async def marble(self, request: web.Request) -> web.Response:
        """Push a marble into the viewer's own pipeline."""
        viewer = (await self._auth(request)).user
        (number,) = await fields(request, "number")
        if type(number) is not int or not 0 <= number <= 99:
            raise web.HTTPBadRequest(text=f"number={number!r} is no integer from 0 to 99")
        await self._bus.publish(_marbles_of(viewer), number)
        return web.json_response({"number": number})

    async def say(self, request: web.Request) -> web.Response:
        """Push a message to all viewers: one line."""
        (said,) = await fields(request, "text")
        text = str(said)[:500]
        await self._bus.publish(EVERYONE, {"text": text, "key": new_key()}, event="said")
        return web.json_response({"text": text})

    async def kill(self, request: web.Request) -> web.Response:
        """Make a process of the demo die as in a crash: no goodbye to any client, no clean-up."""
        await self._auth(request)
        (process,) = await fields(request, "process")
        await self._bus.publish(KILL, process)
        return web.json_response({"process": process})

    async def _mortal(self, _: web.Application) -> AsyncIterator[None]:
        """Die when a page requests it, in whichever process the request arrived."""
        here = self._bus.topic(KILL).filter(lambda process: process == os.getpid())
        with here.subscribe(lambda pid: os.kill(pid, signal.SIGKILL), scheduler=rx_sse.LoopScheduler()):
            yield

    def _clock(self, ticks: int) -> dict[str, int]:
        """The tick, the number of viewers, and the id of this process."""
        return {
            "ticks": ticks + 1,
            "people": len(self._bus.presence(EVERYONE).members),
            "process": os.getpid(),
        }


def _kept(viewer: rx_sse.Principal) -> list[str]:
    """The topics whose events are never lost for a viewer."""
    return [EVERYONE, job_of(viewer.user), *map(topic_of, viewer.claims["people"])]


def _changes(chosen: rx.Observable[dict[str, str]], name: str) -> rx.Observable[str]:
    return chosen.map(lambda settings: settings[name]).pipe(ops.distinct_until_changed())


def _transient(event: str) -> Callable[[rx.Observable[Any]], rx.Observable[Any]]:
    made: Callable[[rx.Observable[Any]], rx.Observable[Any]] = rx_sse.as_events(event=event, transient=True)
    return made


def _marbles_of(viewer: str) -> str:
    return rx_sse.topic_name("marbles", viewer)
