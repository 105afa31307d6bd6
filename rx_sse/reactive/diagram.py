"""Marble diagrams, as SVG and as text.

Each stream is a line from left to right, each value a marble on it; `|` is a completion, `✕` an error, a
broken line a gap. Colours follow the reader's light or dark scheme.

Standard: the marble diagrams of ReactiveX; SVG 1.1 with a style sheet of its own.
Never: a value of a stream as markup; everything is escaped.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from rx_sse.wire.harmless import harmless, markup, one_line

WIDTH = 860
LEFT = 150
RIGHT = 24
LANE = 58
TOP = 34
RADIUS = 13
COLUMNS = 60
"""Characters of a line of text that stand for the time."""
REASON = 100
"""Characters of an error that follow its line."""
MOST = 9
"""Characters of a value that fit on a marble."""
HUES = (212, 24, 145, 280, 340, 48, 190, 95)

TickKind = Literal["next", "error", "completed", "gap"]


@dataclass(frozen=True, slots=True)
class Tick:
    """Something on a lane.

    Attributes:
        at: seconds from the left end.
        kind: what it is.
        label: what is written on it.
        group: marbles of one group have one colour.
    """

    at: float
    kind: TickKind
    label: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True)
class Lane:
    """One stream of a diagram."""

    name: str
    ticks: Sequence[Tick] = field(default_factory=tuple)
    seconds: float = 0.0


def text(lanes: Sequence[Lane], seconds: float) -> str:
    """The diagram as lines of text: `-` is time, a value stands where it came, `|` completion, `#` error, `/`
    a gap. Behind it, how many values there were, and the error."""
    seconds = seconds or 1.0
    names = [one_line(lane.name, LEFT) for lane in lanes]
    width = max(map(len, names), default=0)
    lines: list[str] = []
    for name, lane in zip(names, lanes, strict=True):
        line = ["-"] * (COLUMNS + 1)
        for tick in lane.ticks:
            at = min(COLUMNS, round(tick.at / seconds * COLUMNS))
            if tick.kind == "next":
                label = _cut(tick.label) or "o"
                if at + len(label) > COLUMNS or any(mark != "-" for mark in line[at : at + len(label)]):
                    label = "o"
                line[at : at + len(label)] = label
            else:
                line[at] = {"completed": "|", "error": "#", "gap": "/"}[tick.kind]
        ended = any(tick.kind in ("completed", "error") for tick in lane.ticks)
        drawn = "".join(line).rstrip("-") if ended else "".join(line) + ">"
        values = sum(tick.kind == "next" for tick in lane.ticks)
        told = f"{values} in {seconds:.1f} s"
        told += "".join(f", {one_line(tick.label, REASON)}" for tick in lane.ticks if tick.kind == "error")
        lines.append(f"{name:<{width}} {drawn:<{COLUMNS + 2}}  {told}".lstrip())
    return "\n".join(lines)


def svg(lanes: Sequence[Lane], seconds: float) -> str:
    """The diagram as an SVG image."""
    seconds = seconds or 1.0
    height = TOP + LANE * len(lanes) + 14
    scale = (WIDTH - LEFT - RIGHT) / seconds
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'role="img" aria-label="marble diagram of {len(lanes)} streams over {seconds:.1f} seconds">',
        STYLE,
        _axis(seconds, scale, height),
    ]
    groups = sorted({tick.group for lane in lanes for tick in lane.ticks if tick.kind == "next"})
    hues = {group: HUES[index % len(HUES)] for index, group in enumerate(groups)}
    for index, lane in enumerate(lanes):
        parts.append(_lane(lane, TOP + LANE * index + LANE // 2, scale, hues, seconds))
    return "".join([*parts, "</svg>"])


STYLE = (
    "<style>"
    ".rx{font:12px ui-monospace,monospace;fill:#1c2430}"
    ".rx-name{font:600 13px system-ui,sans-serif;fill:#1c2430}"
    ".rx-soft{font:11px system-ui,sans-serif;fill:#6b7889}.rx-line{stroke:#8a96a5;stroke-width:1.6;fill:none}"
    ".rx-grid{stroke:#e4e9ef;stroke-width:1}.rx-end{stroke:#1c2430;stroke-width:2.4}"
    ".rx-bad{stroke:#c62828;stroke-width:2.6;fill:none}.rx-gap{stroke:#b26a00;stroke-width:2.2;fill:none}"
    ".rx-gaptext{font:11px system-ui,sans-serif;fill:#b26a00}.rx-marble{stroke-width:1.6}.rx-dot{stroke:none}"
    "@media(prefers-color-scheme:dark){.rx,.rx-name{fill:#e4e9f0}.rx-soft{fill:#93a1b3}.rx-line{stroke:#6b7889}"
    ".rx-grid{stroke:#2b3542}.rx-end{stroke:#e4e9f0}.rx-bad{stroke:#ff8a80}.rx-gap{stroke:#f0b349}"
    ".rx-gaptext{fill:#f0b349}}"
    "</style>"
)


def _axis(seconds: float, scale: float, height: int) -> str:
    step = _step(seconds)
    parts: list[str] = []
    for number in range(math.floor(seconds / step) + 1):
        x = LEFT + number * step * scale
        label = f"{number * step:g} s"
        parts.append(f'<line class="rx-grid" x1="{x:.1f}" y1="22" x2="{x:.1f}" y2="{height - 8}"/>')
        parts.append(f'<text class="rx-soft" x="{x:.1f}" y="14" text-anchor="middle">{label}</text>')
    return "".join(parts)


def _step(seconds: float) -> float:
    """A round number of seconds that divides the axis into at most eight parts."""
    rough = seconds / 8
    magnitude = 10.0 ** math.floor(math.log10(rough))
    return next(magnitude * factor for factor in (1, 2, 5, 10) if magnitude * factor >= rough)


def _lane(lane: Lane, y: int, scale: float, hues: dict[str, int], seconds: float) -> str:
    values = [tick for tick in lane.ticks if tick.kind == "next"]
    ends = [tick for tick in lane.ticks if tick.kind in ("completed", "error")]
    end = LEFT + (ends[0].at if ends else seconds) * scale
    name = one_line(lane.name, 18)
    parts = [
        f'<text class="rx-name" x="8" y="{y + 1}">{markup(name)}</text>',
        f'<text class="rx-soft" x="8" y="{y + 16}">{len(values)} values</text>',
        f'<path class="rx-line" d="M{LEFT} {y}H{end:.1f}"/>',
    ]
    if not ends:
        parts.append(
            f'<path class="rx-line" d="M{end - 6:.1f} {y - 4}L{end:.1f} {y}L{end - 6:.1f} {y + 4}"/>'
        )
    crowded = _crowded(values, scale)
    for tick in sorted(lane.ticks, key=lambda tick: tick.kind == "next"):  # marbles lie on top
        x = LEFT + tick.at * scale
        if tick.kind == "next":
            parts.append(_marble(tick, x, y, hues[tick.group], crowded))
        elif tick.kind == "completed":
            parts.append(
                f'<path class="rx-end" d="M{x:.1f} {y - 12}V{y + 12}"><title>completed</title></path>'
            )
        elif tick.kind == "error":
            parts.append(
                f'<path class="rx-bad" d="M{x - 7:.1f} {y - 7}L{x + 7:.1f} {y + 7}M{x - 7:.1f} {y + 7}'
                f'L{x + 7:.1f} {y - 7}"><title>{markup(tick.label)}</title></path>'
            )
        else:
            label = markup(tick.label)
            parts.append(
                f'<path class="rx-gap" d="M{x - 4:.1f} {y + 9}L{x:.1f} {y - 9}M{x + 2:.1f} {y + 9}'
                f'L{x + 6:.1f} {y - 9}"><title>gap: {label} missing</title></path>'
                f'<text class="rx-gaptext" x="{x + 1:.1f}" y="{y - 14}" text-anchor="middle">−{label}</text>'
            )
    return "".join(parts)


def _crowded(values: Sequence[Tick], scale: float) -> bool:
    """True if labelled marbles would lie on each other: then they become dots."""
    pairs = itertools.pairwise(values)
    close = sum((after.at - before.at) * scale < RADIUS * 1.5 for before, after in pairs)
    return close > len(values) / 4


def _marble(tick: Tick, x: float, y: int, hue: int, crowded: bool) -> str:
    title = f"<title>{tick.at:.3f} s: {markup(tick.label[:200])}</title>"
    if crowded:
        return (
            f'<circle class="rx-dot" cx="{x:.1f}" cy="{y}" r="4" fill="hsl({hue} 65% 50%)">{title}</circle>'
        )
    label = _cut(tick.label)
    half = max(RADIUS, 4 + 3.7 * len(label))
    return (
        f'<rect class="rx-marble" x="{x - half:.1f}" y="{y - RADIUS}" rx="{RADIUS}" '
        f'width="{2 * half:.1f}" height="{2 * RADIUS}" '
        f'fill="hsl({hue} 70% 55% / .22)" stroke="hsl({hue} 65% 50%)">{title}</rect>'
        f'<text class="rx" x="{x:.1f}" y="{y + 4}" text-anchor="middle">{markup(label)}</text>'
    )


def _cut(label: str) -> str:
    label = " ".join(harmless(label[: 2 * MOST]).split())
    return label if len(label) <= MOST else label[: MOST - 1] + "…"
