"""Drafts that wait to be stored, in a log that does not store at once.

Standard: docs/resume.md §4.
Never: more drafts or bytes wait than the limits allow.
"""

from __future__ import annotations

import asyncio

from rx_sse.bus.log.entry import Draft

MAX_WAITING = 131_072
MAX_WAITING_BYTES = 64 * 1024 * 1024
"""Drafts and bytes that may wait for the log's store; beyond it pushes are refused."""


class Backlog:
    """The drafts of one log that are not settled, while it is open.

    Attributes:
        waiting: their number.
    """

    __slots__ = ("_bytes", "_settled", "waiting")

    def __init__(self) -> None:
        self._bytes: int = 0
        self._settled: asyncio.Event | None = None
        self.waiting: int = 0

    @property
    def full(self) -> bool:
        """Whether no more may be appended now. From any thread."""
        return self.waiting >= MAX_WAITING or self._bytes >= MAX_WAITING_BYTES

    def entered(self, draft: Draft) -> None:
        """A draft waits."""
        self.waiting += 1
        self._bytes += draft.size

    def left(self, draft: Draft) -> None:
        """A draft no longer waits."""
        self.went(1, draft.size)

    def went(self, count: int, size: int) -> None:
        """`count` drafts no longer wait, of `size` bytes together."""
        self.waiting -= count
        self._bytes -= size
        if self.waiting == 0 and self._settled is not None:
            self._settled.set()
            self._settled = None

    async def settled(self) -> None:
        """Wait until nothing waits."""
        if self.waiting:
            if self._settled is None:
                self._settled = asyncio.Event()
            await self._settled.wait()
