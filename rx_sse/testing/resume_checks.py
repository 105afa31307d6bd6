"""Checks of `check_bus`: a client that reconnects misses nothing, or gets a gap.

Standard: docs/resume.md.
Never: a sleep where an event can be awaited, except in the one check of expiry.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from rx_sse.bus.log.position import ref_of
from rx_sse.testing.bench import Bench
from rx_sse.testing.listener import PATIENCE, Listener
from rx_sse.wire.event import ServerSentEvent


async def nothing_is_lost_or_repeated_over_cuts(bench: Bench) -> None:
    """A client that is cut repeatedly during publishing receives exactly the published list."""
    async with bench.bus() as bus:
        name, count = bench.topic(), 600
        topic = bus.topic(name)
        got: list[Any] = []
        listener = await Listener(bus, name).opened()

        async def publish() -> None:
            for number in range(count):
                topic.on_next(number)
                if number % 7 == 0:
                    await asyncio.sleep(0)

        publishing = asyncio.create_task(publish())
        while len(got) + len(listener.events) < count:
            await listener.received(len(listener.events) + 1)
            cursor = listener.cut()
            assert not listener.gaps, f"a gap was reported: {listener.gaps}"
            got += listener.values
            listener = Listener(bus, name, cursor=cursor)
        await publishing
        got += listener.values
        assert got == list(range(count)), "what arrived is not what was published"


async def ten_thousand_entries_replay_from_anywhere(bench: Bench) -> None:
    """A cursor near the end, in the middle, and before the front, where a gap is reported and the remaining
    entries follow.
    """
    async with bench.bus(history=6000) as bus:
        name, count = bench.topic(), 10_000
        listener = await Listener(bus, name).opened()
        topic = bus.topic(name)
        for number in range(count):
            topic.on_next(number)
            if number % 500 == 0:
                await asyncio.sleep(0)
        await listener.received(count)
        assert listener.values == list(range(count))
        ids = [event.id for event in listener.events]
        for place in (9_990, 6_000):
            resumed = await Listener(bus, name, cursor=ids[place]).received(count - place - 1)
            assert resumed.values == list(range(place + 1, count)) and not resumed.gaps
            resumed.cut()
        # A broker may trim in blocks: the remaining entries are those it reports, and at least the history.
        late = await Listener(bus, name, cursor=ids[100]).until(lambda it: it.values[-1:] == [count - 1])
        assert len(late.gaps) == 1 and late.written.index(late.gaps[0]) < late.written.index(late.events[0])
        assert len(late.events) >= 6000 and late.values == list(range(count - len(late.events), count))


async def a_gap_is_told_once(bench: Bench) -> None:
    """Gap, cut, reconnect: one gap in all, and none at the oldest kept entry."""
    async with bench.bus(history=10) as bus:
        name = bench.topic()
        old = (await Listener(bus, name).opened()).cut()
        for number in range(400):
            await bus.publish(name, number)
        told = await Listener(bus, name, cursor=old).until(lambda it: bool(it.gaps))
        told.cut()
        again = await Listener(bus, name, cursor=told.gaps[0].id).until(lambda it: it.values[-1:] == [399])
        assert not again.gaps, "the same gap was reported twice"
        assert again.written[0].json()["resumed"] is True
        assert again.values == list(range(again.values[0], 400)) and len(again.values) >= 10


async def an_empty_topic_has_a_position(bench: Bench) -> None:
    """A client that has received nothing yet resumes in the right place."""
    async with bench.bus() as bus:
        name = bench.topic()
        cursor = (await Listener(bus, name).opened()).cut()
        assert cursor is not None, "the opening stream-cursor has no id"
        await bus.publish(name, 1)
        resumed = await Listener(bus, name, cursor=cursor).received(1)
        assert resumed.values == [1] and not resumed.gaps


async def expiry_is_never_silent(bench: Bench) -> None:
    """After the life of the history a client gets the remaining entries, or a gap, and then the new
    entries."""
    async with bench.bus(ttl=1.0) as bus:
        name = bench.topic()
        cursor = (await Listener(bus, name).opened()).cut()
        await bus.publish(name, "old")
        await asyncio.sleep(2.5)
        await bus.publish(name, "new")
        late = await Listener(bus, name, cursor=cursor).until(lambda it: bool(it.gaps or it.events))
        await late.until(
            lambda it: "new" in [event.data for event in it.events] or it.gaps[-1:] == it.written[-1:]
        )
        assert late.gaps or [event.data for event in late.events] == ["old", "new"], (
            "an entry expired in silence"
        )


async def a_restart_resumes_or_says_so(bench: Bench) -> None:
    """Another bus continues from the cursor, or reports a gap; two lives never share an id."""
    name = bench.topic()
    async with bench.bus() as bus:
        empty = (await Listener(bus, name).opened()).cut()
        first = await bus.publish(name, "before")
    async with bench.bus() as bus:
        second = await bus.publish(name, "after")
        assert first != second, "two lives share an id"
        for cursor, expected in ((first, ["after"]), (empty, ["before", "after"])):
            listener = await Listener(bus, name, cursor=cursor).until(lambda it: bool(it.gaps or it.events))
            if not listener.gaps:
                await listener.received(len(expected))
                assert [event.data for event in listener.events] == expected


async def forged_cursors_do_no_harm(bench: Bench) -> None:
    """Whatever the client sends: a gap and the live stream, never an exception, never the position of another
    topic.
    """
    async with bench.bus() as bus:
        name, other = bench.topic(), bench.topic()
        real = await bus.publish(name, "history")
        foreign = await bus.publish(other, "foreign")
        ref = ref_of(name)
        forged = [
            "3", "3-", "03-1", "1_", f"1_{ref}.1", f"1_{ref}.01.5", f"1_{ref}.{2**64}.1",
            f"1_{ref}.{2**53}.1", f"1_{ref}.1.{2**48}", f"1_{ref}.1.1", f"1_{ref}.0.0", f"{real} ",
            f" {real}", real + "_", "é\x00\n", "1_live",
            f"{real}_{real[2:]}", "1" + f"_{ref}.1.1" * 33, "x" * 1_000_000, "0_0123456789abcdef",
            "1_" + "_".join(f"{number:06}.1.1" for number in range(10_000)),
        ]  # fmt: skip
        for cursor in forged:
            listener = await Listener(bus, name, cursor=cursor).until(lambda it: bool(it.gaps))
            assert listener.error is None and len(listener.gaps) == 1, f"{cursor[:40]!r}: {listener.written}"
            listener.cut()
        stranger = await Listener(bus, name, cursor=foreign).opened()
        assert not stranger.events, "the cursor of another topic was taken for one of this topic"
        await bus.publish(name, "live")
        await stranger.received(1)
        assert [event.data for event in stranger.events] == ["live"]


async def a_slow_client_gets_everything_and_delays_nobody(bench: Bench) -> None:
    """It pulls: a block at a time, while live entries wait."""
    async with bench.bus(history=4000) as bus:
        name, count = bench.topic(), 1500
        quick = await Listener(bus, name).opened()
        cursor = quick.cursor
        for number in range(count):
            await bus.publish(name, {"n": number, "pad": "x" * 200})
        slow = await Listener(bus, name, cursor=cursor, slow=True).received(1)
        assert len(slow.events) < count / 2, "a slow connection was handed everything at once"
        await bus.publish(name, {"n": count, "pad": ""})
        await quick.received(count + 1)
        while len(slow.events) < count + 1:
            before = len(slow.events)
            slow.drain()
            await slow.received(before + 1)
        assert [value["n"] for value in slow.values] == list(range(count + 1)) and not slow.gaps


async def filters_move_the_cursor(bench: Bench) -> None:
    """A client whose filter passes nothing reconnects without a gap, even with a short history."""
    async with bench.bus(history=40) as bus:
        name = bench.topic()
        listener = await Listener(bus, name, filter=_negative).opened()
        for number in range(400):
            await bus.publish(name, number)
        cursor = listener.cut()
        resumed = await Listener(bus, name, cursor=cursor).opened()
        await bus.publish(name, "end")
        await resumed.until(lambda it: bool(it.events) and it.events[-1].data == "end")
        assert not resumed.gaps, "the position did not move over what the filter dropped"
        assert not listener.events


def _negative(event: ServerSentEvent) -> bool:
    return bool(event.json() < 0)


async def several_topics_have_one_cursor(bench: Bench) -> None:
    """`a`, then `a` and `b`, then `b`, then both again, with publishes in between: nothing is lost."""
    async with bench.bus(history=1000) as bus:
        a, b = bench.topic(), bench.topic()
        got: list[str] = []
        cursor: str | None = None
        for step, topics in enumerate(((a,), (a, b), (b,), (a, b))):
            listener = await Listener(bus, *topics, cursor=cursor).opened()
            for name, letter in ((a, "a"), (b, "b")):
                await bus.publish(name, f"{letter}{step}")
            wanted = {f"{'a' if name == a else 'b'}{step}" for name in topics}
            await listener.until(partial(_has, wanted))
            assert not listener.gaps
            got += [event.data for event in listener.events]
            cursor = listener.cut()
        assert sorted(got) == ["a0", "a1", "a2", "a3", "b1", "b2", "b3"], f"{got}"


async def a_snapshot_comes_before_the_changes(bench: Bench) -> None:
    """Position, snapshot, entries after the position; with a cursor, no snapshot."""
    async with bench.bus() as bus:
        name = bench.topic()
        await bus.publish(name, "in the snapshot")
        started, go = asyncio.Event(), asyncio.Event()

        async def snapshot(topic: str) -> dict[str, str]:
            started.set()
            await go.wait()
            return {"state of": topic}

        listener = Listener(bus, name, snapshot=snapshot)
        await asyncio.wait_for(started.wait(), PATIENCE)
        await bus.publish(name, "meanwhile")
        go.set()
        await listener.received(2)
        assert [event.data for event in listener.events] == [f'{{"state of":"{name}"}}', "meanwhile"]
        first = listener.events[0].id
        listener.cut()
        resumed = await Listener(bus, name, cursor=first, snapshot=snapshot).received(1)
        assert [event.data for event in resumed.events] == ["meanwhile"]


def _has(wanted: set[str], listener: Listener) -> bool:
    return wanted <= {event.data for event in listener.events}
