"""What `SQLiteBus` costs, beside `MemoryBus` on the same machine in the same minute.

    python -m benchmarks.sqlite [rate] [cost] [stall] [return] [restart]

rate     publishes a second from one loop, each awaited until it is stored
cost     CPU time of the server's process for each event of one user, all threads; a burst, and 1,000/s
stall    the longest time in which the loop did not turn, at 1,000/s: with a disk, and with one that takes
         200 ms for every commit
return   a client that comes back to 20,000 entries: its cursor at the front, in the middle, near the end
restart  1,000 clients over 10 topics under 100 events/s, and the server is restarted twice

Every row has a server to itself, in a process of its own; the clients are in this one.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import signal
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from aiohttp import web

import rx_sse
from benchmarks.command import parser_of, run
from rx_sse.bus.bus import core_of
from rx_sse.bus.sqlite.work import Work

BUSES = ("memory", "sqlite")
ENTRIES = 20_000
BURST = 20_000
"""Fewer than the history holds: a client that is too slow for it comes back, and gets the rest."""
PACED = 3_000
PUBLISHERS = 256
"""Coroutines that publish, each when its publish before is stored."""
SLOW_DISK = 0.2
TOPICS = 10
RESTARTS = 2
PATIENCE = 60.0
STALL = ("late", "waited", "turn", "other", "collection")
"""Of a stall: how late the loop turned; how long its thread waited for a core; its CPU time; what is left,
when another thread had the interpreter; and, on any thread, the longest garbage collection.
"""


# -- the server ----------------------------------------------------------------------------------------------


class Commands:
    """What the server's process does when it is told to."""

    def __init__(self, bus: rx_sse.Bus) -> None:
        self._bus = bus
        self._feed: asyncio.Task[None] | None = None
        self._number = 0
        self._resting = False

    async def push(self, topic: str, count: int, rate: float) -> dict[str, Any]:
        """Push so many values, `rate` a second or as fast as they go; what that cost."""
        loop, push = asyncio.get_running_loop(), self._bus.topic(topic).on_next
        stalls = Stalls(loop)
        cpu, begin = time.process_time(), loop.time()
        for number in range(count):
            if rate:
                await asyncio.sleep(max(begin + number / rate - loop.time(), 0))
            elif number % 64 == 0:
                await asyncio.sleep(0)
            push({"n": number, "t": time.monotonic(), "text": "x" * 60})
        await core_of(self._bus).delivered()
        return {"cpu": time.process_time() - cpu, "stall": stalls.end()}

    async def publish(self, topic: str, count: int) -> float:
        """Publish so many values; seconds until all of them are stored."""
        numbers = iter(range(count))

        async def publish() -> None:
            for number in numbers:
                await self._bus.publish(topic, {"n": number, "t": time.monotonic(), "text": "x" * 60})

        begin = time.monotonic()
        await asyncio.gather(*(publish() for _ in range(PUBLISHERS)))
        return time.monotonic() - begin

    async def cursors(self, topic: str, places: list[int]) -> list[str]:
        """The cursors of entries, by their number from the front."""
        found: list[str] = []
        page = await self._bus.history(topic, last=ENTRIES)
        entries = list(page)
        while page.next is not None:
            page = await self._bus.history(topic, after=page.next)
            entries += page
        for place in places:
            found.append(entries[place].id)
        return found

    async def feed(self, first: int, rate: float) -> None:
        """Publish numbers from now on, each to one of the topics."""
        self._number = first

        async def publish() -> None:
            loop = asyncio.get_running_loop()
            begin = loop.time() - first / rate
            while not self._resting:
                await asyncio.sleep(max(begin + self._number / rate - loop.time(), 0))
                value = {"n": self._number, "t": time.monotonic()}
                await self._bus.publish(f"t{self._number % TOPICS}", value)
                self._number += 1

        self._feed = asyncio.create_task(publish())

    async def rest(self) -> int:
        """End that; the next number."""
        self._resting = True  # not cancelled: in the middle of a publish, its number would be published again
        if self._feed is not None:
            await self._feed
        return self._number


async def until(true: Callable[[], bool]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(PATIENCE):
        while not true():  # noqa: ASYNC110 - what it waits for changes in many places
            await asyncio.sleep(0.002)


class Stalls:
    """Asks the loop every millisecond, and notes how late it was, and why."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._worst: dict[str, float] = dict.fromkeys(STALL, 0.0)
        self._waits = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
        self._began = 0.0
        gc.callbacks.append(self._collects)
        self._cpu, self._waited = time.thread_time(), self._waiting()
        self._due = loop.time() + 0.001
        self._timer = loop.call_at(self._due, self._turned)

    def _turned(self) -> None:
        cpu, waited, now = time.thread_time(), self._waiting(), self._loop.time()
        late, turn = now - self._due, cpu - self._cpu
        self._note("late", late)
        self._note("waited", waited - self._waited)
        self._note("turn", turn)
        self._note("other", late - turn - (waited - self._waited))
        self._cpu, self._waited = cpu, waited
        self._due = now + 0.001
        self._timer = self._loop.call_at(self._due, self._turned)

    def _waiting(self) -> float:
        """Seconds in which the loop's thread could have run, and had no core, so far."""
        try:
            return int(self._waits.read_text("ascii").split()[1]) / 1e9
        except OSError:  # not Linux
            return 0.0

    def _collects(self, phase: str, _: dict[str, int]) -> None:
        now = time.perf_counter()
        if phase == "start":
            self._began = now
        else:
            self._note("collection", now - self._began)

    def _note(self, name: str, seconds: float) -> None:
        self._worst[name] = max(self._worst[name], seconds)

    def end(self) -> dict[str, float]:
        """The longest of each, in seconds."""
        self._timer.cancel()
        gc.callbacks.remove(self._collects)
        return self._worst


async def slow_down(bus: rx_sse.Bus) -> None:
    """Let every commit of the writer take its time. SQLite calls the trace of a statement in the thread that
    executes it, with the write lock held.
    """
    installed = asyncio.get_running_loop().create_future()

    def traced(statement: str) -> None:
        if statement == "COMMIT":
            time.sleep(SLOW_DISK)

    log: Any = core_of(bus).log
    work = Work(lambda connection, _: connection.set_trace_callback(traced), installed.set_result, reads=True)
    log._writer.work(work)
    await installed


async def serve(kind: str, path: str, port: int, slow: bool) -> None:
    """The server's process: serve, and do what stands on standard input, until SIGTERM."""
    history = {"history": ENTRIES + 5_000, "history_bytes": 1 << 28}
    bus = rx_sse.MemoryBus(**history) if kind == "memory" else rx_sse.SQLiteBus(path, **history)
    app = rx_sse.setup(web.Application(), bus=bus, retry=200)

    @rx_sse.sse
    def stream(request: web.Request) -> Any:
        return bus.events(request.match_info["topic"], after=rx_sse.last_event_id(request))

    app.router.add_get("/{topic}", stream)
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, over.set)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=2048).start()
    if slow:
        await slow_down(bus)
    commands = Commands(bus)

    async def obey() -> None:
        print(json.dumps(runner.addresses[0][1]), flush=True)
        while line := await reader.readline():
            name, *arguments = json.loads(line)
            print(json.dumps(await getattr(commands, name)(*arguments)), flush=True)
        over.set()

    task = asyncio.create_task(obey())
    await over.wait()
    task.cancel()
    await runner.cleanup()


# -- from outside --------------------------------------------------------------------------------------------


class Server:
    """A server's process."""

    def __init__(self, kind: str, path: Path, *, slow: bool = False) -> None:
        self._options = [kind, str(path), "slow" if slow else "disk"]
        self._process: asyncio.subprocess.Process | None = None
        self.port = 0

    async def start(self) -> None:
        """Start, on the port of the life before."""
        kind, path, slow = self._options
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.sqlite", "--serve", kind, path, str(self.port), slow),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        self.port = await self._answer()

    @property
    def pid(self) -> int:
        """The number of its process."""
        assert self._process is not None
        return self._process.pid

    async def ask(self, *command: Any) -> Any:
        """A command, and its answer."""
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        return await self._answer()

    async def stop(self) -> None:
        """SIGTERM, and wait for the end."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
            await self._process.wait()

    async def _answer(self) -> Any:
        assert self._process is not None and self._process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            return json.loads(await self._process.stdout.readline())


@dataclass(eq=False)
class Reader:
    """A client that comes back with its cursor."""

    server: Server
    topic: str
    last: str = ""
    numbers: list[int] = field(default_factory=list[int])
    late: list[float] = field(default_factory=list[float])
    gaps: int = 0
    open: bool = False

    async def run(self) -> None:
        """Read, until cancelled."""
        while True:
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._read()
            self.open = False
            await asyncio.sleep(0.2)

    async def _read(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port, limit=1 << 22)
        try:
            cursor = f"Last-Event-ID: {self.last}\r\n" if self.last else ""
            writer.write(
                f"GET /{self.topic} HTTP/1.0\r\nHost: x\r\nAccept: text/event-stream\r\n{cursor}\r\n".encode()
            )
            await reader.readuntil(b"\r\n\r\n")
            parser = rx_sse.EventParser(last_event_id=self.last)
            while data := await reader.read(1 << 18):
                now = time.monotonic()
                for event in parser.feed(data):
                    self._event(event, now)
        finally:
            writer.close()

    def _event(self, event: rx_sse.ServerSentEvent, now: float) -> None:
        self.last, self.open = event.id or "", True
        if event.event == "stream-gap":
            self.gaps += 1
        elif event.event in (None, "message"):
            value = event.json()
            self.numbers.append(value["n"])
            self.late.append(now - value["t"])

    async def received(self, count: int) -> None:
        """Wait until it has so many."""
        await until(lambda: len(self.numbers) >= count)


@asynccontextmanager
async def serving(kind: str, *, slow: bool = False) -> AsyncIterator[Server]:
    """A server, in a directory of its own."""
    with tempfile.TemporaryDirectory(prefix="rx_sse_bench_") as folder:
        server = Server(kind, Path(folder) / "app.db", slow=slow)
        await server.start()
        try:
            yield server
        finally:
            await server.stop()


@asynccontextmanager
async def reading(*readers: Reader) -> AsyncIterator[None]:
    """While the readers read."""
    tasks = [asyncio.create_task(each.run()) for each in readers]
    try:
        await until(lambda: all(each.open or each.numbers for each in readers))
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(frozen=True)
class Pushed:
    """What a run cost: CPU µs for each event; ms of the longest stalls, and of the 99th percentile of the
    latency.
    """

    cpu: float
    stall: dict[str, float]
    p99: float


async def _pushed(kind: str, count: int, rate: float, *, slow: bool = False) -> Pushed:
    async with serving(kind, slow=slow) as server:
        reader = Reader(server, "u")
        async with reading(reader):
            warm = 0 if slow else 1_000
            await server.ask("push", "u", warm, 0)
            await reader.received(warm)
            said = await server.ask("push", "u", count, rate)
            await reader.received(warm + count)
            late = sorted(reader.late[warm:])
    stall = {name: seconds * 1e3 for name, seconds in said["stall"].items()}
    return Pushed(said["cpu"] / count * 1e6, stall, late[int(len(late) * 0.99)] * 1e3)


async def rate(given: argparse.Namespace) -> None:
    """The table of the rates."""
    print("| awaited publishes, one client | MemoryBus | SQLiteBus |\n| --- | ---: | ---: |")
    rates = [[await _published(kind) for kind in BUSES] for _ in range(given.rounds)]
    memory, sqlite = (median(found[index] for found in rates) for index in range(2))
    print(f"| {PUBLISHERS} at a time | {memory:,.0f}/s | {sqlite:,.0f}/s |", flush=True)


async def _published(kind: str) -> float:
    async with serving(kind) as server:
        reader = Reader(server, "u")
        async with reading(reader):
            seconds: float = await server.ask("publish", "u", BURST)
            await reader.received(BURST)
    return BURST / seconds


async def cost(given: argparse.Namespace) -> None:
    """The table of the costs."""
    print("| one user | MemoryBus | SQLiteBus | ratio | p99, ms |\n| --- | ---: | ---: | ---: | ---: |")
    for name, count, rate in (("burst", BURST, 0.0), ("1,000/s", PACED, 1_000.0)):
        pairs = [[await _pushed(kind, count, rate) for kind in BUSES] for _ in range(given.rounds)]
        memory, sqlite = (median(pair[index].cpu for pair in pairs) for index in range(2))
        ratio = median(pair[1].cpu / pair[0].cpu for pair in pairs)
        p99 = f"{median(pair[1].p99 for pair in pairs):.1f}" if rate else ""
        print(f"| {name} | {memory:.1f} µs | {sqlite:.1f} µs | {ratio:.2f} | {p99} |", flush=True)


async def stall(given: argparse.Namespace) -> None:
    """The table of the stalls."""
    print(
        "| 1,000/s; the longest, ms: median (lowest–highest) | stall of the loop | its wait for a core "
        "| its CPU in one turn | another thread had the interpreter | garbage collection |"
    )
    print(f"| --- |{' ---: |' * len(STALL)}")
    for name, kind, slow in (
        ("MemoryBus", "memory", False),
        ("SQLiteBus", "sqlite", False),
        ("SQLiteBus, each commit takes 200 ms", "sqlite", True),
    ):
        runs = [await _pushed(kind, PACED, 1_000.0, slow=slow) for _ in range(given.rounds)]
        cells: list[str] = []
        for part in STALL:
            found = [run.stall[part] for run in runs]
            cells.append(f"{median(found):.1f} ({min(found):.1f}–{max(found):.1f})")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


async def come_back(given: argparse.Namespace) -> None:
    """The table of the returns."""
    print(f"| {ENTRIES:,} entries, cursor | entries | MemoryBus | SQLiteBus |\n| --- | ---: | ---: | ---: |")
    places = {"at the front": 0, "in the middle": ENTRIES // 2, "near the end": ENTRIES - 100}
    found: dict[tuple[str, str], list[float]] = {}
    for kind in BUSES:
        async with serving(kind) as server:
            await server.ask("push", "u", ENTRIES, 0)
            cursors = await server.ask("cursors", "u", list(places.values()))
            if kind == "sqlite":  # nothing is in memory any more
                await server.stop()
                await server.start()
            for _ in range(given.rounds):
                for (name, place), cursor in zip(places.items(), cursors, strict=True):
                    reader, begin = Reader(server, "u", last=cursor), time.monotonic()
                    async with reading(reader):
                        await reader.received(ENTRIES - place - 1)
                        found.setdefault((name, kind), []).append(time.monotonic() - begin)
                    assert reader.numbers == list(range(place + 1, ENTRIES)) and not reader.gaps
    for name, place in places.items():
        cells = [f"{median(found[name, kind]) * 1e3:,.0f} ms" for kind in BUSES]
        print(f"| {name} | {ENTRIES - place - 1:,} | {' | '.join(cells)} |", flush=True)


async def restart(given: argparse.Namespace) -> None:
    """The table of the restarts."""
    head = "clients | events | back | down, s | all back after, s | gaps | lost | repeated |"
    print(f"| | {head}\n| --- |{' ---: |' * 8}")
    for kind in BUSES:
        async with serving(kind) as server:
            readers = [Reader(server, f"t{number % TOPICS}") for number in range(given.clients)]
            async with reading(*readers):
                await server.ask("feed", 0, 100.0)
                down, back = [], []
                for _ in range(RESTARTS):
                    await asyncio.sleep(3.0)
                    upto = await server.ask("rest")
                    begin = time.monotonic()
                    await server.stop()
                    await server.start()
                    await server.ask("feed", upto, 100.0)
                    down.append(time.monotonic() - begin)
                    await until(partial(_all_beyond, readers, upto))
                    back.append(time.monotonic() - begin)
                await asyncio.sleep(1.0)
                upto = await server.ask("rest")
                await asyncio.sleep(1.0)
                open_now = sum(each.open for each in readers)
        print(_line(kind, readers, upto, open_now, max(down), max(back)), flush=True)


def _all_beyond(readers: Sequence[Reader], number: int) -> bool:
    return all(each.numbers and each.numbers[-1] >= number for each in readers)


def _line(kind: str, readers: Sequence[Reader], upto: int, back: int, down: float, whole: float) -> str:
    gaps = lost = repeated = 0
    for number, each in enumerate(readers):
        due = set(range(number % TOPICS, upto, TOPICS))
        gaps += each.gaps
        lost += len(due - set(each.numbers))
        repeated += len(each.numbers) - len(set(each.numbers))
    name = "MemoryBus" if kind == "memory" else "SQLiteBus"
    cells = [f"{len(readers):,}", f"{upto:,}", f"{back:,}", f"{down:.1f}", f"{whole:.1f}"]
    return f"| {name} | {' | '.join(cells)} | {gaps:,} | {lost:,} | {repeated:,} |"


TASKS = {"rate": rate, "cost": cost, "stall": stall, "return": come_back, "restart": restart}


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code."""
    if arguments[:1] == ["--serve"]:
        kind, path, port, slow = arguments[1:]
        asyncio.run(serve(kind, path, int(port), slow == "slow"))
        return 0
    parser = parser_of("benchmarks.sqlite", __doc__, TASKS)
    parser.add_argument("--clients", type=int, default=1_000, help="of the restart; %(default)s")
    return run(parser, arguments, TASKS)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
