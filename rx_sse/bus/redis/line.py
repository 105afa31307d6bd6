"""A connection that is always being kept: when it is lost, the next one is made.

Standard: exponential back-off with full jitter.
Never: it gives up.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from rx_sse.bus.redis.link import Link
from rx_sse.tasks import start

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 2.0
"""Seconds between two attempts; a failover takes longer than the first, nobody notices the second."""


class Line:
    """Keeps one connection.

    Args:
        dial: makes a connection.
        up: told of each new one, before anything is sent on it.
        down: told that it is lost, or could not be made, and why.
    """

    __slots__ = ("_dial", "_down", "_task", "_up", "link", "made")

    def __init__(
        self,
        dial: Callable[[], Awaitable[Link]],
        up: Callable[[Link], None],
        down: Callable[[Exception | None], None],
    ) -> None:
        self._dial = dial
        self._up = up
        self._down = down
        self._task: asyncio.Task[None] | None = None
        self.link: Link | None = None
        self.made = 0

    def start(self) -> None:
        """Begin."""
        self._task = start(self._keep)

    def cut(self) -> None:
        """Give the present connection up."""
        if self.link is not None:
            self.link.abort()

    async def stop(self) -> None:
        """End."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _keep(self) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                link = await self._dial()
            except Exception as error:
                self._down(error)
            else:
                self.link = link
                self.made += 1
                self._up(link)
                begun = link.gone.get_loop().time()
                try:
                    await asyncio.shield(link.gone)
                finally:
                    self.link = None
                    link.abort()
                    await asyncio.sleep(0)  # so that it is closed, also when this is the loop's last act
                self._down(None)
                if link.gone.get_loop().time() - begun > LONGEST_PAUSE:
                    pause = FIRST_PAUSE
            await asyncio.sleep(random.uniform(pause / 2, pause))
            pause = min(pause * 2, LONGEST_PAUSE)
