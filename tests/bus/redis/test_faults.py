"""What may happen to a Redis, and what its clients see. Two processes, clients that wander between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from rx_sse import RedisBus
from rx_sse.bus.bus import core_of
from rx_sse.errors import PublishRefused, PublishUnknown
from rx_sse.testing.listener import Listener

from ...redis_server import RedisServer, Replicas
from ...relay import Relay
from .crowd import Crowd, all_get_all

pytestmark = pytest.mark.redis


@asynccontextmanager
async def two(url: str, **options: Any) -> AsyncIterator[tuple[RedisBus, RedisBus]]:
    async with RedisBus(url, **options) as one, RedisBus(url, **options) as other:
        yield one, other


async def ready(*buses: RedisBus) -> None:
    await until(lambda: all(bus.ready() for bus in buses))


async def until(true: Callable[[], bool]) -> None:
    """Wait for what has no event: a server's state, or what a bus knows of it."""
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0.01)


@pytest.mark.slow
async def test_listeners_are_killed_again_and_again() -> None:
    with RedisServer() as server:
        async with two(server.url) as buses:
            crowd = Crowd("t", buses)
            await crowd.open()
            publishing = asyncio.create_task(crowd.publish(3.0))
            while not publishing.done():
                server.command("CLIENT", "KILL", "TYPE", "pubsub")
                await asyncio.sleep(0.2)
            await publishing
            await crowd.settled()
            crowd.check(gaps=False)
            assert len(crowd.accepted) > 100


async def test_all_connections_are_killed_and_nothing_is_stored_twice() -> None:
    """A reply that is lost is settled: every number is in the log exactly once, in its publisher's order."""
    with RedisServer() as server:
        async with two(server.url, history=100_000) as (one, other):
            topic, count = one.topic("t"), 3000
            listener = await Listener(other, "t").opened()
            for number in range(count):
                topic.on_next(number)
                if number % 20 == 0:
                    await asyncio.sleep(0.001)
                if number % 300 == 299:
                    server.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            await listener.until(lambda it: it.values[-1:] == [count - 1])
            assert listener.values == list(range(count)) and not listener.gaps


async def test_a_reply_that_is_lost_is_settled_and_stores_once() -> None:
    with RedisServer() as server:
        async with Relay(server) as relay, RedisBus(relay.url, probe_interval=30.0) as bus:
            first = await bus.publish("t", 0)
            (log,) = server.command("KEYS", "*:log:t")
            relay.silence(answers=True)
            publishing = [asyncio.create_task(bus.publish("t", number)) for number in range(1, 4)]
            async with asyncio.timeout(20):
                while server.command("XLEN", log) < 4:
                    await asyncio.sleep(0.01)
            behind = asyncio.create_task(bus.publish("t", 4))
            await asyncio.sleep(0)
            relay.cut()
            relay.speak()
            ids = [first, *await asyncio.gather(*publishing), await behind]
            assert server.command("XLEN", log) == 5 and len(set(ids)) == 5
            listener = await Listener(bus, "t", last=10).received(5)
            assert [event.id for event in listener.events] == ids and listener.values == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("persistent", [True, False])
async def test_the_server_is_killed_and_comes_back(persistent: bool) -> None:
    options: dict[str, Any] = {"appendonly": "yes", "appendfsync": "always"} if persistent else {}
    with RedisServer(**options) as server:
        async with two(server.url, probe_interval=0.3) as buses:
            crowd = Crowd("t", buses)
            await crowd.open()
            await crowd.publish(0.3)
            publishing = asyncio.create_task(crowd.publish(1.0))
            stored = len(crowd.accepted)
            await until(lambda: len(crowd.accepted) > stored + 20)
            server.kill()
            await until(lambda: not any(bus.ready() for bus in buses))
            server.start()
            await publishing
            await ready(*buses)
            await crowd.settled()
            crowd.check(gaps=not persistent)
            if not persistent:
                assert any(None in client.all() for client in crowd.clients), "the loss was not told"


@pytest.mark.slow
async def test_a_server_that_stops_is_noticed_within_two_probes_and_heals() -> None:
    with RedisServer() as server:
        async with two(server.url, probe_interval=0.5) as buses:
            await ready(*buses)
            crowd = Crowd("t", buses)
            await crowd.open()
            publishing = asyncio.create_task(crowd.publish(2.0, 50))
            await until(lambda: len(crowd.accepted) > 5)
            turns = 0  # of 10 ms each or more: on a busy machine they are fewer, and the bound holds
            server.pause()
            async with asyncio.timeout(30):
                while buses[0].ready() or buses[1].ready():
                    await asyncio.sleep(0.01)
                    turns += 1
            noticed = turns * 0.01
            await asyncio.sleep(0.5)
            server.resume()
            await publishing
            await ready(*buses)
            await crowd.settled()
            crowd.check(gaps=False)
            assert noticed < 2 * 0.5 + 0.4, f"it took {noticed:.2f} s"


async def test_a_connection_that_is_half_dead_is_given_up() -> None:
    """Nothing is closed, commands go through, announcements do not come: only a probe can tell."""
    with RedisServer() as server:
        async with Relay(server) as relay, RedisBus(server.url) as other:
            async with RedisBus(relay.url, probe_interval=0.2) as bus:
                await ready(bus)
                listener = await Listener(bus, "t").opened()
                relay.silence(answers=True)
                async with asyncio.timeout(20):
                    while bus.ready():
                        await asyncio.sleep(0.01)
                await other.publish("t", "meanwhile")
                relay.speak()
                await listener.received(1)
                await ready(bus)
                assert not listener.gaps


async def test_a_process_that_is_deaf_says_so() -> None:
    """The server takes its probes and it hears none: this process should get no more clients."""
    with RedisServer() as server:
        server.command("ACL", "SETUSER", "dumb", "on", ">secret", "~*", "+@all", "resetchannels")
        url = server.url.replace("unix://", "unix://dumb:secret@")
        async with RedisBus(url, probe_interval=0.2) as bus:
            async with asyncio.timeout(20):
                while not core_of(bus).deaf():
                    await asyncio.sleep(0.01)
            assert not bus.ready()


async def test_a_publish_without_the_right_to_channels_is_accepted_and_arrives() -> None:
    """PUBLISH is refused after the XADD; the listener finds the entry by comparing."""
    with RedisServer() as server:
        server.command("ACL", "SETUSER", "dumb", "on", ">secret", "~*", "+@all", "resetchannels")
        url = server.url.replace("unix://", "unix://dumb:secret@")
        async with RedisBus(url, probe_interval=0.2) as mute, RedisBus(server.url) as bus:
            listener = await Listener(bus, "t").opened()
            await mute.publish("t", 1)
            await listener.received(1)
            assert not listener.gaps


async def test_the_network_of_one_process_is_cut() -> None:
    with RedisServer() as server:
        async with Relay(server) as relay:
            async with RedisBus(server.url) as one, RedisBus(relay.url) as other:
                async with all_get_all("t", (one, other), 1.6):
                    await asyncio.sleep(0.3)
                    relay.close()
                    await asyncio.sleep(0.8)
                    relay.open()


async def test_a_stale_replica_is_promoted() -> None:
    """A gap for accepted and lost entries reaches all clients, also those that had not received them."""
    with Replicas() as pair:
        async with Relay(pair.first) as relay, two(relay.url, probe_interval=0.3) as buses:
            crowd = Crowd("t", buses)
            await crowd.open()
            await crowd.publish(0.3)
            pair.catch_up()
            behind = Listener(buses[1], "t", cursor=crowd.clients[0].come(buses[0]).cursor)
            await behind.opened()
            old = behind.cut()
            pair.second.command("REPLICAOF", "NO", "ONE")  # what comes now, it never gets
            await crowd.publish(0.3)
            pair.first.kill()
            relay.lead_to(pair.second)
            await ready(*buses)
            await crowd.publish(0.3)
            await crowd.settled()
            crowd.check(gaps=True)
            for client in crowd.clients:
                assert None in client.all(), "what was taken back was not told"
            late = await Listener(buses[1], "t", cursor=old).until(lambda it: bool(it.gaps))
            assert late.error is None


@pytest.mark.slow
async def test_split_brain_one_process_stays_with_the_old_master() -> None:
    with Replicas() as pair:
        async with Relay(pair.first) as relay, Relay(pair.first) as left_behind:
            async with RedisBus(relay.url, probe_interval=0.3) as one:
                async with RedisBus(left_behind.url, probe_interval=0.3) as other:
                    crowd = Crowd("t", (one, other))
                    await crowd.open()
                    await crowd.publish(0.5)
                    pair.second.command("REPLICAOF", "NO", "ONE")
                    relay.lead_to(pair.second)
                    await ready(one)
                    await crowd.publish(3.0)
                    left_behind.lead_to(pair.second)
                    await ready(one, other)
                    await crowd.settled()
                    crowd.check(gaps=True)


async def test_everything_is_flushed() -> None:
    with RedisServer() as server:
        async with two(server.url) as buses:
            crowd = Crowd("t", buses)
            await crowd.open()
            await crowd.publish(0.3)
            server.command("FLUSHALL")
            await crowd.publish(0.3)
            await crowd.settled()
            crowd.check(gaps=True)


async def test_what_is_known_of_a_topic_is_evicted_and_its_log_is_left() -> None:
    with RedisServer() as server:
        async with two(server.url) as buses:
            crowd = Crowd("t", buses)
            await crowd.open()
            await crowd.publish(0.2)
            publishing = asyncio.create_task(crowd.publish(0.8))
            while not publishing.done():
                for key in server.command("KEYS", "*:meta:t"):
                    server.command("DEL", key)
                await asyncio.sleep(0.1)
            await publishing
            await crowd.settled()
            crowd.check(gaps=False)


async def test_a_log_expired_and_what_is_known_of_it_did_not() -> None:
    """The chain continues: a client that had every entry resumes, any other gets a gap."""
    with RedisServer() as server:
        async with RedisBus(server.url) as bus:
            first = await bus.publish("t", 1)
            second = await bus.publish("t", 2)
            (key,) = server.command("KEYS", "*:log:t")
            server.command("DEL", key)
            await bus.publish("t", 3)
        async with RedisBus(server.url) as bus:
            whole = await Listener(bus, "t", cursor=second).received(1)
            assert whole.values == [3] and not whole.gaps
            late = await Listener(bus, "t", cursor=first).received(1)
            assert late.values == [3] and len(late.gaps) == 1 and late.gaps[0].json()["reason"] == "trimmed"


async def test_scripts_are_flushed_under_load() -> None:
    with RedisServer() as server:
        async with two(server.url, history=100_000) as (one, other):
            listener = await Listener(other, "t").opened()
            count = 2000
            for number in range(count):
                one.topic("t").on_next(number)
                if number % 50 == 0:
                    server.command("SCRIPT", "FLUSH")
                    await asyncio.sleep(0)
            await listener.until(lambda it: it.values[-1:] == [count - 1])
            assert listener.values == list(range(count)) and not listener.gaps


@pytest.mark.slow  # a publisher's, and each of both by itself, are quicker
async def test_refused_and_unknown_are_told_apart() -> None:
    with RedisServer() as server:
        async with RedisBus(server.url, publish_timeout=2.0, probe_interval=5.0) as bus:
            await bus.publish("t", 0)
            server.pause()
            with pytest.raises(PublishUnknown):
                await bus.publish("t", 1)
            server.resume()
            await bus.publish("t", 2)
            server.kill()
            await until(lambda: not bus.ready())
            with pytest.raises(PublishRefused) as refused:
                await bus.publish("t", 3)
            assert refused.value.retry_after, "an outage, so another attempt makes sense"
            server.start()
            await bus.publish("t", 3, idempotency_key="k")
            with pytest.raises(PublishRefused) as refused:
                await bus.publish("t", 4, idempotency_key="k")
            assert refused.value.retry_after is None, "refused for good"
            await bus.publish("t", 4)


async def test_a_full_memory_refuses_for_a_while() -> None:
    with RedisServer() as server:
        async with RedisBus(server.url, publish_timeout=5.0) as bus:
            listener = await Listener(bus, "t").opened()
            await bus.publish("t", 0)
            server.command("CONFIG", "SET", "maxmemory", "1")
            tasks = [asyncio.create_task(bus.publish("t", number)) for number in range(1, 6)]
            await asyncio.sleep(0.5)
            server.command("CONFIG", "SET", "maxmemory", "0")
            await asyncio.gather(*tasks)
            await listener.received(6)
            assert listener.values == [0, 1, 2, 3, 4, 5] and not listener.gaps
