"""The quotas of a principal on a bus: set by the application, counted for the user that is named."""

from __future__ import annotations

import pytest

import rx_sse
from rx_sse.bus.bus import core_of
from rx_sse.bus.quotas import OverQuota, Quotas


async def test_a_publish_that_names_a_user_is_counted_and_any_other_is_not() -> None:
    async with rx_sse.MemoryBus() as bus:
        core_of(bus).quotas.bind(bus, topics=2, keys=4)
        for topic in ("a", "b", "a"):
            await bus.publish(topic, 1, user="eve")
        with pytest.raises(rx_sse.Overloaded, match="opened too many topics") as told:
            await bus.publish("c", 1, user="eve")
        assert told.value.retry_after is not None and told.value.retry_after > 10
        assert not (await bus.history("c")).entries, "nothing was stored"
        await bus.publish("c", 1)
        await bus.publish("c", 1, user="bob")


async def test_keys_are_counted_for_the_user_whose_they_are() -> None:
    async with rx_sse.MemoryBus() as bus:
        core_of(bus).quotas.bind(bus, topics=None, keys=4)
        for key in ("k1", "k2"):
            await bus.publish("a", 1, user="eve", idempotency_key=key)
        with pytest.raises(rx_sse.Overloaded, match="used 4 idempotency keys lately"):
            await bus.publish("a", 1, user="eve", idempotency_key="k3")
        await bus.publish("a", 1, user="eve")
        await bus.publish("a", 1, user="bob", idempotency_key="k3")
        await bus.publish("a", 1, idempotency_key="k3")


async def test_a_value_that_cannot_be_sent_takes_nothing() -> None:
    async with rx_sse.MemoryBus() as bus:
        core_of(bus).quotas.bind(bus, topics=1, keys=None)
        with pytest.raises(rx_sse.EncodeError):
            await bus.publish("a", float("nan"), user="eve")
        await bus.publish("b", 1, user="eve")


def test_the_bounds_are_those_of_the_first_application_until_it_ends() -> None:
    outer, mount = object(), object()
    bounds = Quotas()
    bounds.bind(outer, topics=1, keys=2)
    bounds.bind(mount, topics=3, keys=4)
    bounds.release(mount)
    assert (bounds.topics, bounds.keys) == (1, 2)
    bounds.release(outer)
    assert (bounds.topics, bounds.keys) == (None, None)
    bounds.bind(mount, topics=3, keys=4)
    assert (bounds.topics, bounds.keys) == (3, 4)


def test_the_topics_that_are_remembered_have_a_bound() -> None:
    bounds = Quotas(lambda: 0.0, remembered=3)
    bounds.bind(bounds, topics=5, keys=None)
    for topic in "abcab":
        bounds.publish("eve", topic, keyed=False)
    bounds.publish("eve", "d", keyed=False)  # "c" is forgotten: used longest ago
    bounds.publish("eve", "c", keyed=False)
    assert len(bounds._published) == 3
    with pytest.raises(OverQuota):
        bounds.publish("eve", "e", keyed=False)
