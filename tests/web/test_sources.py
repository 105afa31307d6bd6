"""What a handler may be and may return, and how each kind of source is read."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
import reactivex as rx
from aiohttp import web
from reactivex import operators as ops
from reactivex.subject import Subject

import rx_sse
from rx_sse.testing import OpenStream, open_stream, serve
from rx_sse.web.pump import AHEAD_BYTES, AHEAD_EVENTS
from rx_sse.web.registry import REGISTRY

from .apps import app_of, at_rest, exchange, hello, only_stream, streaming, until, watched

PIPED = 100_000
"""Bytes that may be under way to a client that does not read: our buffers, the kernel's. Measured: 57,400."""


async def numbers(stream: OpenStream, count: int, timeout: float = 20.0) -> list[int]:
    return [event.json() for event in await stream.events(count, timeout)]


# -- handlers ------------------------------------------------------------------------------------------------


class Controller:
    """A class of a user's, that holds what its handlers need."""

    def __init__(self, *values: int) -> None:
        self.values = values

    @rx_sse.sse
    def method(self, request: web.Request) -> rx.Observable[int]:
        return rx.from_iterable(self.values)

    @rx_sse.sse(retry=1234)
    async def coroutine(self, request: web.Request) -> rx.Observable[int]:
        return rx.from_iterable(self.values)

    @rx_sse.sse
    async def generator(self, request: web.Request) -> AsyncIterator[int]:
        for value in self.values:
            yield value


class View(web.View):
    @rx_sse.sse
    def get(self) -> rx.Observable[int]:
        return rx.of(int(self.request.query["from"]), 2, 3)

    @rx_sse.sse
    async def post(self) -> AsyncIterator[int]:
        for value in await self.request.json():
            yield value


@rx_sse.sse
def plain(request: web.Request) -> rx.Observable[int]:
    return rx.of(1, 2, 3)


@rx_sse.sse
async def coroutine(request: web.Request) -> rx.Observable[int]:
    await asyncio.sleep(0)
    return rx.of(1, 2, 3)


@rx_sse.sse
async def generator(request: web.Request) -> AsyncIterator[int]:
    for value in (1, 2, 3):
        yield value


@rx_sse.sse
async def returns_a_generator(request: web.Request) -> AsyncIterator[int]:
    async def values() -> AsyncIterator[int]:
        for value in (1, 2, 3):
            yield value

    return values()


class Cursor:
    """An async iterable that is no generator: it has no `aclose`."""

    def __init__(self) -> None:
        self.values = iter((1, 2, 3))

    def __aiter__(self) -> Cursor:
        return self

    async def __anext__(self) -> int:
        for value in self.values:
            return value
        raise StopAsyncIteration


async def decides_late(request: web.Request) -> web.StreamResponse:
    return await rx_sse.stream_response(request, rx.of(1, 2, 3), retry=1234)


controller = Controller(1, 2, 3)


@pytest.mark.parametrize(
    "handler",
    [
        plain,
        coroutine,
        generator,
        returns_a_generator,
        rx_sse.sse(lambda request: Cursor()),
        controller.method,
        controller.coroutine,
        controller.generator,
        decides_late,
    ],
    ids=[
        "function",
        "coroutine function",
        "async generator",
        "coroutine that returns a generator",
        "async iterable",
        "method",
        "coroutine method",
        "async generator method",
        "stream_response",
    ],
)
async def test_every_kind_of_handler_streams(handler: Any) -> None:
    async with serve(app_of(handler)) as url, open_stream(url) as stream:
        assert await numbers(stream, 3) == [1, 2, 3]
        assert (await stream.next_event(control=True)).type == "stream-end"
        assert await stream.ended()
        if handler in (decides_late, controller.coroutine):
            assert stream.retry == 1234


async def test_the_methods_of_a_view_stream() -> None:
    app = rx_sse.setup(web.Application())
    app.router.add_view("/", View)
    async with serve(app) as url:
        async with open_stream(url, "/?from=7") as stream:
            assert await numbers(stream, 3) == [7, 2, 3]
        async with open_stream(url, method="POST", body=b"[4,5]") as stream:
            assert await numbers(stream, 2) == [4, 5]
        assert (await exchange(url, "PUT /", "Accept: */*")).status == 405


def test_the_function_as_written_stays_within_reach() -> None:
    values: list[int] = []
    inspect.unwrap(plain)(None).subscribe(values.append)
    assert values == [1, 2, 3]
    assert plain.__name__ == "plain"


async def test_a_nested_application_uses_the_set_up_of_the_outer_one() -> None:
    inner, middle = web.Application(), web.Application()
    inner.router.add_get("/ticks", plain)
    middle.add_subapp("/inner", inner)
    outer = rx_sse.setup(web.Application(), retry=4321)
    outer.add_subapp("/middle", middle)
    async with serve(outer) as url, open_stream(url, "/middle/inner/ticks") as stream:
        assert await numbers(stream, 3) == [1, 2, 3]
        assert stream.retry == 4321
        assert outer[REGISTRY].stats().opened == 1


async def test_of_two_set_ups_the_outermost_counts() -> None:
    inner = app_of(plain, retry=1111)
    outer = rx_sse.setup(web.Application(), retry=2222)
    outer.add_subapp("/inner", inner)
    async with serve(outer) as url, open_stream(url, "/inner/") as stream:
        assert await stream.ended()
        assert stream.retry == 2222
        assert (outer[REGISTRY].stats().opened, inner[REGISTRY].stats().opened) == (1, 0)


async def test_a_response_is_passed_through() -> None:
    async def prepared(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"X-Own": "yes"})
        await response.prepare(request)
        await response.write(b"by hand")
        await response.write_eof()
        return response

    app = app_of(
        {
            "/plain": rx_sse.sse(lambda request: web.json_response({"no": "stream"}, status=202)),
            "/prepared": rx_sse.sse(prepared),
        }
    )
    async with serve(app) as url:
        answer = await exchange(url, "GET /plain")
        assert (answer.status, answer.content) == (202, b'{"no": "stream"}')
        answer = await exchange(url, "GET /prepared")
        assert (answer.header("X-Own"), answer.content) == ("yes", b"by hand")
        assert app[REGISTRY].stats().opened == 0


# -- Observables ---------------------------------------------------------------------------------------------


async def test_a_snapshot_of_five_thousand_and_then_live_arrives_whole() -> None:
    live = Subject[int]()
    source = rx.concat(rx.from_iterable(range(5000)), live)
    async with serve(app_of(streaming(lambda: source))) as url, open_stream(url) as stream:
        assert await numbers(stream, 5000) == list(range(5000))
        live.on_next(5000)
        assert await numbers(stream, 1) == [5000]


async def test_what_is_pushed_in_the_turn_of_the_subscription_arrives() -> None:
    subject = Subject[int]()

    def handler(request: web.Request) -> rx.Observable[int]:
        asyncio.get_running_loop().call_soon(subject.on_next, 1)
        return subject.pipe(ops.start_with(0), ops.merge(rx.of(-1)))

    async with serve(app_of(rx_sse.sse(handler))) as url, open_stream(url) as stream:
        assert sorted(await numbers(stream, 3)) == [-1, 0, 1]


async def test_everything_runs_on_the_loops_thread() -> None:
    threads: set[int] = set()

    def note(_: int) -> None:
        threads.add(threading.get_ident())

    source = rx.interval(0.005).pipe(ops.do_action(note), ops.debounce(0.001), ops.take(5))
    async with serve(app_of(streaming(lambda: source))) as url:
        before = threading.active_count()  # with the one that watches the loop
        async with open_stream(url) as stream:
            await stream.events(5)
            assert threading.active_count() == before
    assert threads == {threading.get_ident()}


async def test_a_prelude_over_its_limit_is_a_failure_of_its_source(
    caplog: pytest.LogCaptureFixture,
) -> None:
    live: set[object] = set()
    source = watched(rx.from_iterable("x" * 100 for _ in range(1_000_000)), live)
    app = app_of({"/": streaming(lambda: source, prelude_bytes=100_000), "/hello": hello})
    async with serve(app) as url:
        async with open_stream(url) as stream:
            assert await stream.ended()
            events = stream.rest(control=True)
            assert {event.type for event in events[:-1]} == {"message"}
            assert 500 < len(events) < 1000
            assert events[-1].type == "stream-error"
        assert not live
        assert app[REGISTRY].stats().ended == {"failed": 1}
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "GET / emits more than prelude_bytes=100000" in str(record.exc_info)


async def test_one_item_over_the_limit_of_the_prelude_is_a_failure_too() -> None:
    async def items() -> AsyncIterator[str]:
        yield "x" * 100_000

    async with serve(app_of(streaming(items, prelude_bytes=50_000))) as url:
        assert (await exchange(url, "GET /", "Accept: */*")).status == 500


async def test_a_prelude_within_its_limit_is_whole_however_slow_the_reader_is() -> None:
    source = rx.from_iterable("x" * 1000 for _ in range(3000))
    app = app_of(streaming(lambda: source, prelude_bytes=4_000_000))
    async with serve(app) as url, open_stream(url, receive_buffer=4096) as stream:
        stream.stall()
        opened = await only_stream(app)
        await until(lambda: opened.connection.paused)
        assert opened.outbox.size > 2_000_000
        stream.resume()
        assert len(await stream.events(3000, 20)) == 3000
        assert await stream.ended()


def ticks() -> rx.Observable[int]:
    return rx.interval(0.02)


async def test_an_endless_source_hurts_its_own_stream_alone() -> None:
    app = app_of(
        {
            "/greedy": streaming(
                lambda: rx.of(1).pipe(ops.repeat()), prelude_bytes=200_000, close_timeout=0.2
            ),
            "/ticks": streaming(ticks),
        }
    )
    async with serve(app) as url, open_stream(url, "/ticks") as good:
        await good.next_event()
        async with open_stream(url, "/greedy", receive_buffer=4096) as greedy:
            greedy.stall()
            await numbers(good, 10, 5)
            await until(lambda: app[REGISTRY].stats().ended.get("failed") == 1)
        assert len(await numbers(good, 5, 5)) == 5


async def test_an_endless_source_is_read_as_fast_as_its_reader_likes() -> None:
    app = app_of({"/greedy": streaming(lambda: rx.of(1).pipe(ops.repeat())), "/ticks": streaming(ticks)})
    async with (
        serve(app) as url,
        open_stream(url, "/ticks") as good,
        open_stream(url, "/greedy", receive_buffer=1 << 20) as greedy,
    ):
        assert await numbers(greedy, 2000) == [1] * 2000
        before = (await good.next_event()).json()
        await numbers(good, 5, 5)
        greedy.leave()
        assert (await good.next_event()).json() > before
        await until(lambda: len(app[REGISTRY].streams) == 1)


async def test_an_endless_source_that_says_nothing_has_its_headers_all_the_same() -> None:
    silent = rx.of(1).pipe(ops.repeat(), ops.filter(lambda _: False))
    app = app_of(streaming(lambda: silent))
    async with serve(app) as url, open_stream(url) as stream:
        assert stream.status == 200
        stream.leave()
        await until(lambda: not app[REGISTRY].streams)


# -- async iterables are pulled ------------------------------------------------------------------------------


class Table:
    """A hundred thousand rows, which know how many were asked for and whether they were closed."""

    def __init__(self, rows: int = 100_000) -> None:
        self.rows = rows
        self.pulled = 0
        self.closed = asyncio.Event()

    async def read(self) -> AsyncIterator[str]:
        try:
            while self.pulled < self.rows:
                self.pulled += 1
                yield f"{self.pulled - 1:05} ".ljust(100, ".")
        finally:
            self.closed.set()


@pytest.mark.slow
async def test_a_hundred_thousand_rows_into_a_slow_reader_are_pulled_and_not_buffered() -> None:
    table, ahead, count = Table(), 0, 0
    app = app_of(streaming(table.read))
    async with serve(app) as url, open_stream(url, receive_buffer=4096) as stream:
        opened = await only_stream(app)
        for share in (0.1, 0.3, 0.5, 1.0):  # reads a part, then rests until the server does
            while count < share * table.rows:
                (event,) = await stream.events(1)
                assert int(event.data[:5]) == count
                count += 1
                ahead = max(ahead, table.pulled - count)
            if share < 1:
                stream.stall()
                await at_rest(lambda: table.pulled)
                await until(lambda: opened.connection.paused)
                assert opened.outbox.size < AHEAD_BYTES + 200 and len(opened.outbox) <= AHEAD_EVENTS + 1
                ahead = max(ahead, table.pulled - count)
                stream.resume()
        assert await stream.ended()
    assert count == table.rows
    # What was pulled and not yet read stands in the outbox, in the pipe, or in the client's own reader.
    assert ahead * 100 < 2 * AHEAD_BYTES + PIPED


async def test_a_generator_is_closed_when_its_client_leaves() -> None:
    table = Table()
    async with serve(app_of(streaming(table.read))) as url:
        async with open_stream(url, receive_buffer=4096) as stream:
            await stream.events(10)
        await asyncio.wait_for(table.closed.wait(), 2)
        assert table.pulled < table.rows


async def test_a_generator_that_another_stream_reads_is_refused_with_the_way_out() -> None:
    go_on = asyncio.Event()

    async def shared() -> AsyncIterator[int]:
        yield 1
        await go_on.wait()
        yield 2

    generator = shared()
    async with serve(app_of(streaming(lambda: generator))) as url, open_stream(url) as stream:
        await stream.next_event()
        refused = await exchange(url, "GET /")
        assert refused.status == 500
        go_on.set()
        assert (await stream.next_event()).json() == 2


async def test_a_generator_that_waits_is_closed_when_its_client_leaves() -> None:
    closed, waiting = asyncio.Event(), asyncio.Event()

    async def idle() -> AsyncIterator[int]:
        try:
            yield 1
            waiting.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # it may take its time to tidy up
            closed.set()

    async with serve(app_of(streaming(idle))) as url:
        async with open_stream(url) as stream:
            await stream.next_event()
            await waiting.wait()
        await asyncio.wait_for(closed.wait(), 2)


async def test_a_generator_that_fails_while_it_is_closed_is_told_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def broken() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            raise ValueError("while closing")

    app = app_of(streaming(broken))
    async with serve(app) as url:
        async with open_stream(url) as stream:
            await stream.next_event()
        await until(lambda: "while closing" in caplog.text)
        assert app[REGISTRY].stats().ended == {"left": 1}


async def grouped() -> AsyncIterator[str]:
    """Yields inside a task group, as a source with a poller of its own does."""
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(1000))
        while True:
            yield "x" * 10_000


async def test_a_client_that_leaves_a_generator_with_a_task_group_is_nothing_to_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = app_of(streaming(grouped))
    async with serve(app) as url:
        async with open_stream(url, receive_buffer=4096) as stream:
            await stream.events(10)
        await until(lambda: not app[REGISTRY].streams)
        await until(lambda: len(asyncio.all_tasks()) <= 3)
        assert app[REGISTRY].stats().ended == {"left": 1}
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_task_group_that_fails_as_its_generator_is_closed_is_told_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def broken() -> AsyncIterator[int]:
        async with asyncio.TaskGroup() as group:
            group.create_task(fails_when_cancelled())
            yield 1
            await asyncio.Event().wait()

    async with serve(app_of(streaming(broken))) as url:
        async with open_stream(url) as stream:
            await stream.next_event()
        await until(lambda: "while closing" in caplog.text)
    assert "GeneratorExit" not in caplog.text


async def fails_when_cancelled() -> None:
    try:
        await asyncio.Event().wait()
    finally:
        raise ValueError("while closing")


@pytest.mark.parametrize("full", [False, True], ids=["while it waits", "while its reader is slow"])
async def test_a_task_group_that_fails_ends_the_stream_with_its_own_error(
    full: bool, caplog: pytest.LogCaptureFixture
) -> None:
    fail = asyncio.Event()

    async def poller() -> None:
        await fail.wait()
        raise ValueError("no more prices")

    async def source() -> AsyncIterator[str]:
        async with asyncio.TaskGroup() as group:
            group.create_task(poller())
            yield "first"
            while full:  # suspended in its `yield`, it cannot be told by a CancelledError
                yield "x" * 100_000
            await asyncio.Event().wait()

    app = app_of(streaming(source))
    async with serve(app) as url, open_stream(url, receive_buffer=4096) as stream:
        await stream.next_event()
        if full:
            (served,) = app[REGISTRY].streams
            await until(lambda: served.connection.paused)
        fail.set()
        while (await stream.next_event(control=True)).type != "stream-error":
            pass
    assert "no more prices" in caplog.text
    assert "GeneratorExit" not in caplog.text


async def test_what_is_pulled_is_not_dropped_while_a_thread_floods_another_stream() -> None:
    """The inbox is never empty here; what a stream pulls for itself does not pass through it."""
    subject, table, stop = Subject[int](), Table(20_000), threading.Event()
    app = app_of(
        {
            "/flooded": streaming(lambda: subject, overflow="drop_oldest"),
            "/table": streaming(table.read, prelude_bytes=400_000),
        }
    )

    def flood() -> None:
        while not stop.is_set():
            for n in range(100):
                subject.on_next(n)
            stop.wait(0.0005)

    async with serve(app) as url, open_stream(url, "/flooded") as flooded:
        flooding = asyncio.create_task(asyncio.to_thread(flood))
        try:
            await flooded.next_event()
            async with open_stream(url, "/table") as stream:
                rows = await stream.events(table.rows, 20)
                assert [int(event.data[:5]) for event in rows] == list(range(table.rows))
        finally:
            stop.set()
            await flooding


async def test_tokens_arrive_one_by_one_as_they_are_made() -> None:
    step = asyncio.Event()

    async def tokens() -> AsyncIterator[str]:
        for token in ("reactive", "streams"):
            yield token
            await step.wait()
            step.clear()

    async with serve(app_of(streaming(tokens))) as url, open_stream(url) as stream:
        assert (await stream.next_event()).data == "reactive"
        step.set()
        assert (await stream.next_event()).data == "streams"
        step.set()
        assert (await stream.next_event(control=True)).type == "stream-end"


async def test_an_item_that_cannot_be_sent_ends_the_generator() -> None:
    closed = asyncio.Event()

    async def items() -> AsyncIterator[Any]:
        try:
            yield 1
            yield object()
            yield 2
        finally:
            closed.set()

    async with serve(app_of(streaming(items))) as url, open_stream(url) as stream:
        assert await stream.ended()
        assert [event.type for event in stream.rest(control=True)] == ["message", "stream-error"]
        assert closed.is_set()
