"""What is only read leaves nothing behind: how long Redis remembers the beginning of a topic."""

from __future__ import annotations

import asyncio
import time

import pytest

from rx_sse import RedisBus
from rx_sse.bus.redis.queries import BEGINNING
from rx_sse.bus.redis.subscriptions import STAYS, Subscriptions
from rx_sse.testing.listener import Listener

from ...redis_server import RedisServer
from ..logs import keys_of

pytestmark = pytest.mark.redis


class Nothing:
    def arrived(self, entry: object) -> None: ...

    def dirty(self) -> None: ...


def test_a_topic_is_listened_to_for_good_after_a_while() -> None:
    now = [0.0]
    subscriptions = Subscriptions(lambda: now[0])
    first = subscriptions.add("t", "c", Nothing())
    now[0] = STAYS + 1
    assert subscriptions.stays("t") and not subscriptions.stays("other")
    assert subscriptions.remove(first) and not subscriptions.stays("t")
    subscriptions.add("t", "c", Nothing())
    assert not subscriptions.stays("t"), "each subscription begins anew"


async def life(redis: RedisServer, key: str, *, more_than: int) -> int:
    async with asyncio.timeout(20):
        while (left := redis.command("PTTL", key)) <= more_than:
            await asyncio.sleep(0.02)
    return int(left)


async def test_a_beginning_that_was_only_read_is_soon_forgotten(redis: RedisServer) -> None:
    shift = [0.0]
    async with RedisBus(redis.url, prefix="brief", clock=lambda: time.monotonic() + shift[0]) as bus:
        keys = keys_of(bus)
        listener = await Listener(bus, "read").opened()
        await Listener(bus, "published").opened()
        await bus.publish("published", 1)
        assert 0 < redis.command("PTTL", keys.meta("read")) <= BEGINNING
        assert redis.command("PTTL", keys.meta("published")) > 3_600_000
        questions = bus.stats().questions
        async with asyncio.timeout(20):
            while bus.stats().questions < questions + 2:  # compared, as it is every second
                await asyncio.sleep(0.02)
        assert redis.command("PTTL", keys.meta("read")) <= BEGINNING
        shift[0] = STAYS + 1  # a reader stays: its cursor is good for as long as any other
        await life(redis, keys.meta("read"), more_than=3_600_000)
        assert listener.values == []


async def test_a_beginning_lives_on_while_it_is_listened_to_and_is_resumed(redis: RedisServer) -> None:
    async with RedisBus(redis.url, prefix="renewed") as bus:
        key = keys_of(bus).meta("t")
        listener = await Listener(bus, "t").opened()
        cursor = (await Listener(bus, "t").opened()).cut()
        redis.command("PEXPIRE", key, 5000)
        await life(redis, key, more_than=5000)
    async with RedisBus(redis.url, prefix="renewed") as bus:
        resumed = await Listener(bus, "t", cursor=cursor).opened()
        await bus.publish("t", 1)
        await resumed.received(1)
        assert not resumed.gaps and not listener.gaps
