"""A span for each stream and each publish, and links between the two, over every bus, live and on replay."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
import reactivex as rx
from aiohttp import web

pytest.importorskip("opentelemetry.sdk")

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

import rx_sse
from rx_sse.bus.bus import core_of
from rx_sse.bus.log.entry import Entry
from rx_sse.bus.log.traceparent import is_trace
from rx_sse.bus.redis.protocol import codec
from rx_sse.bus.sqlite import schema
from rx_sse.testing import open_stream, serve
from rx_sse.web.registry import REGISTRY
from rx_sse.web.tracing import LINKS

from ..conftest import ROOT
from ..redis_server import RedisServer
from .apps import app_of, exchange, streaming, until

Make = Callable[[], rx_sse.Bus]


class Traces:
    """A provider, and the spans that have ended."""

    def __init__(self, **options: Any) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(**options)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.exporter.get_finished_spans() if span.name.startswith(name)]

    async def stream(self, count: int = 1) -> ReadableSpan:
        """The span of the stream that ended last, as soon as so many have."""
        await until(lambda: len(self.named("stream")) == count)
        return self.named("stream")[-1]


def ids(spans: Sequence[ReadableSpan]) -> list[int]:
    contexts = [span.get_span_context() for span in spans]
    return [context.span_id for context in contexts if context is not None]


def open_spans(app: web.Application) -> int:
    """Spans of streams that have not ended."""
    tracing = app[REGISTRY].tracing
    assert tracing is not None
    return len(tracing)


def linked(span: ReadableSpan) -> list[int]:
    return [link.context.span_id for link in span.links]


def reading(bus: rx_sse.Bus, traces: Traces | None, **options: Any) -> web.Application:
    @rx_sse.sse
    def handler(request: web.Request) -> Any:
        return bus.events("news", after=rx_sse.last_event_id(request), **options)

    return app_of(handler, bus=bus, tracing=False if traces is None else traces.provider)


@pytest.fixture(params=["memory", "sqlite", "redis"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Makes buses of one kind, which share their log but for those in memory."""
    with ExitStack() as stack:
        if request.param == "memory":
            yield rx_sse.MemoryBus
        elif request.param == "sqlite":
            yield lambda: rx_sse.SQLiteBus(tmp_path / "app.db")
        else:
            redis = stack.enter_context(RedisServer())
            yield lambda: rx_sse.RedisBus(redis.url)


async def test_a_delivery_links_to_its_publish_live_and_on_replay(make: Make) -> None:
    traces, bus = Traces(), make()
    app = reading(bus, traces)
    async with serve(app) as url:
        async with open_stream(url) as stream:
            await stream.next_event(control=True)
            await bus.publish("news", 1)
            first = await stream.next_event()
            bus.topic("news").on_next(2)
            await stream.next_event()
        published = traces.named("publish")
        assert linked(await traces.stream()) == ids(published) and len(published) == 2
        async with open_stream(url, headers={"Last-Event-ID": str(first.id)}) as stream:
            assert (await stream.next_event()).data == "2"
        assert linked(await traces.stream(2)) == ids(published[1:])
        for n in range(LINKS):
            bus.topic("news").on_next(n)
        async with open_stream(url, headers={"Last-Event-ID": str(first.id)}) as stream:
            await stream.events(LINKS + 1)
        assert len(linked(await traces.stream(3))) == LINKS
    assert open_spans(app) == 0


@pytest.mark.parametrize("make", ["sqlite", "redis"], indirect=True)
async def test_it_links_over_processes_also_when_the_ring_is_cold(make: Make) -> None:
    here, there = Traces(), Traces()
    publisher, bus = make(), make()
    async with serve(reading(publisher, there)):
        await publisher.publish("news", "before")
        async with serve(reading(bus, here, last=5)) as url, open_stream(url) as stream:
            assert (await stream.next_event()).data == "before"
            await publisher.publish("news", "live")
            assert (await stream.next_event()).data == "live"
        assert linked(await here.stream()) == ids(there.named("publish"))
        (span,) = here.named("stream")
        assert span.links[0].context.is_remote


@pytest.mark.parametrize("make", ["sqlite", "redis"], indirect=True)
async def test_who_traces_nothing_reads_what_others_trace(make: Make) -> None:
    traces = Traces()
    publisher, bus = make(), make()
    async with serve(reading(publisher, traces)), serve(reading(bus, None, last=5)) as url:
        await publisher.publish("news", "traced", idempotency_key="k")
        await bus.publish("news", "plain")
        assert await bus.publish("news", "traced", idempotency_key="k"), "a trace is no part of the payload"
        async with open_stream(url) as stream:
            assert [event.data for event in await stream.events(2)] == ["traced", "plain"]
            await publisher.publish("news", "live")
            assert (await stream.next_event()).data == "live"


async def test_a_filter_keeps_the_link() -> None:
    traces, bus = Traces(), rx_sse.MemoryBus()
    app = reading(bus, traces, filter=lambda event: event.json() != 1)
    async with serve(app) as url:
        async with open_stream(url) as stream:
            await stream.next_event(control=True)
            for n in (1, 2):
                await bus.publish("news", n)
            assert (await stream.next_event()).json() == 2
        assert linked(await traces.stream()) == ids(traces.named("publish")[1:])


async def test_a_stream_is_one_span_with_its_first_event_and_its_end() -> None:
    traces = Traces()
    app = app_of({"/orders/{name}": streaming(lambda: rx.of(1, 2))}, tracing=traces.provider)
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with serve(app) as url:
        await exchange(url, "GET /orders/7?token=secret", f"traceparent: {parent}", "Last-Event-ID: x")
        span = await traces.stream()
    assert (span.name, span.kind) == ("stream GET /orders/{name}", SpanKind.SERVER)
    assert span.parent is not None and span.parent.span_id == 0xB7AD6B7169203331
    attributes = dict(span.attributes or {})
    assert attributes.pop("sse.bytes") and attributes.pop("sse.stream")
    assert attributes == {
        "http.request.method": "GET",
        "http.route": "/orders/{name}",
        "url.path": "/orders/7",
        "client.address": "127.0.0.1",
        "sse.resumes": True,
        "sse.end_reason": "completed",
    }
    assert [event.name for event in span.events] == ["first event"]
    assert "secret" not in span.to_json()


async def test_inside_of_a_span_of_the_request_it_is_a_child() -> None:
    traces = Traces()
    tracer = traces.provider.get_tracer("test")

    @web.middleware
    async def instrumented(request: web.Request, handler: Any) -> web.StreamResponse:
        with tracer.start_as_current_span("request"):
            return await handler(request)

    app = app_of(streaming(lambda: rx.of(1)), tracing=traces.provider)
    app.middlewares.append(instrumented)
    async with serve(app) as url:
        await exchange(url)
        span = await traces.stream()
    assert span.kind is SpanKind.INTERNAL and span.parent is not None
    assert ids(traces.named("request")) == [span.parent.span_id]


async def test_a_gap_is_an_event_and_a_failure_a_status() -> None:
    traces, bus = Traces(), rx_sse.MemoryBus()
    app = reading(bus, traces)

    @rx_sse.sse
    def fails(request: web.Request) -> Any:
        return rx.concat(rx.of(1), rx.throw(ValueError("secret")))

    app.router.add_get("/fails", fails)
    async with serve(app) as url:
        async with open_stream(url, headers={"Last-Event-ID": "1_nonsense"}) as stream:
            assert (await stream.next_event(control=True)).is_control
            await until(lambda: bool(app[REGISTRY].streams))
            stream.leave()
        span = await traces.stream()
        assert [(event.name, dict(event.attributes or {})["reason"]) for event in span.events] == [
            ("gap", "unknown")
        ]
        assert (span.attributes or {})["sse.end_reason"] == "left"
        await exchange(url, "GET /fails")
        assert (await traces.stream(2)).status.status_code is StatusCode.ERROR
        assert "secret" not in traces.named("stream")[-1].to_json()


async def test_what_is_not_sampled_leaves_nothing() -> None:
    traces, bus = Traces(sampler=ALWAYS_OFF), rx_sse.MemoryBus()
    app = reading(bus, traces)
    async with serve(app) as url, open_stream(url) as stream:
        await stream.next_event(control=True)
        await bus.publish("news", 1)
        await stream.next_event()
        (entry,) = core_of(bus).topics.local("news").ring.slice(0, 5, 10_000)
        assert type(entry) is Entry
        assert open_spans(app) == 0


# -- publishers without a loop -------------------------------------------------------------------------------


def publish_with_redis(folder: Path, redis: str, values: Sequence[Any]) -> None:
    with rx_sse.RedisPublisher(redis) as publisher:
        for value in values:
            publisher.publish("news", value)


def publish_with_sqlite(folder: Path, redis: str, values: Sequence[Any]) -> None:
    with rx_sse.SQLitePublisher(folder / "app.db") as publisher:
        for value in values:
            publisher.publish("news", value)


def publish_inside(folder: Path, redis: str, values: Sequence[Any]) -> None:
    with closing(sqlite3.connect(folder / "app.db")) as connection, connection:
        for value in values:
            rx_sse.publish_in(connection, "news", value)


PUBLISHERS = [publish_with_redis, publish_with_sqlite, publish_inside]


@pytest.mark.parametrize("publish", PUBLISHERS)
async def test_a_publisher_carries_the_span_that_is_current_in_its_thread(
    publish: Callable[[Path, str, Sequence[Any]], None], tmp_path: Path
) -> None:
    there, here, unsampled = Traces(), Traces(), Traces(sampler=ALWAYS_OFF)

    def work(redis: str, traces: Traces, value: Any) -> None:
        with traces.provider.get_tracer("test").start_as_current_span("job"):
            publish(tmp_path, redis, [value])

    with ExitStack() as stack:
        if publish is publish_with_redis:
            redis = stack.enter_context(RedisServer()).url
            bus, blind = rx_sse.RedisBus(redis), rx_sse.RedisBus(redis)
        else:
            redis = ""
            bus, blind = rx_sse.SQLiteBus(tmp_path / "app.db"), rx_sse.SQLiteBus(tmp_path / "app.db")
        async with serve(reading(bus, here, last=9)) as url, serve(reading(blind, None, last=9)) as other:
            async with open_stream(url) as stream, open_stream(other) as plain:
                for opened in (stream, plain):
                    assert (await opened.next_event(control=True)).type == "stream-cursor"
                await asyncio.to_thread(publish, tmp_path, redis, ["outside"])
                await asyncio.gather(*(asyncio.to_thread(work, redis, there, n) for n in range(3)))
                await asyncio.to_thread(work, redis, unsampled, "unsampled")
                await asyncio.to_thread(publish, tmp_path, redis, ["after"])
                for opened in (stream, plain):
                    seen = [event.data for event in await opened.events(6)]
                    assert sorted(seen[1:4]) == ["0", "1", "2"]
                    assert [seen[0], *seen[4:]] == ["outside", "unsampled", "after"]
            jobs = set(ids(there.named("job")))
            assert len(jobs) == 3 and set(linked(await here.stream())) == jobs
            async with open_stream(url) as stream:  # a replay
                await stream.events(6)
            assert set(linked(await here.stream(2))) == jobs


async def test_the_trace_of_a_transaction_that_is_rolled_back_leaves_with_it(tmp_path: Path) -> None:
    path, traces = tmp_path / "app.db", Traces()
    job = traces.provider.get_tracer("test").start_as_current_span
    async with rx_sse.SQLiteBus(path) as bus:
        with closing(sqlite3.connect(path)) as connection:
            for end in (connection.rollback, connection.commit, connection.rollback, connection.commit):
                connection.execute("BEGIN IMMEDIATE")  # from here on the bus writes nothing
                rows = connection.execute("SELECT * FROM rx_sse_entries")  # a statement that is still open
                with job("job"):
                    rx_sse.publish_in(connection, "news", end.__name__)
                rows.close()
                end()
            await bus.publish("news", "here")
            stored = connection.execute("SELECT data, trace FROM rx_sse_entries ORDER BY seq").fetchall()
    assert [data for data, _ in stored] == ["commit", "commit", "here"]
    assert [is_trace(trace) for _, trace in stored] == [True, True, False]


def test_a_publisher_imports_nothing_of_opentelemetry(tmp_path: Path) -> None:
    code = (
        "import sys, rx_sse\n"
        f"rx_sse.SQLitePublisher({str(tmp_path / 'app.db')!r}).publish('t', 1)\n"
        "assert 'opentelemetry' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize(
    "text",
    [
        None,
        b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\n",
        "00-" + "0" * 32 + "-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-" + "0" * 16 + "-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ],
)
def test_what_is_stored_is_checked(text: object) -> None:
    assert not is_trace(text)


async def test_a_version_that_knows_no_traces_reads_them_from_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the announcement for none, and reads the log, whose first two fields are as they were."""
    monkeypatch.setattr(
        codec, "_HEADER", re.compile(rb"(\d{1,16}) (\d{1,15}) (\d{1,16})((?: \d{1,15}:\d{1,8})+)\n")
    )
    traces = Traces()
    with RedisServer() as redis:
        publisher, bus = rx_sse.RedisBus(redis.url), rx_sse.RedisBus(redis.url)
        async with serve(reading(publisher, traces)), serve(reading(bus, None)) as url:
            async with open_stream(url) as stream:
                await stream.next_event(control=True)
                for n in range(3):
                    await publisher.publish("news", n)
                    assert (await stream.next_event()).json() == n
        (key,) = redis.command("KEYS", "*:log:news")
        entry = redis.command("XRANGE", key, "-", "+")[0]
        assert entry[1][::2] == ["h", "e", "t"] and is_trace(entry[1][5])


async def test_the_column_of_a_file_is_made_by_the_first_trace_and_is_no_other_layout(tmp_path: Path) -> None:
    path, traces = tmp_path / "app.db", Traces()
    bus = rx_sse.SQLiteBus(path)

    def columns() -> set[str]:
        with closing(sqlite3.connect(path)) as connection:
            return {row[1] for row in connection.execute("PRAGMA table_info(rx_sse_entries)")}

    async with serve(reading(bus, None)):
        await bus.publish("news", 1)
        assert "trace" not in columns()
    async with serve(reading(bus, traces)):
        await bus.publish("news", 2)
        assert "trace" in columns()
        with closing(sqlite3.connect(path)) as connection:
            assert rx_sse.publish_in(connection, "news", 3), "which names its columns"
            connection.execute("UPDATE rx_sse_entries SET trace = 'nonsense' WHERE seq = 2")
            connection.commit()
            layout = connection.execute("SELECT value FROM rx_sse_meta WHERE name = 'layout'").fetchone()
            assert layout == (schema.LAYOUT,)
    here = Traces()
    app = reading(rx_sse.SQLiteBus(path), here, last=5)
    async with serve(app) as url:
        async with open_stream(url) as stream:
            assert [event.json() for event in await stream.events(3)] == [1, 2, 3]
        assert linked(await here.stream()) == [], "what is no traceparent is no link"


def test_something_else_than_a_provider_is_refused() -> None:
    with pytest.raises(rx_sse.UsageError, match="tracing='yes' must be True, False or an OpenTelemetry"):
        rx_sse.setup(web.Application(), tracing="yes")
