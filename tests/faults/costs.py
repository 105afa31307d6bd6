"""What it costs: a storm of reconnects, a publish, a long life."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import redis.asyncio

import rx_sse
from rx_sse.testing.raw import OpenStream, send

from ..redis_server import RedisServer
from .process import Process

PATIENCE = 120.0
TOPICS = [f"t{number}" for number in range(10)]
CONNECTING = 200
"""Connections under way at a time: what the kernel's queue of a listening socket takes."""

PACE = 5000.0
"""Events a second of the long life: what one client program can read twice."""
SENT = ("evalsha", "eval", "subscribe", "unsubscribe", "ping", "role", "client|setname")
"""Commands that an application sends; the others are called by its scripts."""


@dataclass
class Finding:
    """What was measured, and whether it is what was promised."""

    lines: list[str]
    held: bool


def commands(server: RedisServer) -> dict[str, int]:
    """How often each command was called, by clients and by scripts."""
    calls: dict[str, int] = {}
    for line in server.command("INFO", "commandstats").splitlines():
        if line.startswith("cmdstat_"):
            name, _, rest = line.removeprefix("cmdstat_").partition(":calls=")
            calls[name] = int(rest.split(",")[0])
    calls.pop("info", None)
    return calls


def between(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """What was called meanwhile."""
    return {name: n - before.get(name, 0) for name, n in after.items() if n > before.get(name, 0)}


@asynccontextmanager
async def process(url: str) -> AsyncIterator[Process]:
    """An application."""
    async with Process(url, {}, {}, lambda *_: None) as made:
        await made.until(True)
        yield made


async def storm(events: int, clients: int) -> Finding:
    """Clients that all come back at once, each with events to catch up with."""
    with RedisServer() as server:
        async with process(server.url) as application:
            turn = asyncio.Semaphore(CONNECTING)

            async def come(topic: str, last: str) -> OpenStream:
                async with turn:
                    headers = {"Last-Event-ID": last} if last else {}
                    stream = await send(f"{application.address}/{topic}", headers=headers)
                    await stream.read_head()
                    await stream.next_event(PATIENCE, control=True)
                    return stream

            async def catch_up(stream: OpenStream, count: int) -> None:
                await stream.events(count, PATIENCE)

            where = [TOPICS[number % len(TOPICS)] for number in range(clients)]
            streams = await asyncio.gather(*(come(topic, "") for topic in where))
            cursors = [stream.last_event_id for stream in streams]
            await asyncio.gather(*(stream.aclose() for stream in streams))
            await application.ask("flood", TOPICS, 0, 200, 1000)
            begin, idle = time.monotonic(), commands(server)
            await asyncio.sleep(5)
            idle_rate = sum(between(idle, commands(server)).values()) / (time.monotonic() - begin)
            begin, before = time.monotonic(), commands(server)
            streams = await asyncio.gather(*map(come, where, cursors))
            await asyncio.gather(*(catch_up(stream, 20) for stream in streams))
            took, after = time.monotonic() - begin, commands(server)
            await asyncio.gather(*(stream.aclose() for stream in streams))
    called = between(before, after)
    sent = sum(called.get(name, 0) for name in SENT)
    inside = sum(called.values()) - sent
    return Finding(
        [
            f"{clients:,} clients came back at once and caught up with 20 events each in {took:.1f} s:",
            f"{sent} commands from the application, its probes included; {inside} inside its scripts.",
            f"An idle application has {idle_rate * took:.0f} of both in that time.",
        ],
        sent < 100,
    )


async def publish(events: int, clients: int) -> Finding:
    """`publish` in a loop from 50 tasks, and redis-py used plainly, in one process, one after the other."""
    seconds, tasks = 3.0, 50
    with RedisServer() as server:
        lines = [
            "| 50 tasks, one publish after the other | publishes/s | calls each | client CPU each "
            "| server CPU each |",
            "| --- | ---: | ---: | ---: | ---: |",
        ]
        costs: list[float] = []

        async def measure(name: str, one: Callable[[int], Awaitable[Any]]) -> None:
            done = 0

            async def loop() -> None:
                nonlocal done
                while time.monotonic() < end:
                    await one(done)
                    done += 1

            end = time.monotonic() + seconds
            before, used, served = commands(server), time.process_time(), _cpu(server)
            await asyncio.gather(*(loop() for _ in range(tasks)))
            called = between(before, commands(server))
            used, served = time.process_time() - used, _cpu(server) - served
            sent = sum(called.get(it, 0) for it in ("evalsha", "eval")) or sum(called.values())
            costs.append(used / done)
            lines.append(
                f"| {name} | {done / seconds:,.0f} | {sent / done:.2f} | {used / done * 1e6:.0f} µs "
                f"| {served / done * 1e6:.0f} µs |"
            )

        async with rx_sse.RedisBus(server.url) as bus:
            for _ in range(200):
                await bus.publish("t", 0)
            await measure(
                "`await bus.publish(…)`: stored, announced, numbered", lambda n: bus.publish("t", n)
            )
        client = redis.asyncio.Redis(unix_socket_path=server.path, max_connections=tasks)
        try:

            async def both(number: int) -> None:
                await client.xadd("plain", {"data": str(number)}, maxlen=1000)
                await client.publish("plain", str(number))

            await both(0)
            await measure("redis-py, `PUBLISH` alone", lambda n: client.publish("plain", str(n)))
            await measure("redis-py, `XADD` and `PUBLISH`", both)
        finally:
            await client.aclose()
    return Finding(lines, costs[0] < costs[1])


async def memory(events: int, clients: int) -> Finding:
    """A long life: two processes, a reader of each topic at both, many events; what is resident after a fifth
    of them and at the end.
    """
    fifth = events // 50 * 10  # whole rounds of the topics
    events = fifth * 5
    lines: list[str] = []
    with RedisServer() as server:
        async with process(server.url) as one, process(server.url) as other:
            wrong = gaps = 0

            async def read(application: Process, topic: str, count: int) -> None:
                nonlocal wrong, gaps
                last, got, due, told = "", -1, int(topic[1:]), False
                while got < count:
                    stream = await send(
                        f"{application.address}/{topic}", headers={"Last-Event-ID": last} if last else {}
                    )
                    await stream.read_head()
                    try:
                        while got < count:
                            event = await stream.next_event(PATIENCE, control=True)
                            last = stream.last_event_id
                            if event.type == "message":
                                number = int(event.data)
                                wrong += number < due if told else number != due
                                got, due, told = number, number + len(TOPICS), False
                            elif event.type == "stream-gap":
                                gaps, told = gaps + 1, True
                    except (AssertionError, OSError):
                        pass
                    await stream.aclose()

            readers: list[asyncio.Task[None]] = []
            for application in (one, other):
                for number, topic in enumerate(TOPICS):
                    goal = events - len(TOPICS) + number
                    readers.append(asyncio.create_task(read(application, topic, goal)))
            await asyncio.sleep(1)
            marks: list[tuple[int, ...]] = []
            for part in range(5):
                await one.ask("flood", TOPICS, part * fifth, fifth, PACE)
                marks.append(
                    tuple([(await it.ask("resident"))[0] for it in (one, other)] + [_memory(server)])
                )
            await asyncio.gather(*readers)
    names = ("who publishes", "who listens", "Redis")
    for name, first, last in zip(names, marks[0], marks[-1], strict=True):
        lines.append(f"| {name} | {first / 2**20:.1f} MiB | {last / 2**20:.1f} MiB |")
    grown = max(last - first for first, last in zip(marks[0], marks[-1], strict=True))
    seen = f"{wrong} of them lost or repeated, {gaps} gaps told to readers that fell behind"
    head = [f"| {events:,} events, {seen} | after a fifth | at the end |"]
    return Finding([*head, "| --- | ---: | ---: |", *lines], grown < 8 * 2**20 and not wrong)


def _cpu(server: RedisServer) -> float:
    used = dict(line.split(":") for line in server.command("INFO", "cpu").splitlines() if ":" in line)
    return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])


def _memory(server: RedisServer) -> int:
    return int(server.command("INFO", "memory").split("used_memory:")[1].split()[0])


COSTS: dict[str, Callable[[int, int], Awaitable[Finding]]] = {
    "storm": storm,
    "cost": publish,
    "memory": memory,
}
