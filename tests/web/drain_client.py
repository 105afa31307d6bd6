"""Clients that connect again as the server says, and the account of what they received, for the tests of a
drain."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import rx_sse
from rx_sse.testing.raw import OpenStream, StreamClosed, send

from .apps import until

PATIENCE = 30.0
PAUSE = 0.05
"""Seconds between two attempts where nothing says another time, and between two numbers."""


@dataclass(frozen=True)
class Ending:
    """What a client had received at the end of a connection.

    Attributes:
        at: when that was, in monotonic seconds.
        clean: whether the response was complete.
        said: the name of the last of the library's events, and its reason.
        retry: milliseconds, as the stream set them.
        cursor: the number of the entry in the id with which the client connects again.
        number: the last number that it had.
    """

    at: float
    clean: bool
    said: tuple[str, str]
    retry: int | None
    cursor: int
    number: int


@dataclass(eq=False)
class Client:
    """Reads the numbers at one address until it is cancelled.

    Attributes:
        numbers: the events, in their order.
        endings: the ends of connections to the application.
        gaps: how many `stream-gap`s it received.
        refused: answers that were no stream.
        opened: how often its stream has opened.
    """

    url: str
    numbers: list[int] = field(default_factory=list[int])
    endings: list[Ending] = field(default_factory=list[Ending])
    gaps: int = 0
    refused: list[int] = field(default_factory=list[int])
    opened: int = 0
    _cursor: str = ""
    _wait: float = PAUSE

    async def run(self) -> None:
        """Connect, read, wait for as long as the server said, and again."""
        while True:
            with contextlib.suppress(OSError, StreamClosed):
                await self._read()
            await asyncio.sleep(self._wait)
            self._wait = PAUSE

    async def _read(self) -> None:
        stream = await send(self.url, headers={"Last-Event-ID": self._cursor} if self._cursor else {})
        said: tuple[str, str] | None = None
        try:
            async with asyncio.timeout(PATIENCE):
                await stream.read_head()
            if stream.status != 200:
                self.refused.append(stream.status)
                return
            with contextlib.suppress(StreamClosed):
                while True:
                    event = await stream.next_event(PATIENCE, control=True)
                    self._cursor = stream.last_event_id
                    if not event.is_control:
                        self.numbers.append(int(event.data))
                        continue
                    self.opened += said is None
                    self.gaps += event.type == "stream-gap"
                    said = event.type, str(event.json().get("reason", ""))
            self._wait = (stream.retry or 0) / 1000
            if said is not None:
                await self._note(stream, said)
        finally:
            await stream.aclose()

    async def _note(self, stream: OpenStream, said: tuple[str, str]) -> None:
        clean = await stream.ended(PATIENCE)
        cursor = int(self._cursor.split("_")[1].split(".")[1])
        number = self.numbers[-1] if self.numbers else 0
        self.endings.append(Ending(time.monotonic(), clean, said, stream.retry, cursor, number))


class Crowd:
    """Clients of one application, and numbers that are published to them all the while.

    Args:
        urls: the addresses that they read, in turn.
        count: how many clients.
        folder: of the application.
    """

    def __init__(self, urls: list[str], count: int, folder: Path) -> None:
        self.clients = [Client(urls[number % len(urls)]) for number in range(count)]
        self.published = 0
        self._done = False
        self._publisher = rx_sse.SQLitePublisher(folder / "log.db")
        self._publishing: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(client.run()) for client in self.clients]
        await self.until(lambda client: client.opened == 1)
        self._publishing = asyncio.create_task(self._publish())
        await self.until(lambda client: bool(client.numbers))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done = True
        if self._publishing is not None:
            await self._publishing
        try:
            if kind is None:
                await self.until(lambda client: client.numbers[-1] == self.published)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)
            self._publisher.close()

    async def until(self, condition: Callable[[Client], bool]) -> None:
        """Wait until something is so for every client."""
        await until(lambda: all(map(condition, self.clients)), PATIENCE)

    async def _publish(self) -> None:
        while not self._done:
            await asyncio.to_thread(self._publisher.publish, "numbers", str(self.published + 1))
            self.published += 1
            await asyncio.sleep(PAUSE)

    def check(self, drained: int) -> None:
        """Nothing is lost or repeated, and every connection that ended was drained.

        Args:
            drained: how many connections of each client were.
        """
        for client in self.clients:
            assert client.numbers == list(range(1, self.published + 1)), "lost or repeated"
            assert (client.gaps, client.refused) == (0, [])
            assert len(client.endings) == drained
            for ending in client.endings:
                assert ending.said == ("stream-reconnect", "shutdown") and ending.clean
                assert ending.cursor == ending.number, "the client has the position of its last event"
        for round in range(drained):
            endings = [client.endings[round] for client in self.clients]
            retries = {ending.retry for ending in endings if ending.retry is not None}
            assert len(retries) == len(endings) and min(retries) >= 1000, "each has a time of its own"
