"""Watching a stream while it runs: a table of events, or numbers as lines.

Never: it continues after its cell has ended, except with `live=True`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal, overload

from rx_sse import arguments
from rx_sse.errors import UsageError
from rx_sse.notebook.chart import Chart
from rx_sse.notebook.live import Live
from rx_sse.notebook.recording import (
    Diagram,
    Stream,
    all_recordings,
    ends,
    finished,
    named,
    observable_of,
    one_recording,
)
from rx_sse.notebook.screen import Screen
from rx_sse.notebook.tape import Tape
from rx_sse.reactive.recording import Moment, Recording
from rx_sse.wire import ServerSentEvent
from rx_sse.wire.counted import counted
from rx_sse.wire.harmless import harmless, markup, one_line
from rx_sse.wire.jsontext import dumps

SHOWN = 100
"""Characters of a value that are displayed."""


class Table:
    """The events of a stream, the newest last."""

    def __init__(self, rows: int) -> None:
        self._rows: deque[tuple[str, str, str, str]] = deque(maxlen=rows)
        self._count = 0
        self._end = ""

    def add(self, moment: Moment) -> None:
        """Add a moment."""
        if moment.kind != "next":
            self._end = "completed" if moment.kind == "completed" else f"failed: {moment.value}"
            return
        self._count += 1
        event = moment.value
        if isinstance(event, ServerSentEvent):
            kind, data, id = event.type, event.data, event.id or ""
        else:
            kind, data, id = "", event if isinstance(event, str) else _shown(event), ""
        self._rows.append((f"{moment.at:8.3f}", kind, data, id))

    def __repr__(self) -> str:
        lines = [f"{at} s  {_cut(kind):<12} {_cut(data)}".rstrip() for at, kind, data, _ in self._rows]
        return "\n".join([*lines, self._foot()])

    def _foot(self) -> str:
        return counted(self._count, "event") + (f", {harmless(self._end)}" if self._end else "")

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


@overload
async def peek(
    stream: Stream, *, n: int | None = None, seconds: float | None = None, rows: int = 20, live: Literal[True]
) -> Live[Recording]: ...


@overload
async def peek(
    stream: Stream,
    *,
    n: int | None = None,
    seconds: float | None = None,
    rows: int = 20,
    live: Literal[False] = False,
) -> None: ...


async def peek(
    stream: Stream,
    *,
    n: int | None = None,
    seconds: float | None = None,
    rows: int = 20,
    live: bool = False,
) -> Live[Recording] | None:
    """Watch a stream as a table.

    Args:
        stream: an Observable, an `EventSource`, an async iterable, or the URL of an event stream.
        n: stop after this many events.
        seconds: stop after this time.
        rows: maximal number of events in the table, the newest.
        live: return at once; the table is updated beside other cells, until `stop()` of the result.

    Raises:
        UsageError: no end (`n`, `seconds` or `live`), or not a stream.
    """
    ends(n, seconds, live=live)
    table = Table(arguments.count("rows", rows))
    tape = Tape(observable_of(stream), n, table.add)
    shown = Live({"": tape}, seconds, one_recording, Screen(table), table)
    if live:
        return shown
    await finished(shown)
    return None


@overload
async def plot(
    streams: Stream | Mapping[str, Stream],
    *,
    value: Callable[[Any], float] | None = None,
    n: int | None = None,
    seconds: float | None = None,
    title: str = "",
    live: Literal[True],
) -> Live[Diagram]: ...


@overload
async def plot(
    streams: Stream | Mapping[str, Stream],
    *,
    value: Callable[[Any], float] | None = None,
    n: int | None = None,
    seconds: float | None = None,
    title: str = "",
    live: Literal[False] = False,
) -> None: ...


async def plot(
    streams: Stream | Mapping[str, Stream],
    *,
    value: Callable[[Any], float] | None = None,
    n: int | None = None,
    seconds: float | None = None,
    title: str = "",
    live: bool = False,
) -> Live[Diagram] | None:
    """Watch the numbers of one or several streams, as lines over time.

    Args:
        streams: one, as for `peek`; or several by name, each a line in the same axes.
        value: returns the number of a value; without it, values are numbers, or events whose data is a
            number.
        n: stop each stream after this many values.
        seconds: stop after this time.
        title: the text above the lines.
        live: return at once; the picture is updated beside other cells, until `stop()` of the result.

    Raises:
        UsageError: no end (`n`, `seconds` or `live`), not a stream, or a value that is not a number.
    """
    ends(n, seconds, live=live)
    arguments.function("value", value, "a function that gives the number of a value")
    several = named("plot", streams) if isinstance(streams, Mapping) else {"": observable_of(streams)}
    chart = Chart(title, list(several))
    tapes: dict[str, Tape] = {}

    def drawn(name: str, moment: Moment) -> None:
        if moment.kind == "error":
            chart.failed(name, harmless(str(moment.value)))
        elif moment.kind == "next" and chart.error is None:
            try:
                chart.add(name, moment.at, float((value or _number)(moment.value)))
            except Exception as error:  # `value` is the user's
                chart.error = UsageError(
                    f"plot: {_cut(str(moment.value))} is no number ({harmless(str(error))}); "
                    "give value=, a function that returns one"
                )
                for tape in tapes.values():
                    tape.enough()

    for name, stream in several.items():
        tapes[name] = Tape(stream, n, partial(drawn, name))
    shown = Live(tapes, seconds, all_recordings, Screen(chart), chart)
    if live:
        return shown
    await finished(shown)
    if chart.error is not None:
        raise chart.error
    return None


def _number(value: Any) -> float:
    return float(value.data if isinstance(value, ServerSentEvent) else value)


def _shown(value: Any) -> str:
    try:
        return dumps(value)
    except ValueError:
        return repr(value)


def _cut(text: str) -> str:
    return one_line(text, SHOWN)
