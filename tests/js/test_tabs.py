"""One connection for all tabs of a browser, whatever happens to the tab that has it."""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from rx_sse.testing import serve

from ..devtools import browsing
from .chaos import Crowd, connections
from .pages import Numbers

pytestmark = pytest.mark.browser

KINDS = {
    "locks": ["close", "crash", "freeze", "navigate", "hang"],
    "worker": ["worker", "close", "crash", "freeze", "navigate"],
}


async def chaos(
    chromium: str,
    mode: str,
    *,
    tabs: int,
    events: int,
    seconds: float,
    pause: float,
    kinds: list[str] | None = None,
) -> Crowd:
    """Have numbers published while the tabs are disturbed; every tab that stays gets each of them once."""
    seed = time.time_ns()
    numbers = Numbers(history=5_000, mode=mode, heartbeat=1.0)
    async with serve(numbers.app) as url, browsing(chromium) as browser:
        crowd = Crowd(browser, url + "/", numbers, random.Random(seed))
        kinds = kinds or KINDS[mode]
        deadly = max(2, tabs // 6)
        await crowd.open(tabs)
        assert numbers.open == 1
        publishing = asyncio.create_task(numbers.send(events, seconds / events))
        turn = 0
        while not publishing.done():
            kind = kinds[turn % len(kinds)]
            turn += 1
            if kind in ("close", "crash") and crowd.done["close"] + crowd.done["crash"] >= deadly:
                kind = "navigate"
            await crowd.disturb(kind)
            await asyncio.wait([publishing], timeout=crowd.chance.uniform(0.5, 1.5) * pause)
        await publishing
        assert await connections(numbers, within=3.0) == 1
        for tab in crowd.whole:
            found = await crowd.seen(tab, events - 1)
            assert found["got"] == list(range(events)), (seed, mode, crowd.done, found["told"])
    print(
        f"{mode}: {len(crowd.whole)} of {tabs} tabs stayed and saw {events} events; {dict(crowd.done)}; "
        f"{numbers.opened['streams']} connections, one after another"
    )
    return crowd


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["worker", "locks"])
async def test_nothing_is_lost_or_doubled_while_leaders_go(chromium: str, mode: str) -> None:
    await chaos(chromium, mode, tabs=5, events=300, seconds=5.0, pause=0.3)


@pytest.mark.slow
async def test_a_leader_that_hangs_for_as_long_as_the_others_wait_is_replaced_once_for_all(
    chromium: str,
) -> None:
    await chaos(chromium, "locks", tabs=8, events=2_000, seconds=15.0, pause=0.3, kinds=["stall"])


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("mode", ["worker", "locks"])
async def test_a_minute_of_it_with_many_tabs(chromium: str, mode: str) -> None:
    crowd = await chaos(chromium, mode, tabs=25, events=10_000, seconds=60.0, pause=1.0)
    assert len(crowd.whole) >= 20
