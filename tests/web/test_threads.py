"""Any thread may push: nothing raises there, each thread's order is kept, and losses are reported."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import reactivex as rx
from reactivex.subject import Subject

from rx_sse import Overflow, ServerSentEvent, StreamError
from rx_sse.testing import OpenStream, open_stream, serve
from rx_sse.testing.raw import send
from rx_sse.web.registry import REGISTRY

from .apps import app_of, only_stream, streaming, until

ROOM = Overflow("drop_oldest", max_events=100_000, max_bytes=1 << 26)
"""An outbox with room for all that these tests push, so that only the inbox can be full."""


def blocking(*actions: Callable[[], Any]) -> None:
    """Run each in a thread of its own, while the loop stands still; what they raise is raised here."""
    raised: list[BaseException] = []

    def run(action: Callable[[], Any]) -> None:
        try:
            action()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(action,), daemon=True) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert raised == []


def kinds(events: list[ServerSentEvent]) -> list[Any]:
    """Numbers as they are, a gap as `("gap", missed)`, any other control event by its name."""
    return [
        ("gap", event.json()["missed"])
        if event.type == "stream-gap"
        else event.type
        if event.is_control
        else event.json()
        for event in events
    ]


async def until_event(stream: OpenStream, condition: Callable[[ServerSentEvent], bool]) -> list[Any]:
    """Everything up to the first event that meets the condition."""
    events = [await stream.next_event(control=True)]
    while not condition(events[-1]):
        events.append(await stream.next_event(10, control=True))
    return kinds(events)


# -- many threads, many streams ------------------------------------------------------------------------------

THREADS, EACH, STREAMS = 4, 150, 100


@pytest.mark.usefixtures("no_leaks")
async def test_four_threads_at_once_into_a_hundred_streams() -> None:
    subject = Subject[list[int]]()
    app = app_of(streaming(lambda: subject, overflow="drop_oldest"))
    start = threading.Barrier(THREADS)

    def push(thread: int) -> None:
        start.wait(10)
        for n in range(EACH):
            subject.on_next([thread, n])  # an exception here fails the test

    async with serve(app) as url:
        streams = [await send(url + "/") for _ in range(STREAMS)]
        try:
            for stream in streams:
                await stream.read_head()
            await asyncio.gather(*(asyncio.to_thread(push, thread) for thread in range(THREADS)))
            await asyncio.to_thread(subject.on_completed)
            for stream in streams:
                assert await stream.ended(20)
                events = stream.rest(control=True)
                assert events.pop().type == "stream-end"
                announced = sum(event.json()["missed"] for event in events if event.is_control)
                values = [event.json() for event in events if not event.is_control]
                for thread in range(THREADS):
                    own = [n for who, n in values if who == thread]
                    assert own == sorted(set(own)), "out of order, or twice"
                assert len(values) + announced == THREADS * EACH
        finally:
            for stream in streams:
                await stream.aclose()


@pytest.mark.usefixtures("no_leaks")
async def test_threads_push_while_clients_come_and_go() -> None:
    subject, stop = Subject[int](), threading.Event()
    app = app_of(streaming(lambda: subject, overflow="drop_oldest"))

    def push() -> int:
        n = 0
        while not stop.is_set():
            subject.on_next(n)
            n += 1
            time.sleep(0.0005)
        return n

    async with serve(app) as url:
        pushing = [asyncio.create_task(asyncio.to_thread(push)) for _ in range(3)]

        async def visit(n: int) -> None:
            for _ in range(4):
                async with open_stream(url) as stream:
                    await stream.events(n % 5)

        try:
            await asyncio.gather(*(visit(n) for n in range(25)))
        finally:
            stop.set()
            assert all(await asyncio.gather(*pushing))
        await until(lambda: not app[REGISTRY].streams)
        assert not subject.observers


# -- order ---------------------------------------------------------------------------------------------------


async def test_a_push_from_a_thread_wakes_an_idle_loop() -> None:
    subject = Subject[int]()
    async with serve(app_of(streaming(lambda: subject))) as url, open_stream(url) as stream:
        for n in range(5):
            waiting = asyncio.create_task(stream.next_event())
            await asyncio.sleep(0.01)
            await asyncio.to_thread(subject.on_next, n)
            assert (await waiting).json() == n


async def test_the_loops_own_push_does_not_overtake_a_threads() -> None:
    subject = Subject[int]()
    async with serve(app_of(streaming(lambda: subject))) as url, open_stream(url) as stream:
        subject.on_next(0)
        blocking(lambda: [subject.on_next(n) for n in range(1, 100)])
        subject.on_next(100)
        subject.on_completed()
        events = await until_event(stream, lambda event: event.type == "stream-end")
    assert events == [*range(101), "stream-end"]


async def test_what_one_thread_pushes_after_another_comes_after_it() -> None:
    subject = Subject[int]()
    async with serve(app_of(streaming(lambda: subject))) as url, open_stream(url) as stream:
        for n in range(0, 20, 2):
            blocking(lambda n=n: subject.on_next(n))
            blocking(lambda n=n: subject.on_next(n + 1))
        assert [event.json() for event in await stream.events(20)] == list(range(20))


# -- the inbox is full ---------------------------------------------------------------------------------------


async def test_what_finds_the_inbox_full_is_announced_before_the_next_that_does_not() -> None:
    subject = Subject[int]()
    app = app_of(streaming(lambda: subject, overflow=ROOM))
    async with serve(app) as url, open_stream(url) as stream:
        app[REGISTRY].parts.inbox.max_entries = 1000
        blocking(lambda: [subject.on_next(n) for n in range(1500)])
        first = await until_event(stream, lambda event: event.type == "stream-gap")
        assert first == [*range(1000), ("gap", 500)], "and without another push to bring it"
        await asyncio.to_thread(subject.on_next, 1500)
        assert await until_event(stream, lambda event: True) == [1500]


async def test_the_gap_rides_on_the_next_push_that_finds_room() -> None:
    subject = Subject[int]()
    app = app_of(streaming(lambda: subject, overflow=ROOM))
    async with serve(app) as url, open_stream(url) as stream:
        inbox = app[REGISTRY].parts.inbox
        inbox.max_entries = 10
        blocking(lambda: [subject.on_next(n) for n in range(15)])
        inbox.max_entries = 1000
        blocking(lambda: [subject.on_next(n) for n in range(15, 20)])
        events = await until_event(stream, lambda event: not event.is_control and event.json() == 19)
    assert events == [*range(10), ("gap", 5), *range(15, 20)]


@pytest.mark.slow  # tests/delivery/test_inbox.py has smaller limits
async def test_an_inbox_that_is_full_at_its_real_limit_is_accounted_for_and_leaves_the_loop_its_turns() -> (
    None
):
    subject, pushed = Subject[int](), 140_000
    app = app_of(streaming(lambda: subject, overflow="drop_oldest"))
    async with serve(app) as url, open_stream(url) as stream:
        blocking(lambda: [subject.on_next(n) for n in range(pushed)])
        loop, turns = asyncio.get_running_loop(), list[float]()
        while app[REGISTRY].parts.inbox.pending:
            begin = loop.time()
            await asyncio.sleep(0)
            turns.append(loop.time() - begin)
        assert len(turns) > 10, "slices of 4 ms"
        assert sorted(turns)[len(turns) // 2] < 0.02
        await asyncio.to_thread(subject.on_completed)
        assert await stream.ended(20)
        events = stream.rest(control=True)
    missed = [event.json()["missed"] for event in events if event.type == "stream-gap"]
    values = [event.json() for event in events if not event.is_control]
    assert len(values) + sum(missed) == pushed
    assert pushed - 131_072 in missed
    assert values == sorted(set(values))


async def test_each_stream_has_an_account_of_its_own() -> None:
    one, two = Subject[int](), Subject[int]()
    handlers = {
        "/one": streaming(lambda: one, overflow=ROOM),
        "/two": streaming(lambda: two, overflow=ROOM),
    }
    app = app_of(handlers)
    async with serve(app) as url, open_stream(url, "/one") as first, open_stream(url, "/two") as second:
        app[REGISTRY].parts.inbox.max_entries = 100
        blocking(lambda: [one.on_next(n) for n in range(90)])
        blocking(lambda: [two.on_next(n) for n in range(30)])
        blocking(lambda: [one.on_next(n) for n in range(90, 95)])
        one.on_completed()
        two.on_completed()
        ended = ("stream-end",)
        assert await until_event(first, lambda event: event.type in ended) == [
            *range(90),
            ("gap", 5),
            "stream-end",
        ]
        assert await until_event(second, lambda event: event.type in ended) == [
            *range(10),
            ("gap", 20),
            "stream-end",
        ]


@pytest.mark.parametrize("end", ["stream-end", "stream-error"])
async def test_an_end_finds_its_way_through_a_full_inbox_and_overtakes_nothing(end: str) -> None:
    subject = Subject[int]()
    app = app_of(streaming(lambda: subject, overflow=ROOM))

    def push() -> None:
        for n in range(3000):
            subject.on_next(n)
        if end == "stream-end":
            subject.on_completed()
        else:
            subject.on_error(StreamError("over"))

    async with serve(app) as url, open_stream(url) as stream:
        app[REGISTRY].parts.inbox.max_entries = 2000
        blocking(push)
        events = await until_event(stream, lambda event: event.type == end)
    assert events == [*range(2000), ("gap", 1000), end]


# -- ends and errors -----------------------------------------------------------------------------------------


async def test_sources_may_end_from_a_thread() -> None:
    def complete(observer: Any, scheduler: Any = None) -> Any:
        threading.Thread(target=lambda: (observer.on_next(1), observer.on_completed())).start()

    def fail(observer: Any, scheduler: Any = None) -> Any:
        threading.Thread(target=lambda: (observer.on_next(1), observer.on_error(StreamError("x")))).start()

    app = app_of(
        {"/complete": streaming(lambda: rx.create(complete)), "/fail": streaming(lambda: rx.create(fail))}
    )
    async with serve(app) as url:
        for path, last in (("/complete", "stream-end"), ("/fail", "stream-error")):
            async with open_stream(url, path) as stream:
                assert await stream.ended()
                assert kinds(stream.rest(control=True)) == [1, last]


async def test_a_failure_from_a_thread_before_the_headers_is_a_status() -> None:
    def fail(observer: Any, scheduler: Any = None) -> Any:
        threading.Thread(target=lambda: observer.on_error(StreamError("x", status=409))).start()

    app = app_of(streaming(lambda: rx.create(fail), hold_headers=5.0))
    async with serve(app) as url, open_stream(url) as stream:
        assert stream.status == 409


async def test_a_value_that_cannot_be_sent_hurts_its_stream_and_not_the_thread() -> None:
    subject = Subject[Any]()
    async with serve(app_of(streaming(lambda: subject))) as url, open_stream(url) as stream:
        blocking(lambda: [subject.on_next(value) for value in (1, object(), 2)])
        assert await stream.ended()
        assert kinds(stream.rest(control=True)) == [1, "stream-error"]
        blocking(lambda: subject.on_next(3))


def test_a_push_after_the_loop_was_closed_is_silent() -> None:
    kept: list[Any] = []

    class Rude(rx.Observable[int]):
        """Hands over the sink itself, without reactivex's guard, and never lets go of it."""

        def subscribe(
            self, on_next: Any = None, on_error: Any = None, on_completed: Any = None, **_: Any
        ) -> Any:
            kept.append((on_next, on_error, on_completed))
            return rx.never().subscribe()

    async def main() -> None:
        app = app_of(streaming(Rude))
        async with serve(app) as url, open_stream(url):
            await only_stream(app)

    asyncio.run(main())
    ((on_next, on_error, on_completed),) = kept
    blocking(lambda: (on_next(1), on_next(object()), on_error(ValueError("late")), on_completed()))
