"""What one look of the admin page costs, by the number of open streams.

    python -m benchmarks.admin [--streams 9000] [--topics 500]

Each stream has a user and a topic. A look is made nine times for the whole, for a user and for a topic; the
CPU of the process is measured, and the longest turn of the loop in CPU of its thread. Server and clients are
in one process: two file descriptors a stream.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Callable
from typing import Any

from aiohttp import web

import rx_sse
from rx_sse.testing import serve
from rx_sse.web.admin.board import Board
from rx_sse.web.admin.wanted import Wanted
from rx_sse.web.registry import REGISTRY, StreamRegistry

ROUNDS = 9
LOOKS = {"all": Wanted(), "a user": Wanted(find="user-1"), "a topic": Wanted(find="orders:4")}


def application(bus: rx_sse.Bus) -> web.Application:
    """A route whose streams have a topic and a user each."""

    def user(request: web.Request) -> rx_sse.Principal:
        return rx_sse.Principal(request.query["user"])

    def orders(request: web.Request) -> Any:
        return bus.events(f"orders:{request.match_info['shop']}", after=rx_sse.last_event_id(request))

    app = rx_sse.setup(web.Application(), bus=bus, hold_headers=0.0)
    app.router.add_get("/orders/{shop}", rx_sse.sse(auth=user)(orders))
    return app


async def opened(url: str, count: int, topics: int) -> list[asyncio.StreamWriter]:
    """So many streams, all of them open."""
    host, _, port = url.removeprefix("http://").partition(":")
    clients: list[asyncio.StreamWriter] = []
    readers: list[asyncio.StreamReader] = []
    for number in range(count):
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"GET /orders/{number % topics}?user=user-{number} HTTP/1.1\r\nHost: {host}\r\n\r\n"
        writer.write(head.encode())
        clients.append(writer)
        readers.append(reader)
    for reader in readers:
        await reader.readuntil(b"\r\n\r\n")
    return clients


async def measured(edge: StreamRegistry, wanted: Wanted) -> tuple[float, float]:
    """Seconds of CPU of one look, and of the longest turn of the loop in it."""
    longest, looking = 0.0, True

    async def turns() -> None:
        nonlocal longest
        last = time.thread_time()
        while looking:
            await asyncio.sleep(0)
            now = time.thread_time()
            longest, last = max(longest, now - last), now

    board = Board()  # a board of its own remembers no look
    close: Callable[[], None] = board.watch(edge)
    await asyncio.sleep(0.2)  # its first point of the charts
    before = time.process_time()
    await board.look(wanted)
    cost = time.process_time() - before
    await asyncio.sleep(1.0)  # until the look is no longer fresh
    watch = asyncio.create_task(turns())
    await board.look(wanted)
    looking = False
    await watch
    close()
    return cost, longest


async def main(streams: int, topics: int) -> None:
    """Open the streams, look, print."""
    bus = rx_sse.MemoryBus()
    app = application(bus)
    async with serve(app) as url:
        clients = await opened(url, streams, topics)
        edge = app[REGISTRY]
        print(f"{streams:,} streams, {topics:,} topics, median and worst of {ROUNDS}")
        for name, wanted in LOOKS.items():
            rounds = [await measured(edge, wanted) for _ in range(ROUNDS)]
            cost, longest = ([1_000 * it[part] for it in rounds] for part in (0, 1))
            print(
                f"{name:8}  CPU {statistics.median(cost):5.1f} ms, worst {max(cost):5.1f}"
                f"   longest turn {statistics.median(longest):4.1f} ms, worst {max(longest):4.1f}"
            )
        for client in clients:
            client.transport.abort()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.admin", description="What one look of the admin page costs."
    )
    parser.add_argument("--streams", type=int, default=9_000)
    parser.add_argument("--topics", type=int, default=500)
    given = parser.parse_args()
    asyncio.run(main(given.streams, given.topics))
