"""How long tabs are without a connection when the tab that had it is gone."""

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


# A tab that has heard nothing for a while says hello again. Here the hello is said late, as by a busy tab: after
# the tab has got events of the hub that answers.
LATE_HELLO = """{
    delete globalThis.SharedWorker;
    const Channel = BroadcastChannel;
    globalThis.BroadcastChannel = class extends Channel {
        postMessage(message) {
            if (message.k === "hi" && message.live) {
                globalThis.again = () => super.postMessage({ ...message, e: undefined, fresh: 1 });
            }
            super.postMessage(message);
        }
    };
    globalThis.me = open_stream("/numbers", {});
    globalThis.numbers = () => me.got.filter(([type]) => type === "message").map(([, data]) => +data);
}"""


async def test_an_answer_to_a_late_hello_delivers_no_event_again(chromium: str) -> None:
    numbers = Numbers(mode="locks")
    async with serve(numbers.app) as url, browsing(chromium) as browser:
        leader = await browser.open(url + "/bare")
        await leader.until("!!globalThis.open_stream")
        await leader.run(LATE_HELLO)
        await leader.until("me.state === 'open'")
        tab = await browser.open(url + "/bare")
        await tab.until("!!globalThis.open_stream")
        await tab.run(LATE_HELLO)
        await tab.until("me.state === 'open'")
        await numbers.send(1)
        await tab.until("numbers().length === 1")
        await leader.close()  # the tab has the connection now, and has said hello with its position
        await tab.until("!!globalThis.again && me.state === 'open'")
        await until(lambda: numbers.opened["streams"] == 2, timeout=10)
        await numbers.send(2)
        await tab.until("numbers().length === 3")
        await tab.run("again()")
        await numbers.send(1)
        await tab.until("numbers().at(-1) === 3")
        assert await tab.run("numbers()") == [0, 1, 2, 3]
