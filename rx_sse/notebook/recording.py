"""Recording streams: one, or several on one axis of time.

Never: it records without an end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from reactivex import Observable, abc

from rx_sse import arguments
from rx_sse.client import EventSource
from rx_sse.errors import UsageError
from rx_sse.reactive import LoopScheduler, from_async_iterable
from rx_sse.reactive.diagram import svg, text
from rx_sse.reactive.recording import Kind, Moment, Recording

Stream = Observable[Any] | AsyncIterable[Any] | str
MOST = 100_000
"""Values that one recording holds at most."""


def observable_of(stream: Stream, name: str = "") -> Observable[Any]:
    """What a notebook helper was given, as an Observable.

    Args:
        stream: what was given.
        name: what it is called, if it has a name.

    Raises:
        UsageError: it is no stream.
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
    """What was probably meant by something that is no stream."""
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
    """Streams by name, as a helper takes several.

    Args:
        helper: which, for the message.
        streams: what was given.

    Raises:
        UsageError: no mapping of names to streams, or an empty one.
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


class Tape:
    """Writes down what one stream does.

    Args:
        stream: what is recorded.
        n: values after which it is enough; None for no such end.
        heard: called after each moment.
    """

    def __init__(
        self, stream: Observable[Any], n: int | None, heard: Callable[[Moment], None] | None = None
    ) -> None:
        self.moments: list[Moment] = []
        self.done = asyncio.get_running_loop().create_future()
        self._stream = stream
        self._left = MOST if n is None else n
        self._heard = heard
        self._subscription: abc.DisposableBase | None = None
        self._begin = 0.0

    def start(self, scheduler: LoopScheduler) -> None:
        """Subscribe."""
        self._begin = asyncio.get_running_loop().time()
        subscription = self._stream.subscribe(
            lambda value: self._hear("next", value),
            lambda error: self._hear("error", f"{type(error).__name__}: {error}"),
            lambda: self._hear("completed", None),
            scheduler=scheduler,
        )
        self._subscription = subscription
        if self.done.done():
            self.stop()

    def enough(self) -> None:
        """End it here."""
        if not self.done.done():
            self.done.set_result(None)
        self.stop()

    def stop(self) -> None:
        """Dispose of the subscription."""
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            subscription.dispose()

    def _hear(self, kind: Kind, value: Any) -> None:
        if self.done.done():
            return
        loop = self.done.get_loop()
        moment = Moment(loop.time() - self._begin, kind, value)
        self.moments.append(moment)
        if kind == "next":
            self._left -= 1
        if kind != "next" or self._left <= 0:
            self.enough()
        if self._heard is not None:
            self._heard(moment)


def ends(n: int | None, seconds: float | None) -> None:
    """Check that a recording will end.

    Raises:
        UsageError: it might not.
    """
    if n is None and seconds is None:
        raise UsageError("say when to stop: n= values, seconds=, or both")
    if n is not None:
        arguments.count("n", n)
    arguments.seconds("seconds", seconds, zero="would record nothing", optional=True)


async def run(tapes: list[Tape], seconds: float | None) -> float:
    """Run tapes until all have had enough or the time is over; returns the seconds that it took."""
    loop = asyncio.get_running_loop()
    scheduler = LoopScheduler(loop)
    begin = loop.time()
    try:
        for tape in tapes:
            tape.start(scheduler)
        await asyncio.wait([tape.done for tape in tapes], timeout=seconds)
    finally:
        for tape in tapes:
            tape.enough()
    return loop.time() - begin


async def record(
    stream: Stream, *, n: int | None = None, seconds: float | None = None, name: str = ""
) -> Recording:
    """Record a stream.

    Args:
        stream: an Observable, an `EventSource`, an async iterable, or the URL of an event stream.
        n: stop after so many values.
        seconds: stop after so long.
        name: what its diagram calls it.

    Returns:
        What it did until then, or until it ended.

    Raises:
        UsageError: neither `n` nor `seconds`, or no stream.
    """
    ends(n, seconds)
    tape = Tape(observable_of(stream), n)
    took = await run([tape], seconds)
    return Recording(tape.moments, seconds=took, name=name)


class Diagram:
    """Recordings on one axis of time; shows itself as a marble diagram.

    Attributes:
        recordings: by name.
        seconds: the length of the axis.
    """

    def __init__(self, recordings: Mapping[str, Recording], seconds: float) -> None:
        self.recordings = dict(recordings)
        self.seconds = seconds

    @property
    def svg(self) -> str:
        """As an SVG image, in the reader's light or dark scheme."""
        return svg([recording.lane(name) for name, recording in self.recordings.items()], self.seconds)

    def save(self, path: str | Path) -> None:
        """Write the SVG image."""
        Path(path).write_text(self.svg, "utf-8")

    def __getitem__(self, name: str) -> Recording:
        try:
            return self.recordings[name]
        except KeyError:
            raise KeyError(f"no stream {name!r}; there are {', '.join(map(repr, self.recordings))}") from None

    def __repr__(self) -> str:
        return text([recording.lane(name) for name, recording in self.recordings.items()], self.seconds)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Mapping[str, str]:
        return {"text/plain": repr(self), "image/svg+xml": self.svg}


async def marbles(
    streams: Mapping[str, Stream], *, n: int | None = None, seconds: float | None = None
) -> Diagram:
    """Record several streams at once, on one axis of time, and draw them.

    Args:
        streams: by the name that the diagram gives them, from top to bottom.
        n: stop each after so many values.
        seconds: stop all after so long.

    Returns:
        A marble diagram: values, completion, errors and gaps; marbles of one colour are events of one type.

    Raises:
        UsageError: no streams by name, neither `n` nor `seconds`, or something that is no stream.
    """
    ends(n, seconds)
    tapes = {name: Tape(stream, n) for name, stream in named("marbles", streams).items()}
    took = await run(list(tapes.values()), seconds)
    length = took if seconds is None else min(seconds, took)
    return Diagram(
        {name: Recording(tape.moments, seconds=length, name=name) for name, tape in tapes.items()}, length
    )
