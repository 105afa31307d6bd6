"""An application in use, for the admin page: several routes, readers that keep up and readers that do not,
topics, presence, runs; in real sockets, in this process."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import reactivex as rx
from aiohttp import web

import rx_sse
from rx_sse.errors import StreamError
from rx_sse.testing import OpenStream, open_stream, serve

NAMES = ("ada", "ben", "cleo", "dmitri", "eve", "farid", "grace", "hana", "ida", "jonas")
SAME = {"Sec-Fetch-Site": "same-origin"}


async def user_of(request: web.Request) -> rx_sse.Principal | None:
    """The user that the query names: an authenticator for tests."""
    name = request.query.get("user")
    return None if name is None else rx_sse.Principal(name)


def application(bus: rx_sse.Bus | None = None, **admin: Any) -> web.Application:
    """An application with routes of several kinds, and the admin page."""
    app = rx_sse.setup(web.Application(), bus=bus, write_timeout=600.0)

    def ticks(request: web.Request) -> rx.Observable[int]:
        return rx.interval(0.2)

    def orders(request: web.Request) -> rx.Observable[Any]:
        assert bus is not None
        topic = rx_sse.topic_name("orders", request.match_info["shop"])
        return bus.events(topic, after=rx_sse.last_event_id(request))

    def camera(request: web.Request) -> rx.Observable[str]:
        return rx.interval(0.01).map(lambda number: f"{number:08d}" + "x" * 20_000)

    app.router.add_get("/ticks", rx_sse.sse(ticks))
    app.router.add_get("/orders/{shop}", rx_sse.sse(auth=user_of)(orders))
    app.router.add_get("/camera", rx_sse.sse(auth=user_of, overflow="drop_oldest")(camera))
    app.add_subapp("/admin", rx_sse.admin_app(**admin))
    return app


async def progress(steps: int, pause: float) -> AsyncIterator[dict[str, int]]:
    """The source of a run."""
    for step in range(steps):
        yield {"step": step}
        await asyncio.sleep(pause)


@asynccontextmanager
async def busy(app: web.Application, bus: rx_sse.Bus, *, shops: int = 6) -> AsyncIterator[str]:
    """The application in use: 50 streams, of which three are stalled.

    Yields:
        Its address.
    """
    async with AsyncExitStack() as held, serve(app) as url:

        async def opened(path: str, **options: Any) -> OpenStream:
            return await held.enter_async_context(open_stream(url, path, **options))

        shoppers = (f"/orders/shop-{n % shops}?user={NAMES[n % 10]}-{n // 10}" for n in range(36))
        readers = [await opened(path) for path in shoppers]
        readers += [await opened("/ticks") for _ in range(9)]
        readers += [await opened(f"/camera?user={NAMES[n]}") for n in range(2)]
        for n in range(3):
            stalled = await opened(f"/camera?user={NAMES[n + 5]}", receive_buffer=4096)
            stalled.stall()
        async with open_stream(url, "/ticks"):
            pass  # one that has left
        await bus.run("report-2026-11", lambda: progress(1_000, 0.5))
        await bus.run("import-customers", lambda: progress(1_000, 0.9))
        done = await bus.run("thumbnails", lambda: progress(3, 0.0))
        await done.result()
        await bus.run("invoices", rx.throw(StreamError("no paper", status=409)))
        tasks = [asyncio.create_task(_read(reader)) for reader in readers]
        tasks.append(asyncio.create_task(_publish(bus, shops)))
        try:
            yield url
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _read(reader: OpenStream) -> None:
    while True:
        await reader.next_event(timeout=600.0)


async def _publish(bus: rx_sse.Bus, shops: int) -> None:
    number = 0
    while True:
        number += 1
        for shop in range(0, shops, 1 + number % 3):
            order = {"order": number, "item": "a lamp", "total": 1_249.5 + number}
            await bus.publish(rx_sse.topic_name("orders", f"shop-{shop}"), order, event="placed")
        await asyncio.sleep(0.1 + 0.06 * math.sin(number / 60))


async def post(url: str, action: str, body: Any, **headers: str) -> tuple[int, Any]:
    """Do something, as the page does it: status and answer."""
    async with aiohttp.ClientSession(headers={**SAME, **headers}) as session:
        async with session.post(f"{url}/admin/actions/{action}", json=body) as answer:
            return answer.status, await answer.json(content_type=None)
