"""Cluster and Sentinel: slots that move, nodes that fail over."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from rx_sse import RedisBus, RedisPublisher
from rx_sse.bus.redis.protocol.keys import Keys, slot_of
from rx_sse.errors import PublishRefused, PublishUnknown
from rx_sse.testing.bus import CHECKS, check_bus
from rx_sse.testing.listener import Listener

from ....redis_server import RedisCluster, RedisServer, Replicas
from ....relay import Relay
from ..crowd import Crowd, all_get_all
from ..test_access import CLUSTER, SENTINEL, STANDALONE, let_in, refusals
from ..test_faults import ready, two, until

pytestmark = pytest.mark.redis


@pytest.fixture(scope="module", params=["redis", pytest.param("valkey", marks=pytest.mark.slow)])
def cluster(request: pytest.FixtureRequest) -> Iterator[RedisCluster]:
    with RedisCluster(request.param) as nodes:
        yield nodes


def slot(topic: str) -> int:
    return slot_of(Keys().log(topic))


def other(cluster: RedisCluster, topic: str) -> RedisServer:
    return next(node for node in cluster.masters if node is not cluster.owner(slot(topic)))


@pytest.mark.parametrize(
    "check",
    [check.__name__ for check in CHECKS if not check.__name__.startswith(("expiry", "ten_thousand"))],
)
async def test_a_cluster_is_a_bus(cluster: RedisCluster, check: str) -> None:
    await check_bus(lambda **options: RedisBus(cluster.url, **options), only=check)


@pytest.mark.slow
async def test_a_slot_moves_under_listeners_that_never_send(cluster: RedisCluster) -> None:
    """The old owner ends the subscription by itself, and everything else about the connection looks well."""
    async with two(cluster.url) as buses:
        crowd = Crowd("moving", buses)
        await crowd.open()
        publishing = asyncio.create_task(crowd.publish(1.2, wander=False))
        await until(lambda: len(crowd.accepted) > 20)
        await asyncio.to_thread(cluster.move, slot("moving"), other(cluster, "moving"))
        await publishing
        await crowd.settled()
        # It is heard again, not only found by comparing: what is published now differs from nothing.
        async with asyncio.timeout(60):
            while True:
                before = buses[1].stats().differed
                for _ in range(4):
                    await crowd.publish(0.02, wander=False)
                    await asyncio.sleep(0.4)
                await crowd.settled()
                if buses[1].stats().differed == before:
                    break
        crowd.check(gaps=False)
        assert not crowd.unknown


@pytest.mark.slow
async def test_a_slot_that_is_half_moved(cluster: RedisCluster) -> None:
    """What has all its keys on one side is served there; what has them on both sides, or none yet, has to
    wait until the slot has arrived: a publish is refused, and a stream gets no position.
    """
    keys = Keys()
    names = [f"half:{number}" for number in range(500)]
    here = [name for name in names if keys.partition(name) == keys.partition("half:0")]
    stayed, moved, split, new = here[:4]
    target = other(cluster, stayed)
    async with two(cluster.url, publish_timeout=0.5) as (one, two_):
        listening = {name: await Listener(two_, name).opened() for name in (stayed, moved, split)}
        before = {name: await one.publish(name, "before") for name in listening}
        asked = target.calls("asking")
        arrived = keys.log(moved), keys.meta(moved), keys.log(split)
        await asyncio.to_thread(cluster.begin, slot(stayed), target, *arrived)
        for name in (split, new):
            with pytest.raises(PublishRefused):
                await one.publish(name, "refused")
        async with RedisBus(cluster.url) as fresh:
            await asyncio.gather(
                one.publish(stayed, "meanwhile"), one.publish(moved, "meanwhile")
            )  # one batch
            for name in (stayed, moved):
                await listening[name].received(2)
                resumed = await Listener(fresh, name, cursor=before[name]).received(1)
                newest = await Listener(fresh, name, last=5).received(2)
                assert [event.data for event in resumed.events] == ["meanwhile"] and not resumed.gaps
                assert [event.data for event in newest.events] == ["before", "meanwhile"]
            assert target.calls("asking") > asked
            waiting = Listener(fresh, split, cursor=before[split])
            await asyncio.to_thread(cluster.finish, slot(stayed), target)
            for name in here[:4]:
                await one.publish(name, "after")
            await waiting.received(1)
            assert [event.data for event in waiting.events] == ["after"] and not waiting.gaps
        for name, listener in listening.items():
            expected = ["before", "after"] if name == split else ["before", "meanwhile", "after"]
            await listener.received(len(expected))
            assert [event.data for event in listener.events] == expected and not listener.gaps


async def test_the_minimal_acl_of_the_docs(cluster: RedisCluster) -> None:
    """Also while a slot moves, and is half moved."""
    for node in cluster.masters:
        let_in(node, *STANDALONE, *CLUSTER)
    url = cluster.url.replace("://", "://app:secret@")
    for check in ("nothing_is_lost_or_repeated_over_cuts", "an_idempotency_key_stores_once"):
        await check_bus(lambda **options: RedisBus(url, **options), only=check)
    async with two(url) as buses:
        await ready(*buses)
        async with all_get_all("let:in", buses, 1.0) as crowd:
            await until(lambda: bool(crowd.accepted))
            target, keys = other(cluster, "let:in"), (Keys().log("let:in"), Keys().meta("let:in"))
            asked = target.calls("asking")
            await asyncio.to_thread(cluster.begin, slot("let:in"), target, *keys)
            await until(lambda: target.calls("asking") > asked)
            await asyncio.to_thread(cluster.finish, slot("let:in"), target)
            with RedisPublisher(url) as publisher:
                crowd.accepted.append(-1)
                await asyncio.to_thread(publisher.publish, "let:in", -1)
    assert not [line for node in cluster.masters for line in refusals(node)]


async def test_the_blocking_publisher_follows_a_slot(cluster: RedisCluster) -> None:
    """As the bus does: what has all its keys on one side is stored there, the others are refused."""
    keys = Keys()
    names = [f"blocking:{number}" for number in range(500)]
    here = [name for name in names if keys.partition(name) == keys.partition("blocking:0")]
    stayed, moved, split, new = here[:4]
    target = other(cluster, stayed)
    async with RedisBus(cluster.url) as bus:
        listening = {name: await Listener(bus, name).opened() for name in here[:4]}
        with RedisPublisher(cluster.url, timeout=0.5) as publisher:
            for name in (stayed, moved, split):
                await asyncio.to_thread(publisher.publish, name, "before")
            asked = target.calls("asking")
            arrived = keys.log(moved), keys.meta(moved), keys.log(split)
            await asyncio.to_thread(cluster.begin, slot(stayed), target, *arrived)
            for name in (split, new):
                with pytest.raises(PublishRefused, match="nothing was stored"):
                    await asyncio.to_thread(publisher.publish, name, "refused")
            for name in (stayed, moved, stayed, moved):
                await asyncio.to_thread(publisher.publish, name, "meanwhile")
            assert target.calls("asking") > asked
            target.command("CLIENT", "PAUSE", 1000, "WRITE")  # ASKING is answered, the script is not
            with pytest.raises(PublishUnknown):
                await asyncio.to_thread(publisher.publish, moved, "unknown")
            target.command("CLIENT", "UNPAUSE")
            await asyncio.to_thread(cluster.finish, slot(stayed), target)
            for name in here[:4]:
                await asyncio.to_thread(publisher.publish, name, "after")
        meanwhile = {stayed: ["meanwhile"] * 2, moved: ["meanwhile"] * 2}
        for name, listener in listening.items():
            expected = [*["before"] * (name != new), *meanwhile.get(name, []), "after"]
            await listener.received(len(expected))
            got = [event.data for event in listener.events]
            assert [it for it in got if it != "unknown"] == expected and not listener.gaps


async def test_the_blocking_publisher_stores_once_when_the_slot_moves_before_its_answer(
    cluster: RedisCluster,
) -> None:
    """Stored where the slot was, found where it went."""
    keys, name = Keys(), "blocking:once"
    source, target = cluster.owner(slot(name)), other(cluster, name)
    async with Relay(source) as relay, RedisBus(cluster.url) as bus:
        listener = await Listener(bus, name).opened()
        with RedisPublisher(relay.url.replace("://", "+cluster://")) as publisher:
            await asyncio.to_thread(publisher.publish, name, 1)
            relay.silence(answers=True)
            publishing = asyncio.create_task(asyncio.to_thread(publisher.publish, name, 2))
            await listener.received(2)
            await asyncio.to_thread(cluster.begin, slot(name), target, keys.log(name), keys.meta(name))
            relay.cut()
            relay.speak()
            assert await publishing == str(listener.events[-1].id)
            await asyncio.to_thread(publisher.publish, name, 3)
            await asyncio.to_thread(cluster.finish, slot(name), target)
        await listener.received(3)
        assert listener.values == [1, 2, 3] and not listener.gaps


@pytest.mark.slow
async def test_a_node_fails_over() -> None:
    with RedisCluster(replicas=True) as cluster:
        async with two(cluster.url, probe_interval=0.3, publish_timeout=20.0) as buses:
            crowd = Crowd("failing", buses)
            await crowd.open()
            await crowd.publish(0.5)
            master = cluster.owner(slot("failing"))
            await asyncio.sleep(0.5)
            publishing = asyncio.create_task(crowd.publish(1.0, 50))
            master.kill()
            await publishing
            await crowd.settled()
            await ready(*buses)
            crowd.check(gaps=True)


async def test_sentinel_fails_over() -> None:
    """With no more rights than docs/redis.md says."""
    with Replicas(sentinel=True) as pair:
        assert pair.sentinel is not None
        for server in (pair.first, pair.second):
            let_in(server, *STANDALONE)
        let_in(pair.sentinel, *SENTINEL)
        url = pair.url.replace("://", "://app:secret@") + "?sentinel_username=app&sentinel_password=secret"
        async with two(url, probe_interval=0.3, publish_timeout=30.0) as buses:
            crowd = Crowd("t", buses)
            await crowd.open()
            await crowd.publish(0.3)
            pair.catch_up()
            publishing = asyncio.create_task(crowd.publish(1.0, 50))
            pair.first.kill()
            await publishing
            await crowd.settled()
            await ready(*buses)
            crowd.check(gaps=True)
        with RedisPublisher(url) as publisher:
            assert await asyncio.to_thread(publisher.publish, "t", 0)
        assert not refusals(pair.second) + refusals(pair.sentinel)
