"""A stream without a cursor begins where its topic is, within the call that opens it."""

from __future__ import annotations

import asyncio

import pytest
import reactivex as rx
from aiohttp import web

import rx_sse
from rx_sse.bus.bus import Bus, core_of
from rx_sse.bus.topics import LINGER
from rx_sse.testing import open_stream, serve
from tests.bus.test_events import SlowLog
from tests.web.apps import app_of


def topic_app(bus: rx_sse.Bus) -> web.Application:
    @rx_sse.sse
    def handler(request: web.Request) -> rx.Observable[rx_sse.ServerSentEvent]:
        return bus.events("t", after=rx_sse.last_event_id(request))

    return app_of(handler, bus=bus)


async def test_its_first_block_is_the_position_and_the_next_event_follows_it() -> None:
    bus = rx_sse.MemoryBus()
    async with serve(topic_app(bus)) as url:
        before = await bus.publish("t", "before")
        async with open_stream(url, "/") as stream:
            opening = await stream.next_event(control=True)
            assert (opening.type, opening.id) == ("stream-cursor", before)
            after = await bus.publish("t", "after")
            event = await stream.next_event()
            assert (event.data, event.id) == ("after", after)


async def test_a_topic_that_has_ended_ends_it() -> None:
    bus = rx_sse.MemoryBus()
    async with serve(topic_app(bus)) as url:
        await bus.publish("t", 1)
        await bus.end("t")
        async with open_stream(url, "/") as stream:
            said = [event.type for event in await stream.events(2, control=True)]
            assert said == ["stream-cursor", "stream-end"]


async def test_a_position_that_the_process_does_not_know_is_waited_for() -> None:
    log = SlowLog()
    bus = Bus(log)
    async with serve(topic_app(bus)) as url:
        stream = open_stream(url, "/")
        opening = asyncio.create_task(stream.__aenter__())
        await asyncio.wait([opening], timeout=0.1)
        assert not opening.done()
        log.answer()
        opened = await opening
        try:
            await bus.publish("t", 1)
            assert (await opened.next_event()).json() == 1
        finally:
            await stream.__aexit__(None, None, None)


@pytest.mark.parametrize("published", [False, True])
async def test_its_topic_leaves_nothing_behind(published: bool) -> None:
    bus = rx_sse.MemoryBus()
    core = core_of(bus)
    async with serve(topic_app(bus)) as url:
        topics = len(core.topics)
        async with open_stream(url, "/") as stream:
            assert core.rosters.count("t") == 1
            assert len(core.rosters) == 1
            if published:
                await bus.publish("t", 1)
                await stream.next_event()
        while core.runtime.subscribers:
            await asyncio.sleep(0)
        assert len(core.rosters) == 0
        core.topics.sweep(core.runtime.now() + LINGER + 1)
        assert len(core.topics) == topics
