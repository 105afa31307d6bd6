"""What an entry of a run costs, against the same value pushed into a topic: microseconds of CPU time of this
process.

    python -m benchmarks.runs [memory] [sqlite] [redis]

Both take the values from an async generator and let the loop go on in the same way, take turns, and are over
when the log has everything. The ratio is the median over the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import rx_sse
from benchmarks import peers
from benchmarks.own_redis import own_redis
from rx_sse.bus import Bus

ENTRIES = 10_000
ROUNDS = 15
VALUE = {"seq": 1, "text": "x" * 100}
TURN = 0.004
"""Seconds after which a loop over pushes lets the others go on."""


async def values(count: int) -> AsyncIterator[dict[str, object]]:
    """What is published."""
    for _ in range(count):
        yield VALUE


async def pushed(bus: Bus, topic: str, count: int) -> None:
    """The values, pushed into a topic."""
    push, begun = bus.topic(topic).on_next, time.perf_counter()
    number = 0
    async for value in values(count):
        push(value)
        number += 1
        if not number & 31 and time.perf_counter() - begun > TURN:
            await asyncio.sleep(0)
            begun = time.perf_counter()
    await bus.publish(topic, "the last")


async def run(bus: Bus, name: str, count: int) -> None:
    """The values, as a run."""
    await (await bus.run(name, lambda: values(count))).result()


async def _timed(what: Awaitable[None], count: int) -> float:
    gc.collect()
    gc.freeze()  # what earlier rounds have left is looked at no more
    begun = time.process_time()
    await what
    return (time.process_time() - begun) / count * 1e6


async def compared(bus: Bus, count: int = ENTRIES, rounds: int = ROUNDS) -> tuple[float, float, float]:
    """µs of a push, µs of a run's entry, and their ratio."""
    found: list[tuple[float, float]] = []
    async with bus:
        bus.retain("pushed:*", history=2 * count, history_bytes=64 * 2**20)  # a run keeps everything as well
        for number in range(rounds):
            push = await _timed(pushed(bus, f"pushed:{number}", count), count)
            found.append((push, await _timed(run(bus, f"r{number}", count), count)))
    gc.unfreeze()
    pushes, entries = zip(*found, strict=True)
    return median(pushes), median(entries), median(entry / push for push, entry in found)


def line(name: str, found: tuple[float, float, float]) -> str:
    """A row of the table."""
    push, entry, ratio = found
    return f"{name:<10}{push:>8.2f} µs{entry:>14.2f} µs{ratio:>9.2f}"


def bus_of(name: str, stack: ExitStack) -> Bus:
    """A bus of this kind."""
    if name == "redis":
        return rx_sse.RedisBus(stack.enter_context(own_redis()))
    if name == "sqlite":
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="rx_sse_bench_"))
        return rx_sse.SQLiteBus(Path(folder) / "bus.db")
    return rx_sse.MemoryBus()


NAMES = ("memory", "sqlite", "redis")


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.runs", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"{', '.join(NAMES)}; all")
    given = parser.parse_args(arguments)
    if unknown := set(given.names) - set(NAMES):
        parser.error(f"unknown bus {min(unknown)!r}; give {', '.join(NAMES)}")
    print(f"{'':<10}{'a push':>11}{'a run entry':>17}{'ratio':>9}")
    for name in given.names or NAMES:
        with ExitStack() as stack:
            try:
                print(line(name, asyncio.run(compared(bus_of(name, stack)))), flush=True)
            except peers.Unavailable as reason:
                print(f"{name}: skipped: {reason}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
