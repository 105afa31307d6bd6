"""Tabs that share a stream, and what happens to the one that has the connection."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from ..devtools import Browser, Tab
from .pages import Numbers

# Seconds in which the tabs that are left must have another connection.
REPLACED = 1.0
BUSY = "{ const until = Date.now() + %d; while (Date.now() < until); }"


@dataclass
class Crowd:
    """Some tabs, those that may have seen everything among them, and those that have not been there all along."""

    browser: Browser
    url: str
    numbers: Numbers
    chance: random.Random
    whole: list[Tab] = field(default_factory=list[Tab])
    late: list[Tab] = field(default_factory=list[Tab])
    done: Counter[str] = field(default_factory=Counter[str])
    away: set[str] = field(default_factory=set[str])  # frozen or navigating, at this moment

    async def open(self, count: int) -> None:
        self.whole += [await self.browser.open(self.url) for _ in range(count)]
        await asyncio.gather(*(opened(tab) for tab in self.whole))

    async def leaders(self) -> list[Tab]:
        """The tabs that have asked the server, the last first. None where a worker asks."""
        there = [tab for tab in self.whole if tab.target not in self.away]
        asked = await asyncio.gather(*(tab.run("globalThis.asked ?? 0") for tab in there))
        pairs = sorted(zip(asked, range(len(there)), there, strict=True), reverse=True)
        return [tab for when, _, tab in pairs if when]

    async def victim(self) -> Tab:
        """The leader, or where that is a worker, any tab."""
        leaders = await self.leaders()
        return (
            leaders[0]
            if leaders
            else self.chance.choice([t for t in self.whole if t.target not in self.away])
        )

    async def disturb(self, how: str) -> None:
        """One disturbance, to its end."""
        self.done[how] += 1
        if how == "worker":
            for target in await self.browser.targets("shared_worker"):
                await self.browser.send("Target.closeTarget", targetId=target)
            return
        tab = await self.victim()
        if how in ("close", "crash"):
            self.whole.remove(tab)
            await (tab.close() if how == "close" else tab.crash())
            return
        self.away.add(tab.target)
        try:
            if how == "hang":
                await tab.run(BUSY % 2000)
            elif (
                how == "stall"
            ):  # about as long as the other tabs wait: some give up on the leader, some do not
                await tab.run(BUSY % self.chance.randint(400, 900))
            elif how == "freeze":
                await tab.freeze()
                await asyncio.sleep(self.chance.uniform(1.0, 2.5))
                await tab.resume()
            else:
                await tab.navigate(self.url + "blank")
                await asyncio.sleep(self.chance.uniform(0.1, 0.4))
                await tab.navigate(self.url)
                await opened(tab)
        finally:
            self.away.discard(tab.target)

    async def seen(self, tab: Tab, last: int, timeout: float = 20.0) -> dict[str, Any]:
        """What a tab got, once it got the last."""
        async with asyncio.timeout(timeout):
            while not await tab.run(f"globalThis.got?.at(-1) === {last}"):
                await asyncio.sleep(0.1)
        return await tab.run("({got, told})")


async def opened(tab: Tab) -> None:
    await tab.until("globalThis.me?.state === 'open'", timeout=20.0)


async def connections(numbers: Numbers, within: float = REPLACED) -> int:
    """The streams that are open, once that is one."""
    try:
        async with asyncio.timeout(within):
            while numbers.open != 1:
                await asyncio.sleep(0.01)
    except TimeoutError:
        pass
    return numbers.open
