"""The way of one push through the library: which functions it calls, in which files, in which rooms.

    python -m benchmarks.path [memory] [redis] [subject]

One stream is open and warm. Then one value is pushed, and until its bytes have reached the client every call
of a Python function that stands below rx_sse/ is noted, in order; comprehensions and resumed coroutines are
calls as well. A line of the output is a stretch of calls in one file. A room is a folder, or a file,
directly below rx_sse/.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path
from types import FrameType
from typing import Any

from aiohttp import web
from reactivex import Observable
from reactivex.subject import Subject

import rx_sse
from benchmarks import peers
from benchmarks.own_redis import own_redis
from rx_sse.bus import Bus

HOME = Path(rx_sse.__file__).resolve().parent
WARM = 20
"""Pushes before the one that is looked at: by then every cache and every lazy part is there."""
PATIENCE = 10.0
"""Seconds until an event must have arrived."""

Push = Callable[[Any], object]


@dataclass(frozen=True)
class Call:
    """One call of a function of the library."""

    file: str
    function: str

    @property
    def room(self) -> str:
        """The folder, or the file, directly below rx_sse/."""
        return self.file.partition("/")[0]


@dataclass(frozen=True)
class Way:
    """All calls of one push, in order."""

    name: str
    calls: tuple[Call, ...]

    @property
    def files(self) -> int:
        return len({call.file for call in self.calls})

    @property
    def file_changes(self) -> int:
        return sum(one.file != next_.file for one, next_ in pairwise(self.calls))

    @property
    def room_changes(self) -> int:
        return sum(one.room != next_.room for one, next_ in pairwise(self.calls))

    def steps(self) -> Iterator[tuple[str, list[str]]]:
        """Each file in turn, with what was called in it before the next."""
        for file, calls in groupby(self.calls, lambda call: call.file):
            yield file, [call.function for call in calls]


class Tracer:
    """Notes the library's calls in this thread while it is on."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._files: dict[str, str] = {}

    @contextmanager
    def on(self) -> Iterator[None]:
        """Between the two ends of the block."""
        before = sys.getprofile()
        sys.setprofile(self._event)
        try:
            yield
        finally:
            sys.setprofile(before)

    def _event(self, frame: FrameType, event: str, argument: object) -> None:
        if event != "call":
            return
        code = frame.f_code
        if code.co_filename not in self._files:
            path = Path(code.co_filename)
            inside = path.is_relative_to(HOME)
            self._files[code.co_filename] = path.relative_to(HOME).as_posix() if inside else ""
        if file := self._files[code.co_filename]:
            self.calls.append(Call(file, code.co_qualname))


async def way(
    name: str, push: Push, source: Callable[[web.Request], Observable[Any]], app: web.Application
) -> Way:
    """Open a stream of `source`, warm it, and follow one push."""
    app.router.add_get("/events", rx_sse.sse(source))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(b"GET /events HTTP/1.1\r\nHost: path\r\nAccept: text/event-stream\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            for number in range(WARM):
                await _delivered(push, reader, number)
            tracer = Tracer()
            with tracer.on():
                await _delivered(push, reader, WARM)
        finally:
            writer.close()
    finally:
        await runner.cleanup()
    return Way(name, tuple(tracer.calls))


async def _delivered(push: Push, reader: asyncio.StreamReader, number: int) -> None:
    push({"seq": number, "text": "x" * 100})
    await asyncio.wait_for(reader.readuntil(b'"seq":%d,' % number), PATIENCE)
    await asyncio.wait_for(reader.readuntil(b"\n\n"), PATIENCE)


async def memory() -> Way:
    """`bus.events` over memory."""
    return await _of_events("memory", rx_sse.MemoryBus())


async def redis() -> Way:
    """`bus.events` over Redis: published and streamed by one process."""
    with own_redis() as url:
        return await _of_events("redis", rx_sse.RedisBus(url))


async def _of_events(name: str, bus: Bus) -> Way:
    app = rx_sse.setup(web.Application(), bus=bus)
    return await way(
        name,
        bus.topic("user").on_next,
        lambda request: bus.events("user", after=rx_sse.last_event_id(request)),
        app,
    )


async def subject() -> Way:
    """A plain Subject, without a bus."""
    source: Subject[Any] = Subject()
    return await way("subject", source.on_next, lambda request: source, rx_sse.setup(web.Application()))


WAYS = {"memory": memory, "redis": redis, "subject": subject}


def printed(ways: Sequence[Way]) -> str:
    """Each way step by step, and the table of all."""
    lines: list[str] = []
    for each in ways:
        lines.append(f"{each.name}:")
        lines += [f"  {file:<32} {', '.join(functions)}" for file, functions in each.steps()]
        lines.append("")
    lines.append(f"{'':<10}{'calls':>8}{'files':>8}{'changes of file':>18}{'changes of room':>18}")
    for each in ways:
        counts = f"{len(each.calls):>8}{each.files:>8}{each.file_changes:>18}{each.room_changes:>18}"
        lines.append(f"{each.name:<10}{counts}")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.path", description=__doc__)
    parser.add_argument("ways", nargs="*", help=f"{', '.join(WAYS)}; all")
    given = parser.parse_args(arguments)
    if unknown := set(given.ways) - set(WAYS):
        parser.error(f"unknown way {min(unknown)!r}; the ways are {', '.join(WAYS)}")
    found: list[Way] = []
    for name in given.ways or WAYS:
        try:
            found.append(asyncio.run(WAYS[name]()))
        except peers.Unavailable as reason:
            print(f"{name}: skipped: {reason}", file=sys.stderr)
    print(printed(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
