"""Timers of one loop: a heap of due times, and one timer of the loop for the earliest of them.

Operations wanted: add (each tick of each interval, each value into a `debounce`), forget (the same), and run
all that are due. asyncio's own heap compares timers in Python code and wakes the loop for each of them;
uvloop makes a handle of libuv for each. Here an entry is a tuple, compared in C, and entries due together are
returned together, so that they can be run in slices. Adding is O(log n). A disposed entry stays as an empty
husk until it is due, or until husks may be half of the heap: then one pass removes them. So forgetting is
O(1) for the caller, and O(1) amortised here.

Standard: `time.monotonic`, also where the loop's clock is coarser (uvloop counts whole milliseconds, and
stops while it sleeps).
Never: it fires early, or reads the wall clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from heapq import heapify, heappop, heappush
from math import inf
from time import monotonic
from typing import Generic, Protocol, TypeVar

EARLY_WAKE = 0.001
"""Seconds: uvloop rounds to whole milliseconds and may wake early; a shorter delay would spin."""
COMPACT_FROM = 64
"""Entries: a smaller heap is not worth a pass."""


class Timed(Protocol):
    """The object that a timer fires for."""

    disposed: bool


T = TypeVar("T", bound=Timed)


class Timers(Generic[T]):
    """Returns due entries. Belongs to the loop's thread.

    Args:
        loop: the loop whose timer is used.
        due: called with the due entries, the earliest first, and equal times in the order of adding.
    """

    __slots__ = ("_alarm", "_alarm_at", "_compact_at", "_due", "_heap", "_loop", "_serial")

    def __init__(self, loop: asyncio.AbstractEventLoop, due: Callable[[list[T]], None]) -> None:
        self._loop = loop
        self._due = due
        self._heap: list[tuple[float, int, T]] = []
        self._serial = 0  # decides the order of entries with equal times
        self._compact_at = COMPACT_FROM
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = inf

    def add(self, when: float, what: T) -> None:
        """Pass `what` to `due` at a time of `time.monotonic`."""
        heap = self._heap
        if len(heap) >= self._compact_at:
            heap[:] = [entry for entry in heap if not entry[2].disposed]
            heapify(heap)
            self._compact_at = max(COMPACT_FROM, 2 * len(heap))
        self._serial += 1
        heappush(heap, (when, self._serial, what))
        if when < self._alarm_at:
            self._set_alarm(when, when - monotonic())

    def _set_alarm(self, when: float, wait: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = when
        self._alarm = self._loop.call_later(max(wait, 0.0), self._ring, context=Context())

    def _ring(self) -> None:
        self._alarm = None
        self._alarm_at = -inf  # entries added meanwhile are checked below
        heap = self._heap
        now = monotonic()
        due: list[T] = []
        while heap and (heap[0][0] <= now or heap[0][2].disposed):
            what = heappop(heap)[2]
            if not what.disposed:
                due.append(what)
        try:
            if due:
                self._due(due)
        finally:
            self._alarm_at = inf
            if heap:
                when = heap[0][0]
                wait = when - monotonic()
                self._set_alarm(when, wait if due else max(wait, EARLY_WAKE))
