"""The picture: CPU per event and throughput. A dot is a median, its line goes from the lowest to the highest.

Drawn by hand as SVG. The axes are logarithmic, which is why there are dots and no bars: a bar would have to
begin at zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10
from statistics import median

from benchmarks.roster import ROSTER
from benchmarks.rounds import Results

WIDTH, ROW, TOP, LEFT, GAP = 900, 24, 64, 170, 60
FIGURE = 80
"""What the figure beside the rightmost dot takes."""
INK, PALE = "#111111", "#6b7280"
COLOURS = {"floor": "#6b7280", "ours": "#c2410c", "peer": "#1d4ed8"}


@dataclass(frozen=True)
class Panel:
    """One axis."""

    title: str
    label: str
    value: str


PANELS = (
    Panel(
        "CPU µs per delivered event, 1,000 clients, 20,000/s (less is better)",
        "1,000 clients, 20,000/s",
        "us",
    ),
    Panel(
        "deliveries/s, saturated, 5,000 clients (more is better)", "5,000 clients, saturated", "per_second"
    ),
)


def draw(results: Results) -> str:
    """The SVG's text."""
    found = [_numbers(results, panel) for panel in PANELS]
    names = [each.name for each in ROSTER if any(each.name in numbers for numbers in found)]
    height = TOP + ROW * len(names) + 40
    width = (WIDTH - LEFT - GAP - 20) / 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"',
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        *(_text(LEFT - 10, _row(index) + 4, name, _colour(name), "end") for index, name in enumerate(names)),
    ]
    for index, (panel, numbers) in enumerate(zip(PANELS, found, strict=True)):
        parts += _panel(panel, numbers, names, LEFT + index * (width + GAP), width, height)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _numbers(results: Results, panel: Panel) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for each in results.samples:
        if each.task == "broadcast" and each.label == panel.label and each.values.get(panel.value):
            found.setdefault(each.who, []).append(each.values[panel.value])
    return found


def _panel(
    panel: Panel,
    numbers: dict[str, list[float]],
    names: Sequence[str],
    left: float,
    width: float,
    height: int,
) -> list[str]:
    parts = [_text(left, 24, panel.title, INK)]
    if not numbers:
        return [*parts, _text(left, TOP, "not measured", INK)]
    everything = [log10(value) for values in numbers.values() for value in values]
    low, high = min(everything) - 0.05, max(everything)

    def x(value: float) -> float:
        return left + (log10(value) - low) / (high - low) * (width - FIGURE)

    steps = (1, 2, 5) if high - low < 1.2 else (1,)
    for tick in [step * 10.0**power for power in range(floor(low), ceil(high) + 1) for step in steps]:
        if low <= log10(tick) <= high:
            parts.append(_line(x(tick), TOP - 8, x(tick), height - 36, "#e5e7eb"))
            parts.append(_text(x(tick), height - 20, f"{tick:,.0f}", PALE, "middle"))
    for index, name in enumerate(names):
        if name not in numbers:
            continue
        y, values = _row(index), numbers[name]
        middle = median(values)
        parts.append(_line(x(min(values)), y, x(max(values)), y, _colour(name), 2))
        parts.append(f'<circle cx="{x(middle):.1f}" cy="{y:g}" r="4.5" fill="{_colour(name)}"/>')
        figure = f"{middle:,.0f}" if middle >= 100 else f"{middle:.1f}"
        parts.append(_text(x(max(values)) + 8, y + 4, figure, INK))
    return parts


def _row(index: int) -> float:
    return TOP + ROW * index + ROW / 2


def _colour(name: str) -> str:
    return next(COLOURS[each.kind] for each in ROSTER if each.name == name)


def _text(x: float, y: float, text: str, colour: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:g}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: int = 1) -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:g}" x2="{x2:.1f}" y2="{y2:g}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width}"/>'
