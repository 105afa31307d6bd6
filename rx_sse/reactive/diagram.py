"""Marble diagrams, as SVG and as text.

Each stream is a line from left to right, each value a marble on it; `|` is a completion, `✕` an error, a
broken line a gap. The picture has a background of its own, so that it is readable on any page.

A label is drawn where it fits: not over another marble, the mark of an end, or an edge. A value without room
for its label is a dot. However many values there are, a lane has at most one mark every two pixels, and shows
how many values the marks stand for.

Standard: the marble diagrams of ReactiveX; SVG 1.1 with a style sheet of its own.
Never: a value of a stream as markup; everything is escaped.
"""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from rx_sse.wire.counted import counted
from rx_sse.wire.harmless import harmless, markup, one_line

WIDTH = 860
LEFT = 150
WIDEST = 280
"""Pixels for the names: the minimum and the maximum."""
RIGHT = 40
LANE = 60
TOP = 34
RADIUS = 13
COLUMNS = 60
"""Characters of a line of text that represent the time."""
REASON = 100
"""Characters of an error after its line."""
MOST = 9
"""Characters of a value that fit on a marble."""
DOT = 4
"""Radius of a dot, in pixels."""
APART = 2.0
"""Pixels between two marks, at least: a lane has no more than 350 of them."""
ALT = 300
"""Characters of the text version of a picture."""
HUES = (212, 24, 145, 280, 340, 48, 190, 95)

TickKind = Literal["next", "error", "completed", "gap"]


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on a lane.

    Attributes:
        at: seconds from the left end.
        kind: the kind of the mark.
        label: its text.
        group: marbles of one group have the same colour.
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
    """The diagram as lines of text: `-` is time, a value is written at its time, `|` completion, `#` error,
    `/` a gap. The number of values, and the error, follow each line."""
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
    left = min(WIDEST, max(LEFT, *(24 + 8 * len(lane.name) for lane in lanes))) if lanes else LEFT
    frame = Frame(left, (WIDTH - left - RIGHT) / seconds, seconds)
    streams = counted(len(lanes), "stream")
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'role="img" aria-label="marble diagram of {streams} over {seconds:.1f} seconds">',
        STYLE,
        f'<path class="rx-page" d="M.5 .5H{WIDTH - 0.5}V{height - 0.5}H.5Z"/>',
        _axis(frame, height),
    ]
    groups = sorted({tick.group for lane in lanes for tick in lane.ticks if tick.kind == "next"})
    hues = {group: HUES[index % len(HUES)] for index, group in enumerate(groups)}
    for index, lane in enumerate(lanes):
        parts.extend(_lane(lane, TOP + LANE * index + LANE // 2 + 4, frame, hues))
    return "".join([*parts, "</svg>"])


STYLE = (
    "<style>"
    ".rx-page{fill:#fff;stroke:#d5dce4}"
    ".rx{font:12px ui-monospace,monospace;fill:#1c2430}"
    ".rx-name{font:600 13px system-ui,sans-serif;fill:#1c2430}"
    ".rx-soft{font:11px system-ui,sans-serif;fill:#5b6878}.rx-line{stroke:#8a96a5;stroke-width:1.6;fill:none}"
    ".rx-grid{stroke:#e4e9ef;stroke-width:1}.rx-end{stroke:#1c2430;stroke-width:2.4}"
    ".rx-bad{stroke:#c62828;stroke-width:2.6;fill:none}.rx-gap{stroke:#b26a00;stroke-width:2.2;fill:none}"
    ".rx-gaptext{font:11px system-ui,sans-serif;fill:#8f5500}.rx-marble{stroke-width:1.6}.rx-dot{stroke:none}"
    "</style>"
)


@dataclass(frozen=True, slots=True)
class Frame:
    """The geometry of the lanes.

    Attributes:
        left: pixels before the time axis.
        scale: pixels a second.
        seconds: the length of the axis.
    """

    left: float
    scale: float
    seconds: float

    def x(self, at: float) -> float:
        """The x coordinate of a time."""
        return self.left + at * self.scale


def _axis(frame: Frame, height: int) -> str:
    step = round_step(frame.seconds, 8)
    parts: list[str] = []
    for number in range(math.floor(frame.seconds / step) + 1):
        x = frame.x(number * step)
        label = f"{number * step:g} s"
        parts.append(f'<line class="rx-grid" x1="{x:.1f}" y1="22" x2="{x:.1f}" y2="{height - 8}"/>')
        parts.append(f'<text class="rx-soft" x="{x:.1f}" y="14" text-anchor="middle">{label}</text>')
    return "".join(parts)


def round_step(length: float, most: int) -> float:
    """A round number (1, 2 or 5 times a power of ten) that divides a length into at most `most` parts."""
    rough = max(length / most, 1e-300)
    magnitude = 10.0 ** math.floor(math.log10(rough))
    return next(magnitude * factor for factor in (1, 2, 5, 10) if magnitude * factor >= rough)


def _lane(lane: Lane, y: int, frame: Frame, hues: dict[str, int]) -> list[str]:
    values = [tick for tick in lane.ticks if tick.kind == "next"]
    ends = [tick for tick in lane.ticks if tick.kind in ("completed", "error")]
    marbles, edge = _marbles(values, y, frame, hues)
    end = max(frame.x(ends[0].at), edge + 5) if ends else frame.x(frame.seconds)
    drawn = f", {len(marbles):,} drawn" if len(marbles) < len(values) else ""
    longest = int((frame.left - 24) / 8)
    parts = [
        f'<text class="rx-name" x="10" y="{y + 1}">{markup(one_line(lane.name, longest))}'
        f"<title>{markup(lane.name)}</title></text>",
        f'<text class="rx-soft" x="10" y="{y + 16}">{counted(len(values), "value")}{drawn}</text>',
        f'<path class="rx-line" d="M{frame.left} {y}H{end:.1f}"/>',
    ]
    if not ends:
        parts.append(
            f'<path class="rx-line" d="M{end - 6:.1f} {y - 4}L{end:.1f} {y}L{end - 6:.1f} {y + 4}"/>'
        )
    for tick in ends:
        parts.append(_end(tick, max(end, frame.x(tick.at)), y))
    parts.extend(_gaps([tick for tick in lane.ticks if tick.kind == "gap"], y, frame))
    return [*parts, *marbles]


def _end(tick: Tick, x: float, y: int) -> str:
    if tick.kind == "completed":
        return f'<path class="rx-end" d="M{x:.1f} {y - 12}V{y + 12}"><title>completed</title></path>'
    title = f"<title>{markup(tick.label)}</title>"
    return f'<path class="rx-bad" d="M{x:.1f} {y - 7}l14 14m-14 0l14 -14">{title}</path>'


def _gaps(gaps: Sequence[Tick], y: int, frame: Frame) -> Iterator[str]:
    mark, words = -math.inf, -math.inf  # where the last mark and the last label end
    for tick in gaps:
        x = frame.x(tick.at)
        if x - 4 < mark:
            continue
        mark = x + 6
        label = f"−{_cut(tick.label)}"
        yield (
            f'<path class="rx-gap" d="M{x - 4:.1f} {y + 9}L{x:.1f} {y - 9}M{x + 2:.1f} {y + 9}'
            f'L{x + 6:.1f} {y - 9}"><title>gap: {markup(tick.label)} missing</title></path>'
        )
        half = 3.4 * len(label) + 2
        middle = min(max(x + 1, half + 4), WIDTH - half - 4)
        if middle - half >= words:
            words = middle + half
            place = f'x="{middle:.1f}" y="{y - 16}" text-anchor="middle"'
            yield f'<text class="rx-gaptext" {place}>{markup(label)}</text>'


def _marbles(values: Sequence[Tick], y: int, frame: Frame, hues: dict[str, int]) -> tuple[list[str], float]:
    """The marks of the values, and the x coordinate where the last of them ends."""
    spots = _thinned(values, frame)
    parts: list[str] = []
    edge = -math.inf
    for index, (x, tick, count) in enumerate(spots):
        label = _cut(tick.label)
        half = max(RADIUS, 5 + 3.7 * len(label))
        # A label at an edge is moved inwards, so that it is not cut off.
        middle = min(max(x, frame.left + half - RADIUS), WIDTH - half - 10)
        behind = spots[index + 1][0] if index + 1 < len(spots) else math.inf
        if count == 1 and middle - half > edge and middle + half < behind - DOT:
            parts.append(_marble(tick, label, middle, half, y, hues[tick.group]))
            edge = middle + half + 1
        else:
            parts.append(_dot(tick, count, x, y, hues[tick.group]))
            edge = max(edge, x + DOT + 1)
    return parts, edge


def _thinned(values: Sequence[Tick], frame: Frame) -> list[tuple[float, Tick, int]]:
    """The x coordinate, first value, and number of values of each mark: one every `APART` pixels at most."""
    found: list[tuple[float, Tick, int]] = []
    for tick in values:
        x = frame.x(tick.at)
        if found and x - found[-1][0] < APART:
            where, first, count = found[-1]
            found[-1] = where, first, count + 1
        else:
            found.append((x, tick, 1))
    return found


def _dot(tick: Tick, count: int, x: float, y: int, hue: int) -> str:
    more = f", and {count - 1:,} more" if count > 1 else ""
    title = f"<title>{tick.at:.3f} s: {markup(tick.label[:200])}{more}</title>"
    return (
        f'<circle class="rx-dot" cx="{x:.1f}" cy="{y}" r="{DOT}" fill="hsl({hue} 65% 50%)">{title}</circle>'
    )


def _marble(tick: Tick, label: str, x: float, half: float, y: int, hue: int) -> str:
    title = f"<title>{tick.at:.3f} s: {markup(tick.label[:200])}</title>"
    return (
        f'<rect class="rx-marble" x="{x - half:.1f}" y="{y - RADIUS}" rx="{RADIUS}" '
        f'width="{2 * half:.1f}" height="{2 * RADIUS}" '
        f'fill="hsl({hue} 70% 93%)" stroke="hsl({hue} 65% 50%)">{title}</rect>'
        f'<text class="rx" x="{x:.1f}" y="{y + 4}" text-anchor="middle">{markup(label)}</text>'
    )


def _cut(label: str) -> str:
    label = " ".join(harmless(label[: 2 * MOST]).split())
    return label if len(label) <= MOST else label[: MOST - 1] + "…"


def mimebundle(plain: str, picture: str) -> dict[str, str]:
    """A picture in the forms that Jupyter displays: text, SVG, and an image in HTML.

    The image is for JupyterLab, which shows no SVG of an untrusted notebook.

    Args:
        plain: the text version.
        picture: the SVG.
    """
    encoded = b64encode(picture.encode()).decode()
    alt = markup(plain if len(plain) <= ALT else plain[: ALT - 1] + "…").replace("\n", "&#10;")
    html = f'<img alt="{alt}" width="{WIDTH}" src="data:image/svg+xml;base64,{encoded}">'
    return {"text/plain": plain, "image/svg+xml": picture, "text/html": html}
