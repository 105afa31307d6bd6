"""A bus's life, and what is left of those who came and went."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import tracemalloc
from typing import Any

import pytest

from rx_sse.bus import Bus, MemoryBus
from rx_sse.bus.bus import core_of
from rx_sse.bus.gap import Gap
from rx_sse.bus.log.entry import TEXT, Entry
from rx_sse.bus.log.position import new_position
from rx_sse.bus.resume.stream_cursor import StreamCursor
from rx_sse.bus.runtime import BusError
from rx_sse.errors import TopicNameError, UsageError
from rx_sse.testing.listener import Listener

from .conftest import MakeBus
from .logs import memory_of

MODULE_LEVEL = MemoryBus()
"""Made at import, where no loop runs."""


@pytest.mark.parametrize("time", ["first", "second"])
async def test_a_bus_at_module_level_works_across_loops(time: str) -> None:
    async with MODULE_LEVEL as bus:
        listener = await Listener(bus, "t", last=10).opened()
        await bus.publish("t", time)
        assert [event.data for event in listener.events] == [time], "another life has another history"


def test_a_loop_that_ended_without_close_does_not_keep_the_bus() -> None:
    bus = MemoryBus()

    async def use() -> list[Any]:
        await bus.start()
        got: list[Any] = []
        bus.topic("t").subscribe(got.append)
        await bus.publish("t", 1)
        return got

    assert asyncio.run(use()) == [1] and asyncio.run(use()) == [1]


async def test_a_second_loop_gets_a_clear_error() -> None:
    async with MemoryBus() as bus:
        await bus.start()  # again on the same loop: nothing
        with pytest.raises(UsageError, match="another loop"):
            await asyncio.to_thread(asyncio.run, bus.start())


async def test_wrong_use_has_its_own_error() -> None:
    async with MemoryBus() as bus:
        for source in (bus.topic("t"), bus.events("t", after=None), bus.presence("t")):
            with pytest.raises(UsageError, match="endless"):
                await source
        with pytest.raises(UsageError):
            bus.events(after=None)
        with pytest.raises(UsageError):
            bus.events(*[f"t{n}" for n in range(33)], after=None)
        with pytest.raises(UsageError, match="last_event_id"):
            bus.events("t", after=7)  # type: ignore[arg-type]
        with pytest.raises(UsageError):
            await bus.revoke()
        for name in ("user:*", "a b", "!revocations"):
            for call in (bus.topic, bus.presence, lambda name: bus.events(name, after=None)):
                with pytest.raises(TopicNameError):
                    call(name)


async def test_gaps_without_a_connection_and_failures_of_sources_go_to_errors() -> None:
    troubles: list[BusError] = []
    told: list[Gap] = []
    async with MemoryBus() as bus:
        bus.errors.subscribe(troubles.append)
        bus.events("t", after=StreamCursor("garbage"), on_gap=told.append).subscribe(lambda _: None)
        bus.topic("t").on_error(ValueError("a source failed"))
        bus.events("t", after=None, filter=lambda event: bool(1 / 0), on_gap=told.append).subscribe(
            lambda _: None
        )
        await asyncio.sleep(0)
        await bus.publish("t", 1)
        assert [gap.reason for gap in told] == ["unknown", "failed"]
        assert [trouble.gap.reason for trouble in troubles if trouble.gap] == ["unknown", "failed"]
        assert [type(trouble.error) for trouble in troubles if trouble.error] == [
            ValueError,
            ZeroDivisionError,
        ]
        assert bus.stats().troubles == 4


async def test_a_filter_that_raises_is_a_gap_for_that_entry_alone() -> None:
    def odd(event: Any) -> bool:
        if event.json() == 2:
            raise ValueError("two")
        return True

    async with MemoryBus() as bus:
        bus.errors.subscribe(lambda _: None)
        listener = await Listener(bus, "t", filter=odd).opened()
        for number in range(5):
            await bus.publish("t", number)
        assert listener.values == [0, 1, 3, 4]
        assert len(listener.gaps) == 1 and listener.gaps[0].json()["missed"] == 1
        resumed = await Listener(bus, "t", cursor=listener.gaps[0].id).received(2)
        assert resumed.values == [3, 4] and not resumed.gaps


async def test_map_keeps_the_position() -> None:
    async with MemoryBus() as bus:
        listener = await Listener(bus, "t", map=lambda event: {"double": event.json() * 2}).opened()
        for number in range(3):
            await bus.publish("t", number)
        assert [value["double"] for value in listener.values] == [0, 2, 4]
        resumed = await Listener(bus, "t", cursor=listener.events[1].id).received(1)
        assert resumed.values == [2]


async def test_one_of_two_topics_is_trimmed_while_the_client_reads_the_other(make_bus: MakeBus) -> None:
    """`a`, `a` and `b`, `a`, both again: one gap, for `b` only, and nothing of `a` is lost."""
    async with make_bus(history=100) as bus:
        got: list[str] = []
        cursor: str | None = None
        for step, topics in enumerate((("a",), ("a", "b"), ("a",), ("a", "b"), ("a", "b"))):
            listener = await Listener(bus, *topics, cursor=cursor).opened()
            for topic in topics:
                await bus.publish(topic, f"{topic}{step}")
            last = {f"{topic}{step}" for topic in topics}
            await listener.until(lambda it, last=last: last <= {event.data for event in it.events})
            cursor = listener.cut()
            got += [event.data if event.type != "stream-gap" else "gap" for event in listener.written[1:]]
            if step == 2:
                for number in range(500):
                    bus.topic("b").on_next(f"b:{number}")
                await core_of(bus).delivered()
        assert [it for it in got if it.startswith("a")] == [f"a{step}" for step in range(5)]
        of_b = [it for it in got if not it.startswith("a")]
        kept = len(of_b) - 4
        assert of_b == ["b1", "gap", *(f"b:{number}" for number in range(500 - kept, 500)), "b3", "b4"]
        assert 100 <= kept + 1 < 500


async def test_a_snapshot_is_made_once_for_all_who_wait_for_it() -> None:
    calls: list[str] = []
    go = asyncio.Event()

    async def snapshot(topic: str) -> str:
        calls.append(topic)
        await go.wait()
        return "state"

    async with MemoryBus() as bus:
        listeners = [Listener(bus, "t", user="a", snapshot=snapshot) for _ in range(5)]
        other = Listener(bus, "t", user="b", snapshot=snapshot)
        await asyncio.sleep(0.001)
        await bus.publish("t", "change")
        late = Listener(bus, "t", user="a", snapshot=snapshot)
        await asyncio.sleep(0.001)
        go.set()
        for listener in (*listeners, other, late):
            await listener.received(2)
            assert [event.data for event in listener.events] == ["state", "change"]
        assert calls == ["t", "t"], "once for each user"


async def test_a_failing_snapshot_fails_its_stream() -> None:
    async with MemoryBus() as bus:
        listener = Listener(bus, "t", snapshot=lambda topic: 1 / 0)
        await listener.until(lambda it: it.error is not None)
        assert isinstance(listener.error, ZeroDivisionError) and bus.stats().subscriptions == 0


async def test_subscribing_from_a_thread_works_and_so_does_leaving() -> None:
    async with MemoryBus() as bus:
        got: list[Any] = []
        subscription = await asyncio.to_thread(bus.topic("t").subscribe, got.append)
        await bus.publish("t", 1)
        await asyncio.to_thread(subscription.dispose)
        await bus.publish("t", 2)
        assert got == [1] and bus.stats().subscriptions == 0


async def test_who_leaves_amid_a_burst_hears_nothing_more_and_others_do() -> None:
    async with MemoryBus() as bus:
        one, other = list[int](), list[int]()

        def once(value: int) -> None:
            one.append(value)
            subscription.dispose()

        subscription = bus.topic("t").subscribe(once)
        bus.topic("t").subscribe(other.append)
        for value in (1, 2, 3):
            bus.topic("t").on_next(value)
        await core_of(bus).delivered()
        assert one == [1] and other == [1, 2, 3]


@pytest.mark.parametrize("count", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
async def test_users_that_came_and_went_leave_nothing(count: int) -> None:
    clock = [1000.0]
    async with MemoryBus(ttl=60.0, clock=lambda: clock[0]) as bus:

        def visit(number: int) -> None:
            topic = bus.topic(f"user:{number}")
            feed = bus.events(f"user:{number}", after=StreamCursor(None, user=str(number))).subscribe(
                lambda _: None
            )
            values = topic.subscribe(lambda _: None)
            topic.on_next({"n": number})
            feed.dispose()
            values.dispose()

        def over() -> None:
            """The time that a topic lingers passes, then the life of what was touched."""
            core_of(bus).tick(core_of(bus).runtime.now())
            core_of(bus).tick(core_of(bus).runtime.now() + 100.0)
            clock[0] += 100.0
            while memory_of(bus).sweep():
                pass

        visit(0)
        await core_of(bus).delivered()
        over()
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for number in range(count):
            visit(number)
            if number % 100 == 0:
                await asyncio.sleep(0)
        await core_of(bus).delivered()
        gc.collect()
        full = tracemalloc.get_traced_memory()[0] - before
        over()
        gc.collect()
        left = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        stats = bus.stats()
        print(f"{count} users: {full / count:.0f} bytes each, {left} left")
        assert stats.subscriptions == 0 and stats.topics == 1 and stats.stored_bytes == 0
        assert left < full * 0.05


async def test_a_topic_keeps_its_ring_for_a_while_after_its_last_listener() -> None:
    async with MemoryBus() as bus:
        (await Listener(bus, "t").opened()).cut()
        assert bus.stats().topics == 2, "the revocations and t"
        core_of(bus).tick(core_of(bus).runtime.now() + 29.0)
        assert bus.stats().topics == 2
        listener = await Listener(bus, "t").opened()
        core_of(bus).tick(core_of(bus).runtime.now() + 100.0)
        assert bus.stats().topics == 2, "a listener reconnected"
        await bus.publish("t", 1)
        assert listener.values == [1]
        listener.cut()
        core_of(bus).tick(core_of(bus).runtime.now() + 31.0)
        assert bus.stats().topics == 1


async def test_a_bus_says_when_it_is_one_of_several(monkeypatch: pytest.MonkeyPatch) -> None:
    core_of(MemoryBus()).check_workers()
    monkeypatch.setenv("WEB_CONCURRENCY", "4")
    with pytest.warns(RuntimeWarning, match="4 workers"):
        core_of(MemoryBus()).check_workers()
    assert multiprocessing.parent_process() is None


async def test_ready_and_stats() -> None:
    bus: Bus = MemoryBus()
    assert not bus.ready() and not bus.stats().running
    async with bus:
        await Listener(bus, "t").opened()
        await bus.publish("t", 1)
        stats = bus.stats()
        assert bus.ready() and stats.published == 1 and stats.delivered == 1 and stats.subscriptions == 1


async def test_an_entry_that_was_delivered_holds_no_text_beside_its_chunk() -> None:
    """A lagging client keeps it until its events are written."""
    async with MemoryBus() as bus:
        local = core_of(bus).topics.local("t")
        assert local.position is not None
        entry = Entry(new_position(1, 7), local.position, TEXT, "a text")
        local.ring.append(entry, 0.0)
        local.arrived(entry)
        assert local.position == entry.position and entry.text is None
        assert entry.data == "a text" and b"a text" in (entry.chunk or b"")
