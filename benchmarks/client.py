"""A million events through a client, and through those of others: `python -m benchmarks.client`.

A server in a process of its own sends the same stream to one client after another, each in a fresh process.
Every event goes through the same pipeline, to the end: its JSON is parsed, a filter, a running sum. Printed
are events per second, CPU microseconds per event, and how far the stream raised the peak of resident memory.
The clients take turns; the median of the rounds counts.

The others come with `pip install --group clients`; one that is missing is left out, and that is said.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from multiprocessing.connection import Connection
from typing import Any

BLOCK = 500
"""Events in one write of the server."""


def serve(ready: Connection) -> None:
    """The server: at `/1000000` a million events of about 80 bytes, and then the end."""
    from aiohttp import web

    event = 'id: {0}\nevent: price\ndata: {{"symbol":"ACME","price":{1},"at":{0}}}\n\n'
    block = "".join(event.format(1_700_000_000 + n, n % 97) for n in range(BLOCK)).encode()

    async def events(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for _ in range(int(request.match_info["count"]) // BLOCK):
            await response.write(block)
        return response

    async def run() -> None:
        app = web.Application()
        app.router.add_get("/{count}", events)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        ready.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(run())


class Pipeline:
    """The same work by hand, for clients without operators."""

    def __init__(self) -> None:
        self.seen = 0
        self.sum = 0

    def take(self, data: str) -> None:
        """One event."""
        price = json.loads(data)["price"]
        self.seen += 1
        if price % 2:
            self.sum += price


async def subscribed(url: str, count: int) -> Pipeline:
    """Ours, as an Observable."""
    from rx_sse import EventSource, ServerSentEvent

    pipeline = Pipeline()
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def price(event: ServerSentEvent) -> int:
        pipeline.seen += 1
        return int(event.json()["price"])

    def add(total: int) -> None:
        pipeline.sum = total

    odd = EventSource(url, reconnect=False).map(price).filter(lambda price: price % 2 == 1)
    odd.scan(lambda total, price: total + price, 0).subscribe(
        add, done.set_exception, lambda: done.set_result(None)
    )
    await done
    return pipeline


async def iterated(url: str, count: int) -> Pipeline:
    """Ours, as an async iterable."""
    from rx_sse import EventSource

    return await taken(event.data async for event in EventSource(url, reconnect=False))


async def httpx_sse(url: str, count: int) -> Pipeline:
    """httpx-sse."""
    import httpx
    from httpx_sse import aconnect_sse

    client = httpx.AsyncClient(timeout=None, trust_env=False)
    async with client, aconnect_sse(client, "GET", url) as source:
        return await taken(event.data async for event in source.aiter_sse())


async def aiohttp_sse_client(url: str, count: int) -> Pipeline:
    """aiohttp-sse-client."""
    from aiohttp import ClientTimeout
    from aiohttp_sse_client.client import EventSource

    pipeline = Pipeline()
    async with EventSource(url, timeout=ClientTimeout(total=None)) as source:
        async for event in source:
            pipeline.take(event.data)
            if pipeline.seen == count:  # it would reconnect
                break
    return pipeline


async def taken(events: AsyncIterator[str]) -> Pipeline:
    """All of them."""
    pipeline = Pipeline()
    async for data in events:
        pipeline.take(data)
    return pipeline


CLIENTS: dict[str, Callable[[str, int], Awaitable[Pipeline]]] = {
    "rx_sse, subscribed": subscribed,
    "rx_sse, iterated": iterated,
    "httpx-sse": httpx_sse,
    "aiohttp-sse-client": aiohttp_sse_client,
}


def one(name: str, base: str, count: int) -> dict[str, float]:
    """Measure one client, in this process, once it has warmed up on a short stream."""

    async def run(count: int) -> Pipeline:
        return await CLIENTS[name](f"{base}/{count}", count)

    asyncio.run(run(2 * BLOCK))
    before = resource.getrusage(resource.RUSAGE_SELF)
    start = time.perf_counter()
    pipeline = asyncio.run(run(count))
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF)
    if pipeline.seen != count:
        raise RuntimeError(f"{name} saw {pipeline.seen:,} of {count:,} events")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "rate": count / seconds,
        "cpu": cpu / count * 1e6,
        "peak": (after.ru_maxrss - before.ru_maxrss) / 1024,
        "resident": after.ru_maxrss / 1024,
        "sum": pipeline.sum,
    }


def main(arguments: list[str]) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.client")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=2, metavar=("CLIENT", "URL"), help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    count = given.events // BLOCK * BLOCK
    if given.one:
        print(json.dumps(one(*given.one, count)))
        return 0

    results: dict[str, list[dict[str, float]]] = {}
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    try:
        base = f"http://127.0.0.1:{ours.recv()}"
        for _ in range(given.rounds):
            for name in CLIENTS:
                command = [
                    sys.executable,
                    "-m",
                    "benchmarks.client",
                    "--events",
                    str(count),
                    "--one",
                    name,
                    base,
                ]
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode:
                    print(f"{name}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
                else:
                    results.setdefault(name, []).append(json.loads(done.stdout))
    finally:
        server.terminate()
        server.join()
    if len({sample["sum"] for samples in results.values() for sample in samples}) > 1:
        raise RuntimeError("the clients came to different sums")
    report(results, count)
    return 0


def report(results: dict[str, list[dict[str, float]]], count: int) -> None:
    """Print the table."""

    def median(samples: list[dict[str, Any]], key: str) -> float:
        return statistics.median(sample[key] for sample in samples)

    print(f"| {count:,} events | events/s | CPU µs/event | peak above start, MiB | resident, MiB |")
    print("| --- | --- | --- | --- | --- |")
    for name, samples in results.items():
        rate, cpu = median(samples, "rate"), median(samples, "cpu")
        peak, resident = median(samples, "peak"), median(samples, "resident")
        print(f"| {name} | {rate:,.0f} | {cpu:.2f} | {peak:.1f} | {resident:.1f} |")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
