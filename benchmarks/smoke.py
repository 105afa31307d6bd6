"""The rig checks itself: does the client count right, is nothing lost, do our servers answer?

It fails on a broken rig and on lost events, never on a slow machine: no number here has an upper bound in
time.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
import time
from pathlib import Path

from benchmarks import report, rounds, tasks
from benchmarks.load import Client
from benchmarks.roster import ROSTER

AGE = 5_000_000
"""Nanoseconds by which the torn server dates its events back."""

FEW = (
    tasks.Live("broadcast", 50, 100.0, seconds=0.5, warm=0.2),
    tasks.Live("broadcast", 50, 0.0, seconds=0.5, warm=0.2),
    tasks.Live("pipeline", 50, 50.0, step=2, loose=True, seconds=0.5, warm=0.2),
    tasks.Live("users", 50, 500.0, users=True, seconds=0.5, warm=0.2),
    tasks.Arrive("users", 50, pause=0.1),
    tasks.Connect("connect", 50),
    tasks.StreamCursor("resume", 20, 50),
    tasks.Live("redis", 50, 100.0, seconds=0.5, warm=0.2),
    tasks.Live("redis", 50, 500.0, users=True, seconds=0.5, warm=0.2),
    tasks.Live("workers", 50, 0.0, seconds=0.5, warm=0.2),
)


class Torn:
    """A server that sends a known text in the nastiest pieces: what the client must count is known too."""

    post = ""

    def __init__(self) -> None:
        self.beside = {"itself": os.getpid()}
        self.port = self.feed = 0
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._up.wait(10)

    def pids(self) -> list[int]:
        return [os.getpid()]

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._fed, self._over = asyncio.Event(), asyncio.Event()
        people = await asyncio.start_server(self._stream, "127.0.0.1", 0)
        feeds = await asyncio.start_server(self._feed, "127.0.0.1", 0)
        self.port, self.feed = (each.sockets[0].getsockname()[1] for each in (people, feeds))
        self._up.set()
        await self._over.wait()
        people.close()
        feeds.close()

    async def _feed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readline():
                self._fed.set()
        finally:
            writer.close()

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n3\r\n:\n\n\r\n"
            )
            await self._fed.wait()
            await self._tear(writer)
            await reader.read()  # until the client leaves, with a reset
        except ConnectionError:
            return
        finally:
            writer.close()

    async def _tear(self, writer: asyncio.StreamWriter) -> None:
        sent = time.monotonic_ns() - AGE
        text = b": hello\n\nretry: 5\n\nevent: stream-gap\ndata: {}\n\nevent: other\r\nid: x\r\n"
        for seq in (1, 2, 2, 4, 5):  # 3 is missing, 2 comes twice
            text += b'data: {"seq": %d, "t":%d, "text": "data: no"}\r\n\r\n' % (seq, sent)
        step = 1
        while text:
            part, text = text[:step], text[step:]
            chunk = b"%X;x=1\r\n%b\r\n" % (len(part), part)
            for piece in (chunk[:2], chunk[2:-1], chunk[-1:]):
                writer.write(piece)
                await asyncio.sleep(0)
            step = step % 7 + 1
        await writer.drain()


def main(client: Client, core: int, cache: Path) -> int:
    """Returns the exit code."""
    started = time.monotonic()
    torn = Torn()
    *_, told = client.run(torn, "/events", clients=3, rate=50, warm=0, seconds=0.3, drain=0.5)
    torn.close()
    wanted = {"ready": 3, "delivered": 15, "missing": 3, "repeated": 3, "controls": 3, "gaps": 3, "closed": 0}
    wrong = [
        f"the client counts {name} {told[name]}, not {count}"
        for name, count in wanted.items()
        if told[name] != count
    ]
    cpu = {"server": told["server_cpu"], **told["beside"]}
    if told["p50"] < AGE / 1e3 or set(cpu) != {"server", "itself"} or min(cpu.values()) <= 0:
        wrong.append(f"the client measures {told['p50']} µs of latency, and seconds of CPU time: {cpu}")

    results = rounds.Results(machine={"run": "smoke"})
    ready = rounds.prepare(
        [each for each in ROSTER if each.kind != "peer" and "hold" not in each.tasks], cache, results, print
    )
    for contestant in ROSTER:
        for cell in FEW:
            if contestant.name not in ready or cell.task not in contestant.tasks:
                continue
            sample = rounds.one(ready[contestant.name], contestant, cell, 0, client, core)
            results.samples.append(sample)
            bad = [
                f"{name} {sample.values[name]:g}"
                for name in ("lost", "repeated", "closed")
                if sample.values.get(name)
            ]
            if sample.values.get("delivered") == 0:
                bad.append("nothing arrived")
            if sample.error or bad:
                wrong.append(
                    f"{contestant.name}, {cell.task}, {cell.label}: {sample.error or ', '.join(bad)}"
                )
    with tempfile.TemporaryDirectory(prefix="rx_sse_bench_") as folder:
        report.write(results, Path(folder))
        page = (Path(folder) / "results.md").read_text("utf-8")
    if not all(name in page for name in ready):
        wrong.append("the report leaves a library out")
    for line in wrong:
        print(f"broken: {line}")
    took = time.monotonic() - started
    print(f"smoke of the benchmark: {len(results.samples)} runs, {len(wrong)} broken, {took:.0f} s")
    return bool(wrong)
