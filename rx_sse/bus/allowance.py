"""What one principal may take of a table that all share.

A bucket for each principal that has taken something lately: it empties by what is taken and fills again by
itself. One that is full again is forgotten, so the table of buckets is as large as the number of principals
that are busy.

Standard: the token bucket, as in RFC 2697.
Never: what one principal takes is counted against another.
"""

from __future__ import annotations

import time
from collections.abc import Callable

ROOM = 1024
"""Buckets beyond which the full ones are looked for, each time the table has doubled."""


class Allowance:
    """So much of something, for each principal.

    Args:
        period: seconds in which an empty bucket is full again.
        clock: monotonic seconds.
    """

    __slots__ = ("_buckets", "_clock", "_period", "_sweep_at")

    def __init__(self, period: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._period = period
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}  # the part that is taken, 0 to 1, and as of when
        self._sweep_at = ROOM

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, user: str, count: int, most: int | None) -> float:
        """Take `count` from a user's bucket.

        Args:
            user: whose bucket.
            count: how many.
            most: what a full bucket holds; None for no bound.

        Returns:
            0 if they were taken; else the seconds until they can be.
        """
        if most is None:
            return 0.0
        now = self._clock()
        taken, at = self._buckets.get(user, (0.0, now))
        taken = max(0.0, taken - (now - at) / self._period) + count / most
        if taken > 1.0:
            return (taken - 1.0) * self._period
        self._buckets[user] = (taken, now)
        if len(self._buckets) > self._sweep_at:
            self._sweep(now)
        return 0.0

    def _sweep(self, now: float) -> None:
        self._buckets = {
            user: (taken, at)
            for user, (taken, at) in self._buckets.items()
            if taken > (now - at) / self._period
        }
        self._sweep_at = max(ROOM, 2 * len(self._buckets))
