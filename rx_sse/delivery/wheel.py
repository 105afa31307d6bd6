"""Coarse deadlines for very many connections: heartbeats, write timeouts, expiry.

One timer of the loop for all of them. A connection is in the bucket of its next deadline and nowhere else; it
is not moved when it writes, but reads its own clock when its bucket is due and returns its next deadline.

Standard: a hashed timing wheel (Varghese and Lauck, 1987) with one level.
Never: it fires early, or holds a connection that was discarded. It runs in an empty context (`contextvars`).
"""

from __future__ import annotations

import asyncio
import heapq
import math
import time
from contextvars import Context
from typing import Protocol

GRANULARITY = 0.1
"""Seconds by which a deadline may be late. The shortest deadline that users see, an expiring token, is in
seconds."""
SLICE = 0.004
COMPACT_FROM = 64
"""Buckets: fewer are not worth a pass."""


class Ticking(Protocol):
    """Something with a deadline."""

    bucket: int | None
    """The wheel's own note of the item's bucket; None when it is in none."""

    def tick(self, now: float) -> float | None:
        """Do what is due; returns the time of the next deadline (the loop's clock, seconds), None for
        never."""
        ...


class Wheel:
    """The deadlines of one loop. Loop thread only.

    Args:
        loop: its clock is used.
        granularity: the width of a bucket in seconds.
    """

    __slots__ = ("_buckets", "_compact_at", "_due", "_granularity", "_handle", "_loop", "_wake_at")

    def __init__(self, loop: asyncio.AbstractEventLoop, granularity: float = GRANULARITY) -> None:
        self._loop = loop
        self._granularity = granularity
        self._buckets: dict[int, set[Ticking]] = {}
        self._due: list[int] = []
        self._compact_at = COMPACT_FROM
        self._handle: asyncio.TimerHandle | None = None
        self._wake_at: int | None = None

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))

    @property
    def buckets(self) -> int:
        """Number of buckets, empty ones included: at most twice those in use, and a few."""
        return len(self._buckets)

    def add(self, item: Ticking, when: float) -> None:
        """Have `item.tick` called at `when` (the loop's clock), replacing the item's earlier deadline."""
        bucket = math.ceil(when / self._granularity)
        if bucket * self._granularity < when:  # the quotient was rounded down, to the very boundary
            bucket += 1
        if item.bucket == bucket:
            return
        if item.bucket is not None:
            self.discard(item)
        item.bucket = bucket
        if (items := self._buckets.get(bucket)) is None:
            items = self._begin(bucket)
        items.add(item)
        if self._wake_at is None or bucket < self._wake_at:
            self._arm(bucket)

    def hasten(self, item: Ticking, when: float) -> None:
        """Have `item.tick` called at `when`, unless its deadline is earlier."""
        if item.bucket is None or when < item.bucket * self._granularity:
            self.add(item, when)

    def discard(self, item: Ticking) -> None:
        """Remove the item's deadline, if it has one."""
        if item.bucket is not None:
            if (items := self._buckets.get(item.bucket)) is not None:
                items.discard(item)
            item.bucket = None

    def close(self) -> None:
        """Remove all deadlines."""
        if self._handle is not None:
            self._handle.cancel()
        self._handle = self._wake_at = None
        for items in self._buckets.values():
            for item in items:
                item.bucket = None
        self._buckets.clear()
        self._due.clear()

    def _begin(self, bucket: int) -> set[Ticking]:
        """Add a bucket. Before the table grows, those are removed whose items were all discarded: a deadline
        may be a day away, and most clients disconnect long before it."""
        buckets, due = self._buckets, self._due
        if len(due) >= self._compact_at:
            buckets = self._buckets = {number: items for number, items in buckets.items() if items}
            due[:] = sorted(buckets)  # in place: a turn may be under way; sorted, it is a heap
            self._compact_at = max(COMPACT_FROM, 2 * len(due))
        items = buckets[bucket] = set[Ticking]()
        heapq.heappush(due, bucket)
        return items

    def _arm(self, bucket: int) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._wake_at = bucket
        self._handle = self._loop.call_at(bucket * self._granularity, self._turn, context=Context())

    def _turn(self) -> None:
        self._handle = None
        self._wake_at = -1  # an item added meanwhile does not arm a timer: the end of this turn does
        now = self._loop.time()
        end = time.perf_counter() + SLICE
        due = self._due
        try:
            while due and due[0] * self._granularity <= now and time.perf_counter() < end:
                if items := self._buckets[due[0]]:
                    item = items.pop()
                    item.bucket = None
                    self._tick(item, now)
                else:
                    del self._buckets[heapq.heappop(due)]
        finally:  # also when a tick stopped the loop, which may run again later
            self._wake_at = None
            if due:
                self._arm(due[0])

    def _tick(self, item: Ticking, now: float) -> None:
        try:
            when = item.tick(now)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._loop.call_exception_handler(
                {"message": f"rx_sse: a deadline of {item!r} failed", "exception": error}
            )
            return
        if when is not None and item.bucket is None:
            self.add(item, max(when, now + self._granularity))
