"""What is pushed and published: one topic's trouble is one topic's, and nothing is stored twice."""

from __future__ import annotations

import asyncio
import time

import pytest

from rx_sse import RedisBus, RedisPublisher
from rx_sse.bus.redis.append_queue import SPACING
from rx_sse.bus.runtime import BusError
from rx_sse.errors import PublishRefused, PublishUnknown
from rx_sse.testing.listener import Listener

from ...ports import free_port
from ...redis_server import RedisServer
from ...relay import Relay
from ..logs import keys_of
from .test_faults import ready, until

pytestmark = pytest.mark.redis


def places(bus: RedisBus, topic: str) -> tuple[str, str]:
    log, meta, _ = keys_of(bus).places(topic)
    return log, meta


@pytest.mark.parametrize("place", ["5-5", "*", "4503599627370496-18446744073709551615"])
@pytest.mark.parametrize("is_meta_lost", [True, False])
async def test_an_entry_of_another_program_is_one_gap_of_its_topic(
    redis: RedisServer, place: str, is_meta_lost: bool
) -> None:
    async with RedisBus(redis.url, prefix=f"foreign{abs(hash((place, is_meta_lost)))}") as bus:
        damaged, sound = await Listener(bus, "damaged").opened(), await Listener(bus, "sound").opened()
        await bus.publish("damaged", 1)
        log, meta = places(bus, "damaged")
        redis.command("XADD", log, place, "hello", "world")
        if is_meta_lost:
            redis.command("DEL", meta)
        before = bus.stats().batches
        bus.topic("damaged").on_next(2)
        for number in range(5):
            bus.topic("sound").on_next(number)
        await sound.received(5)
        await damaged.received(2)
        assert damaged.values == [1, 2] and [it.json()["reason"] for it in damaged.gaps] == ["unreadable"]
        assert not sound.gaps and bus.stats().batches - before <= 3 and not bus.stats().unsettled
        cursor = damaged.events[0].id
    async with RedisBus(redis.url, prefix=keys_of(bus).prefix) as bus:
        again = await Listener(bus, "damaged", cursor=cursor).received(1)
        assert again.values == [2] and len(again.gaps) == 1


async def test_a_topic_that_cannot_be_written_is_refused_alone_and_reported(redis: RedisServer) -> None:
    async with RedisBus(redis.url, prefix="alone", probe_interval=30.0) as bus:
        troubles: list[BusError] = []
        bus.errors.subscribe(troubles.append)
        listeners = [await Listener(bus, f"t{number}").opened() for number in range(16)]
        log, _ = places(bus, "bad")
        redis.command("SET", log, "a string")
        bus.topic("bad").on_next(1)
        for number in range(16):
            bus.topic(f"t{number}").on_next(number)
        outcomes = await asyncio.gather(bus.publish("bad", 2), bus.publish("t0", 100), return_exceptions=True)
        assert isinstance(outcomes[0], PublishRefused) and "WRONGTYPE" in str(outcomes[0])
        assert isinstance(outcomes[1], str)
        for number, listener in enumerate(listeners):
            await listener.received(1)
            assert listener.values[0] == number and not listener.gaps
        assert len([it for it in troubles if it.topic == "bad"]) == 1
        assert not bus.stats().unsettled


async def test_a_batch_is_split_until_the_topic_to_blame_is_alone(redis: RedisServer) -> None:
    """Also where the script is asked to look for what was lost, and finds a key of another kind."""
    async with Relay(redis) as relay, RedisBus(relay.url, prefix="split", probe_interval=30.0) as bus:
        await bus.publish("warm", 0)
        for topic in ("t3", "t5"):
            redis.command("SET", places(bus, topic)[0], "a string")
            redis.command("SET", places(bus, topic)[1], "1 5 5 0 0 0")
        before = redis.calls("evalsha")
        relay.silence(answers=True)
        publishing = [asyncio.create_task(bus.publish(f"t{number}", number)) for number in range(8)]
        await until(lambda: redis.calls("evalsha") > before)
        relay.cut()
        relay.speak()
        outcomes = await asyncio.gather(*publishing, return_exceptions=True)
        refused = [number for number, it in enumerate(outcomes) if isinstance(it, PublishRefused)]
        assert refused == [3, 5] and all(isinstance(outcomes[it], str) for it in (0, 1, 2, 4, 6, 7))


async def test_an_entry_that_leaves_no_number_refuses_its_topic_by_name(redis: RedisServer) -> None:
    async with RedisBus(redis.url, prefix="full") as bus:
        await bus.publish("t", 1)
        log, meta = places(bus, "t")
        redis.command("XADD", log, "18446744073709551615-1", "hello", "world")
        redis.command("DEL", meta)
        with pytest.raises(PublishRefused, match="FOREIGN entry 18446744073709551615-1"):
            await bus.publish("t", 2)
        assert await bus.publish("other", 1)


async def test_the_newest_entries_are_removed_by_hand_and_the_topic_goes_on(redis: RedisServer) -> None:
    """The stream remembers their numbers, and takes none of them again."""
    async with RedisBus(redis.url, prefix="newest") as bus:
        listener = await Listener(bus, "t").opened()
        ids = [await bus.publish("t", number) for number in range(4)]
        log, meta = places(bus, "t")
        *_, third, fourth = redis.command("XRANGE", log, "-", "+")
        redis.command("XDEL", log, third[0], fourth[0])
        redis.command("DEL", meta)
        await bus.publish("t", 4)
        await listener.received(5)
        assert listener.values == [0, 1, 2, 3, 4]
    async with RedisBus(redis.url, prefix="newest") as bus:
        late = await Listener(bus, "t", cursor=ids[1]).received(1)
        assert late.values == [4] and len(late.gaps) == 1


async def test_what_an_abandoned_connection_still_delivers_is_not_stored() -> None:
    """It hangs in a proxy with a publish in it, which is sent again over another, and then it arrives."""
    with RedisServer() as server:
        async with Relay(server) as relay, RedisBus(relay.url, probe_interval=0.3) as bus:
            await ready(bus)
            listener = await Listener(bus, "t").opened()
            await bus.publish("t", 1)
            meta = places(bus, "t")[1]
            assert ":" not in server.command("GET", meta), "nothing for a publisher that lost no reply"
            relay.strand()
            await bus.publish("t", 2)
            assert server.command("GET", meta).endswith(":1")
            scripts = server.calls("evalsha") + server.calls("eval")
            relay.land()
            async with asyncio.timeout(20):
                while server.calls("evalsha") + server.calls("eval") <= scripts + 2:
                    await asyncio.sleep(0.02)
            await bus.publish("t", 3)
            await listener.received(3)
            assert listener.values == [1, 2, 3] and not listener.gaps
            assert server.command("XLEN", places(bus, "t")[0]) == 3


async def test_what_a_publishers_abandoned_connection_still_delivers_is_not_stored() -> None:
    with RedisServer() as server:
        async with Relay(server) as relay:
            with RedisPublisher(relay.url, timeout=0.5) as publisher:
                await asyncio.to_thread(publisher.publish, "t", 1)
                relay.strand()
                with pytest.raises(PublishUnknown, match="no answer"):
                    await asyncio.to_thread(publisher.publish, "t", 2)
                await asyncio.to_thread(publisher.publish, "t", 3)
                scripts = server.calls("evalsha")
                relay.land()
                async with asyncio.timeout(20):
                    while server.calls("evalsha") == scripts:
                        await asyncio.sleep(0.02)
                (log,) = server.command("KEYS", "*:log:t")
                texts = [fields[3] for _, fields in server.command("XRANGE", log, "-", "+")]
                assert texts == ["1j\n1", "1j\n3"], "what was unknown is certain by now"


async def test_a_redis_that_cannot_be_reached_is_named_with_the_cause() -> None:
    port = free_port()
    async with RedisBus(f"redis://127.0.0.1:{port}", publish_timeout=0.3) as bus:
        assert bus.stats().last_error == f"Redis at 127.0.0.1:{port} cannot be reached: Connection refused"
        with pytest.raises(PublishRefused, match=rf"127.0.0.1:{port} cannot be reached: Connection refused"):
            await bus.publish("t", 1)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("redis://127.0.0.1:{port}", "Redis at 127.0.0.1:{port} cannot be reached: Connection refused"),
        ("redis://no-such-host.invalid", "Redis at no-such-host.invalid:6379 cannot be reached: "),
        ("unix:///no/such/socket", "Redis at /no/such/socket cannot be reached: No such file or directory"),
        ("redis+sentinel://127.0.0.1:{port}/m", "the sentinel at 127.0.0.1:{port} cannot be reached: "),
        ("redis+cluster://127.0.0.1:{port}", "Redis at 127.0.0.1:{port} cannot be reached: "),
    ],
)
def test_a_publisher_says_at_once_that_redis_cannot_be_reached(
    url: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    with RedisPublisher(url.format(port=port), timeout=3.0) as publisher:
        begun = time.time()
        with pytest.raises(PublishRefused) as caught:
            publisher.publish("t", 1)
    assert caplog.records[0].created < begun + 2.0
    assert why.format(port=port) in str(caught.value) and "nothing was stored" in str(caught.value)
    assert why.format(port=port) in caplog.messages[0] and len(caplog.messages) == 1


async def test_pushes_in_quick_succession_leave_together_and_a_publish_waits_for_none(
    redis: RedisServer,
) -> None:
    async with RedisBus(redis.url, prefix="spacing", probe_interval=30.0) as bus:
        listener = await Listener(bus, "t").opened()
        await bus.publish("t", -1)
        loop, batches = asyncio.get_running_loop(), bus.stats().batches
        begun, number = loop.time(), 0
        while loop.time() < begun + 0.2:
            bus.topic("t").on_next(number)
            number += 1
            await asyncio.sleep(0.0001)
        took = loop.time() - begun
        await listener.received(number + 1)
        assert bus.stats().batches - batches <= took / SPACING + 2
        assert listener.values == list(range(-1, number))
        bus.topic("t").on_next(-2)
        batches = bus.stats().batches
        await bus.publish("t", -3)
        await listener.received(number + 3)
        assert listener.values[-2:] == [-2, -3]
        assert bus.stats().batches - batches <= 2
