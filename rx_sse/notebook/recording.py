"""Recording streams: one, or several on one axis of time.

Never: more than 100,000 values of a stream, whatever end was given.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Awaitable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, cast, overload

from reactivex import Observable

from rx_sse import arguments
from rx_sse.client import EventSource
from rx_sse.errors import UsageError
from rx_sse.notebook.live import Live
from rx_sse.notebook.screen import interrupted
from rx_sse.notebook.tape import Tape
from rx_sse.reactive import from_async_iterable
from rx_sse.reactive.diagram import mimebundle, svg, text
from rx_sse.reactive.recording import Recording

Stream = Observable[Any] | AsyncIterable[Any] | str


def observable_of(stream: Stream, name: str = "") -> Observable[Any]:
    """The argument of a notebook helper, as an Observable.

    Args:
        stream: the argument.
        name: its name, if it has one.

    Raises:
        UsageError: it is not a stream.
    """
    if isinstance(stream, Observable):
        return stream
    if isinstance(stream, str):
        return EventSource(stream)
    if isinstance(stream, AsyncIterable):
        return from_async_iterable(stream)
    kind = f"the class {stream.__name__}" if isinstance(stream, type) else type(stream).__name__
    what = f"{name!r}: {kind}" if name else kind
    kinds = "give an Observable, an EventSource, an async iterable or a URL"
    raise UsageError(f"{what} is no stream: {_advice(stream)}{kinds}")


def _advice(value: object) -> str:
    """A suggestion for an argument that is not a stream."""
    if isinstance(value, Recording):
        return "its .replay() is one, at the recorded pace; or "
    if isinstance(value, Awaitable):
        return "await it, and give what it returns; or "
    if callable(value):
        return "call it, and give what it returns; or "
    if isinstance(value, Mapping):
        return "one of its streams, or marbles() for all of them; or "
    if isinstance(value, Iterable):
        return "reactivex.from_iterable(...) makes an Observable of it; or "
    return ""


def named(helper: str, streams: object) -> dict[str, Observable[Any]]:
    """A helper's argument of several streams by name.

    Args:
        helper: the helper's name, for the message.
        streams: the argument.

    Raises:
        UsageError: not a mapping of names to streams, or an empty one.
    """
    example = f"{helper}({{'source': stream}})"
    if not isinstance(streams, Mapping):
        raise UsageError(f"{helper}({type(streams).__name__}): give streams by name, as in {example}")
    if not streams:
        raise UsageError(f"{helper}({{}}) has no stream: give streams by name, as in {example}")
    for name in cast("Mapping[object, object]", streams):
        if not isinstance(name, str):
            raise UsageError(f"{helper}: {name!r} is no name; names are texts, as in {example}")
    return {name: observable_of(stream, name) for name, stream in cast("Mapping[str, Any]", streams).items()}


def ends(n: int | None, seconds: float | None, *, live: bool = False, endless: bool = False) -> None:
    """Check that a recording will end, or may be endless.

    Raises:
        UsageError: it might never end.
    """
    if n is None and seconds is None and not (live or endless):
        raise UsageError("say when to stop: n= values, seconds=, or both; or live=True, and stop() later")
    if n is not None:
        arguments.count("n", n)
    arguments.seconds("seconds", seconds, zero="would record nothing", optional=True)


def one_recording(recordings: Mapping[str, Recording], seconds: float) -> Recording:
    """The result of a recording of one stream."""
    return next(iter(recordings.values()))


def all_recordings(recordings: Mapping[str, Recording], seconds: float) -> Diagram:
    """The result of a recording of several streams."""
    return Diagram(recordings, seconds)


@overload
async def record(
    stream: Stream, *, n: int | None = None, seconds: float | None = None, name: str = "", live: Literal[True]
) -> Live[Recording]: ...


@overload
async def record(
    stream: Stream,
    *,
    n: int | None = None,
    seconds: float | None = None,
    name: str = "",
    live: Literal[False] = False,
) -> Recording: ...


async def record(
    stream: Stream, *, n: int | None = None, seconds: float | None = None, name: str = "", live: bool = False
) -> Recording | Live[Recording]:
    """Record a stream, until it ends, `n` values or `seconds` are over, or the cell is interrupted.

    An interrupt of the notebook ends the recording, and the moments recorded so far are returned. Outside of
    a notebook, a cancellation is raised; `live=True` keeps the recording.

    Args:
        stream: an Observable, an `EventSource`, an async iterable, or the URL of an event stream.
        n: stop after this many values; 100,000 at most.
        seconds: stop after this time.
        name: its name in the diagram.
        live: return at once; the recording continues beside other cells, displays itself, and ends by
            `stop()`.

    Returns:
        The recording; with `live`, a `Live` recording.

    Raises:
        UsageError: not a stream, or an invalid end.
    """
    ends(n, seconds, live=live, endless=True)
    recording = Live({name: Tape(observable_of(stream), n)}, seconds, one_recording)
    if live:
        return recording
    await finished(recording)
    return recording.recorded


async def finished(live: Live[Any]) -> None:
    """Wait for the end of a recording; a notebook's interrupt of the cell ends it too."""
    try:
        await live.to_the_end()
    except asyncio.CancelledError:
        if not interrupted():
            raise


class Diagram:
    """Recordings on one axis of time; displays itself as a marble diagram.

    Attributes:
        recordings: the recordings by name.
        seconds: the length of the axis.
    """

    def __init__(self, recordings: Mapping[str, Recording], seconds: float) -> None:
        self.recordings = dict(recordings)
        self.seconds = seconds

    @property
    def svg(self) -> str:
        """The diagram as an SVG image."""
        return svg([recording.lane(name) for name, recording in self.recordings.items()], self.seconds)

    def save(self, path: str | Path) -> None:
        """Write the SVG image to a file."""
        Path(path).write_text(self.svg, "utf-8")

    def __getitem__(self, name: str) -> Recording:
        try:
            return self.recordings[name]
        except KeyError:
            raise KeyError(f"no stream {name!r}; there are {', '.join(map(repr, self.recordings))}") from None

    def __repr__(self) -> str:
        return text([recording.lane(name) for name, recording in self.recordings.items()], self.seconds)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Mapping[str, str]:
        return mimebundle(repr(self), self.svg)


@overload
async def marbles(
    streams: Mapping[str, Stream],
    *,
    n: int | None = None,
    seconds: float | None = None,
    live: Literal[True],
) -> Live[Diagram]: ...


@overload
async def marbles(
    streams: Mapping[str, Stream],
    *,
    n: int | None = None,
    seconds: float | None = None,
    live: Literal[False] = False,
) -> Diagram: ...


async def marbles(
    streams: Mapping[str, Stream], *, n: int | None = None, seconds: float | None = None, live: bool = False
) -> Diagram | Live[Diagram]:
    """Record several streams at once, on one axis of time, and draw them.

    Args:
        streams: the streams by their names in the diagram, from top to bottom.
        n: stop each stream after this many values.
        seconds: stop all after this time.
        live: return at once; the recording continues beside other cells, displays itself, and ends by
            `stop()`.

    Returns:
        A marble diagram: values, completion, errors and gaps; marbles of one colour are events of one type.
        With `live`, a `Live` recording that displays itself as one.

    Raises:
        UsageError: no streams by name, no end (`n`, `seconds` or `live`), or a value that is not a stream.
    """
    ends(n, seconds, live=live)
    tapes = {name: Tape(stream, n) for name, stream in named("marbles", streams).items()}
    recording = Live(tapes, seconds, all_recordings)
    if live:
        return recording
    await finished(recording)
    return recording.recorded
