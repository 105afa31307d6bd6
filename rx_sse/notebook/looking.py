"""Looking at a stream while it runs: a table of events, a line of numbers.

Standard: Jupyter's `display` with an id, updated at most five times a second; the last state stays in the
notebook.
Never: it goes on after its cell has ended.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any, Protocol, cast

from rx_sse import arguments
from rx_sse.errors import UsageError
from rx_sse.notebook.recording import Stream, Tape, ends, observable_of, run
from rx_sse.reactive.recording import Moment
from rx_sse.wire import ServerSentEvent
from rx_sse.wire.harmless import harmless, markup, one_line
from rx_sse.wire.jsontext import dumps

EVERY = 0.2
"""Seconds between two updates of what is shown."""
SHOWN = 100
"""Characters of a value that are shown."""


class Picture(Protocol):
    """Something that a notebook, or a terminal, can show."""

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Mapping[str, str]: ...


class Screen:
    """Shows a picture and keeps it up to date: in a notebook in its place, elsewhere once, at the end."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        self._handle: Any = None
        self._due = 0.0
        if _in_notebook():
            from IPython import display

            self._handle = cast(Any, display).display(picture, display_id=True)

    def changed(self) -> None:
        """The picture has changed; show it unless that was a moment ago."""
        now = asyncio.get_running_loop().time()
        if self._handle is not None and now >= self._due:
            self._due = now + EVERY
            self._handle.update(self._picture)

    def finish(self) -> None:
        """Show it as it stays."""
        if self._handle is not None:
            self._handle.update(self._picture)
        else:
            print(self._picture)


def _in_notebook() -> bool:
    module = sys.modules.get("IPython")
    return module is not None and module.get_ipython() is not None


class Table:
    """The events of a stream, the newest last."""

    def __init__(self, rows: int) -> None:
        self._rows: deque[tuple[str, str, str, str]] = deque(maxlen=rows)
        self._count = 0
        self._end = ""

    def add(self, moment: Moment) -> bool:
        """Another moment; returns whether more can follow."""
        if moment.kind != "next":
            self._end = "completed" if moment.kind == "completed" else f"failed: {moment.value}"
            return True
        self._count += 1
        event = moment.value
        if isinstance(event, ServerSentEvent):
            kind, data, id = event.type, event.data, event.id or ""
        else:
            kind, data, id = "", event if isinstance(event, str) else _shown(event), ""
        self._rows.append((f"{moment.at:8.3f}", kind, data, id))
        return True

    def __repr__(self) -> str:
        lines = [f"{at} s  {_cut(kind):<12} {_cut(data)}".rstrip() for at, kind, data, _ in self._rows]
        return "\n".join([*lines, self._foot()])

    def _foot(self) -> str:
        return f"{self._count} events" + (f", {harmless(self._end)}" if self._end else "")

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Mapping[str, str]:
        head = "".join(
            f"<th style='text-align:left'>{name}</th>" for name in ("seconds", "type", "data", "id")
        )
        rows = "".join(
            "<tr>"
            + "".join(
                f"<td style='text-align:left;font-family:monospace'>{markup(_cut(cell))}</td>" for cell in row
            )
            + "</tr>"
            for row in self._rows
        )
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        html = f"{table}<small>{markup(self._foot())}</small>"
        return {"text/plain": repr(self), "text/html": html}


async def peek(stream: Stream, *, n: int | None = None, seconds: float | None = None, rows: int = 20) -> None:
    """Watch a stream as a table.

    Args:
        stream: an Observable, an `EventSource`, an async iterable, or the URL of an event stream.
        n: stop after so many events.
        seconds: stop after so long.
        rows: events that the table shows at most, the newest.

    Raises:
        UsageError: neither `n` nor `seconds`, or no stream.
    """
    ends(n, seconds)
    table = Table(arguments.count("rows", rows))
    await _show(stream, n, seconds, table, table.add)


async def plot(
    stream: Stream,
    *,
    value: Callable[[Any], float] | None = None,
    n: int | None = None,
    seconds: float | None = None,
    title: str = "",
) -> None:
    """Watch the numbers of a stream as a line over time.

    Args:
        stream: as for `peek`.
        value: gives the number of a value; without it values are numbers, or events whose data is one.
        n: stop after so many values.
        seconds: stop after so long.
        title: stands above the line.

    Raises:
        UsageError: neither `n` nor `seconds`, no stream, or a value that is no number.
    """
    ends(n, seconds)
    arguments.function("value", value, "a function that gives the number of a value")
    line = Line(title, value or _number)
    await _show(stream, n, seconds, line, line.add)
    if line.error is not None:
        raise line.error


async def _show(
    stream: Stream, n: int | None, seconds: float | None, picture: Picture, add: Callable[[Moment], bool]
) -> None:
    observable = observable_of(stream)
    screen = Screen(picture)

    def heard(moment: Moment) -> None:
        if not add(moment):
            tape.enough()
        screen.changed()

    tape = Tape(observable, n, heard)
    try:
        await run([tape], seconds)
    finally:
        screen.finish()


WIDTH, HEIGHT, LEFT, BOTTOM = 760, 220, 64, 28


class Line:
    """Numbers over time."""

    def __init__(self, title: str, value: Callable[[Any], float]) -> None:
        self.error: UsageError | None = None
        self._title = title
        self._end = ""
        self._value = value
        self._points: list[tuple[float, float]] = []

    def add(self, moment: Moment) -> bool:
        """Another moment; returns whether more can follow."""
        if moment.kind == "error":
            self._end = f", failed: {harmless(str(moment.value))}"
        if moment.kind != "next" or self.error is not None:
            return True
        try:
            number = float(self._value(moment.value))
            if not isfinite(number):
                raise ValueError("not finite")
            self._points.append((moment.at, number))
        except Exception as error:  # `value` is the user's
            self.error = UsageError(
                f"plot: {_cut(str(moment.value))} is no number ({harmless(str(error))}); "
                "give value=, a function that returns one"
            )
        return self.error is None

    def __repr__(self) -> str:
        if not self._points:
            return f"{_cut(self._title)}: no values{self._end}".lstrip(": ")
        numbers = [y for _, y in self._points]
        bars = "▁▂▃▄▅▆▇█"
        low, high = min(numbers), max(numbers)
        step = max(1, len(numbers) // 60)
        drawn = "".join(bars[int((y - low) / (high - low or 1) * 7)] for y in numbers[::step])
        return f"{_cut(self._title)} {drawn}  {len(numbers)} values, {low:g} to {high:g}{self._end}".lstrip()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Mapping[str, str]:
        return {"text/plain": repr(self), "image/svg+xml": self._svg()}

    def _svg(self) -> str:
        numbers = [y for _, y in self._points] or [0.0]
        low, high = min(numbers), max(numbers)
        span = high - low or 1.0
        last = self._points[-1][0] if self._points else 1.0
        wide, tall = WIDTH - LEFT - 16, HEIGHT - BOTTOM - 28

        def place(x: float, y: float) -> str:
            return f"{LEFT + x / (last or 1.0) * wide:.1f},{28 + (high - y) / span * tall:.1f}"

        path = " ".join(place(x, y) for x, y in self._points)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}">'
            "<style>.l{fill:none;stroke:#0a6fd8;stroke-width:1.8;stroke-linejoin:round}.a{stroke:#8a96a5}"
            ".t{font:12px system-ui,sans-serif;fill:#5d6b7c}"
            "@media(prefers-color-scheme:dark){.l{stroke:#5db0ff}.t{fill:#93a1b3}}</style>"
            f'<text class="t" x="{LEFT}" y="16">{markup(self._title + self._end)}</text>'
            f'<path class="a" d="M{LEFT} 24V{HEIGHT - BOTTOM}H{WIDTH - 8}" fill="none"/>'
            f'<text class="t" x="{LEFT - 6}" y="32" text-anchor="end">{high:.4g}</text>'
            f'<text class="t" x="{LEFT - 6}" y="{HEIGHT - BOTTOM}" text-anchor="end">{low:.4g}</text>'
            f'<text class="t" x="{WIDTH - 16}" y="{HEIGHT - 8}" text-anchor="end">{last:.1f} s</text>'
            f'<polyline class="l" points="{path}"/></svg>'
        )


def _number(value: Any) -> float:
    return float(value.data if isinstance(value, ServerSentEvent) else value)


def _shown(value: Any) -> str:
    try:
        return dumps(value)
    except ValueError:
        return repr(value)


def _cut(text: str) -> str:
    return one_line(text, SHOWN)
