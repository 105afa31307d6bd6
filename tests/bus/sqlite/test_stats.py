"""What `stats()` says of the file, and what Prometheus is told of it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from pathlib import Path

import pytest
from aiohttp import web

import rx_sse
from rx_sse import SQLiteBus, metrics
from rx_sse.bus.bus import core_of
from rx_sse.testing import serve
from rx_sse.testing.listener import Listener


async def test_the_sizes_are_those_of_the_files_and_commits_are_counted(path: Path) -> None:
    bus = SQLiteBus(path)
    assert bus.stats().file_bytes == bus.stats().wal_bytes == bus.stats().commits == 0
    async with bus:
        await Listener(bus, "t").opened()
        tick = core_of(bus)._tick
        assert tick is not None
        tick.cancel()  # it stores who listens, once a second
        before = bus.stats()
        for number in range(3):
            await bus.publish("t", "x" * 10_000 + str(number))
        after = bus.stats()
        assert after.commits == before.commits + 3
        assert after.commit_seconds > before.commit_seconds
        assert after.wal_bytes == os.stat(f"{path}-wal").st_size > before.wal_bytes + 30_000
        assert after.file_bytes == os.stat(path).st_size
        assert after.watched >= 1
        assert after.unsettled == 0 and not after.trouble


async def test_the_trouble_is_named_while_the_file_cannot_be_written(path: Path) -> None:
    async with SQLiteBus(path, publish_timeout=1.0) as bus:
        await bus.position("t")
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(rx_sse.PublishRefused):
            await bus.publish("t", "1")
        assert "locked" in bus.stats().trouble
        other.execute("ROLLBACK")
        other.close()
        await bus.publish("t", "2")
        async with asyncio.timeout(10):
            while bus.stats().trouble:
                await asyncio.sleep(0.01)


async def test_prometheus_is_told_the_sizes(path: Path) -> None:
    prometheus = pytest.importorskip("prometheus_client")
    bus = SQLiteBus(path)
    app = rx_sse.setup(web.Application(), bus=bus)
    registry = prometheus.CollectorRegistry()
    registry.register(metrics.Collector(app))
    async with serve(app):
        await bus.publish("t", "1")
        text = prometheus.generate_latest(registry).decode()
        size = bus.stats().file_bytes
    assert f"rx_sse_bus_file_bytes {float(size)}" in text
    assert "rx_sse_bus_wal_bytes " in text and "rx_sse_bus_wal_bytes 0.0" not in text
