"""`bus.retain`: another retention for some topics, on every bus."""

from __future__ import annotations

import asyncio

import pytest

from rx_sse import RedisPublisher
from rx_sse.bus import Bus, MemoryBus
from rx_sse.bus.bus import core_of
from rx_sse.errors import UsageError
from rx_sse.testing.listener import Listener

from ..redis_server import RedisServer
from .conftest import MakeBus

BLOCK = 100
"""Entries that Redis drops at a time at most."""


async def kept(bus: Bus, topic: str) -> int:
    """How many entries a topic has."""
    page = await bus.history(topic, limit=500)
    assert page.next is None
    return len(page)


async def test_each_topic_keeps_what_its_rule_says(make_bus: MakeBus) -> None:
    async with make_bus(history=300) as bus:
        bus.retain("orders:*", history=20)
        bus.retain("orders:vip", history=400)
        for topic in ("orders:1", "orders:vip", "other"):
            for number in range(420):
                bus.topic(topic).on_next(number)
        await core_of(bus).delivered()
        assert 20 <= await kept(bus, "orders:1") <= 20 + BLOCK
        assert 300 <= await kept(bus, "other") <= 300 + BLOCK
        assert 400 <= await kept(bus, "orders:vip") <= 420


async def test_a_rule_may_come_while_the_bus_runs_and_holds_for_what_is_published_then(
    make_bus: MakeBus,
) -> None:
    async with make_bus() as bus:
        listener = await Listener(bus, "t").opened()
        for number in range(250):
            await bus.publish("t", number)
        await asyncio.to_thread(bus.retain, "t", history=5)
        assert await kept(bus, "t") == 250
        for number in range(2):
            await bus.publish("t", number)
        assert 5 <= await kept(bus, "t") <= 5 + BLOCK
        await listener.received(252)
        ring = core_of(bus).topics.local("t").ring
        assert len(ring) <= 5, "a ring shows no more than the log"


async def test_what_the_library_appends_keeps_to_the_rule_too(make_bus: MakeBus) -> None:
    """An end or a gap is an entry like any other: with the bus's own retention it would cut the topic."""
    async with make_bus(history=5) as bus:
        bus.retain("t", history=300)
        for number in range(250):
            await bus.publish("t", number)
        await bus.end("t")
        assert await kept(bus, "t") == 251


@pytest.mark.slow
async def test_an_entry_lives_as_long_as_its_rule_says(make_bus: MakeBus) -> None:
    async with make_bus(ttl=3600) as bus:
        bus.retain("short", ttl=0.05)
        for topic in ("short", "long"):
            await bus.publish(topic, 1)
        async with asyncio.timeout(10):
            while await kept(bus, "short"):
                await asyncio.sleep(0.01)
        assert await kept(bus, "long") == 1


async def test_a_rule_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(UsageError, match=r"retain\('t'\) says nothing"):
        MemoryBus().retain("t")


def test_a_publisher_without_a_loop_has_rules_too(redis: RedisServer) -> None:
    with RedisPublisher(redis.url, prefix="retained") as publisher:
        with pytest.raises(UsageError):
            publisher.retain("t", history=-1)
        publisher.retain("t:*", ttl=7200)
        publisher.publish("t:1", 1)
        publisher.publish("u", 1)
    keys = {key: redis.command("PTTL", key) for key in redis.command("KEYS", "retained*")}
    assert len(keys) == 4
    assert all((life > 3_700_000) == ("t:1" in key) for key, life in keys.items()), keys
