"""`replicas=`: accepted means that so many replicas have it. They are stopped, killed, promoted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import prometheus_client as prometheus
import pytest
import redis as redis_py
from aiohttp import web

import rx_sse
from rx_sse import RedisBus, RedisPublisher, metrics
from rx_sse.bus.redis.protocol.keys import Keys, slot_of
from rx_sse.bus.runtime import BusError
from rx_sse.delivery import loop as loop_of_delivery
from rx_sse.errors import PublishRefused, PublishUnknown, UsageError
from rx_sse.testing.listener import Listener

from ...redis_server import RedisCluster, RedisServer, Replicas
from ...relay import Relay
from .test_access import STANDALONE, let_in, refusals
from .test_faults import ready, until

pytestmark = pytest.mark.redis

LOG = Keys().log("t")


@pytest.fixture(params=["redis", pytest.param("valkey", marks=pytest.mark.slow)])
def pair(request: pytest.FixtureRequest) -> Iterator[Replicas]:
    with Replicas(request.param) as both:
        counted(both)
        yield both


def counted(pair: Replicas) -> None:
    """Wait until the master counts its replica: its first acknowledgement comes after the link is up."""
    with redis_py.Redis(port=pair.first.port, single_connection_client=True) as client:
        client.set("first", 1)
        assert client.wait(1, 20_000) == 1


def stored(server: RedisServer) -> list[str]:
    """What a topic's log holds, in order."""
    return [
        packed.split("\n", 1)[1].rstrip("\n")
        for _, (_, _, _, packed) in server.command("XRANGE", LOG, "-", "+")
    ]


@pytest.mark.parametrize("bad", [-1, 17, True, 1.0, "1", None])
def test_what_is_no_number_of_replicas_is_refused(bad: Any) -> None:
    for make in (RedisBus, RedisPublisher):
        with pytest.raises(UsageError, match="0 to 16"):
            make("redis://localhost", replicas=bad)


async def test_a_publish_returns_when_the_replica_has_it(pair: Replicas) -> None:
    async with RedisBus(pair.first.url, replicas=1, publish_timeout=20.0) as bus:
        await bus.publish("t", 0)
        assert stored(pair.second) == ["0"]
        pair.second.pause()
        publishing = asyncio.create_task(bus.publish("t", 1))
        await until(lambda: pair.first.waiting() == 1)
        assert not publishing.done() and stored(pair.first) == ["0", "1"]
        pair.second.resume()
        await publishing
        assert stored(pair.second) == ["0", "1"]
        assert bus.stats().unconfirmed == 0


@pytest.mark.parametrize("how", ["pause", "kill"])
async def test_without_its_replica_a_publish_is_unknown_in_time(how: str, pair: Replicas) -> None:
    """It is stored and delivered; a repeat with its key stores nothing, and counts once it is back."""
    async with RedisBus(pair.first.url, replicas=1, publish_timeout=8.0) as bus:
        listener = await Listener(bus, "t").opened()
        getattr(pair.second, how)()
        begun = time.monotonic()
        with pytest.raises(PublishUnknown, match="0 of 1 acknowledged"):
            await bus.publish("t", 1, idempotency_key="k")
        assert 1.9 < time.monotonic() - begun < 8.0  # a quarter of the timeout is promised
        await listener.received(1)
        assert bus.stats().unconfirmed == 1
        async with RedisBus(pair.first.url, replicas=1, publish_timeout=2.0) as other:
            with pytest.raises(PublishUnknown):  # by a connection that has not written it
                await other.publish("t", 1, idempotency_key="k")
        pair.second.resume() if how == "pause" else pair.second.start()
        counted(pair)
        assert await bus.publish("t", 1, idempotency_key="k") == listener.events[0].id
        assert stored(pair.first) == stored(pair.second) == ["1"]


async def test_what_was_pushed_is_told_and_counted(pair: Replicas) -> None:
    async with RedisBus(pair.first.url, replicas=1, publish_timeout=1.0) as bus:
        troubles: list[BusError] = []
        told = asyncio.Event()

        def tell(trouble: BusError) -> None:
            troubles.append(trouble)
            told.set()

        bus.errors.subscribe(tell)
        pair.second.pause()
        for number in range(3):
            bus.topic("t").on_next(number)
        async with asyncio.timeout(10):
            await told.wait()
        assert [(it.topic, type(it.error)) for it in troubles] == [("t", PublishUnknown)]
        assert bus.stats().unconfirmed == 3 and bus.stats().unsettled == 0
        registry = prometheus.CollectorRegistry()
        registry.register(metrics.Collector(rx_sse.setup(web.Application(), bus=bus)))
        assert "rx_sse_bus_unconfirmed_total 3.0" in prometheus.generate_latest(registry).decode()


async def test_the_order_is_kept_whatever_the_replica_does(pair: Replicas) -> None:
    async with RedisBus(pair.first.url, replicas=1, publish_timeout=1.0) as bus:
        listener = await Listener(bus, "t").opened()
        for number in range(400):
            bus.topic("t").on_next(number)
            if number % 100 == 10:
                pair.second.pause()
            if number % 100 == 60:
                pair.second.resume()
            await asyncio.sleep(0.003)
        await listener.received(400)
        assert listener.values == list(range(400)) and not listener.gaps
        assert stored(pair.first) == [str(number) for number in range(400)]


async def test_nobody_else_waits_for_a_replica(pair: Replicas) -> None:
    """Pages and probes go over the same connection; it is held for a slice at a time."""
    async with RedisBus(pair.first.url, replicas=1, publish_timeout=20.0, probe_interval=0.5) as bus:
        for number in range(5):
            await bus.publish("other", number)
        await ready(bus)
        pair.second.pause()
        publishing = asyncio.create_task(bus.publish("t", 1))
        end = time.monotonic() + 1.5
        slowest = 0.0
        while time.monotonic() < end:
            begun = time.monotonic()
            await Listener(bus, "other", last=5).received(5)
            await Listener(bus, f"new:{begun}").opened()
            slowest = max(slowest, time.monotonic() - begun)
            assert bus.ready()
            await asyncio.sleep(0.05)
        assert slowest < 3.0, "it waited for the replica, which is given 5 s"
        assert not publishing.done()
        pair.second.resume()
        await publishing


async def test_one_wait_a_batch_and_none_unless_asked_for(
    pair: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_of_delivery, "SLICE", 10.0)
    async with RedisBus(pair.first.url, prefix="without") as bus:
        before = pair.first.calls("wait")
        await bus.publish("t", 1)
    assert pair.first.calls("wait") == before
    async with RedisBus(pair.first.url, replicas=1) as bus:
        await bus.publish("t", 0)
        batches, waits = bus.stats().batches, pair.first.calls("wait")
        await asyncio.gather(*(bus.publish(f"t{number % 7}", number) for number in range(300)))
        assert bus.stats().batches - batches == pair.first.calls("wait") - waits == 1


async def test_a_connection_that_is_lost_while_it_waits_stores_nothing_twice(pair: Replicas) -> None:
    async with Relay(pair.first) as relay, RedisBus(relay.url, replicas=1, publish_timeout=20.0) as bus:
        await bus.publish("t", 0)
        pair.second.pause()
        publishing = asyncio.create_task(bus.publish("t", 1))
        await until(lambda: pair.first.waiting() == 1)
        assert len(stored(pair.first)) == 2
        relay.cut()
        with pytest.raises(PublishUnknown, match="the master has stored it"):
            await publishing
        pair.second.resume()
        await bus.publish("t", 2)
        assert stored(pair.first) == stored(pair.second) == ["0", "1", "2"]


def test_a_publisher_waits_as_well(pair: Replicas) -> None:
    with RedisPublisher(pair.first.url, replicas=1, timeout=8.0) as publisher:
        publisher.publish("t", 0)
        assert stored(pair.second) == ["0"]
        pair.second.pause()
        begun = time.monotonic()
        with pytest.raises(PublishUnknown, match="0 of 1"):
            publisher.publish("t", 1, idempotency_key="k")
        assert 1.9 < time.monotonic() - begun < 8.0  # a quarter of the timeout is promised
        with RedisPublisher(pair.first.url, replicas=1, timeout=2.0) as other, pytest.raises(PublishUnknown):
            other.publish("t", 1, idempotency_key="k")
        pair.second.resume()
        counted(pair)
        publisher.publish("t", 1, idempotency_key="k")
        assert stored(pair.first) == stored(pair.second) == ["0", "1"]


async def test_wait_belongs_to_the_acl_only_when_it_is_used() -> None:
    with Replicas() as pair:
        counted(pair)
        let_in(pair.first, *STANDALONE)
        url = pair.first.url.replace("redis://", "redis://app:secret@")
        async with RedisBus(url) as bus:
            await bus.publish("t", 0)
        assert not refusals(pair.first)
        async with RedisBus(url, replicas=1) as bus:
            with pytest.raises(PublishUnknown, match="NOPERM"):
                await bus.publish("t", 1)
            pair.first.command("ACL", "SETUSER", "app", "+wait")
            await bus.publish("t", 2)


@pytest.mark.slow
async def test_sentinel_and_cluster() -> None:
    """The wait is sent to the server that has stored it."""
    with Replicas(sentinel=True) as pair:
        counted(pair)
        async with RedisBus(pair.url, replicas=1) as bus:
            await bus.publish("t", 1)
            with RedisPublisher(pair.url, replicas=1) as publisher:
                await asyncio.to_thread(publisher.publish, "t", 2)
        assert stored(pair.second) == ["1", "2"]
    with RedisCluster(replicas=True) as cluster:
        async with RedisBus(cluster.url, replicas=1, publish_timeout=8.0) as bus:
            topics = [f"t{number}" for number in range(20)]
            await asyncio.gather(*(bus.publish(topic, 1) for topic in topics))
            with RedisPublisher(cluster.url, replicas=1, timeout=2.0) as publisher:
                await asyncio.to_thread(publisher.publish, "t0", 2)
                owner = cluster.owner(slot_of(Keys().log("t0")))
                replica = cluster.replicas[cluster.masters.index(owner)]
                replica.pause()
                with pytest.raises(PublishUnknown):
                    await asyncio.to_thread(publisher.publish, "t0", 3)
                with pytest.raises(PublishUnknown):
                    await bus.publish("t0", 4)
                replica.resume()
                await asyncio.gather(*(bus.publish(topic, 5) for topic in topics))


@pytest.mark.parametrize("replicas", [0, 1])
async def test_what_was_accepted_survives_a_stale_replica(replicas: int) -> None:
    """It lacks the last second of writes; without the option those were accepted, and are lost."""
    with Replicas() as pair:
        counted(pair)
        async with Relay(pair.first) as relay:
            async with RedisBus(relay.url, replicas=replicas, publish_timeout=2.0, probe_interval=0.3) as bus:
                accepted: list[int] = []
                unknown: list[int] = []

                async def publish(number: int) -> None:
                    try:
                        await bus.publish("t", number)
                    except PublishUnknown:
                        unknown.append(number)
                    except PublishRefused:
                        pass
                    else:
                        accepted.append(number)

                sent: list[asyncio.Task[None]] = []

                async def run(numbers: range) -> None:
                    for number in numbers:
                        sent.append(asyncio.create_task(publish(number)))
                        await asyncio.sleep(0.01)

                await run(range(100))
                pair.second.command("REPLICAOF", "NO", "ONE")
                await run(range(100, 200))
                pair.first.kill()
                before = sorted(accepted)
                relay.lead_to(pair.second)
                await ready(bus)
                await asyncio.gather(*sent)
                survived = set(stored(pair.second))
                lost = [number for number in before if str(number) not in survived]
                if replicas:
                    assert not lost and before and unknown
                else:
                    assert len(lost) > 50 and not unknown
