"""Checks of `check_bus`: positions as values, and a log's history as pages.

Standard: docs/positions.md.
Never: a sleep where an event can be awaited.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from rx_sse.bus.history import HistoryEntry
from rx_sse.testing.bench import Bench
from rx_sse.testing.listener import Listener

HOUR = timedelta(hours=1)


async def pages_of_history_are_what_was_published(bench: Bench) -> None:
    """From the oldest entry on, after any entry, and from any number of the newest; `next` leads through
    them."""
    async with bench.bus() as bus:
        topic = bench.topic()
        ids = [await bus.publish(topic, n, event="even" if n % 2 == 0 else None) for n in range(23)]
        entries: list[HistoryEntry] = []
        after: str | None = None
        while True:
            page = await bus.history(topic, after=after, limit=5)
            entries += page
            assert page.gap is None, f"a gap where nothing is missing: {page.gap}"
            if page.next is None:
                break
            after = page.next
        assert [entry.id for entry in entries] == ids, "the pages are not what was published"
        assert [(it.data, it.event) for it in entries[:2]] == [("0", "even"), ("1", None)]
        assert [entry.time for entry in entries] == sorted(entry.time for entry in entries)
        for n in (0, 11, 22):
            assert [it.id for it in await bus.history(topic, after=ids[n])] == ids[n + 1 :]
            assert [it.id for it in await bus.history(topic, last=n + 1)] == ids[22 - n :]


async def a_stream_goes_on_from_a_position(bench: Bench) -> None:
    """Exactly the events after it, while publishing continues, also for several topics together."""
    async with bench.bus() as bus:
        one, two = bench.topic(), bench.topic()

        async def publish(topic: str) -> list[str]:
            return [await bus.publish(topic, n) for n in range(40)]

        publishing = [asyncio.create_task(publish(topic)) for topic in (one, two)]
        for _ in range(5):
            await asyncio.sleep(0)
        position = await bus.position(one, two)
        client = Listener(bus, one, two, cursor=position)
        published = [await task for task in publishing]
        for topic, ids in zip((one, two), published, strict=True):
            begun = [entry.id for entry in await bus.history(topic, after=position, limit=500)]
            assert begun == ids[len(ids) - len(begun) :], "history(after=position) is not the newest entries"
            values = await _received(client, topic, len(begun))
            assert values == list(range(40 - len(begun), 40)), f"{values} after {40 - len(begun)} were behind"
        assert not client.gaps, "a gap where nothing is missing"


async def entries_since_a_time_are_found(bench: Bench) -> None:
    """By a duration, by a moment, and by the time of an entry; none since a future time."""
    async with bench.bus() as bus:
        topic = bench.topic()
        ids = [await bus.publish(topic, n) for n in range(12)]
        entries = await bus.history(topic)
        for since in (HOUR, datetime.now(UTC) - HOUR, entries[0].time):
            assert [entry.id for entry in await bus.history(topic, since=since)] == ids, f"since={since!r}"
            client = await Listener(bus, topic, since=since).received(12)
            assert client.values == list(range(12)), f"since={since!r}"
            client.cut()
        for entry in entries:
            found = await bus.history(topic, since=entry.time, limit=1)
            assert found[0].time == entry.time, f"since={entry.time} found {found[0].time}"
        later = datetime.now(UTC) + HOUR
        assert not await bus.history(topic, since=later), "entries since an hour to come"
        client = await Listener(bus, topic, since=later).opened()
        await bus.publish(topic, "new")
        await client.received(1)
        assert [event.data for event in client.events] == ["new"]


async def _received(client: Listener, topic: str, count: int) -> list[Any]:
    """The values of one of a client's topics, once it has `count`."""
    await client.until(lambda it: sum(event.topic == topic for event in it.events) >= count)
    return [event.json() for event in client.events if event.topic == topic]
