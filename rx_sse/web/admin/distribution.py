"""Counts of values between fixed bounds, for the bars of the page."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

AGES = (10.0, 60.0, 600.0, 3_600.0, 21_600.0, 86_400.0)
"""Seconds that a stream has been open."""
QUEUES = (0, 1_000, 10_000, 100_000, 1_000_000)
"""Bytes that wait for a client; 0 for none."""
BEHIND = (0.0, 5.0, 30.0, 120.0)
"""Seconds for which a queue has not been empty."""


class Distribution:
    """Counts by upper bound, inclusive.

    Args:
        bounds: ascending; what is above the last has a count of its own.
    """

    __slots__ = ("bounds", "counts")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)

    def count(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1

    def shown(self) -> list[dict[str, float | None]]:
        """For the page: counts with their upper bounds, None for the last."""
        return [
            {"upto": bound, "count": count}
            for bound, count in zip((*self.bounds, None), self.counts, strict=True)
        ]
