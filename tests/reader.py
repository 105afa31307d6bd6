"""A client that checks what it receives as it receives it: for runs that are too long to keep everything.

Sequence numbers of a topic are dense, so between two events without a `stream-gap` nothing may be missing,
and nothing may be received a second time.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rx_sse.testing.raw import OpenStream, StreamClosed, send
from rx_sse.wire import ServerSentEvent

from .faults.process import Process

PATIENCE = 60.0
HELD = 5.0
"""Seconds for which the socket of a client that has vanished stays open."""


@dataclass
class Account:
    """What all clients of a run saw together.

    Attributes:
        received: events.
        lost: events that a client did not receive, and no gap stands for.
        repeated: events that a client received again, or out of order.
        different: events that are not the same for two clients.
        gaps: `stream-gap`s.
        connections: that were made.
        refused: answers that were no stream, by status.
        opened: when a client had its stream, on the loop's clock.
    """

    received: int = 0
    lost: int = 0
    repeated: int = 0
    different: int = 0
    gaps: int = 0
    connections: int = 0
    refused: dict[int, int] = field(default_factory=dict[int, int])
    opened: list[float] = field(default_factory=list[float])
    _known: dict[str, dict[int, str]] = field(default_factory=dict[str, dict[int, str]])

    @property
    def wrong(self) -> list[str]:
        """What falls short."""
        counts = {
            "lost": self.lost,
            "repeated": self.repeated,
            "different": self.different,
            "gaps though nothing was lost": self.gaps,
            "answers that are no stream": sum(self.refused.values()),
        }
        return [f"{count} {name}" for name, count in counts.items() if count]

    def same(self, topic: str, seq: int, data: str) -> bool:
        """Whether an event is what others received in its place; the newest 1,000 of a topic are known."""
        known = self._known.setdefault(topic, {})
        if seq not in known:
            known[seq] = data
            if len(known) > 1000:
                del known[next(iter(known))]
        return known[seq] == data


@dataclass(eq=False)
class Reader:
    """One client, with its cursor.

    Args:
        topic: which it reads.
        processes: where it may connect; one without an address is not asked.
        home: the number of the one that it prefers.
        account: where it counts.
        away: the least and most seconds until it connects again, unless the server said another time.
        obeys: whether it waits for as long as the server's `retry` says.
        receive_buffer: bytes that its kernel holds; None for the usual.
    """

    topic: str
    processes: Sequence[Process]
    home: int
    account: Account
    away: tuple[float, float] = (0.02, 0.5)
    obeys: bool = False
    receive_buffer: int | None = None
    last: str = ""
    seq: int = -1
    stream: OpenStream | None = None
    nap: float = 0.0

    async def run(self) -> None:
        """Read until cancelled, whatever happens to the connection."""
        while True:
            pause = random.uniform(*self.away)
            if address := self._address():
                with contextlib.suppress(StreamClosed, OSError, asyncio.IncompleteReadError, TimeoutError):
                    pause = await self._read(address) or pause
            await asyncio.sleep(max(pause, self.nap))
            self.nap = 0.0

    def disturb(self) -> None:
        """Let one of the things happen that happen to clients."""
        stream = self.stream
        if stream is None:
            return
        match random.randrange(5):
            case 0:
                stream.leave()
            case 1:
                stream.reset()
            case 2:
                self.nap = random.uniform(1.0, 5.0)
                stream.leave()
            case 3:
                stream.stall()
                asyncio.get_running_loop().call_later(random.uniform(0.5, 4.0), _resumed, stream)
            case _:
                _vanished(stream)

    def _address(self) -> str:
        count = len(self.processes)
        order = (self.processes[(self.home + step) % count] for step in range(count))
        return next((process.address for process in order if process.address), "")

    async def _read(self, address: str) -> float:
        """One connection; the seconds after which the server wants the client to connect again."""
        headers = {"Last-Event-ID": self.last} if self.last else {}
        stream = await send(f"{address}/{self.topic}", headers=headers, receive_buffer=self.receive_buffer)
        self.account.connections += 1
        try:
            async with asyncio.timeout(PATIENCE):
                await stream.read_head()
            if stream.status != 200:
                self.account.refused[stream.status] = self.account.refused.get(stream.status, 0) + 1
                return 0.0
            self.stream = stream
            with contextlib.suppress(StreamClosed):
                self._take(stream, await stream.next_event(PATIENCE, control=True))
                self.account.opened.append(asyncio.get_running_loop().time())
                while True:
                    self._take(stream, await stream.next_event(PATIENCE, control=True))
            return (stream.retry or 0) / 1000 if self.obeys else 0.0
        finally:
            self.stream = None
            await stream.aclose()

    def _take(self, stream: OpenStream, event: ServerSentEvent) -> None:
        account = self.account
        if event.type not in ("message", "stream-gap", "stream-cursor"):
            return
        if stream.last_event_id == self.last and event.type != "message":
            return
        self.last = stream.last_event_id
        seq = int(self.last.split("_")[1].split(".")[1])
        if event.type == "stream-gap":
            account.gaps += 1
        elif event.type == "message":
            account.received += 1
            account.different += not account.same(self.topic, seq, event.data)
            account.repeated += seq <= self.seq
            account.lost += max(0, seq - self.seq - 1)
        elif self.seq >= 0:
            account.lost += max(0, seq - self.seq)
        self.seq = seq


def _resumed(stream: OpenStream) -> None:
    with contextlib.suppress(RuntimeError):  # it is closed by now
        stream.resume()


def _vanished(stream: OpenStream) -> None:
    """A client that is gone and has not said so: its socket stays, and nobody reads it."""
    held: socket.socket = stream.vanish()
    stream.leave()
    asyncio.get_running_loop().call_later(HELD, held.close)


class Readers:
    """Many of them, and one that publishes numbers through the processes in turn.

    Args:
        topics: how many.
        rate: events a second.

    Attributes:
        processes: the applications.
    """

    def __init__(self, topics: int, rate: float) -> None:
        self.processes: list[Process] = []
        self.topics = [f"t{number}" for number in range(topics)]
        self.rate = rate
        self.account = Account()
        self.readers: list[Reader] = []
        self.sent = 0
        self.newest: dict[str, int] = {}
        self.not_accepted = 0
        self._waiting = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._publishing: asyncio.Task[None] | None = None

    def told(self, word: str, number: int, seq: int = 0, nonce: int = 0) -> None:
        """What a process says of an event."""
        self._waiting -= 1
        if word == "accepted":
            topic = self.topics[number % len(self.topics)]
            self.newest[topic] = max(seq, self.newest.get(topic, 0))
        else:
            self.not_accepted += 1

    async def connect(self, clients: int, *, obeys: bool = False, at_once: int = 100) -> None:
        """Start clients, spread over topics and processes, and wait until each has its first cursor."""
        count = len(self.topics)
        self.readers = [
            Reader(self.topics[n % count], self.processes, n // count, self.account, obeys=obeys)
            for n in range(clients)
        ]
        for start in range(0, clients, at_once):
            part = self.readers[start : start + at_once]
            self._tasks += [asyncio.create_task(reader.run()) for reader in part]
            await until(lambda part=part: all(reader.last for reader in part))

    def publish(self, rate: float | None = None) -> None:
        """Begin to publish, at another rate from now on if one is given."""
        self.rate = rate or self.rate
        self._publishing = asyncio.create_task(self._publish())

    async def settled(self) -> None:
        """Stop publishing, and wait until every client has the newest event of its topic."""
        await _ended([self._publishing] if self._publishing else [])
        await until(lambda: self._waiting == 0)
        await until(lambda: all(reader.seq >= self.newest.get(reader.topic, 0) for reader in self.readers))

    async def leave(self) -> None:
        """All clients leave for good."""
        await _ended(self._tasks)
        self._tasks.clear()
        await asyncio.sleep(HELD)

    async def _publish(self) -> None:
        loop = asyncio.get_running_loop()
        begin, before = loop.time(), self.sent
        while True:
            while self.sent - before < (loop.time() - begin) * self.rate:
                alive = [process for process in self.processes if process.address]
                if not alive:
                    break
                process = alive[self.sent // len(self.topics) % len(alive)]
                topic = self.topics[self.sent % len(self.topics)]
                process.tell("publish", topic, self.sent, f"{self.sent} {'x' * 100}")
                self.sent += 1
                self._waiting += 1
            await asyncio.sleep(0.01)


async def until(true: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.02)


async def _ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
