"""The headers of a stream leave when the bus knows where the stream begins, whatever else has emitted."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import reactivex as rx
from aiohttp import web
from reactivex.disposable import Disposable

import rx_sse
from rx_sse.bus.bus import Bus
from rx_sse.testing import open_stream, serve
from tests.bus.test_events import SlowLog
from tests.web.apps import app_of, exchange


def ticking(bus: Bus, ticked: asyncio.Event, *, first: bool, late: bool) -> Any:
    """A handler whose stream is a topic, and beside it a source that has something to say at once."""

    def tick(emit: Any, _: Any = None) -> Any:
        def now() -> None:
            emit.on_next({"tick": True})
            ticked.set()

        if late:
            asyncio.get_running_loop().call_soon(now)
        else:
            now()
        return Disposable()

    @rx_sse.sse
    def handler(request: web.Request) -> rx.Observable[Any]:
        kept = bus.events("t", after=rx_sse.last_event_id(request))
        clock: rx.Observable[Any] = rx.create(tick).pipe(rx_sse.as_events(event="tick", transient=True))
        return rx.merge(clock, kept) if first else rx.merge(kept, clock)

    return handler


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("late", [True, False])
async def test_an_open_stream_gets_what_is_published_from_then_on(first: bool, late: bool) -> None:
    log, ticked = SlowLog(), asyncio.Event()
    bus = Bus(log)
    async with serve(app_of(ticking(bus, ticked, first=first, late=late), bus=bus)) as url:
        stream = open_stream(url, "/")
        opening = asyncio.create_task(stream.__aenter__())
        await ticked.wait()
        await asyncio.wait([opening], timeout=0.1)
        assert not opening.done(), "the tick is no reason to send the headers: the position is not known"
        await bus.publish("t", "before")  # its place in the log is before the stream's
        log.answer()
        opened = await opening
        try:
            await bus.publish("t", "after")
            seen = [await opened.next_event() for _ in range(2)]
            said = [(event.type, event.data) for event in seen]
            assert said == [("tick", '{"tick":true}'), ("message", "after")]
        finally:
            await stream.__aexit__(None, None, None)


async def test_a_position_that_does_not_come_in_time_is_a_503_though_another_source_has_emitted() -> None:
    bus, ticked = Bus(SlowLog(), position_timeout=0.05), asyncio.Event()
    async with serve(app_of(ticking(bus, ticked, first=True, late=False), bus=bus)) as url:
        answer = await exchange(url, "GET /")
    assert ticked.is_set() and answer.status == 503
