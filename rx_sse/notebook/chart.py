"""Numbers over time: one line for each series, in one pair of axes.

However many points there are, a line has at most two for each pixel column, the lowest and the highest value
there, and the picture shows how many values they stand for.

Standard: SVG 1.1 with a style sheet of its own and its own background.
Never: a value of a stream as markup; everything is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rx_sse.errors import UsageError
from rx_sse.reactive.diagram import mimebundle, round_step
from rx_sse.wire.counted import counted
from rx_sse.wire.harmless import markup, one_line

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 860, 260, 76, 40, 24, 34
COLOURS = ("#0a6fd8", "#c2410c", "#15803d", "#a21caf", "#b26a00", "#0f766e", "#be123c", "#4b5563")
BARS = "▁▂▃▄▅▆▇█"
SHOWN = 100
"""Characters of a title or a name that are drawn."""


class Chart:
    """A picture that grows.

    Args:
        title: the text above it.
        names: the names of the series; one empty name for a single series.

    Attributes:
        error: the first value that is not a number; None if there was none.
    """

    def __init__(self, title: str, names: list[str]) -> None:
        self.error: UsageError | None = None
        self._title = one_line(title, SHOWN)
        self._series: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
        self._failures: dict[str, str] = {}

    def add(self, name: str, at: float, number: float) -> None:
        """Add a point.

        Raises:
            ValueError: the number is not finite.
        """
        if not math.isfinite(number):
            raise ValueError("not finite")
        self._series[name].append((at, number))

    def failed(self, name: str, why: str) -> None:
        """A series ended with an error."""
        self._failures[name] = why

    def _end(self, name: str) -> str:
        return f", failed: {self._failures[name]}" if name in self._failures else ""

    def __repr__(self) -> str:
        lines: list[str] = []
        for name, points in self._series.items():
            title = " ".join(part for part in (self._title, one_line(name, SHOWN)) if part)
            if not points:
                lines.append(f"{title}: no values{self._end(name)}".lstrip(": "))
                continue
            numbers = [y for _, y in points]
            low, high = min(numbers), max(numbers)
            step = max(1, len(numbers) // 60)
            drawn = "".join(BARS[int((y - low) / (high - low or 1) * 7)] for y in numbers[::step])
            told = f"{counted(len(numbers), 'value')}, {low:g} to {high:g}{self._end(name)}"
            lines.append(f"{title} {drawn}  {told}".lstrip())
        return "\n".join(lines)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Mapping[str, str]:
        return mimebundle(repr(self), self.svg)

    @property
    def svg(self) -> str:
        """The chart as an SVG image."""
        everything = [point for points in self._series.values() for point in points]
        low = min((y for _, y in everything), default=0.0)
        high = max((y for _, y in everything), default=1.0)
        if high / 2 - low / 2 < 1e-290:  # equal, or as good as
            low, high = low - (abs(low) or 1.0) / 2, high + (abs(high) or 1.0) / 2
        last = max((x for x, _ in everything), default=0.0) or 1.0
        plane = Plane(last, low, high)
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}">',
            STYLE,
            f'<rect class="p" x=".5" y=".5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="6"/>',
            *plane.axes(),
            *self._heading(),
        ]
        for index, points in enumerate(self._series.values()):
            colour = COLOURS[index % len(COLOURS)]
            parts.append(f'<polyline class="l" stroke="{colour}" points="{plane.line(points)}"/>')
        return "".join([*parts, "</svg>"])

    def _heading(self) -> list[str]:
        """The title, and below it the names with their colours, as far as there is room."""
        parts = [f'<text class="h" x="{LEFT}" y="18">{markup(self._title + self._end(""))}</text>']
        x = LEFT
        for index, (name, points) in enumerate(self._series.items()):
            count = self._count(points)
            label = f"{one_line(name, 30)} {count}{self._end(name)}" if name else count
            wide = 24 + 7 * len(label)
            if x + wide > WIDTH - RIGHT:
                more = len(self._series) - index
                parts.append(f'<text class="t" x="{x}" y="34">and {more} more</text>' if index else "")
                break
            colour = COLOURS[index % len(COLOURS)]
            if name:
                parts.append(f'<rect x="{x}" y="26" width="10" height="4" fill="{colour}"/>')
            parts.append(f'<text class="t" x="{x + (14 if name else 0)}" y="34">{markup(label)}</text>')
            x += wide
        return parts

    @staticmethod
    def _count(points: list[tuple[float, float]]) -> str:
        columns = WIDTH - LEFT - RIGHT
        thinned = f", drawn as lowest and highest of {columns} columns" if len(points) > 2 * columns else ""
        return counted(len(points), "value") + thinned


STYLE = (
    "<style>.p{fill:#fff;stroke:#d5dce4}.l{fill:none;stroke-width:1.8;stroke-linejoin:round}"
    ".a{stroke:#8a96a5;fill:none}.g{stroke:#e4e9ef}.t{font:12px system-ui,sans-serif;fill:#5b6878}"
    ".h{font:600 13px system-ui,sans-serif;fill:#1c2430}</style>"
)


class Plane:
    """A pair of axes.

    Args:
        last: seconds at the right end of the axis.
        low, high: values at the lower and the upper end.
    """

    def __init__(self, last: float, low: float, high: float) -> None:
        self._last, self._low, self._high = last, low, high
        self._wide, self._tall = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def _x(self, at: float) -> float:
        return LEFT + at / self._last * self._wide

    def _y(self, number: float) -> float:
        # Halves, because the difference of two large numbers may be infinite.
        return TOP + (self._high / 2 - number / 2) / (self._high / 2 - self._low / 2) * self._tall

    def line(self, points: list[tuple[float, float]]) -> str:
        """The points of a polyline, thinned to the lowest and the highest of each pixel column."""
        if len(points) > 2 * self._wide:
            columns: dict[int, list[tuple[float, float]]] = {}
            for point in points:
                column = columns.setdefault(int(self._x(point[0])), [point, point])
                column[0] = min(column[0], point, key=lambda it: it[1])
                column[1] = max(column[1], point, key=lambda it: it[1])
            points = [point for column in columns.values() for point in sorted(column)]
        return " ".join(f"{self._x(x):.1f},{self._y(y):.1f}" for x, y in points)

    def axes(self) -> list[str]:
        """The axes with round numbers."""
        floor = HEIGHT - BOTTOM
        parts: list[str] = []
        span = self._high - self._low
        if math.isfinite(span):
            step = round_step(span, 5)
            first = math.ceil(self._low / step - 1e-9)
            for number in range(first, math.floor(self._high / step + 1e-9) + 1):
                y = self._y(number * step)
                parts.append(f'<path class="g" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
                label = f"{number * step:.6g}"
                parts.append(
                    f'<text class="t" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{label}</text>'
                )
        step = round_step(self._last, 8)
        for number in range(math.floor(self._last / step + 1e-9) + 1):
            x = self._x(number * step)
            parts.append(f'<path class="a" d="M{x:.1f} {floor}v4"/>')
            label = f"{number * step:g} s"
            parts.append(f'<text class="t" x="{x:.1f}" y="{floor + 18}" text-anchor="middle">{label}</text>')
        parts.append(f'<path class="a" d="M{LEFT} {TOP}V{floor}H{WIDTH - RIGHT}"/>')
        return parts
