"""A legal but probably unintended use is logged, once a handler, with its name and the remedy."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import reactivex as rx
from aiohttp import web
from reactivex import operators as ops

import rx_sse
from rx_sse.testing import open_stream, serve

from .apps import app_of, exchange


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


async def test_a_position_that_is_not_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    bus = rx_sse.MemoryBus()

    def forgetful(request: web.Request) -> Any:
        return bus.events("t", after=None)

    def careful(request: web.Request) -> Any:
        return bus.events("t", after=rx_sse.last_event_id(request))

    app = app_of({"/forgetful": rx_sse.sse(forgetful), "/careful": rx_sse.sse(careful)}, bus=bus)
    async with serve(app) as url:
        for headers in ({}, {"Last-Event-ID": "1_a.0.5"}, {"Last-Event-ID": "1_a.0.5"}):
            for path in ("/forgetful", "/careful"):
                async with open_stream(url, path, headers=headers) as stream:
                    assert stream.status == 200
    (said,) = warnings(caplog)
    assert "forgetful: bus.events(after=None)" in said and "after=rx_sse.last_event_id(request)" in said


async def test_outside_of_a_request_there_is_none_to_ask_for(caplog: pytest.LogCaptureFixture) -> None:
    bus = rx_sse.MemoryBus()
    async with serve(app_of(rx_sse.sse(lambda request: rx.of(1)), bus=bus)) as url:
        await exchange(url, "GET /", "Last-Event-ID: 7")
        bus.events("t", after=None)
    assert warnings(caplog) == []


async def test_a_pipeline_that_makes_the_stream_live_only(caplog: pytest.LogCaptureFixture) -> None:
    bus = rx_sse.MemoryBus()

    class Shop:
        @rx_sse.sse
        def texts(self, request: web.Request) -> Any:
            events = bus.events("t", after=rx_sse.last_event_id(request))
            return events.pipe(ops.map(lambda event: event.json()))

        @rx_sse.sse
        def mapped(self, request: web.Request) -> Any:
            return bus.events("t", after=rx_sse.last_event_id(request), map=lambda event: event.json())

    app = app_of({"/texts": Shop().texts, "/mapped": Shop().mapped}, bus=bus)
    async with serve(app) as url:
        for path in ("/texts", "/texts", "/mapped"):
            async with open_stream(url, path) as stream:
                assert (await stream.next_event(control=True)).type == "stream-cursor"
                await bus.publish("t", {"a": 1})
                assert (await stream.next_event()).json() == {"a": 1}
    (said,) = warnings(caplog)
    assert "Shop.texts: its pipeline emits values without the position" in said
    assert "use filter= and map= of events()" in said


@pytest.mark.slow
async def test_who_holds_the_loop(caplog: pytest.LogCaptureFixture) -> None:
    @rx_sse.sse
    def operator(request: web.Request) -> Any:
        return rx.of(1, 2).pipe(ops.map(compute))

    @rx_sse.sse
    async def generator(request: web.Request) -> AsyncIterator[int]:
        yield 1
        end = time.monotonic() + 1.8
        while time.monotonic() < end:
            pass

    @rx_sse.sse
    async def patient(request: web.Request) -> AsyncIterator[int]:
        await asyncio.sleep(1.4)
        yield await asyncio.to_thread(compute, 1)

    app = app_of({"/operator": operator, "/generator": generator, "/patient": patient})
    async with serve(app) as url:
        for path in ("/operator", "/generator", "/patient"):
            assert (await exchange(url, f"GET {path}", timeout=10)).status == 200
    first, second = warnings(caplog)
    assert first.startswith("compute (") and "has held the event loop for over a second" in first
    assert "test_who_holds_the_loop.<locals>.generator (" in second
    assert first.count(" (") == 1, "a function that holds the loop itself is named once"
    assert all("asyncio.to_thread" in said and "test_warnings.py" in said for said in (first, second))


def compute(value: int) -> int:
    time.sleep(1.8)
    return value


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("retry", 3, "retry=3 is in milliseconds: clients reconnect after 3 ms; for 3 s give retry=3000"),
        ("heartbeat", 15_000, "heartbeat=15000 is in seconds, which is 250 minutes; for 15000 ms give"),
        ("write_timeout", 2_500.0, "write_timeout=2500 is in seconds, which is 42 minutes; for 2500 ms"),
    ],
)
def test_a_value_that_fits_the_other_unit(
    option: Any, value: float, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    options: Any = {option: value}

    @rx_sse.sse(**options)
    def ticks(request: web.Request) -> rx.Observable[int]:
        return rx.of(1)

    rx_sse.setup(web.Application(), **options)
    handler, application = warnings(caplog)
    assert words in handler and "ticks: " in handler
    assert words in application and application.startswith("rx_sse.setup: ")


def test_values_of_the_right_unit_are_not_mentioned(caplog: pytest.LogCaptureFixture) -> None:
    rx_sse.setup(web.Application(), retry=100, heartbeat=None, write_timeout=900, max_duration=86_400)
    rx_sse.setup(web.Application(), retry=0)
    assert warnings(caplog) == []
