"""A connection that is made again whenever it is lost.

Never: it gives up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from rx_sse.bus.redis.backoff import Backoff
from rx_sse.bus.redis.net.connection import Connection
from rx_sse.tasks import start

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 2.0
"""Seconds between two attempts; a failover takes longer than the first, and the second goes unnoticed."""


class Reconnecting:
    """Keeps one connection open.

    Args:
        dial: makes a connection.
        up: called with each new connection, before anything is sent on it.
        down: called with the error when it is lost, or could not be made.
    """

    __slots__ = ("_dial", "_down", "_task", "_up", "connection", "made")

    def __init__(
        self,
        dial: Callable[[], Awaitable[Connection]],
        up: Callable[[Connection], None],
        down: Callable[[Exception | None], None],
    ) -> None:
        self._dial = dial
        self._up = up
        self._down = down
        self._task: asyncio.Task[None] | None = None
        self.connection: Connection | None = None
        self.made = 0

    def start(self) -> None:
        """Begin."""
        self._task = start(self._keep)

    def cut(self) -> None:
        """Close the present connection."""
        if self.connection is not None:
            self.connection.abort()

    async def stop(self) -> None:
        """End."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _keep(self) -> None:
        backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE, jitter=True)
        while True:
            try:
                connection = await self._dial()
            except Exception as error:
                self._down(error)
            else:
                self.connection = connection
                self.made += 1
                self._up(connection)
                begun = connection.gone.get_loop().time()
                try:
                    await asyncio.shield(connection.gone)
                finally:
                    self.connection = None
                    connection.abort()
                    await asyncio.sleep(0)  # so that it is closed, even if this is the loop's last turn
                self._down(None)
                if connection.gone.get_loop().time() - begun > LONGEST_PAUSE:
                    backoff.reset()
            await asyncio.sleep(backoff.next())
