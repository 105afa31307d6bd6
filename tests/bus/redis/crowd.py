"""Clients that connect and disconnect over several buses, a publisher, and an oracle that counts."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from rx_sse.bus import Bus
from rx_sse.errors import RxSseError
from rx_sse.testing.listener import Listener

PATIENCE = 60.0


class Client:
    """A client with a cursor, which keeps all events in the order of their arrival; a gap is None."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.got: list[int | None] = []
        self.gap_times: list[float] = []
        self._listener: Listener | None = None
        self._cursor: str | None = None

    def come(self, bus: Bus) -> Listener:
        """Connect where `bus` is, with what the last connection left."""
        self.leave()
        loop = asyncio.get_running_loop()
        self._listener = Listener(
            bus, self.topic, cursor=self._cursor, on_gap=lambda _: self.gap_times.append(loop.time())
        )
        return self._listener

    def leave(self) -> None:
        """Be cut."""
        if self._listener is not None:
            self._take(self._listener)
            self._cursor = self._listener.cut()
            self._listener = None

    def all(self) -> list[int | None]:
        """Everything up to now."""
        now = [] if self._listener is None else self._seen(self._listener)
        return self.got + now

    @property
    def lost(self) -> bool:
        """Whether the stream failed: it was shed, and the client would come back."""
        return self._listener is not None and self._listener.error is not None

    def _take(self, listener: Listener) -> None:
        self.got += self._seen(listener)

    @staticmethod
    def _seen(listener: Listener) -> list[int | None]:
        return [
            None if event.type == "stream-gap" else event.json()
            for event in listener.written
            if event.type in ("stream-gap", "message")
        ]


class Crowd:
    """A topic, its clients, and one who publishes numbers.

    Args:
        buses: as of so many processes; clients wander between them.
        clients: how many.
    """

    def __init__(self, topic: str, buses: Sequence[Bus], clients: int = 4) -> None:
        self.topic = topic
        self.buses = buses
        self.clients = [Client(topic) for _ in range(clients)]
        self.accepted: list[int] = []
        self.unknown: list[int] = []
        self._begun: dict[int, float] = {}
        self._number = 0
        self._random = random.Random(7)

    async def open(self) -> None:
        """All come, and know where they are."""
        for number, client in enumerate(self.clients):
            await client.come(self.buses[number % len(self.buses)]).opened()

    async def publish(self, seconds: float, rate: float = 200.0, *, wander: bool = True) -> None:
        """Publish for a while, from every bus in turn; clients are cut and come back meanwhile."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        sent: list[asyncio.Task[None]] = []
        while loop.time() < end:
            self._number += 1
            bus = self.buses[0] if self._number % 10 else self.buses[-1]
            sent.append(asyncio.create_task(self._publish(bus, self._number)))
            if wander and self._random.random() < 0.05:
                self._random.choice(self.clients).come(self._random.choice(self.buses))
            await asyncio.sleep(1 / rate)
        await asyncio.gather(*sent)

    async def _publish(self, bus: Bus, number: int) -> None:
        self._begun[number] = asyncio.get_running_loop().time()
        try:
            await bus.publish(self.topic, number)
        except RxSseError:
            self.unknown.append(number)
        else:
            self.accepted.append(number)

    async def settled(self) -> None:
        """Wait until a last number has reached every client."""
        last: int | None = None
        async with asyncio.timeout(PATIENCE):
            while last is None:
                self._number += 1
                before = len(self.accepted)
                await self._publish(self.buses[0], self._number)
                last = self._number if len(self.accepted) > before else None
            while not all(last in client.all() for client in self.clients):
                for client in self.clients:
                    if client.lost:
                        client.come(self._random.choice(self.buses))
                await asyncio.sleep(0.02)

    def check(self, *, gaps: bool) -> None:
        """Nothing twice; nothing missing except where a gap was sent; no gap at all, unless `gaps`."""
        for client in self.clients:
            got = client.all()
            numbers = [item for item in got if item is not None]
            twice = {number for number in numbers if numbers.count(number) > 1}
            assert not twice, f"came twice: {sorted(twice)}"
            told = len(got) - len(numbers)
            if not gaps:
                assert not told, f"{told} gaps, though nothing was lost"
                missing = set(self.accepted) - set(numbers)
                assert not missing, f"missing: {sorted(missing)}"
                continue
            # Queues of two publishers that were cut off come back in any order, so numbers say nothing about
            # the place of a gap; that it was told after the number was given to a publisher does.
            told_at = max(client.gap_times, default=0.0)
            silent = [n for n in self.accepted if n not in set(numbers) and self._begun[n] > told_at]
            assert not silent, f"missing in silence: {silent}"


@asynccontextmanager
async def all_get_all(topic: str, buses: Sequence[Bus], seconds: float) -> AsyncIterator[Crowd]:
    """Publish for a while, whatever the block does meanwhile: everybody gets everything, once, without a
    gap.
    """
    crowd = Crowd(topic, buses)
    await crowd.open()
    publishing = asyncio.create_task(crowd.publish(seconds))
    yield crowd
    await publishing
    await crowd.settled()
    crowd.check(gaps=False)
