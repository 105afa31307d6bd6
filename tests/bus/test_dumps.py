"""`dumps=` of a bus holds wherever it makes an event of a value: pushed, published, mapped, a snapshot."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

import rx_sse
from rx_sse import MemoryBus
from rx_sse.errors import EncodeError, UsageError


class ObjectId: ...


def oid(value: Any) -> str:
    return json.dumps(value, default=lambda _: "oid", indent=1)


async def first(source: Any) -> Any:
    found: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    with source.subscribe(lambda value: found.done() or found.set_result(value), found.set_exception):
        return await asyncio.wait_for(found, 5)


async def test_what_is_published_and_pushed_goes_through_it() -> None:
    async with MemoryBus(dumps=oid) as bus:
        await bus.publish("t", {"_id": ObjectId()})
        event = await first(bus.events("t", after=None, last=1))
        assert "\n" not in event.data and event.json() == {"_id": "oid"}
        value = asyncio.ensure_future(first(bus.topic("t")))
        await asyncio.sleep(0)
        await asyncio.to_thread(bus.topic("t").on_next, [ObjectId()])  # a thread knows no request
        assert await value == ["oid"]


async def test_what_map_and_snapshot_return_goes_through_it() -> None:
    async with MemoryBus(dumps=oid) as bus:
        await bus.publish("t", 1)
        mapped = await first(bus.events("t", after=None, last=1, map=lambda _: [ObjectId()]))
        assert mapped.json() == ["oid"]
        state = await first(bus.events("t", after=None, snapshot=lambda _: {"of": ObjectId()}))
        assert state.json() == {"of": "oid"}


async def test_what_it_returns_is_refused_where_utf8_cannot_carry_it() -> None:
    async with MemoryBus(dumps=lambda value: json.dumps(value, ensure_ascii=False)) as bus:
        with pytest.raises(EncodeError, match="lone surrogate"):
            await asyncio.wait_for(bus.publish("t", {"a": "\ud800"}), 5)
        with pytest.raises(EncodeError, match="lone surrogate"):
            bus.topic("t").on_next({"a": "\ud800"})
        await bus.publish("t", {"a": "é"})
        assert [entry.json() for entry in await bus.history("t")] == [{"a": "é"}]


async def test_without_it_the_value_is_refused_with_the_way_out() -> None:
    async with MemoryBus() as bus:
        with pytest.raises(EncodeError, match="pass dumps="):
            await bus.publish("t", {"_id": ObjectId()})


@pytest.mark.parametrize(
    "make",
    [
        MemoryBus,
        lambda dumps: rx_sse.RedisBus("redis://localhost:1", dumps=dumps),
        lambda dumps: rx_sse.RedisPublisher("redis://localhost:1", dumps=dumps),
    ],
    ids=["MemoryBus", "RedisBus", "RedisPublisher"],
)
def test_what_is_no_function_is_refused(make: Any) -> None:
    with pytest.raises(UsageError, match="dumps='json' must be a function of a value"):
        make(dumps="json")


def test_a_publisher_of_a_worker_takes_it_as_well() -> None:
    publisher = rx_sse.RedisPublisher("redis://127.0.0.1:1", dumps=oid, timeout=0.2)
    with pytest.raises(rx_sse.RxSseError) as caught:
        publisher.publish("t", {"_id": ObjectId()})
    assert not isinstance(caught.value, EncodeError)  # it got as far as the connection
