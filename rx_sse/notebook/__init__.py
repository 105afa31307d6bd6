"""Streams in Jupyter: watch, record, draw and serve them.

* `await peek(stream, n=5)`: a table that fills, and stays.
* `await marbles({"source": a, "throttled": b}, seconds=3)`: several streams on one axis of time.
* `await plot({"a": a, "b": b}, seconds=5)`: numbers as lines.
* `await record(stream, seconds=5)`: a `Recording`, to save, load and replay.
* `history("app.db", "orders", since=…)`: what a `SQLiteBus` has kept, as a `Recording`.
* `await serve(app)`: an application in the kernel, replaced when its cell runs again.

The first four accept an Observable, an `EventSource`, an async iterable or a URL, and end after `n` values,
after `seconds`, with the stream, or at an interrupt of the cell, which keeps everything recorded so far. With
`live=True` they return a `Live` recording at once and continue beside other cells. In plain Python they do
the same, and show text.

Standard: Jupyter's display protocol (`_repr_mimebundle_`); no widgets, so that a saved notebook still shows
its output.
Never: a task that runs after its cell has ended, except for `serve` and `live=True`.
"""

from __future__ import annotations

from rx_sse.notebook.kept import history
from rx_sse.notebook.live import Live
from rx_sse.notebook.looking import peek, plot
from rx_sse.notebook.recording import Diagram, marbles, record
from rx_sse.notebook.serving import Served, serve
from rx_sse.reactive.recording import Moment, Recording

__all__ = [
    "Diagram",
    "Live",
    "Moment",
    "Recording",
    "Served",
    "history",
    "marbles",
    "peek",
    "plot",
    "record",
    "serve",
]
