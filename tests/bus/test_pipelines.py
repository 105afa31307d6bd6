"""Operators between the bus and the connection: cut anywhere, nothing is lost in silence."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest
import reactivex as rx
from reactivex import operators as ops
from reactivex.subject import Subject

from rx_sse.bus import Bus
from rx_sse.bus.bus import core_of
from rx_sse.bus.resume.stream_cursor import StreamCursor
from rx_sse.reactive import LoopScheduler, as_events
from rx_sse.testing.listener import Listener
from rx_sse.wire.event import ServerSentEvent

from .conftest import MakeBus

COUNT = 12
Pipe = Callable[[rx.Observable[Any]], rx.Observable[Any]]


def numbers(event: ServerSentEvent) -> list[int]:
    """The entries that an event on the wire stands for."""
    value = event.json()
    return value if isinstance(value, list) else [value["n"] if isinstance(value, dict) else int(value)]


def twice(event: ServerSentEvent) -> rx.Observable[ServerSentEvent]:
    return rx.of(event.replace(comment="first"), event.replace(comment="second"))


PIPES: dict[str, tuple[Pipe, int]] = {
    "nothing": (lambda source: source, 1),
    "filter": (lambda source: source.pipe(ops.filter(lambda event: int(event.data) % 3 == 2)), 1),
    "replace": (lambda source: source.pipe(ops.map(lambda event: event.replace(event="named"))), 1),
    "flat_map": (lambda source: source.pipe(ops.flat_map(twice)), 2),
    "debounce": (lambda source: source.pipe(ops.debounce(0.004)), 1),
    "delay": (lambda source: source.pipe(ops.delay(0.01)), 1),
    "buffer": (
        lambda source: source.pipe(
            ops.buffer_with_count(3), ops.map(lambda them: [int(e.data) for e in them])
        ),
        1,
    ),
    "map to dict": (lambda source: source.pipe(ops.map(lambda event: {"n": int(event.data)})), 1),
    "start_with": (lambda source: source.pipe(ops.start_with({"n": -1})), 1),
    "merge": (lambda source: source, 1),
}
"""What a handler does with its events, and how many events it makes of one. All let the last one through."""
ONCE = ("nothing", "delay", "merge")
AT_LEAST_ONCE = ("replace", "flat_map")
LIVE_ONLY = ("buffer", "map to dict", "start_with")


def topics_of(name: str) -> tuple[str, ...]:
    """What it listens to."""
    return ("t", "u") if name == "merge" else ("t",)


def handler(bus: Bus, name: str) -> Callable[[StreamCursor], rx.Observable[Any]]:
    """What a handler returns, given its cursor."""
    scheduler = LoopScheduler(asyncio.get_running_loop())

    def source(handle: StreamCursor) -> rx.Observable[Any]:
        feeds = rx.merge(*(bus.events(topic, after=handle) for topic in topics_of(name)))
        piped = PIPES[name][0](feeds)
        return rx.create(lambda observer, _: piped.subscribe(observer, scheduler=scheduler))

    return source


@pytest.mark.parametrize("name", PIPES)
async def test_a_cut_anywhere_loses_nothing_in_silence(name: str, make_bus: MakeBus) -> None:
    outputs = PIPES[name][1]
    topics = topics_of(name)
    async with make_bus() as bus:
        source = handler(bus, name)
        listener = await Listener(bus, source=source).opened()
        for number in range(COUNT):
            await bus.publish(topics[number % len(topics)], number)
            if number % 4 == 3:
                await asyncio.sleep(0.015)  # a burst is over, for debounce
        last = COUNT - 1
        await listener.until(lambda it: sum(last in numbers(event) for event in it.events) == outputs)
        await core_of(bus).delivered()  # and what the position has to say after it
        written = list(listener.written)
        assert len(written) > 3
        kept = {n for event in written if not event.is_control for n in numbers(event)}
        cuts: list[tuple[list[ServerSentEvent], Listener]] = []
        for place in range(1, len(written) + 1):
            before = written[:place]
            ids = [event.id for event in before if event.id is not None]
            if ids:
                cuts.append((before, await Listener(bus, *topics, cursor=ids[-1]).opened()))
        for topic in topics:
            await bus.publish(topic, COUNT)
        for before, resumed in cuts:
            await resumed.until(lambda it: it.values.count(COUNT) == len(topics))
            seen = [n for event in before if not event.is_control for n in numbers(event)]
            again = set(resumed.values)
            if resumed.gaps:
                assert name in LIVE_ONLY, f"nothing was missing: {before}"
                continue
            for number in range(COUNT):
                whole = seen.count(number) >= outputs
                # What a filter or a debounce took out on purpose is not missing, but what is still to come
                # is.
                on_purpose = number not in kept and bool(seen) and number < max(seen)
                assert whole or number in again or on_purpose, f"{number} is lost after {before}"
            if outputs == 1:
                repeated = again & set(seen)
                allowed = {
                    "replace",
                    "start_with",
                }  # a copy's id follows it; a cut between the two repeats it
                assert not repeated or name in allowed, f"{repeated} came twice after {before}"


@pytest.mark.parametrize("name", [*ONCE, *AT_LEAST_ONCE, *LIVE_ONLY])
async def test_cuts_at_random_lose_nothing_in_silence(name: str, make_bus: MakeBus) -> None:
    """The client comes back through the same pipeline, again and again, while others publish."""
    chance = random.Random(7)
    count, topics = 150, topics_of(name)
    async with make_bus() as bus:

        async def publish() -> None:
            for number in range(count):
                await bus.publish(topics[number % len(topics)], number)
                if number % 10 == 9:
                    await asyncio.sleep(0.003)

        got: list[ServerSentEvent] = []
        cuts = 0
        listener = await Listener(bus, source=handler(bus, name)).opened()
        publishing = asyncio.create_task(publish())
        while not publishing.done():
            await asyncio.sleep(chance.uniform(0, 0.01))
            cursor = listener.cut()
            cuts += 1
            got += listener.written
            listener = Listener(bus, cursor=cursor, source=handler(bus, name))
        for topic in topics * 3:  # a buffer holds back two
            await bus.publish(topic, count)
        await listener.until(lambda it: any(count in numbers(event) for event in it.events))
        await core_of(bus).delivered()
        got += listener.written
    assert cuts > 3
    step, told = len(topics), False
    newest = {lane: lane - step for lane in range(step)}
    arrived: list[int] = []
    for event in got:
        told = told or event.type == "stream-gap"
        for number in () if event.is_control else numbers(event):
            if 0 <= number < count:
                before = newest[number % step]
                assert told or number <= before + step, f"{number} after {before}, and no gap says so"
                newest[number % step] = max(before, number)
                arrived.append(number)
                told = False
    if name not in LIVE_ONLY:
        assert not any(event.type == "stream-gap" for event in got), "nothing was missing"
        assert sorted(arrived if name in ONCE else set(arrived)) == list(range(count))


async def test_a_merge_of_two_feeds_has_one_vector(make_bus: MakeBus) -> None:
    async with make_bus() as bus:
        first = Listener(
            bus, source=lambda handle: rx.merge(bus.events("a", after=handle), bus.events("b", after=handle))
        )
        await first.opened()
        assert len([event for event in first.written if event.type == "stream-cursor"]) == 1, (
            "they open as one"
        )
        await bus.publish("a", 1)
        await bus.publish("b", 2)
        await first.received(2)
        assert first.cursor is not None and first.cursor.count("_") == 2, "the cursor holds both topics"
        cursor = first.cut()
        await bus.publish("a", 3)
        await bus.publish("b", 4)
        second = await Listener(bus, "a", "b", cursor=cursor).received(2)
        assert sorted(second.values) == [3, 4] and not second.gaps


async def test_a_position_that_goes_back_makes_the_stream_live_only(make_bus: MakeBus) -> None:
    def backwards(source: rx.Observable[Any]) -> rx.Observable[Any]:
        return source.pipe(ops.buffer_with_count(2), ops.flat_map(lambda pair: rx.from_iterable(pair[::-1])))

    async with make_bus() as bus:
        listener = await Listener(bus, "t", pipe=backwards).opened()
        for number in range(4):
            await bus.publish("t", number)
        await listener.received(4)
        told = [event for event in listener.written if event.type == "stream-cursor"]
        assert told[-1].json()["resumable"] is False and listener.cursor == told[-1].id
        assert listener.events[-1].id is None, "an id is on the wire only if the stream can resume from it"
        again = await Listener(bus, "t", cursor=listener.cut()).opened()
        assert len(again.gaps) == 1


async def test_a_value_without_position_makes_the_stream_live_only(make_bus: MakeBus) -> None:
    async with make_bus() as bus:
        listener = await Listener(
            bus, "t", pipe=lambda it: it.pipe(ops.map(lambda event: {"n": event.json()}))
        ).opened()
        await bus.publish("t", 1)
        await listener.received(1)
        assert [event.type for event in listener.written] == ["stream-cursor", "stream-cursor", "message"]
        assert listener.written[1].json()["resumable"] is False
        again = await Listener(bus, "t", cursor=listener.cut()).opened()
        assert len(again.gaps) == 1


async def test_transient_events_leave_the_stream_resumable(make_bus: MakeBus) -> None:
    live: Subject[int] = Subject()

    def merged(bus: Bus, handle: StreamCursor) -> rx.Observable[Any]:
        readings = live.pipe(ops.start_with(0), as_events(event="reading", transient=True))
        return rx.merge(bus.events("a", "b", after=handle), readings)

    async with make_bus() as bus:
        listener = await Listener(bus, source=lambda handle: merged(bus, handle)).opened()
        await bus.publish("a", 1)
        live.on_next(2)
        await bus.publish("b", 3)
        live.on_next(4)
        await listener.received(5)
        assert sorted(listener.values) == [0, 1, 2, 3, 4]
        assert {event.id for event in listener.events if event.type == "reading"} == {None}
        assert all(event.json()["resumable"] for event in listener.written if event.type == "stream-cursor")
        cursor = listener.cut()
        await bus.publish("b", 5)
        again = await Listener(bus, "a", "b", cursor=cursor).received(1)
        assert again.values == [5] and not again.gaps


async def test_an_event_of_a_bus_cannot_be_made_transient(make_bus: MakeBus) -> None:
    async with make_bus() as bus:
        listener = Listener(bus, "t", pipe=lambda events: events.pipe(as_events(transient=True)))
        await listener.opened()
        stored = await bus.publish("t", 1)
        await listener.received(1)
        assert listener.events[0].id == stored == listener.cut()


async def test_an_id_of_the_users_own_is_not_written(make_bus: MakeBus) -> None:
    async with make_bus() as bus:
        listener = await Listener(
            bus, "t", pipe=lambda it: it.pipe(ops.map(lambda event: ServerSentEvent(event.data, id="mine")))
        ).opened()
        await bus.publish("t", 1)
        await listener.received(1)
        assert listener.events[0].id is None


async def test_one_topic_twice_on_a_stream_is_refused(make_bus: MakeBus) -> None:
    async with make_bus() as bus:
        listener = Listener(
            bus,
            source=lambda handle: rx.merge(bus.events("a", after=handle), bus.events("a", "b", after=handle)),
        )
        await asyncio.sleep(0)
        assert "already on this stream" in str(listener.error)


async def test_a_feed_that_is_subscribed_to_again_goes_on_where_it_was(make_bus: MakeBus) -> None:
    """`retry` and `repeat` subscribe again; what was written is not written twice."""
    failed: list[int] = []

    def fail_once(event: ServerSentEvent) -> ServerSentEvent:
        if event.json() == 2 and not failed:
            failed.append(2)
            raise ValueError("once")
        return event

    async with make_bus() as bus:
        scheduler = LoopScheduler(asyncio.get_running_loop())
        listener = await Listener(
            bus,
            source=lambda handle: rx.create(
                lambda observer, _: (
                    bus.events("t", after=handle)
                    .pipe(ops.map(fail_once), ops.retry(3))
                    .subscribe(observer, scheduler=scheduler)
                )
            ),
        ).opened()
        for number in range(5):
            await bus.publish("t", number)
        await listener.received(5)
        assert listener.values == [0, 1, 2, 3, 4] and failed == [2]


async def test_what_a_feed_drops_does_not_pass_over_what_its_pipeline_holds(make_bus: MakeBus) -> None:
    scheduler = LoopScheduler(asyncio.get_running_loop())

    def late(source: rx.Observable[Any]) -> rx.Observable[Any]:
        delayed = source.pipe(ops.delay(5.0))
        return rx.create(lambda observer, _: delayed.subscribe(observer, scheduler=scheduler))

    async with make_bus(history=8) as bus:
        listener = await Listener(bus, "t", pipe=late, filter=lambda event: event.json() == 0).opened()
        for number in range(6):
            await bus.publish("t", number)
        assert not listener.events, "0 is still in the delay"
        resumed = await Listener(bus, "t", cursor=listener.cut()).received(6)
        assert resumed.values == [0, 1, 2, 3, 4, 5] and not resumed.gaps


async def test_a_gap_that_is_not_told_yet_leaves_the_cursor_as_it_was(make_bus: MakeBus) -> None:
    async with make_bus() as bus:
        listener = await Listener(bus, "t", cursor="garbage").until(lambda it: bool(it.gaps))
        assert [event.type for event in listener.written] == ["stream-cursor", "stream-gap"]
        assert listener.written[0].id is None, "cut after this, the client must be told again"
        assert listener.written[1].id is not None
