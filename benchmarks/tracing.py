"""What OpenTelemetry costs: CPU time of the server for one event to one user, and to open a stream, without
the extra, and with `setup(tracing=)`.

    python -m benchmarks.tracing [--rounds 9] [--users 500] [--events 5000]

Each mode is a server process of its own. They take turns, and a ratio is taken within a round against the
server in which OpenTelemetry cannot be imported; the figures are medians over the rounds. An event is
published to one of the users' topics in each turn of the loop; the clients are in this process.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

from aiohttp import ClientSession, web

MODES = {
    "absent": "the extra is not installed",
    "off": "installed, without `tracing=`",
    "unsampled": "`tracing=`, no trace is sampled",
    "batch": "`tracing=`, batches to an exporter that discards them",
    "memory": "`tracing=`, each span to an exporter in memory",
}
AT_ONCE = 64
"""Streams that are opened at the same time."""
VALUE = {"seq": 1, "text": "x" * 100}
PATIENCE = 120.0


# -- the server ----------------------------------------------------------------------------------------------


def provider_of(mode: str) -> tuple[object, Any]:
    """The value of `tracing=`, and the exporter in memory if there is one."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import (
        BatchSpanProcessor,
        SimpleSpanProcessor,
        SpanExporter,
        SpanExportResult,
    )
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

    class Discarding(SpanExporter):
        def export(self, spans: Any) -> SpanExportResult:
            return SpanExportResult.SUCCESS

    if mode == "off":
        return False, None
    provider = TracerProvider(sampler=ALWAYS_OFF) if mode == "unsampled" else TracerProvider()
    exporter = InMemorySpanExporter() if mode == "memory" else None
    if exporter is not None:
        provider.add_span_processor(SimpleSpanProcessor(exporter))
    elif mode == "batch":
        provider.add_span_processor(BatchSpanProcessor(Discarding()))
    return provider, exporter


def serve(mode: str) -> None:
    """One server; it says its port."""
    if mode == "absent":
        sys.modules["opentelemetry"] = None  # type: ignore[assignment]
    import rx_sse

    tracing, exporter = (False, None) if mode == "absent" else provider_of(mode)
    bus = rx_sse.MemoryBus()

    @rx_sse.sse
    def stream(request: web.Request) -> Any:
        return bus.events(request.match_info["user"], after=rx_sse.last_event_id(request))

    async def settled(request: web.Request) -> web.Response:
        """Collect garbage, and give the CPU time so far."""
        if exporter is not None:
            exporter.clear()
        gc.collect()
        gc.freeze()
        return web.json_response(time.process_time())

    async def push(request: web.Request) -> web.Response:
        """Publish, one event in a turn of the loop."""
        users, count = int(request.query["users"]), int(request.query["count"])
        topics = [bus.topic(f"user:{number}") for number in range(users)]
        for number in range(count):
            topics[number % users].on_next(VALUE)
            await asyncio.sleep(0)
        return web.json_response(time.process_time())

    async def cpu(request: web.Request) -> web.Response:
        return web.json_response(time.process_time())

    async def run() -> None:
        app = rx_sse.setup(web.Application(), bus=bus, tracing=tracing)
        app.router.add_get("/settled", settled)
        app.router.add_get("/push", push)
        app.router.add_get("/cpu", cpu)
        app.router.add_get("/{user}", stream)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.to_thread(sys.stdin.read)  # until the parent has gone
        await runner.cleanup()

    asyncio.run(run())


# -- the client ----------------------------------------------------------------------------------------------


class Arrivals:
    """Events that are still expected, of all streams.

    Args:
        expected: how many.
    """

    def __init__(self, expected: int) -> None:
        self._expected = expected
        self.all: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def note(self, count: int) -> None:
        """So many have arrived."""
        self._expected -= count
        if self._expected <= 0 and not self.all.done():
            self.all.set_result(None)


class Reader(asyncio.Protocol):
    """One stream, of which the events are counted.

    Args:
        port, user: what it reads.
        arrivals: where they are counted.
    """

    def __init__(self, port: int, user: str, arrivals: Arrivals) -> None:
        self._request = f"GET /{user} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: text/event-stream\r\n\r\n"
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._arrivals = arrivals
        self.transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        assert isinstance(transport, asyncio.WriteTransport)
        transport.write(self._request.encode())

    def data_received(self, data: bytes) -> None:
        if count := data.count(b'"seq"'):
            self._arrivals.note(count)
        if b"stream-cursor" in data and not self.opened.done():
            self.opened.set_result(None)


async def measured(port: int, users: int, events: int) -> tuple[float, float]:
    """µs of the server's CPU time to open a stream, and for one event."""
    loop = asyncio.get_running_loop()
    async with ClientSession(f"http://127.0.0.1:{port}") as session, asyncio.timeout(PATIENCE):

        async def asked(path: str) -> float:
            async with session.get(path) as answer:
                return float(await answer.json())

        readers: list[Reader] = []
        arrivals = Arrivals(events)

        async def opened(number: int) -> None:
            _, reader = await loop.create_connection(
                lambda: Reader(port, f"user:{number}", arrivals), "127.0.0.1", port
            )
            readers.append(reader)
            await reader.opened

        begun = await asked("/settled")
        for start in range(0, users, AT_ONCE):
            await asyncio.gather(*map(opened, range(start, min(start + AT_ONCE, users))))
        connecting = await asked("/cpu") - begun
        begun = await asked("/settled")
        await asked(f"/push?users={users}&count={events}")
        await arrivals.all
        delivering = await asked("/cpu") - begun
        for reader in readers:
            assert reader.transport is not None
            reader.transport.close()
    return connecting / users * 1e6, delivering / events * 1e6


async def compared(users: int, events: int, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """The figures of each mode, round by round; the first round, which warms up, is left out."""
    processes: dict[str, asyncio.subprocess.Process] = {}
    found: dict[str, list[tuple[float, float]]] = {mode: [] for mode in MODES}
    try:
        ports: dict[str, int] = {}
        for mode in MODES:
            processes[mode] = process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "benchmarks.tracing", "--serve", mode),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            assert process.stdout is not None
            ports[mode] = int(await process.stdout.readline())
        for number in range(rounds + 1):
            for mode, port in ports.items():
                one = await measured(port, users, events)
                if number:
                    found[mode].append(one)
    finally:
        for process in processes.values():
            assert process.stdin is not None
            process.stdin.close()
            await process.wait()
    return found


def lines(found: dict[str, list[tuple[float, float]]]) -> list[str]:
    """The table."""
    made = [
        "| | opening a stream | ratio | one event to one user | ratio |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for mode, samples in found.items():
        cells = [MODES[mode]]
        for which in (0, 1):
            ratio = median(it[which] / base[which] for it, base in zip(samples, found["absent"], strict=True))
            cells += [f"{median(it[which] for it in samples):.0f} µs", f"{ratio:.2f}"]
        made.append(f"| {' | '.join(cells)} |")
    return made


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tracing", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="default: %(default)s")
    parser.add_argument("--users", type=int, default=500, help="streams (default: %(default)s)")
    parser.add_argument("--events", type=int, default=5000, help="of a round (default: %(default)s)")
    parser.add_argument("--serve", choices=MODES, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.serve:
        serve(given.serve)
        return 0
    print(*lines(asyncio.run(compared(given.users, given.events, given.rounds))), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
