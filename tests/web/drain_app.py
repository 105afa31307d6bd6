"""The application of the tests of a drain, in three layouts: `python -m tests.web.drain_app PORT`, or under
gunicorn. Its environment says which, and where its files are."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import reactivex as rx
from aiohttp import web

import rx_sse

LAYOUT, FOLDER = "RX_SSE_LAYOUT", "RX_SSE_FOLDER"
LAYOUTS = ("one application", "setup on the parent", "setup on the sub-application")
DRAIN = 1.2
HELD = 0.3
"""Seconds that the clean-up of a source takes."""


def prefix(layout: str) -> str:
    """What stands before the paths."""
    return "" if layout == LAYOUTS[0] else "/api"


def application(layout: str, folder: Path) -> web.Application:
    """The numbers of a topic at `/plain` and `/mapped`, and at `/held` a source that needs a database until
    its end."""
    bus = rx_sse.SQLiteBus(folder / "log.db")
    database = {"open": False}

    async def life(app: web.Application) -> AsyncIterator[None]:
        database["open"] = True
        yield
        database["open"] = False

    @rx_sse.sse
    def plain(request: web.Request) -> rx.Observable[rx_sse.ServerSentEvent]:
        return bus.events("numbers", after=rx_sse.last_event_id(request))

    @rx_sse.sse
    def mapped(request: web.Request) -> rx.Observable[rx_sse.ServerSentEvent]:
        events = bus.events("numbers", after=rx_sse.last_event_id(request))
        return events.map(lambda event: event.replace(data=event.data))

    @rx_sse.sse
    async def held(request: web.Request) -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(HELD)
            with (folder / "closed").open("a") as log:
                log.write(f"{os.getpid()} with an open database: {database['open']}\n")

    inside = web.Application()
    inside.cleanup_ctx.append(life)
    for handler in (plain, mapped, held):
        inside.router.add_get(f"/{handler.__name__}", handler)
    around = inside if layout == LAYOUTS[0] else web.Application()
    rx_sse.setup(inside if layout == LAYOUTS[2] else around, bus=bus, drain=DRAIN)
    if around is not inside:
        around.add_subapp(prefix(layout), inside)
    return around


def configured() -> web.Application:
    """The application that the environment describes."""
    return application(os.environ[LAYOUT], Path(os.environ[FOLDER]))


async def factory() -> web.Application:
    """For gunicorn."""
    return configured()


if __name__ == "__main__":
    web.run_app(configured(), host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
