"""A bus that cannot tell its position: its own `position_timeout` is the only one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import reactivex as rx
from aiohttp import web

import rx_sse
from rx_sse.bus.bus import Bus
from rx_sse.testing import serve
from tests.bus.test_events import SlowLog
from tests.web.apps import app_of, exchange


@pytest.mark.parametrize("timeout", [0.02, 0.2])  # before and after the hold of the headers
@pytest.mark.parametrize("event_source", [True, False])
async def test_it_is_a_503_for_most_and_a_time_to_come_back_for_an_event_source(
    timeout: float, event_source: bool
) -> None:
    bus = Bus(SlowLog(), position_timeout=timeout)

    @rx_sse.sse
    def handler(request: web.Request) -> rx.Observable[Any]:
        return bus.events("t", after=rx_sse.last_event_id(request))

    accept = ("Accept: text/event-stream",) if event_source else ()
    async with serve(app_of(handler, bus=bus)) as url:
        begin = asyncio.get_running_loop().time()
        answer = await exchange(url, "GET /", *accept)
        assert asyncio.get_running_loop().time() - begin >= timeout
    if event_source:
        assert answer.status == 200 and b"retry: " in answer.body
    else:
        assert answer.status == 503 and int(answer.header("Retry-After") or "") >= 1
