"""A Redis that refuses writes and serves what is read: no memory, no disk, too few replicas."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rx_sse import RedisBus
from rx_sse.bus.bus import core_of
from rx_sse.errors import UsageError
from rx_sse.testing.listener import Listener

from ....redis_server import RedisServer
from ...logs import keys_of
from ..test_faults import ready, until

pytestmark = pytest.mark.redis

REFUSALS: list[tuple[str, Any, Any]] = [("maxmemory", 1, 0), ("min-replicas-to-write", 1, 0)]


@pytest.mark.parametrize(("option", "full", "well"), REFUSALS)
async def test_a_process_that_starts_while_nothing_can_be_written_serves_what_there_is(
    option: str, full: int, well: int
) -> None:
    with RedisServer() as server:
        async with RedisBus(server.url) as bus:
            ids = [await bus.publish("t", number) for number in range(10)]
        server.command("CONFIG", "SET", option, full)
        async with RedisBus(server.url, probe_interval=0.25, publish_timeout=30) as bus:
            resumed = await Listener(bus, "t", cursor=ids[4]).received(5)
            assert resumed.values == [5, 6, 7, 8, 9] and not resumed.gaps
            assert not bus.ready(), "what is published does not come back"
            await until(lambda: bus.stats().connections >= 2)  # one asks, one listens
            made = bus.stats().connections
            unknown = Listener(bus, "unknown")
            publishing = asyncio.create_task(bus.publish("t", 10))
            await asyncio.sleep(1.0)  # four probes: none of them says anything about the connections
            assert bus.stats().connections == made and not core_of(bus).deaf()
            assert not publishing.done() and not unknown.written, "a beginning that cannot be kept is none"
            server.command("CONFIG", "SET", option, well)
            await publishing
            await resumed.received(6)
            await unknown.opened()
            await ready(bus)
            assert not resumed.gaps and not unknown.gaps


async def test_a_lost_meta_is_no_gap_while_nothing_can_be_written() -> None:
    with RedisServer() as server:
        async with RedisBus(server.url) as bus:
            ids = [await bus.publish("t", number) for number in range(3)]
            server.command("DEL", keys_of(bus).meta("t"))
            server.command("CONFIG", "SET", "maxmemory", 1)
        async with RedisBus(server.url) as bus:
            listener = await Listener(bus, "t", cursor=ids[0]).received(2)
            questions = bus.stats().questions
            await until(lambda: bus.stats().questions > questions + 1)  # compared once more
            assert listener.values == [1, 2] and not listener.gaps


async def test_a_configuration_that_could_not_be_written_is_compared_once_it_can() -> None:
    with RedisServer() as server:
        server.command("CONFIG", "SET", "maxmemory", 1)
        async with RedisBus(server.url, partitions=16) as bus:
            key = keys_of(bus).config
            assert bus.stats().connections == 2 and server.command("GET", key) is None
            server.command("CONFIG", "SET", "maxmemory", 0)
            server.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            async with asyncio.timeout(20):
                while server.command("GET", key) is None:
                    await asyncio.sleep(0.02)
            with pytest.raises(UsageError, match=r"partitions=16.*partitions=32"):
                await RedisBus(server.url, partitions=32).start()
