"""Who listens, over several processes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from rx_sse import RedisBus
from rx_sse.bus.rosters import PresenceChange
from rx_sse.testing.listener import Listener

from ...redis_server import RedisCluster, RedisServer
from ..logs import keys_of

pytestmark = pytest.mark.redis


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0.02)


@pytest.mark.slow
async def test_members_and_changes_of_all_processes() -> None:
    with RedisServer() as server:
        async with RedisBus(server.url, grace=0.0) as one, RedisBus(server.url, grace=0.0) as other:
            await scenario(one, other)


@pytest.mark.slow
async def test_on_a_cluster() -> None:
    with RedisCluster() as cluster:
        async with RedisBus(cluster.url, grace=0.0) as one, RedisBus(cluster.url, grace=0.0) as other:
            await scenario(one, other)


async def scenario(one: RedisBus, other: RedisBus) -> None:
    here, changes = one.presence("t"), list[PresenceChange]()
    here.subscribe(changes.append)
    there = await Listener(other, "t", user="ann").opened()
    nameless = await Listener(other, "t").opened()
    await until(lambda: here.members == {"ann": 1} and here.total == 2)
    mine = await Listener(one, "t", user="ann").opened()
    await until(lambda: other.presence("t").members == {"ann": 2})
    there.cut()
    nameless.cut()
    await until(lambda: here.members == {"ann": 1} and here.total == 1)
    mine.cut()
    await until(lambda: len(changes) == 2)
    assert changes == [PresenceChange("t", "ann", True), PresenceChange("t", "ann", False)]


async def test_who_closes_takes_his_listeners_with_him_at_once() -> None:
    with RedisServer() as server:
        async with RedisBus(server.url) as one:
            async with RedisBus(server.url) as other:
                await Listener(other, "t", user="ann").opened()
                await until(lambda: one.presence("t").members == {"ann": 1})
            await until(lambda: one.presence("t").members == {})


async def test_who_dies_is_forgotten_when_his_time_is_over() -> None:
    """The report of a dead process is valid until then, by Redis's clock, and expires by itself."""
    with RedisServer() as server:
        async with RedisBus(server.url) as bus:
            key = keys_of(bus).here("t")
            now = int(server.command("TIME")[0]) * 1000
            server.command("HSET", key, "dead", f'{now + 60_000} [{{"ann": 1}}, 2]')
            await until(lambda: bus.presence("t").members == {"ann": 1} and bus.presence("t").total == 3)
            soon = int(server.command("TIME")[0]) * 1000 + 1500
            server.command("HSET", key, "dead", f'{soon} [{{"ann": 1}}, 2]')
            await until(lambda: bus.presence("t").members == {})
            assert server.command("HGETALL", key) == []


async def test_a_topic_whose_presence_cannot_be_read_hides_no_other_topics() -> None:
    with RedisServer() as server:
        async with RedisBus(server.url) as one, RedisBus(server.url) as other:
            keys = keys_of(one)
            server.command("SET", keys.here("wrong"), "no hash")
            later = int(server.command("TIME")[0]) * 1000 + 60_000
            for said in ("", "7", "[]", '[{"ann": "x"}, 1]', "{", "[[1], 2]"):
                server.command("HSET", keys.here("strange"), f"p{said}", f"{later} {said}")
            for topic in ("wrong", "strange", "sound"):
                await Listener(other, topic, user="ann").opened()
            for topic in ("wrong", "strange"):
                assert one.presence(topic).members == {}
            await until(lambda: one.presence("sound").members == {"ann": 1})
            await until(lambda: one.presence("strange").members == {"ann": 1})
