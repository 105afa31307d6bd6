"""When something was by the wall clock, if it was by the monotonic clock that dates entries.

The difference of the two is not always the same: a wall clock is set, and a machine that sleeps stops the
other one. So the differences are noted as they change, and what was dated before keeps the time that it had.

Standard: time.time (seconds of the epoch), time.monotonic.
Never: a rule of positions depends on it. It tells when an entry was, and where entries since a time begin.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable

STEP = 0.05
"""Seconds by which the difference must have changed: what clocks drift apart in minutes is no step."""
MOST = 64
"""Changes that are remembered; the oldest ones are forgotten first."""


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
        """See whether the difference has changed. Now and then."""
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
    """Whole milliseconds of the epoch. What comes out of a sum of clocks is off by parts of a microsecond."""
    return round(wall * 1_000_000) // 1000
