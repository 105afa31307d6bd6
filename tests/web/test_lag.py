"""How late events leave, how much is replayed, how long a store takes: measured where it happens."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

import rx_sse
from rx_sse import metrics
from rx_sse.bus.bus import core_of
from rx_sse.histogram import Histogram
from rx_sse.testing import open_stream, serve
from rx_sse.web.registry import REGISTRY

from ..redis_server import RedisServer
from .apps import app_of, until

SLOW = 0.06


def count(histogram: Histogram) -> int:
    """How many values it has."""
    return sum(histogram.counts)


def reading(bus: rx_sse.Bus, *topics: str, **options: Any) -> web.Application:
    """An application whose one stream has these topics."""

    @rx_sse.sse
    def handler(request: web.Request) -> Any:
        return bus.events(*topics, after=rx_sse.last_event_id(request), **options)

    return app_of(handler, bus=bus)


async def test_a_receiver_that_takes_its_time_makes_events_late() -> None:
    bus = rx_sse.MemoryBus()
    app = reading(bus, "news", filter=lambda event: time.sleep(SLOW) is None)
    async with serve(app) as url, open_stream(url) as stream:
        await stream.next_event(control=True)
        lag = app[REGISTRY].measures.lag
        app[REGISTRY].measures.answered(0.0)
        await bus.publish("news", 1)
        await stream.next_event()
        await until(lambda: count(lag) == 1)
        assert lag.total >= SLOW


async def test_a_sample_is_one_event_and_then_nothing_is_measured() -> None:
    bus = rx_sse.MemoryBus()
    app = reading(bus, "news", "more")
    async with serve(app) as url, open_stream(url) as stream:
        await stream.next_event(control=True)
        measures, fanout = app[REGISTRY].measures, core_of(bus).runtime.fanout
        measures.answered(0.0)
        for n in range(5):  # several batches in one turn go through the outbox and the flusher
            bus.topic("news" if n % 2 else "more").on_next(n)
        await stream.events(5)
        await until(lambda: count(measures.lag) >= 1)
        assert 0.0 <= measures.lag.total < 5.0
        assert fanout.probe is None or count(measures.lag) > 1  # or the watchdog has asked for another one
    assert core_of(bus).runtime.fanout.probe is None, "nothing is left of the application"


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
async def test_an_event_of_another_process_is_dated_by_the_store(kind: str, tmp_path: Path) -> None:
    if kind == "redis":
        with RedisServer() as redis:
            await of_another(lambda: rx_sse.RedisBus(redis.url))
    else:
        await of_another(lambda: rx_sse.SQLiteBus(tmp_path / "app.db"))


async def of_another(make: Callable[[], rx_sse.Bus]) -> None:
    bus, publisher = make(), make()
    app = reading(bus, "news")
    async with publisher as other, serve(app) as url, open_stream(url) as stream:
        await stream.next_event(control=True)
        measures = app[REGISTRY].measures
        for n in range(3):
            measures.answered(0.0)
            await other.publish("news", n)
            await stream.next_event()
        await until(lambda: count(measures.lag) >= 3)
        assert measures.lag.total < 15.0
        assert core_of(bus).measures.commits is not None
        commits = core_of(other).measures.commits
        assert commits is not None and count(commits) >= 3 and 0.0 < commits.total < 15.0


async def test_a_replay_is_counted_when_it_is_over_and_so_is_a_client_that_missed_nothing() -> None:
    bus = rx_sse.MemoryBus()
    app = reading(bus, "news", last=2)
    replayed = core_of(bus).measures.replayed
    async with serve(app) as url:
        async with open_stream(url) as stream:
            await stream.next_event(control=True)
            for n in range(3):
                await bus.publish("news", n)
            await stream.events(3)
            first = stream.last_event_id
        assert count(replayed) == 0, "it began where the topic was"
        async with open_stream(url, headers={"Last-Event-ID": first}) as stream:
            await stream.next_event(control=True)
            await until(lambda: count(replayed) == 1)
        await bus.publish("news", 3)
        async with open_stream(url, headers={"Last-Event-ID": first}) as stream:
            await stream.next_event()
            await until(lambda: count(replayed) == 2)
        async with open_stream(url) as stream:
            await stream.events(2)
            await until(lambda: count(replayed) == 3)
    assert (replayed.counts[:3], replayed.total) == ([1, 1, 1], 3.0)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_a_store_has_a_commit_time_and_memory_has_none(kind: str, tmp_path: Path) -> None:
    prometheus = pytest.importorskip("prometheus_client")
    bus = rx_sse.MemoryBus() if kind == "memory" else rx_sse.SQLiteBus(tmp_path / "app.db")
    app = reading(bus, "news")
    registry = prometheus.CollectorRegistry()
    registry.register(metrics.Collector(app))
    async with serve(app):
        await bus.publish("news", 1)
        text = prometheus.generate_latest(registry).decode()
    assert "rx_sse_replay_entries_count 0.0" in text
    assert ("rx_sse_bus_commit_seconds_bucket" in text) == (kind == "sqlite")
