"""The way in: room, no room, threads and loops."""

from __future__ import annotations

import asyncio
import copy
import enum
import pickle
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from rx_sse.bus import MemoryBus
from rx_sse.bus.bus import core_of
from rx_sse.bus.log.entry import draft_of
from rx_sse.bus.log.retention import Retention
from rx_sse.delivery.inbox import Inbox
from rx_sse.errors import BusClosed, EncodeError, QueueFull, UsageError
from rx_sse.reactive import LoopScheduler
from rx_sse.testing.listener import Listener
from rx_sse.wire.event import ServerSentEvent
from rx_sse.wire.raw_frame import RawFrame

from ..conftest import ROOT


def fill(bus: MemoryBus) -> None:
    """Push on the loop until there is no room."""
    inbox = core_of(bus).runtime.inbox
    assert inbox is not None
    while inbox.put(lambda _: None, None, 1024):
        pass


async def test_on_a_loop_a_full_inbox_raises_and_the_readers_are_told() -> None:
    async with MemoryBus() as bus:
        listener = await Listener(bus, "t").opened()
        other = await Listener(bus, "other").opened()
        fill(bus)
        for _ in range(3):
            with pytest.raises(QueueFull):
                bus.topic("t").on_next(1)
        await listener.until(lambda it: bool(it.gaps))
        assert len(listener.gaps) == 1 and listener.gaps[0].json()["reason"] == "refused" and not other.gaps
        assert bus.stats().refused == 3
        await bus.publish("t", 2)
        assert listener.values == [2]
        resumed = await Listener(bus, "t", cursor=listener.gaps[0].id).received(1)
        assert not resumed.gaps


async def test_a_thread_waits_for_room() -> None:
    async with MemoryBus() as bus:
        got: list[Any] = []
        bus.topic("t").subscribe(got.append)
        fill(bus)
        thread = threading.Thread(target=bus.topic("t").on_next, args=("patient",))
        thread.start()
        await asyncio.to_thread(thread.join)
        await bus.publish("t", "last")
        assert got == ["patient", "last"]


async def test_a_thread_waits_no_longer_than_it_was_told_to() -> None:
    async with MemoryBus(publish_timeout=0.05) as bus:
        raised: list[BaseException] = []

        def push() -> None:
            try:
                bus.topic("t").on_next(1)
            except QueueFull as error:
                raised.append(error)

        fill(bus)
        thread = threading.Thread(target=push)
        thread.start()
        thread.join()  # the loop is blocked: no room is made
        assert len(raised) == 1


async def test_readers_that_do_not_keep_up_make_no_room() -> None:
    """What was accepted and not delivered is bounded too, not only the inbox."""
    async with MemoryBus() as bus:
        blocked = asyncio.Event()
        core_of(bus).runtime.fanout.size = 10**9
        with pytest.raises(QueueFull):
            bus.topic("t").on_next(1)
        core_of(bus).runtime.fanout.size = 0
        bus.topic("t").subscribe(lambda _: blocked.set())
        bus.topic("t").on_next(1)
        await asyncio.wait_for(blocked.wait(), 5)


async def test_a_bus_that_does_not_run_takes_nothing() -> None:
    bus = MemoryBus()
    with pytest.raises(BusClosed):
        bus.topic("t").on_next(1)
    with pytest.raises(BusClosed):
        await bus.publish("t", 1)
    async with bus:
        bus.topic("t").on_next(1)
    with pytest.raises(BusClosed):
        bus.topic("t").on_next(1)


async def test_publish_belongs_to_the_loop_and_on_next_to_all() -> None:
    async with MemoryBus() as bus:
        got = asyncio.Event()
        bus.topic("t").subscribe(lambda _: got.set())
        errors: list[Exception] = []

        async def elsewhere() -> None:
            bus.topic("t").on_next(1)
            try:
                await bus.publish("t", 1)
            except UsageError as error:
                errors.append(error)
            bus.topic("t").subscribe(lambda _: None, errors.append)
            bus.events("t", after=None).subscribe(lambda _: None, errors.append)

        await asyncio.to_thread(asyncio.run, elsewhere())
        await asyncio.wait_for(got.wait(), 5)
        assert len(errors) == 3 and all("another loop" in str(error) for error in errors)


class Colour(str, enum.Enum):  # noqa: UP042 (as users write it; it formats as `Colour.RED`)
    RED = "red"


def test_what_is_stored() -> None:
    retention = core_of(MemoryBus()).retentions.default
    cases: list[tuple[Any, str | None, tuple[str, str, str | None]]] = [
        ("a\r\nb", None, ("t", "a\nb", None)),
        (Colour.RED, None, ("t", "red", None)),
        ({"a": 1}, "named", ("j", '{"a":1}', "named")),
        (ServerSentEvent({"a": 1}, event="x"), None, ("t", '{"a":1}', "x")),
        (ServerSentEvent("a", event="x"), "y", ("t", "a", "y")),
        (None, None, ("j", "null", None)),
    ]
    for value, event, expected in cases:
        draft = draft_of("t", value, event, retention)
        assert (draft.kind, draft.data, draft.event) == expected and type(draft.data) is str
    refused: list[Any] = [
        RawFrame("data: x\n\n"),
        ServerSentEvent("x", id="1"),
        ServerSentEvent("x", retry=1),
        ServerSentEvent("x", comment="c"),
        "\ud800",
    ]
    for value in refused:
        with pytest.raises(EncodeError):
            draft_of("t", value, None, retention)
    with pytest.raises(EncodeError):
        draft_of("t", 1, "a\nb", retention)


def test_the_inbox_is_the_only_place_where_threads_cross() -> None:
    assert Inbox.put.__doc__ is not None  # the port that `Publisher` stands on


@pytest.mark.parametrize("each", [2_000, pytest.param(20_000, marks=pytest.mark.slow)])
async def test_four_threads_and_fifty_subscribers(each: int) -> None:
    async with MemoryBus() as bus:
        topic = bus.topic("t")
        got: list[list[tuple[int, int]]] = [[] for _ in range(50)]
        for mine in got:
            topic.subscribe(lambda value, mine=mine: mine.append(tuple(value)))
        raised: list[BaseException] = []

        def push(thread: int) -> None:
            try:
                for number in range(each):
                    topic.on_next((thread, number))
            except BaseException as error:
                raised.append(error)

        threads = [threading.Thread(target=push, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            await asyncio.to_thread(thread.join)
        await bus.publish("t", (9, 0))
        await core_of(bus).delivered()
        assert not raised
        for mine in got:
            assert len(mine) == 4 * each + 1
            for number in range(4):
                assert [n for thread, n in mine if thread == number] == list(range(each))


@pytest.mark.parametrize("name", ["stream-end", "stream-error", "stream-gap", "error", "open"])
async def test_nobody_publishes_under_a_name_that_ends_a_stream(name: str) -> None:
    """At each door: `publish`, `on_next`, and the blocking publisher, which makes the same drafts."""
    async with MemoryBus() as bus:
        got: list[Any] = []
        bus.topic("t").as_events().subscribe(got.append, scheduler=LoopScheduler())
        with pytest.raises(EncodeError, match="clients act on"):
            await bus.publish("t", 1, event=name)
        with pytest.raises(EncodeError, match="clients act on"):
            await bus.publish("t", ServerSentEvent("x", event=name))
        with pytest.raises(EncodeError, match="clients act on"):
            bus.topic("t").on_next(ServerSentEvent("x", event=name))
        with pytest.raises(EncodeError, match="clients act on"):
            draft_of("t", 1, name, Retention())
        await bus.publish("t", 1, event="streams")
        await bus.end("t")  # the library's own mark passes
        await core_of(bus).delivered()
    assert [event.type for event in got] == ["streams"]


FORK = """
import asyncio, os, sys, threading
import rx_sse

async def main():
    async with rx_sse.MemoryBus() as bus:
        topic, got = bus.topic("t"), asyncio.Queue()
        topic.subscribe(got.put_nowait, scheduler=rx_sse.LoopScheduler())
        inbox, held = bus._core.runtime.inbox, threading.Event()

        def hold():  # a thread that the child does not have
            with inbox._lock:
                held.set()
                release.wait()

        release, thread = threading.Event(), threading.Thread(target=hold)
        thread.start()
        held.wait()
        child = os.fork()
        if child == 0:
            for attempt in (lambda: topic.on_next(1), lambda: asyncio.run(bus.publish("t", 1))):
                try:
                    attempt()
                except rx_sse.BusClosed as error:
                    print(error, flush=True)
            os._exit(0)
        release.set()
        thread.join()
        assert os.waitpid(child, 0)[1] == 0
        topic.on_next("of the parent")
        print(await got.get())

asyncio.run(main())
"""


async def test_a_child_of_a_fork_is_told_that_the_bus_runs_in_its_parent() -> None:
    """Not even a lock that another thread of the parent held keeps it waiting."""
    command = (sys.executable, "-W", "ignore", "-c", FORK)
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(20):
        said = (await process.communicate())[0].decode().splitlines()
    assert len(said) == 3 and process.returncode == 0, said
    assert all("the process that this one was forked from" in line for line in said[:2])
    assert said[2] == "of the parent"


def test_a_push_to_a_bus_whose_loop_was_closed_says_so_at_once() -> None:
    bus, loop = MemoryBus(publish_timeout=60.0), asyncio.new_event_loop()
    loop.run_until_complete(bus.start())
    loop.close()
    for _ in range(2):
        with pytest.raises(BusClosed, match="its event loop was closed"):
            bus.topic("t").on_next(1)


def test_a_bus_whose_loop_was_closed_is_closed_and_started_on_another() -> None:
    async def again() -> None:
        with pytest.raises(BusClosed, match="start it again"):
            await bus.publish("t", 1)
        await bus.close()
        async with bus:
            await bus.publish("t", 1)

    bus, loop = MemoryBus(), asyncio.new_event_loop()
    loop.run_until_complete(bus.start())
    loop.close()
    asyncio.run(again())


@pytest.mark.parametrize("how", [pickle.dumps, copy.deepcopy])
def test_a_bus_that_is_to_be_sent_to_another_process_says_what_to_do(how: Callable[[object], object]) -> None:
    bus = MemoryBus()
    for part in (bus, bus.topic("t"), bus.topic("t").as_events()):
        with pytest.raises(UsageError, match="make a bus there"):
            how(part)
