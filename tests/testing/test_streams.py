"""`serve` and `open_stream`: what they refuse says what to do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import reactivex as rx
from aiohttp import web

import rx_sse
from rx_sse.testing import open_stream


async def first_event(app: web.Application) -> Any:
    async with open_stream(app, "/") as stream:
        return (await stream.next_event(timeout=5)).json()


def test_an_application_of_another_test_is_refused_with_the_remedy() -> None:
    app = rx_sse.setup(web.Application())
    app.router.add_get("/", rx_sse.sse(lambda request: rx.of(1)))
    assert asyncio.run(first_event(app)) == 1
    with pytest.raises(rx_sse.UsageError, match="make one for each test, in a function or a fixture"):
        asyncio.run(first_event(app))


async def test_an_application_is_served_twice_by_one_loop() -> None:
    app = rx_sse.setup(web.Application())
    app.router.add_get("/", rx_sse.sse(lambda request: rx.of(1)))
    assert [await first_event(app), await first_event(app)] == [1, 1]


async def test_a_failure_of_a_start_stays_as_it_is() -> None:
    async def fail(app: web.Application) -> None:
        raise RuntimeError("no database")

    app = rx_sse.setup(web.Application())
    app.on_startup.append(fail)
    with pytest.raises(RuntimeError, match="no database"):
        await first_event(app)
