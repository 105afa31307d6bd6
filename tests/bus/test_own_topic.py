"""A topic of the library's own is read from its backlog on, and an entry that cannot be read ends nothing."""

from __future__ import annotations

import asyncio
from typing import Any

from rx_sse.bus import MemoryBus
from rx_sse.bus.bus import core_of
from rx_sse.bus.log.entry import TEXT, Draft
from rx_sse.bus.log.retention import Retention
from rx_sse.bus.own_topic import OwnTopic
from rx_sse.wire import ServerSentEvent

KEPT = Retention(entries=10)


class Numbers(OwnTopic):
    """Takes numbers."""

    NAME = "!numbers"
    BACKLOG = 2
    FAILED = "a number could not be read"

    def __init__(self, bus: MemoryBus) -> None:
        core = core_of(bus)
        super().__init__(core.runtime, core.topics, KEPT)
        self.taken: list[int] = []
        self.more = asyncio.Event()

    def put(self, text: str) -> None:
        self._runtime.log.append(Draft(self.NAME, TEXT, text, None, KEPT))

    def take(self, event: ServerSentEvent) -> None:
        self.more.set()
        self.taken.append(int(event.data))

    async def until(self, taken: list[int]) -> None:
        async with asyncio.timeout(20):
            while self.taken != taken:
                self.more.clear()
                await self.more.wait()


async def test_it_begins_with_its_backlog_and_follows_until_it_is_stopped() -> None:
    async with MemoryBus() as bus:
        numbers = Numbers(bus)
        for text in ("1", "2", "3"):
            numbers.put(text)
        numbers.start()
        numbers.start()
        await numbers.until([2, 3])
        numbers.put("4")
        await numbers.until([2, 3, 4])
        numbers.stop()
        numbers.put("5")
        await asyncio.sleep(0)
        assert numbers.taken == [2, 3, 4] and numbers.reader is None


async def test_an_entry_that_cannot_be_read_is_reported_and_the_next_is_taken() -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    async with MemoryBus() as bus:
        numbers = Numbers(bus)
        numbers.put("none")
        numbers.start()
        numbers.put("1")
        await numbers.until([1])
        numbers.put("neither")
        numbers.put("2")
        await numbers.until([1, 2])
    assert [context["message"] for context in reported] == ["rx_sse: a number could not be read"] * 2
