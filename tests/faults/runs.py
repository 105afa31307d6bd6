"""What runs must show, with real processes: their owner is killed, or frozen, or one of four that start at
once; and readers join at any moment.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import rx_sse
from rx_sse.bus import Bus
from rx_sse.errors import Overloaded
from rx_sse.testing.raw import OpenStream, StreamClosed, send

from ..bus.runs.owner_process import bus_at
from ..bus.runs.owners import freeze, owner, thawed
from ..conftest import ROOT
from ..redis_server import RedisServer
from .costs import Finding
from .costs import process as application
from .files import DatabaseFile

TOPIC = "run:job"
PREFIX = "rx_sse"
SLACK = 2.0
"""Seconds after the lease until all readers must have been told."""
AHEAD = 0.004
"""Seconds from the command to the moment at which four processes start one run."""
STORES: dict[str, Callable[[], RedisServer | DatabaseFile]] = {"Redis": RedisServer, "SQLite": DatabaseFile}


@dataclass(frozen=True)
class RunSize:
    """How much of everything.

    Attributes:
        readers: of an owner that is killed or frozen.
        lease: seconds.
        frozen: seconds.
        entries, joining: of the run that readers join, and the readers.
        starts: runs that four processes start at once.
    """

    readers: int = 100
    lease: float = 10.0
    frozen: float = 40.0
    entries: int = 20_000
    joining: int = 1000
    starts: int = 2000


SHORT_RUNS = RunSize(readers=30, lease=2.0, frozen=4.0, entries=2000, joining=100, starts=100)


class HttpReader:
    """Reads a run over a real connection, to its end.

    Attributes:
        count: how many values it has, which are 0, 1, 2 …
        end: the last event: `stream-error` or `stream-end`.
        at: when that came, by the monotonic clock.
        wrong: values that are not the next one.
    """

    def __init__(self, stream: OpenStream) -> None:
        self._stream = stream
        self.count = 0
        self.wrong = 0
        self.end: rx_sse.ServerSentEvent | None = None
        self.at = 0.0

    @classmethod
    async def join(cls, address: str) -> HttpReader:
        """One more reader, which has the first value."""
        stream = await send(f"{address}/{TOPIC}")
        await stream.read_head()
        made = cls(stream)
        await made.read(1, 20.0)
        return made

    async def read(self, count: int | None = None, timeout: float = 60.0) -> None:
        """Read so many values, or until the end."""
        try:
            while self.end is None and (count is None or self.count < count):
                event = await self._stream.next_event(timeout, control=True)
                if event.type == "message":
                    self.wrong += event.data != str(self.count)
                    self.count += 1
                elif event.type in ("stream-error", "stream-end"):
                    self.end, self.at = event, time.monotonic()
                elif event.type == "stream-gap":
                    self.wrong += 1
        except (StreamClosed, TimeoutError):  # it was left without a word
            pass
        finally:
            if self.end is not None or count is None:
                await self._stream.aclose()

    @property
    def lost(self) -> bool:
        """Whether it got the end of the lost run."""
        return self.end is not None and self.end.json().get("reason") == "lost"


async def killed(size: RunSize) -> Finding:
    """The owner is killed under readers of another process."""
    lines = [
        f"| the owner killed (SIGKILL), lease {size.lease:g} s | readers | told after the kill: first, last "
        "| silent | missing or twice |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    held = True
    for name, make in STORES.items():
        async with _readers(make, size) as (process, readers, _):
            process.kill()
            at = time.monotonic()
            await process.wait()
            await asyncio.gather(*(reader.read() for reader in readers))
        took = sorted(reader.at - at for reader in readers if reader.lost)
        silent, wrong = len(readers) - len(took), _wrong(readers)
        span = f"{took[0]:.2f} s, {took[-1]:.2f} s" if took else ""
        lines.append(f"| {name} | {len(readers)} | {span} | {silent} | {wrong} |")
        held &= not silent and not wrong and took[-1] <= size.lease + SLACK
    return Finding(lines, held)


async def frozen(size: RunSize) -> Finding:
    """The owner is stopped for longer than its lease, and goes on."""
    lines = [
        f"| the owner frozen (SIGSTOP) for {size.frozen:g} s, lease {size.lease:g} s | readers told "
        "| entries after the fence | its source |",
        "| --- | ---: | ---: | --- |",
    ]
    held = True
    for name, make in STORES.items():
        async with _readers(make, size) as (process, readers, url), bus_at(url, PREFIX) as bus:
            await freeze(process, url)
            at = time.monotonic()
            await asyncio.gather(*(reader.read() for reader in readers))
            before = await bus.position(TOPIC)
            await asyncio.sleep(at + size.frozen - time.monotonic())
            await thawed(process)
            more = (await bus.history(TOPIC, after=before, limit=500)).entries
        told, wrong = sum(reader.lost for reader in readers), _wrong(readers)
        lines.append(f"| {name} | {told} of {len(readers)} | {len(more)} | closed |")
        held &= told == len(readers) and not wrong and not more
    return Finding(lines, held)


async def joined(size: RunSize) -> Finding:
    """Readers join at random moments of a run, and one after its end."""
    lines = [
        f"| {size.joining:,} readers join at random moments of {size.entries:,} entries | received | whole "
        "| gaps | took |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    held = True
    for name, make in {"memory": None, **STORES}.items():
        async with AsyncExitStack() as stack:
            if make is None:
                bus: Bus = rx_sse.MemoryBus()
            else:
                store = make()
                stack.callback(store.close)
                bus = bus_at(store.url, PREFIX)
            await stack.enter_async_context(bus)
            begin = time.monotonic()
            readers = await _join(bus, size)
            took = time.monotonic() - begin
        whole = sum(reader.whole(size.entries) for reader in readers)
        gaps, received = sum(reader.gaps for reader in readers), sum(reader.count for reader in readers)
        lines.append(f"| {name} | {received:,} | {whole:,} of {len(readers):,} | {gaps} | {took:.0f} s |")
        held &= whole == len(readers)
    return Finding(lines, held)


class Reader:
    """Reads a run in the process that has it; comes back with its cursor when the bus has no room for its
    replay, as a client does.
    """

    def __init__(self, bus: Bus) -> None:
        self.count = 0
        self.gaps = 0
        self.wrong = 0
        self.ended: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self._bus = bus
        self._cursor: str | None = None
        self._subscribe()

    def _subscribe(self) -> None:
        events = self._bus.events(TOPIC, after=self._cursor, on_gap=self._gap)
        events.subscribe(self._take, self._failed, partial(self.ended.set_result, None))

    def _failed(self, error: Exception) -> None:
        if isinstance(error, Overloaded):
            asyncio.get_running_loop().call_later(random.uniform(0.5, 1.5), self._subscribe)
        else:
            self.ended.set_result(error)

    def whole(self, entries: int) -> bool:
        """Whether it has every entry once, in order, and the end."""
        complete = self.count == entries and not self.wrong and not self.gaps
        return complete and self.ended.done() and self.ended.result() is None

    def _take(self, event: rx_sse.ServerSentEvent) -> None:
        self.wrong += event.data != str(self.count)
        self.count += 1
        self._cursor = event.id

    def _gap(self, gap: Any) -> None:
        self.gaps += 1


async def _join(bus: Bus, size: RunSize) -> list[Reader]:
    moments = Counter(random.choices(range(size.entries), k=size.joining - 1))
    readers: list[Reader] = []

    async def source() -> AsyncIterator[int]:
        for number in range(size.entries):
            readers.extend(Reader(bus) for _ in range(moments[number]))
            yield number
            if not number % 10:
                await asyncio.sleep(0)

    run = await bus.run("job", source)
    await run.result()
    readers.append(Reader(bus))
    await asyncio.wait([reader.ended for reader in readers], timeout=600)
    return readers


async def started(size: RunSize) -> Finding:
    """Four processes start one run at one moment, again and again."""
    lines = [
        f"| {size.starts:,} runs, each started by four processes at once | sources | runs with one "
        "| started by the first, second … |",
        "| --- | ---: | ---: | ---: |",
    ]
    held = True
    for name, make in STORES.items():
        store = make()
        async with AsyncExitStack() as stack:
            stack.callback(store.close)
            starters = [await stack.enter_async_context(_starter(store.url)) for _ in range(4)]
            sources, single, winners = await _race(starters, size.starts)
            bus = await stack.enter_async_context(bus_at(store.url, PREFIX))
            pids = [str(starter.pid) for starter in starters]
            once = [await _holds_one(bus, f"run:r{number}", pids) for number in range(size.starts)]
        won = " · ".join(f"{winners[number]}" for number in range(4))
        lines.append(f"| {name} | {sources:,} | {sum(once):,} | {won} |")
        held &= sources == single == sum(once) == size.starts
    return Finding(lines, held)


async def _race(starters: list[Process], count: int) -> tuple[int, int, Counter[int]]:
    """How many sources were subscribed, how many runs one process has started, and how often which."""
    winners: Counter[int] = Counter()
    single = 0
    last = [0] * len(starters)
    for number in range(count):
        command = json.dumps([f"r{number}", time.monotonic() + AHEAD]).encode() + b"\n"
        for starter in starters:
            assert starter.stdin is not None
            starter.stdin.write(command)
        told = await asyncio.gather(*map(_answer, starters))
        first = [place for place, (_, begun, _) in enumerate(told) if begun]
        last = [sources for _, _, sources in told]
        single += len(first) == 1
        winners.update(first)
    return sum(last), single, winners


async def _answer(process: Process) -> Any:
    assert process.stdout is not None
    return json.loads(await asyncio.wait_for(process.stdout.readline(), 30))


async def _holds_one(bus: Bus, topic: str, pids: list[str]) -> bool:
    """Whether a run's topic has one value, of one of these processes, and the end."""
    entries = (await bus.history(topic, limit=500)).entries
    return len(entries) == 2 and entries[0].data in pids and entries[1].event == "stream-end"


@asynccontextmanager
async def _starter(url: str) -> AsyncIterator[Process]:
    command = (sys.executable, "-m", "tests.bus.runs.starter_process", url, PREFIX)
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdin=PIPE, stdout=PIPE)
    try:
        assert await _answer(process) == "ready"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def _readers(
    make: Callable[[], RedisServer | DatabaseFile], size: RunSize
) -> AsyncIterator[tuple[Process, list[HttpReader], str]]:
    """The owner, the readers at another process, and where their log is."""
    store = make()
    async with AsyncExitStack() as stack:
        stack.callback(store.close)
        other = await stack.enter_async_context(application(store.url))
        process = await owner(store.url, PREFIX, size.lease)
        stack.push_async_callback(_gone, process)
        readers = await asyncio.gather(*(HttpReader.join(other.address) for _ in range(size.readers)))
        yield process, readers, store.url


async def _gone(process: Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()


def _wrong(readers: list[HttpReader]) -> int:
    """Values that are missing, or came twice: all readers hold the same, in order."""
    most = max(reader.count for reader in readers)
    return sum(reader.wrong + most - reader.count for reader in readers)


RUNS: dict[str, Callable[[RunSize], Awaitable[Finding]]] = {
    "run-kill": killed,
    "run-frozen": frozen,
    "run-join": joined,
    "run-start": started,
}
