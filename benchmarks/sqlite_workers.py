"""Several processes on one file: the latency between them, the cost of idle ones, the size of the file.

    python -m benchmarks.sqlite_workers [latency] [idle] [day]

latency  from `on_next` in one process to the socket of a client of another one
idle     CPU time of a process with one client, while nothing is published
day      the size of the file and of its WAL through a day's events, by a clock that runs fast

Processes and clients as in `benchmarks.sqlite`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sqlite3
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

import rx_sse
from benchmarks.command import parser_of, run
from benchmarks.sqlite import Reader, Server, reading
from rx_sse.bus.bus import core_of
from rx_sse.bus.sqlite import file_clock
from rx_sse.bus.sqlite.reader import LATELY, QUIET

EVENTS = 3_000
RATES = (10.0, 100.0, 1_000.0)
SLOW_EVENTS = 200
"""Events at the two slower rates."""
AFTER = LATELY + QUIET + 1
"""Seconds until a process counts the others as quiet."""
IDLE = 20.0
"""Seconds of idleness."""
HOURS = 24
TOPICS = 2_000
RATE = 10
"""Events a second of the day."""
STEP = 240
"""Seconds by which the clock of that day is put forward."""


@asynccontextmanager
async def workers(count: int) -> AsyncIterator[list[Server]]:
    """Servers on one file."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="rx_sse_bench_"))
        servers = [Server("sqlite", Path(folder) / "app.db") for _ in range(count)]
        for server in servers:
            await server.start()
            stack.push_async_callback(server.stop)
        yield servers


async def latency(given: argparse.Namespace) -> None:
    """The table of the latencies."""
    print("| to a client of | events a second | median, ms | p99, ms |\n| --- | ---: | ---: | ---: |")
    for name, place, quiet in (
        ("the same process", 0, 0.0),
        ("another process", 1, 0.0),
        (f"another process, after {AFTER:.0f} s of quiet", 1, AFTER),
    ):
        for rate in RATES:
            runs = [await _late(place, rate, quiet) for _ in range(given.rounds)]
            half, most = (median(run[at] for run in runs) for at in (0, 1))
            print(f"| {name} | {rate:,.0f} | {half * 1e3:.1f} | {most * 1e3:.1f} |", flush=True)


async def _late(place: int, rate: float, quiet: float) -> tuple[float, float]:
    count = EVENTS if rate >= 1_000 else SLOW_EVENTS
    async with workers(2) as servers:
        reader = Reader(servers[place], "u")
        async with reading(reader):
            await asyncio.sleep(quiet)
            await servers[0].ask("push", "u", count, rate)
            await reader.received(count)
    late = sorted(reader.late)
    return late[len(late) // 2], late[int(len(late) * 0.99)]


async def idle(given: argparse.Namespace) -> None:
    """The table of the idle processes."""
    print("| idle | CPU of a process, % of a core |\n| --- | ---: |")
    for count in (1, 4):
        found = [cpu for _ in range(given.rounds) for cpu in await _idle(count)]
        name = f"{count} process{'es' if count > 1 else ''}, a client each"
        print(f"| {name} | {median(found):.2f} ({min(found):.2f}–{max(found):.2f}) |", flush=True)


async def _idle(count: int) -> list[float]:
    async with workers(count) as servers:
        readers = [Reader(server, "u") for server in servers]
        async with reading(*readers):
            await servers[0].ask("push", "u", 10, 0)
            for reader in readers:
                await reader.received(10)
            await asyncio.sleep(AFTER)  # what follows the last event is over
            begin = [_cpu(server) for server in servers]
            await asyncio.sleep(IDLE)
            return [(_cpu(server) - was) / IDLE * 100 for server, was in zip(servers, begin, strict=True)]


def _cpu(server: Server) -> float:
    """Seconds of CPU time of all threads of a server so far."""
    nanoseconds = 0
    for thread in Path(f"/proc/{server.pid}/task").iterdir():
        nanoseconds += int((thread / "schedstat").read_text().split()[0])
    return nanoseconds / 1e9


async def day(_given: argparse.Namespace) -> None:
    """The table of the day."""
    events = HOURS * 3600 * RATE
    print(f"{events:,} events of 200 bytes in {TOPICS:,} topics, each kept for an hour\n")
    print("| after | file, MB | WAL, MB | entries |\n| --- | ---: | ---: | ---: |")
    passed, real = 0, file_clock.since_boot
    file_clock.since_boot = lambda: real() + passed
    try:
        with tempfile.TemporaryDirectory(prefix="rx_sse_bench_") as folder:
            path = Path(folder) / "app.db"
            async with rx_sse.SQLiteBus(path, ttl=3600) as bus:
                for begin in range(0, HOURS * 3600, STEP):
                    await asyncio.gather(*(_publish(bus, begin * RATE + it) for it in range(STEP * RATE)))
                    passed += STEP * 1000
                    await _swept(bus)
                    if (hours := (begin + STEP) / 3600) in (1, 2, 6, 12, 24):
                        print(_sizes(f"{hours:.0f} h", path), flush=True)
                for _ in range(3 * 3600 // STEP):
                    passed += STEP * 1000
                    await _swept(bus)
                print(_sizes("3 h without events", path))
    finally:
        file_clock.since_boot = real


async def _publish(bus: rx_sse.Bus, number: int) -> None:
    await bus.publish(f"user:{number * 7 % TOPICS}", {"n": number, "text": "x" * 180})


async def _swept(bus: rx_sse.Bus) -> None:
    """What the sweeps of these seconds would do."""
    log: Any = core_of(bus).log
    for _ in range(60):
        log._writer.sweep()
        await asyncio.sleep(0.001)


def _sizes(after: str, path: Path) -> str:
    file = sqlite3.connect(path)
    entries = file.execute("SELECT count(*) FROM rx_sse_entries").fetchone()[0]
    file.close()
    sizes = [os.stat(f"{path}{end}").st_size / 1e6 for end in ("", "-wal")]
    return f"| {after} | {sizes[0]:.1f} | {sizes[1]:.1f} | {entries:,} |"


TASKS = {"latency": latency, "idle": idle, "day": day}


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code."""
    return run(parser_of("benchmarks.sqlite_workers", __doc__, TASKS), arguments, TASKS)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
