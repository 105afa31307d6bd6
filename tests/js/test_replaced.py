"""How long tabs are without a connection when whoever had it is gone."""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from rx_sse.testing import serve

from ..devtools import browsing
from ..web.apps import until
from .chaos import Crowd
from .pages import Numbers

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# Seconds: what is promised, and what a machine that is busy with other tests may need.
PROMISED, AT_MOST = 1.0, 3.0


@pytest.mark.parametrize(
    ("mode", "how"),
    [
        ("locks", "close"),
        ("locks", "crash"),
        ("locks", "freeze"),
        ("locks", "navigate"),
        ("locks", "hang"),
        ("worker", "worker"),
    ],
)
async def test_a_lost_leader_is_replaced(chromium: str, mode: str, how: str) -> None:
    numbers = Numbers(mode=mode, heartbeat=1.0)
    async with serve(numbers.app) as url, browsing(chromium) as browser:
        crowd = Crowd(browser, url + "/", numbers, random.Random(1))
        await crowd.open(4)
        before = numbers.opened["streams"]
        started = time.monotonic()
        disturbing = asyncio.create_task(crowd.disturb(how))
        await until(lambda: numbers.opened["streams"] > before, timeout=10)
        took = time.monotonic() - started
        await disturbing
        await numbers.send(3)
        for tab in crowd.whole:
            assert (await crowd.seen(tab, 2))["got"] == [0, 1, 2]
    print(f"{mode}, {how}: another connection after {took * 1000:.0f} ms (promised {PROMISED * 1000:.0f})")
    assert took < AT_MOST
