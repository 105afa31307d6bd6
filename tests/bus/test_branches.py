"""A log with two branches, of which each has a master: clients that go from one to the other and back."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rx_sse.bus import Bus
from rx_sse.bus.log.entry import TEXT, Draft
from rx_sse.bus.log.memory import MemoryLog
from rx_sse.bus.log.retention import Retention
from rx_sse.testing.listener import Listener


@asynccontextmanager
async def branches(common: int, first: int, second: int) -> AsyncIterator[tuple[Bus, Bus]]:
    """Two buses whose logs agree in `common` entries; each has some of its own behind them."""
    log = MemoryLog()
    for number in range(common):
        log.append(Draft("t", TEXT, f"c{number + 1}", None, Retention()))
    other = copy.deepcopy(log)
    async with Bus(log) as a, Bus(other) as b:
        for number in range(first):
            await a.publish("t", f"a{common + number + 1}")
        for number in range(second):
            await b.publish("t", f"b{common + number + 1}")
        yield a, b


class Wanderer:
    """A client that keeps what it got; a gap is its reason."""

    def __init__(self) -> None:
        self.got: list[str] = []
        self.cursor: str | None = None
        self.listener: Listener | None = None

    async def visit(self, bus: Bus, until: str, last: int = 0) -> list[str]:
        """Connect, read up to `until`, and disconnect; returns the received values."""
        listener = Listener(bus, "t", cursor=self.cursor, last=last)
        await listener.until(lambda it: until in said(it))
        self.cursor = listener.cut()
        self.got += said(listener)
        return said(listener)


def said(listener: Listener) -> list[str]:
    return [
        event.json()["reason"] if event.type == "stream-gap" else event.data
        for event in listener.written
        if event.type != "stream-cursor"
    ]


async def test_back_on_its_branch_it_goes_on_where_it_was() -> None:
    """The other branch is shorter, and its end stands in both: a cursor there would bring entries twice."""
    async with branches(common=2, first=3, second=0) as (a, b):
        client = Wanderer()
        assert await client.visit(a, "a5", last=9) == ["c1", "c2", "a3", "a4", "a5"]
        assert await client.visit(b, "unknown") == ["unknown"]
        await a.publish("t", "a6")
        assert await client.visit(a, "a6") == ["unknown", "a6"]


async def test_on_each_branch_nothing_comes_twice() -> None:
    async with branches(common=2, first=3, second=1) as (a, b):
        client = Wanderer()
        await client.visit(a, "a5", last=9)
        assert await client.visit(b, "unknown") == ["unknown"]
        await b.publish("t", "b4")
        assert await client.visit(b, "b4") == ["b4"], "the gap is sent once"
        await a.publish("t", "a6")
        assert await client.visit(a, "a6") == ["unknown", "a6"]
        await b.publish("t", "b5")
        await b.publish("t", "b6")
        await b.publish("t", "b7")
        assert await client.visit(b, "b7") == ["unknown", "b7"], "what has a higher number than what it had"
        await a.publish("t", "a7")
        assert await client.visit(a, "unknown") == ["unknown"]
        await a.publish("t", "a8")
        assert await client.visit(a, "a8") == ["a8"]


async def test_the_cursor_is_short_again_when_the_branch_has_passed() -> None:
    async with branches(common=2, first=3, second=0) as (a, b):
        client = Wanderer()
        await client.visit(a, "a5", last=9)
        plain = len(client.cursor or "")
        await client.visit(b, "unknown")
        for number in range(3, 7):
            await b.publish("t", f"b{number}")
            assert await client.visit(b, f"b{number}") == [f"b{number}"]
            assert (len(client.cursor or "") > plain * 1.5) is (number < 5)
