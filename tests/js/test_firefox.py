"""Tabs of a Firefox: one connection, everything once and in order while tabs are closed and reloaded.

No driver: a page opens the tabs, and they report what they saw.
"""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from rx_sse.testing import serve

from ..browser import Page, visiting_firefox
from ..web.apps import until
from .pages import Numbers

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TABS, EVENTS, SECONDS = 6, 400, 6.0

OPENER = """
const tabs = Array.from({length: %d}, (_, n) => open("/tab?" + n, "_blank"));
const pause = ms => new Promise(done => setTimeout(done, ms));
const ready = () => tabs.every(tab => tab.me?.state === "open");
while (!ready()) await pause(20);
report("ready");
for (let n = 0; n < 2; n++) {
    await pause(800);
    const asked = tab => tab.asked ?? 0;
    const leader = tabs.toSorted((a, b) => asked(b) - asked(a))[0];  // where a worker asks, any
    if (n) leader.location.reload();
    else { leader.close(); tabs.splice(tabs.indexOf(leader), 1); }
}
while (!tabs.every(tab => tab.got?.at(-1) === %d)) await pause(50);
report(tabs.map(tab => [...tab.got]), tabs.map(tab => tab.told.map(([kind]) => kind)));
"""


@pytest.mark.parametrize("mode", ["worker", "locks"])
async def test_everything_once_and_in_order(firefox: str, mode: str) -> None:
    numbers = Numbers(mode=mode, heartbeat=1.0)
    page = Page(OPENER % (TABS, EVENTS - 1))
    app: web.Application = numbers.app
    page.add_to(app, "/opener")
    app.router.add_get("/tab", numbers.show)
    async with serve(app) as url, visiting_firefox(firefox, f"{url}/opener"):
        assert await page.seen(timeout=40) == ["ready"]
        await until(lambda: numbers.open == 1)
        sending = asyncio.create_task(numbers.send(EVENTS, SECONDS / EVENTS))
        got, told = await page.seen(timeout=40)
        await sending
        assert numbers.open == 1
    assert got == [list(range(EVENTS))] * (TABS - 1)
    assert "gap" not in {kind for kinds in told for kind in kinds}
