"""The last minutes, for the small charts of the page: a point every few seconds.

Never: it grows with time, or with the number of streams.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from rx_sse.web.admin.survey import ROWS
from rx_sse.wire.harmless import harmless

PERIOD = 5.0
"""Seconds between two points."""
POINTS = 60
"""Five minutes."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters at one moment.

    Attributes:
        at: seconds of the loop's clock.
        gauges: current values, by name.
        counters: counters since the start, by name.
        routes: open streams and bytes sent since the start, by route.
        histograms: counts since the start by upper bound, by name.
    """

    at: float
    gauges: Mapping[str, float]
    counters: Mapping[str, float]
    routes: Mapping[str, tuple[int, int]]
    histograms: Mapping[str, Sequence[int]]


class Rates:
    """Readings of the last minutes.

    Args:
        bounds: upper bounds of the histograms, by name.

    Attributes:
        number: the number of the newest point, counted from the start.
    """

    def __init__(self, bounds: Mapping[str, Sequence[float]]) -> None:
        self._bounds = bounds
        self._readings: deque[Reading] = deque(maxlen=POINTS + 1)
        self.number = 0

    def add(self, reading: Reading) -> None:
        """Add a point."""
        self._readings.append(reading)
        self.number += 1

    def shown(self) -> dict[str, Any]:
        """For the page: gauges, and counters as rates per second, the oldest first."""
        readings = list(self._readings)
        pairs = list(pairwise(readings))
        newest = readings[-1] if readings else None
        series: dict[str, list[float]] = {}
        if newest is not None:
            for name in newest.gauges:
                series[name] = [after.gauges.get(name, 0.0) for _, after in pairs]
            for name in newest.counters:
                series[name] = [_rate(before, after, name) for before, after in pairs]
            for name, bounds in self._bounds.items():
                series[name] = [
                    _worst(bounds, before.histograms[name], after.histograms[name]) for before, after in pairs
                ]
        return {"number": self.number, "period": PERIOD, "points": POINTS, "series": series} | {
            "routes": {} if newest is None else _routes(newest, pairs)
        }


def _worst(bounds: Sequence[float], before: Sequence[int], after: Sequence[int]) -> float:
    """The upper bound of the largest value between two points; 0 if there was none."""
    counts = [new - old for old, new in zip(before, after, strict=True)]
    highest = max((index for index, count in enumerate(counts) if count > 0), default=None)
    return 0.0 if highest is None else bounds[min(highest, len(bounds) - 1)]


def _rate(before: Reading, after: Reading, name: str) -> float:
    more = after.counters.get(name, 0.0) - before.counters.get(name, 0.0)
    return round(max(0.0, more) / max(0.001, after.at - before.at), 2)


def _routes(newest: Reading, pairs: list[tuple[Reading, Reading]]) -> dict[str, dict[str, list[float]]]:
    names = sorted(newest.routes, key=lambda route: -newest.routes[route][0])[:ROWS]
    none = (0, 0)
    return {
        harmless(name): {
            "open": [after.routes.get(name, none)[0] for _, after in pairs],
            "sent": [
                round(
                    max(0, after.routes.get(name, none)[1] - before.routes.get(name, none)[1])
                    / max(0.001, after.at - before.at)
                )
                for before, after in pairs
            ],
        }
        for name in names
    }
