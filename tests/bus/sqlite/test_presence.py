"""Presence over the processes that share a file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from rx_sse import SQLiteBus
from rx_sse.bus.bus import core_of
from rx_sse.bus.rosters import PresenceChange
from rx_sse.testing.listener import Listener


async def until(true: Callable[[], bool], *buses: SQLiteBus) -> None:
    """Wait, while the buses report and ask as they do once a second."""
    async with asyncio.timeout(30):
        while not true():
            for bus in buses:
                core_of(bus).tick(core_of(bus).runtime.now())
            await asyncio.sleep(0.01)


async def test_a_reload_is_no_leave_in_the_other_processes_either(tmp_path: Path) -> None:
    file, changes = tmp_path / "app.db", list[PresenceChange]()
    async with SQLiteBus(file, grace=60.0) as one, SQLiteBus(file, grace=60.0) as two:
        seen = two.presence("t")
        seen.subscribe(changes.append)
        before = await Listener(one, "t", user="ann").opened()
        await until(lambda: seen.members == {"ann": 1} and bool(changes), one, two)
        before.cut()
        await until(lambda: seen.members == {"ann": 0}, one, two)
        after = await Listener(one, "t", user="ann").opened()
        await until(lambda: seen.members == {"ann": 1}, one, two)
        assert changes == [PresenceChange("t", "ann", True)]
        after.cut()
        await until(lambda: seen.members == {"ann": 0}, one, two)
        core_of(two).tick(core_of(two).runtime.now() + 61.0)
        await until(lambda: len(changes) == 2)
        assert changes[1] == PresenceChange("t", "ann", False) and seen.members == {}
