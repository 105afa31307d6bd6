"""Positions as values, pages of history, and streams that begin at a time: on every bus."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rx_sse.bus import Bus, MemoryBus
from rx_sse.bus.history import HistoryEntry, HistoryPage
from rx_sse.bus.log.port import Page, Query
from rx_sse.bus.log.position import seq_of
from rx_sse.errors import BusClosed, Overloaded, TopicNameError, UsageError
from rx_sse.testing.listener import Listener

from .conftest import MakeBus
from .test_events import SlowLog

MINUTE = timedelta(minutes=1)
EXAMPLES = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def a_topic() -> str:
    return f"t{os.urandom(4).hex()}"


async def all_of(bus: Bus, topic: str, limit: int = 100, **begin: Any) -> list[HistoryEntry]:
    """A history to its end, page by page."""
    page = await bus.history(topic, limit=limit, **begin)
    entries = list(page)
    while page.next is not None:
        assert len(page) == limit and page.next == page.position == page[-1].id
        page = await bus.history(topic, after=page.next, limit=limit)
        assert page.gap is None
        entries += page
    return entries


@EXAMPLES
@given(
    st.lists(
        st.tuples(st.none() | st.sampled_from(["a", "named"]), st.text("aé\n", max_size=3) | st.integers()),
        max_size=12,
    ),
    st.integers(1, 6),
)
def test_pages_one_after_the_other_are_what_was_published(
    make_bus: MakeBus, published: list[tuple[str | None, Any]], limit: int
) -> None:
    async def run() -> None:
        async with make_bus() as bus:
            topic = a_topic()
            begun = await bus.position(topic)
            ids = [await bus.publish(topic, data, event=event) for event, data in published]
            entries = await all_of(bus, topic, limit)
            assert [entry.id for entry in entries] == ids
            assert [(entry.event, entry.data) for entry in entries] == [
                (event, data if isinstance(data, str) else str(data)) for event, data in published
            ]
            assert await all_of(bus, topic, limit, after=begun) == entries
            for index, id in enumerate(ids):
                assert await all_of(bus, topic, limit, after=id) == entries[index + 1 :]
                assert await all_of(bus, topic, limit, last=index + 1) == entries[-index - 1 :]
            assert [entry.time for entry in entries] == sorted(entry.time for entry in entries)

    asyncio.run(run())


@EXAMPLES
@given(st.integers(0, 8), st.integers(1, 30), st.integers(0, 6))
def test_a_stream_goes_on_from_a_position_while_publishing_goes_on(
    make_bus: MakeBus, before: int, during: int, turns: int
) -> None:
    """Exactly what the log took after the position, whatever is on its way when it is asked for."""

    async def run() -> None:
        async with make_bus() as bus:
            topic = a_topic()
            for number in range(before):
                await bus.publish(topic, -number)

            async def publish() -> None:
                for number in range(during):
                    await bus.publish(topic, number)

            publishing = asyncio.create_task(publish())
            for _ in range(turns):
                await asyncio.sleep(0)
            position = await bus.position(topic)
            shown = await bus.history(topic, limit=500)
            client = Listener(bus, topic, cursor=position)
            other = Listener(bus, topic, cursor=shown.position)
            await publishing
            expected = [entry.id for entry in await all_of(bus, topic, after=position)]
            await client.received(len(expected))
            await bus.publish(topic, "the end")
            await client.received(len(expected) + 1)
            assert [event.id for event in client.events[:-1]] == expected and not client.gaps
            await other.received(before + during - len(shown) + 1)
            ids = [entry.id for entry in shown] + [event.id for event in other.events]
            assert ids == [entry.id for entry in await all_of(bus, topic)]

    asyncio.run(run())


async def test_a_position_of_several_topics_is_one_cursor(make_bus: MakeBus) -> None:
    async with make_bus() as bus:
        one, two = a_topic(), a_topic()
        await bus.publish(one, "shown")
        position = await bus.position(one, two)
        client = Listener(bus, one, two, cursor=position)
        await bus.publish(two, "2")
        await bus.publish(one, "1")
        await client.received(2)
        assert sorted(event.data for event in client.events) == ["1", "2"] and not client.gaps
        assert client.written[0].json()["resumed"] is True


async def test_a_script_goes_on_from_a_position(make_bus: MakeBus) -> None:
    async with make_bus() as bus:
        topic = a_topic()
        first = await bus.publish(topic, 1)
        await bus.publish(topic, 2)
        events = bus.events(topic, after=first)
        for _ in range(2):  # each subscription begins there
            got: asyncio.Queue[Any] = asyncio.Queue()
            subscription = events.subscribe(lambda event, got=got: got.put_nowait(event.data))
            async with asyncio.timeout(10):
                assert await got.get() == "2"
            subscription.dispose()


async def test_a_script_is_told_what_its_position_has_lost(make_bus: MakeBus) -> None:
    async with make_bus() as bus:
        topic = a_topic()
        await bus.publish(topic, 1)
        told: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        subscription = bus.events(topic, after="1_aaaaaa.7.7", on_gap=told.set_result).subscribe()
        unknown = bus.events(topic, after="nonsense", on_gap=lambda gap: reasons.append(gap.reason))
        reasons: list[str] = []
        other = unknown.subscribe()
        client = Listener(bus, topic, cursor="nonsense")  # as a connection is
        await client.until(lambda it: bool(it.gaps))
        assert reasons == ["unknown"] and client.gaps[0].json()["reason"] == "unknown"
        for it in (subscription, other):
            it.dispose()


async def test_history_tells_what_the_log_no_longer_has(make_bus: MakeBus) -> None:
    async with make_bus(ttl=3600) as bus:
        topic = a_topic()
        bus.retain(topic, history=1)
        first = await bus.publish(topic, 1)
        while not (page := await bus.history(topic, after=first)).gap:  # Redis trims in blocks
            for number in range(200):
                await bus.publish(topic, number)
        assert page.gap.reason == "trimmed" and page.gap.topic == topic
        assert page.gap.last is not None and seq_of(page.gap.last) == 1
        other = await bus.publish(topic, "x")
        missing = other.rpartition(".")[0] + ".1"
        page = await bus.history(topic, after=missing)
        assert page.gap is not None and page.gap.reason == "unknown" and not page.entries
        assert page.position == other and page.next is None


async def test_an_end_is_in_the_history_under_the_name_that_it_has_on_a_stream(make_bus: MakeBus) -> None:
    async with make_bus() as bus:
        topic = a_topic()
        await bus.publish(topic, {"a": 1})
        await bus.end(topic, "sold out")
        await bus.publish(topic, "again")
        events = [(entry.event, entry.data) for entry in await bus.history(topic)]
        assert events == [(None, '{"a":1}'), ("stream-end", '{"reason":"sold out"}'), (None, "again")]
        assert (await bus.history(topic))[0].json() == {"a": 1}
        assert [entry.data for entry in (await bus.history(topic))[1:]] == ['{"reason":"sold out"}', "again"]


async def test_a_page_holds_so_much_and_says_where_it_goes_on(make_bus: MakeBus) -> None:
    async with make_bus() as bus:
        topic = a_topic()
        for number in range(5):
            await bus.publish(topic, str(number) * 400_000)
        page = await bus.history(topic)
        assert 1 <= len(page) <= 2 and page.next == page[-1].id
        following = await bus.history(topic, after=page.next)
        assert following[0].data[0] == str(len(page))
        empty = await bus.history(a_topic())
        assert isinstance(empty, HistoryPage) and not empty and empty.next is None and empty.gap is None


# -- since ---------------------------------------------------------------------------------------------------


class Times:
    """Entries whose times are known: published around moments at which the log's clock was looked at."""

    async def publish(self, bus: Bus, topic: str, count: int) -> tuple[list[str], datetime]:
        old = [await bus.publish(topic, n) for n in range(count)]
        newest = (await bus.history(topic, last=1))[0].time
        while (await self._tick(bus)) <= newest:
            pass
        moment = (await bus.history(self._probe, last=1))[0].time
        return old, moment

    _probe = "probe"

    async def _tick(self, bus: Bus) -> datetime:
        await asyncio.sleep(0.003)
        await bus.publish(self._probe, 0)
        return (await bus.history(self._probe, last=1))[0].time


@pytest.mark.parametrize(("old", "new"), [(0, 3), (1, 1), (7, 4), (5, 0)])
async def test_a_stream_and_a_page_begin_with_the_entries_since_a_moment(
    make_bus: MakeBus, old: int, new: int
) -> None:
    async with make_bus() as bus, make_bus() as elsewhere:
        topic = a_topic()
        _, moment = await Times().publish(bus, topic, old) if old else ([], datetime.now(UTC) - MINUTE)
        await asyncio.sleep(0.003)  # two processes may differ by a millisecond about the time of an entry
        ids = [await bus.publish(topic, 100 + n) for n in range(new)]
        assert [entry.id for entry in await bus.history(topic, since=moment)] == ids
        assert [entry.id for entry in await bus.history(topic, since=moment, limit=2)] == ids[:2]
        readers = [bus] if isinstance(bus, MemoryBus) else [bus, elsewhere]  # whose ring is empty
        for reader in readers:
            client = await Listener(reader, topic, since=moment).opened()
            last = await bus.publish(topic, "live")
            await client.until(lambda it, last=last: any(event.id == last for event in it.events))
            assert [event.id for event in client.events] == [*ids, last] and not client.gaps
            client.cut()
            ids.append(last)


async def test_a_duration_counts_back_from_the_subscription(make_bus: MakeBus) -> None:
    async with make_bus() as bus:
        topic = a_topic()
        ids = [await bus.publish(topic, n) for n in range(3)]
        assert [entry.id for entry in await bus.history(topic, since=MINUTE)] == ids
        client = await Listener(bus, topic, since=MINUTE).received(3)
        assert [event.id for event in client.events] == ids
        assert not await bus.history(topic, since=datetime.now(UTC) + timedelta(hours=1))
        from_now = await Listener(bus, topic, since=datetime.now(UTC) + timedelta(hours=1)).opened()
        last = await bus.publish(topic, "live")
        await from_now.received(1)
        assert [event.id for event in from_now.events] == [last]


async def test_a_client_that_comes_back_begins_at_its_cursor_whatever_since_says(make_bus: MakeBus) -> None:
    async with make_bus() as bus:
        topic = a_topic()
        for n in range(3):
            await bus.publish(topic, n)
        cursor = (await Listener(bus, topic, since=MINUTE).received(3)).cut()
        back = Listener(bus, topic, cursor=cursor, since=MINUTE)
        await bus.publish(topic, "new")
        await back.received(1)
        assert [event.data for event in back.events] == ["new"]


async def test_the_time_of_an_entry_finds_it(make_bus: MakeBus) -> None:
    async with make_bus() as bus:
        topic = a_topic()
        for n in range(20):
            await bus.publish(topic, n)
            await asyncio.sleep(0.0007)
        entries = list(await bus.history(topic))
        for entry in entries:
            found = await bus.history(topic, since=entry.time, limit=1)
            assert found[0].time == entry.time
        assert abs(entries[-1].time - datetime.now(UTC)) < MINUTE


async def test_an_age_is_by_the_clock_of_the_log() -> None:
    """A test's clock dates entries; the search is the same binary one, in the ring."""
    now = [1000.0]
    async with MemoryBus(clock=lambda: now[0]) as bus:
        ids: list[str] = []
        for n in range(50):
            ids.append(await bus.publish("t", n))
            now[0] += 10.0
        for back in range(1, 50):
            since = timedelta(seconds=10 * back)
            assert [entry.id for entry in await bus.history("t", since=since)] == ids[50 - back :]
            client = await Listener(bus, "t", since=since).received(back)
            assert [event.id for event in client.events] == ids[50 - back :]
            client.cut()


# -- what cannot be asked ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"since": datetime(2026, 1, 2)}, "no time zone"),
        ({"since": timedelta(seconds=-1)}, "in the future"),
        ({"since": 300}, "must be a timedelta, or a datetime"),
        ({"since": MINUTE, "last": 3}, "two beginnings"),
        ({"since": MINUTE, "after": "1_aaaaaa.1.1"}, "two beginnings"),
        ({"since": MINUTE, "snapshot": lambda topic: 0}, "two beginnings"),
    ],
)
async def test_a_beginning_that_makes_no_sense_is_refused(options: dict[str, Any], told: str) -> None:
    given: dict[str, Any] = {"after": None, **options}
    async with MemoryBus() as bus:
        with pytest.raises(UsageError, match=told):
            bus.events("t", **given)
        if "snapshot" not in options:
            with pytest.raises(UsageError, match=told):
                await bus.history("t", **options)


@pytest.mark.parametrize(
    "options",
    [
        {"after": "1_live"},
        {"after": ""},
        {"after": "1_aaaaaa.1.1"},
        {"after": 7},
        {"last": 0},
        {"last": True},
        {"limit": 0},
        {"limit": 501},
        {"limit": 2.5},
    ],
)
async def test_a_page_that_cannot_be_is_refused(options: dict[str, Any]) -> None:
    async with MemoryBus() as bus:
        with pytest.raises(UsageError):
            await bus.history("t", **options)


async def test_names_that_are_none_and_control_topics_are_not_shown() -> None:
    async with MemoryBus() as bus:
        await bus.revoke(user="ada", until=None)
        for name in ("!revocations", "a b", "orders:*", ""):
            with pytest.raises(TopicNameError):
                await bus.position(name)
            with pytest.raises(TopicNameError):
                await bus.history(name)
        for topics in ((), ("a", "a"), tuple(f"t{n}" for n in range(33))):
            with pytest.raises(UsageError):
                await bus.position(*topics)


async def test_a_bus_that_does_not_run_answers_nothing() -> None:
    bus = MemoryBus()
    for _ in range(2):
        with pytest.raises(BusClosed):
            await bus.position("t")
        with pytest.raises(BusClosed):
            await bus.history("t")
        async with bus:
            assert await bus.position("t")


async def test_a_log_that_does_not_answer_is_overloaded_and_one_that_recovers_is_asked_again() -> None:
    log = SlowLog()
    async with Bus(log, position_timeout=0.02) as bus:
        with pytest.raises(Overloaded, match="did not answer"):
            await bus.position("t")
        log.answer()  # no caller waits any more
        log.down = True
        with pytest.raises(Overloaded):
            await bus.history("t")
    log = SlowLog()
    log.down = True
    async with Bus(log) as bus:
        asked = asyncio.create_task(bus.history("t", since=MINUTE))
        await asyncio.sleep(0)
        log.down = False
        while not asked.done():
            log.answer()
            await asyncio.sleep(0.01)
        assert not await asked


async def test_a_bus_that_closes_answers_who_waits() -> None:
    log = SlowLog()
    log.down = True
    bus = Bus(log)
    await bus.start()
    asked = asyncio.create_task(bus.position("t"))
    await asyncio.sleep(0)
    await bus.close()
    with pytest.raises(BusClosed, match="before the log had answered"):
        await asked


class Counting(SlowLog):
    """Counts what is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def read(self, query: Query, done: Callable[[Page | None], None]) -> None:
        self.asked += not query.topic.startswith("!")
        self.log.read(query, done)


async def test_a_long_history_is_searched_with_few_questions() -> None:
    log = Counting()
    async with Bus(log) as bus:
        bus.retain("t", history=5000)
        for n in range(4000):
            bus.topic("t").on_next(n)
        last = await bus.publish("t", 4000)
        log.asked = 0
        page = await bus.history("t", since=datetime.now(UTC) + MINUTE)
        assert not page and page.position == last
        assert log.asked <= 2 + 12
