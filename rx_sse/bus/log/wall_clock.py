"""Converts times of the monotonic clock that dates entries to the wall clock.

The difference of the two clocks changes: a wall clock is set, and a sleeping machine stops the monotonic
clock. So changes of the difference are recorded, and a time from before a change keeps its earlier
conversion.

Standard: time.time (seconds of the epoch), time.monotonic.
Never: a rule of positions depends on it. It only dates entries, and finds the entries since a time.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable

STEP = 0.05
"""Seconds by which the difference must have changed: the drift of clocks within minutes is no step."""
MOST = 64
"""Changes that are kept; the oldest are forgotten first."""


class WallClock:
    """The wall clock of this process.

    Args:
        clock: monotonic seconds.
        wall: seconds of the epoch.
    """

    __slots__ = ("_clock", "_offsets", "_since", "_wall")

    def __init__(self, clock: Callable[[], float], wall: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._wall = wall
        self._since = [clock()]
        self._offsets = [wall() - self._since[0]]

    def note(self) -> None:
        """Record the difference if it has changed. Called now and then."""
        now = self._clock()
        offset = self._wall() - now
        if abs(offset - self._offsets[-1]) > STEP:
            self._since = [*self._since, now][-MOST:]
            self._offsets = [*self._offsets, offset][-MOST:]

    def wall(self, at: float) -> float:
        """The seconds of the epoch at `at` of the monotonic clock."""
        index = bisect_right(self._since, at) - 1
        return at + self._offsets[max(index, 0)]


def milliseconds(wall: float) -> int:
    """Whole milliseconds of the epoch, rounded: a sum of clocks is off by parts of a microsecond."""
    return round(wall * 1_000_000) // 1000
