from __future__ import annotations

import asyncio

from rx_sse.bus import MemoryBus
from rx_sse.bus.bus import core_of
from rx_sse.bus.rosters import PresenceChange
from rx_sse.testing.listener import Listener


async def test_who_listens_comes_and_goes() -> None:
    changes: list[PresenceChange] = []
    async with MemoryBus(grace=10.0) as bus:
        presence = bus.presence("t")
        watching = presence.subscribe(changes.append)
        first = await Listener(bus, "t", user="a").opened()
        second = await Listener(bus, "t", user="a").opened()
        nameless = bus.topic("t").subscribe(lambda _: None)
        assert presence.members == {"a": 2} and presence.total == 3
        assert changes == [PresenceChange("t", "a", True)]
        first.cut()
        second.cut()
        core_of(bus).tick(core_of(bus).runtime.now() + 9.0)
        await Listener(bus, "t", user="a").opened()
        core_of(bus).tick(core_of(bus).runtime.now() + 30.0)
        assert len(changes) == 1, "a reconnect is neither a leave nor a join"
        third = await Listener(bus, "t", user="b").opened()
        third.cut()
        core_of(bus).tick(core_of(bus).runtime.now() + 11.0)
        await asyncio.sleep(0)  # told in the next turn of the loop
        assert changes[1:] == [PresenceChange("t", "b", True), PresenceChange("t", "b", False)]
        watching.dispose()
        await Listener(bus, "t", user="c").opened()
        assert len(changes) == 3
        nameless.dispose()
        assert presence.total == 2


async def test_who_is_about_to_return_is_a_member_for_a_page_that_comes_meanwhile() -> None:
    """No change tells that page of the return."""
    changes: list[PresenceChange] = []
    async with MemoryBus(grace=10.0) as bus:
        presence = bus.presence("t")
        presence.subscribe(changes.append)
        (await Listener(bus, "t", user="a").opened()).cut()
        assert presence.members == {"a": 0} and presence.total == 0
        await Listener(bus, "t", user="a").opened()
        assert presence.members == {"a": 1} and len(changes) == 1


async def test_a_topic_that_nobody_listens_to_or_watches_has_no_roster() -> None:
    async with MemoryBus() as bus:
        for user in ("a", "b"):
            (await Listener(bus, "t", user=user).opened()).cut()
        assert len(core_of(bus).rosters) == 0
        watching = bus.presence("t").subscribe(lambda _: None)
        (await Listener(bus, "t", user="a").opened()).cut()
        watching.dispose()
        core_of(bus).tick(core_of(bus).runtime.now() + 60.0)
        assert len(core_of(bus).rosters) == 0
