"""`dumps=` of an application holds at every door through which a value becomes an event."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import reactivex as rx
from aiohttp import web
from reactivex import operators as ops

import rx_sse
from rx_sse import ServerSentEvent
from rx_sse.testing import open_stream, serve
from rx_sse.wire.dumps import DUMPS

from .apps import app_of, exchange


class ObjectId: ...


def oid(value: Any) -> str:
    return json.dumps(value, default=lambda _: "oid")


VALUE = {"_id": ObjectId()}


async def generated(request: web.Request) -> AsyncIterator[Any]:
    yield ServerSentEvent(VALUE)
    await asyncio.sleep(0)
    yield ServerSentEvent(1).replace(data=VALUE)


async def late(request: web.Request) -> Any:
    await asyncio.sleep(0)
    return rx.of(ServerSentEvent(VALUE))


def timed(request: web.Request) -> Any:
    return rx.timer(0.01).pipe(ops.map(lambda _: VALUE))


DOORS: dict[str, Callable[[rx_sse.Bus], Any]] = {
    "a value": lambda bus: lambda request: rx.of(VALUE),
    "a value after a while": lambda bus: timed,
    "an event": lambda bus: lambda request: rx.of(1).pipe(ops.map(lambda _: ServerSentEvent(VALUE))),
    "an event of a coroutine handler": lambda bus: late,
    "events of a generator": lambda bus: generated,
    "as_events": lambda bus: lambda request: rx.of(VALUE).pipe(rx_sse.as_events(event="row")),
    "map": lambda bus: (
        lambda request: bus.events("t", after=rx_sse.last_event_id(request), last=1, map=lambda _: VALUE)
    ),
    "snapshot": lambda bus: (
        lambda request: bus.events("t", after=rx_sse.last_event_id(request), snapshot=lambda _: VALUE)
    ),
    "what was published": lambda bus: (
        lambda request: bus.events("v", after=rx_sse.last_event_id(request), last=1)
    ),
}


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
@pytest.mark.parametrize("where", ["setup", "handler"])
async def test_it_holds(door: Callable[[rx_sse.Bus], Any], where: str) -> None:
    bus = rx_sse.MemoryBus(dumps=oid if where == "handler" else None)
    options: dict[str, Any] = {"dumps": oid}
    if where == "setup":
        app = app_of(rx_sse.sse(door(bus)), bus=bus, **options)
    else:
        app = app_of(rx_sse.sse(**options)(door(bus)), bus=bus)
    async with serve(app) as url:
        await bus.publish("t", 1)
        await bus.publish("v", VALUE)
        async with open_stream(url) as stream:
            assert stream.status == 200
            assert (await stream.next_event()).json() == {"_id": "oid"}


async def test_one_handlers_encoder_is_not_the_next_ones() -> None:
    """On one connection, whose requests are served by one task."""
    seen: list[Any] = []

    async def plain(request: web.Request) -> web.Response:
        seen.append(DUMPS.get())
        return web.Response()

    app = app_of({"/": rx_sse.sse(dumps=oid)(lambda request: rx.of(VALUE)), "/plain": plain})
    async with serve(app) as url:
        reader, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), 5)
        writer.write(b"GET /plain HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        writer.close()
    assert seen == [None]


async def test_the_buss_own_is_kept() -> None:
    bus = rx_sse.MemoryBus(dumps=lambda value: '"own"')
    async with serve(app_of(rx_sse.sse(lambda request: rx.of(1)), bus=bus, dumps=oid)) as url:
        assert (await exchange(url, "GET /")).status == 200
        await bus.publish("t", VALUE)
        found = asyncio.get_running_loop().create_future()
        bus.events("t", after=None, last=1).subscribe(found.set_result)
        assert (await asyncio.wait_for(found, 5)).json() == "own"
