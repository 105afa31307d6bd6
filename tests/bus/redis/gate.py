"""A way to a server that a test can close, hold, and lead elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Self

from ...redis_server import RedisServer


class Gate:
    """Forwards connections to a server.

    Attributes:
        deaf: hold back what the server says, as a half-dead connection does.
        lag: seconds by which everything it says is late.
    """

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.deaf = False
        self.lag = 0.0
        self.open = True
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._listener: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Through it."""
        assert self._listener is not None
        return f"redis://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"

    def cut(self) -> None:
        """Break every connection; new ones are made."""
        for writer in self._writers:
            writer.transport.abort()

    def close(self) -> None:
        """Break every connection, and accept none."""
        self.open = False
        self.cut()

    def lead_to(self, server: RedisServer) -> None:
        """From now on, another server is behind it."""
        self.server = server
        self.cut()

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._come, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._listener is not None
        self._listener.close()
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _come(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.open:
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        other: asyncio.StreamWriter | None = None
        try:
            if self.server.path:
                there, other = await asyncio.open_unix_connection(self.server.path)
            else:
                there, other = await asyncio.open_connection("127.0.0.1", self.server.port)
            self._writers.add(other)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass(reader, other, answers=False))
                both.create_task(self._pass(there, writer, answers=True))
        except* (OSError, asyncio.CancelledError):
            pass
        finally:
            for end in (writer, other):
                if end is not None:
                    self._writers.discard(end)
                    end.transport.abort()
            self._tasks.discard(task)

    async def _pass(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        while data := await source.read(65536):
            if answers and self.lag:
                await asyncio.sleep(self.lag)
            while answers and self.deaf:
                await asyncio.sleep(0.02)
            target.write(data)
            with contextlib.suppress(ConnectionError):
                await target.drain()
        raise ConnectionError("closed")
