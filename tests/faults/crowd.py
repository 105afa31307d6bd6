"""The clients, and who publishes to them."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Self

from rx_sse.testing.raw import OpenStream, StreamClosed, send

from .process import Process

PATIENCE = 60.0
AWAY = (0.02, 0.15)
"""Seconds until a client comes back. A browser takes longer; the shorter, the more is under way meanwhile."""


@dataclass
class Sent:
    """An event that was given to a process.

    Attributes:
        at: when.
        state: the publisher's result: accepted, refused, unknown; empty if its process died.
        place: its position, as far as the publisher knows it.
    """

    number: int
    topic: str
    at: float
    state: str = ""
    place: tuple[int, int] | None = None


@dataclass(frozen=True)
class Got:
    """What a client received: an event's number and place, or a gap (`number` is None, `reason` is not)."""

    number: int | None
    place: tuple[int, int]
    at: float
    reason: str = ""


@dataclass(eq=False)
class Client:
    """Comes back with its cursor, to whichever process lives, and keeps what it got."""

    topic: str
    processes: Sequence[Process]
    home: int
    got: list[Got] = field(default_factory=list[Got])
    last: str = ""
    newest: int = -1
    stream: OpenStream | None = None
    receive_buffer: int | None = None
    odd: list[str] = field(default_factory=list[str])

    async def run(self) -> None:
        """Read until cancelled, whatever happens to the connection."""
        while True:
            address = self._address()
            if address:
                with contextlib.suppress(StreamClosed, OSError, asyncio.IncompleteReadError, TimeoutError):
                    await self._read(address)
            await asyncio.sleep(random.uniform(*AWAY))

    def leave(self, *, wander: bool) -> None:
        """Be cut; come back, perhaps elsewhere."""
        self.home += wander
        if self.stream is not None:
            random.choice([OpenStream.leave, OpenStream.reset])(self.stream)

    def _address(self) -> str:
        for step in range(len(self.processes)):
            process = self.processes[(self.home + step) % len(self.processes)]
            if process.address:
                return process.address
        return ""

    async def _read(self, address: str) -> None:
        loop = asyncio.get_running_loop()
        headers = {"Last-Event-ID": self.last} if self.last else {}
        stream = await send(f"{address}/{self.topic}", headers=headers, receive_buffer=self.receive_buffer)
        try:
            async with asyncio.timeout(PATIENCE):
                await stream.read_head()
            if stream.status != 200:
                self.odd.append(f"status {stream.status}")
            self.stream = stream
            while True:
                event = await stream.next_event(PATIENCE, control=True)
                self.last = stream.last_event_id
                if event.type not in ("message", "stream-gap"):
                    continue
                _, seq, nonce = self.last.split("_")[1].split(".")
                place = int(seq), int(nonce)
                if event.is_control:
                    self.got.append(Got(None, place, loop.time(), event.json()["reason"]))
                else:
                    number = int(event.data.split(" ", 1)[0])
                    self.newest = max(self.newest, number)
                    self.got.append(Got(number, place, loop.time()))
        finally:
            self.stream = None
            await stream.aclose()


class Crowd:
    """Clients over topics, cut at random while they read; and numbers that are published to them.

    Args:
        processes: where they go.
        clients: how many.
        topics: how many.
        rate: events a second.
        pad: bytes added to an event.
    """

    def __init__(
        self, processes: Sequence[Process], clients: int, topics: int, rate: float, pad: int = 0
    ) -> None:
        self.processes = processes
        self.topics = [f"t{number}" for number in range(topics)]
        self.clients = [Client(self.topics[n % topics], processes, n // topics) for n in range(clients)]
        self.sent: list[Sent] = []
        self.cuts = 10.0
        """Clients that are cut in a second."""
        self.turns: Sequence[int] = range(max(len(processes), 1))
        """The processes through which it is published, in turn."""
        self._rate = rate
        self._pad = " " * (pad > 0) + "x" * pad
        self._tasks: list[asyncio.Task[None]] = []
        self._publishing: asyncio.Task[None] | None = None

    def told(self, word: str, number: int, seq: int = 0, nonce: int = 0) -> None:
        """What a process says of an event."""
        self.sent[number].state = word
        if word == "accepted":
            self.sent[number].place = seq, nonce

    async def open(self) -> None:
        """All come, and know where they are."""
        self._tasks = [asyncio.create_task(client.run()) for client in self.clients]
        await self.until(lambda: all(client.last for client in self.clients))

    def publish(self) -> None:
        """Begin to publish."""
        self._publishing = asyncio.create_task(self._publish())

    async def rest(self) -> None:
        """Stop publishing, and wait until every publish has a result."""
        if self._publishing is not None:
            self._publishing.cancel()
            await asyncio.gather(self._publishing, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(12):
                while any(not sent.state for sent in self.sent[-2000:]):
                    await asyncio.sleep(0.02)

    async def settled(self) -> None:
        """Wait until a last number has reached every client."""
        self.cuts = 0
        for topic in self.topics:
            last = await self._accepted(topic)
            readers = [client for client in self.clients if client.topic == topic]
            await self.until(lambda n=last, them=readers: all(client.newest >= n for client in them))

    async def whole_since(self, begin: float) -> float:
        """Seconds from `begin` until every client has got something that was sent after it."""
        first = next((sent.number for sent in reversed(self.sent) if sent.at < begin), -1)
        await self.until(lambda: all(client.newest > first for client in self.clients))
        return asyncio.get_running_loop().time() - begin

    @staticmethod
    async def until(true: Callable[[], bool]) -> None:
        """Wait for a condition."""
        async with asyncio.timeout(PATIENCE):
            while not true():
                await asyncio.sleep(0.02)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [*self._tasks, *([self._publishing] if self._publishing else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _publish(self) -> None:
        loop = asyncio.get_running_loop()
        begin, done, cut = loop.time(), 0, 0.0
        while True:
            now = loop.time() - begin
            while done < now * self._rate:
                self._send(self.topics[done % len(self.topics)])
                done += 1
            cut += self.cuts * 0.01
            while cut >= 1:
                cut -= 1
                random.choice(self.clients).leave(wander=True)
            await asyncio.sleep(0.01)

    async def _accepted(self, topic: str) -> int:
        """Publish until it was accepted: its number."""
        while True:
            sent = self._send(topic)
            await self.until(lambda it=sent: bool(it.state))
            if sent.state == "accepted":
                return sent.number

    def _send(self, topic: str) -> Sent:
        """Through one process or the other."""
        number = len(self.sent)
        self.sent.append(sent := Sent(number, topic, asyncio.get_running_loop().time()))
        alive = [process for process in self.processes if process.address]
        process = alive[self.turns[number // len(self.topics) % len(self.turns)] % len(alive)]
        process.tell("publish", topic, number, f"{number}{self._pad}")
        return sent
