"""A histogram with fixed bounds.

Standard: the Prometheus histogram: cumulative counts, by upper bounds that are inclusive.
Never: it grows with what it has observed.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds, for what should take milliseconds."""
LONG = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 86_400.0)
"""Seconds, for the life of a stream."""
COUNTS = (0.0, 1.0, 5.0, 10.0, 50.0, 100.0, 500.0, 1_000.0, 5_000.0, 10_000.0)
"""Entries of a replay; a topic keeps 1,000 by default."""


class Histogram:
    """How many values were at most so large.

    Args:
        bounds: upper bounds, ascending; what is above the last counts as infinite.

    Attributes:
        counts: observations for each bound, and for infinity; not cumulative.
        total: the sum of all values.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative counts by upper bound, the last of them `+Inf`, as Prometheus has them."""
        found: list[tuple[str, float]] = []
        seen = 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            seen += count
            found.append((bound, float(seen)))
        return found
