"""One application process over a `RedisBus` or a `SQLiteBus`, and the handle by which the harness holds it.

The harness writes commands to its standard input and reads what became of them from its standard output, a
JSON list a line; so it can be killed like any other process, and what it had accepted is known.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import reactivex as rx
from aiohttp import web

import rx_sse
from rx_sse.errors import PublishUnknown, RxSseError
from rx_sse.testing import serve
from rx_sse.testing.leaks import sockets
from rx_sse.web.registry import REGISTRY

ROOT = Path(__file__).resolve().parents[2]
MEMORY = "memory"
PATIENCE = 60.0
LOOK = 0.02


class Process:
    """An application process.

    Args:
        url: of Redis, the path of a file for a `SQLiteBus`, or `MEMORY` for a `MemoryBus`.
        bus: more options of its bus.
        stream: options of its streams.
        told: what it says: a word and its arguments.
        command: what starts it, in front of Python.
        setup: options of `rx_sse.setup`.

    Attributes:
        address: where it serves; empty while it does not live.
        ready: whether its bus is ready, and since when.
    """

    def __init__(
        self,
        url: str,
        bus: dict[str, Any],
        stream: dict[str, Any],
        told: Callable[..., None],
        command: tuple[str, ...] = (),
        setup: dict[str, Any] | None = None,
    ) -> None:
        self._command = command
        self._options = json.dumps({"url": url, "bus": bus, "stream": stream, "setup": setup or {}})
        self._told = told
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._serving = asyncio.Event()
        self._answer: asyncio.Future[list[Any]] | None = None
        self.address = ""
        self.ready = False
        self.since = 0.0

    async def start(self) -> None:
        """Start it, and wait until it serves."""
        self._serving.clear()
        self._process = await asyncio.create_subprocess_exec(
            *self._command, sys.executable, "-m", "tests.faults.process", self._options, cwd=ROOT,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        self._reading = asyncio.create_task(self._read())
        async with asyncio.timeout(PATIENCE):
            serving = asyncio.create_task(self._serving.wait())
            await asyncio.wait((serving, self._reading), return_when=asyncio.FIRST_COMPLETED)
        if not self.address:
            serving.cancel()
            raise RuntimeError("the application did not start")

    def tell(self, *command: Any) -> None:
        """A command, without an answer."""
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")

    async def ask(self, *command: Any) -> list[Any]:
        """A command with one answer; one at a time."""
        self._answer = asyncio.get_running_loop().create_future()
        self.tell(*command)
        return await self._answer

    async def until(self, ready: bool) -> float:
        """Wait until its bus is ready, or is not; when that was."""
        async with asyncio.timeout(PATIENCE):
            while self.ready is not ready:
                await asyncio.sleep(LOOK / 2)
        return self.since

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    async def stop(self) -> None:
        """Have it end as at a `SIGTERM`: its streams are drained; no client is sent to it meanwhile."""
        process = self._process
        self.address, self.ready = "", False
        assert process is not None and self._reading is not None
        self.tell("stop")
        async with asyncio.timeout(PATIENCE):
            await self._reading
            await process.wait()

    async def kill(self) -> None:
        """SIGKILL."""
        process = self._process
        self.address, self.ready = "", False
        if process is not None and process.returncode is None:
            process.kill()
        if process is not None and self._reading is not None:
            await self._reading
            await process.wait()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    async def _read(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        while line := await self._process.stdout.readline():
            word, *rest = json.loads(line)
            if word == "serving":
                (self.address,) = rest
                self._serving.set()
            elif word == "ready":
                (self.ready,) = rest
                self.since = asyncio.get_running_loop().time()
            elif word == "answer":
                if self._answer is not None and not self._answer.done():
                    self._answer.set_result(rest)
            else:
                self._told(word, *rest)


# -- in the process ------------------------------------------------------------------------------------------


def say(*words: Any) -> None:
    """Tell the harness."""
    print(json.dumps(words), flush=True)


async def publish(bus: rx_sse.Bus, topic: str, number: int, text: str) -> None:
    """Publish, and say what became of it."""
    try:
        cursor = await bus.publish(topic, text)
    except PublishUnknown:
        say("unknown", number)
    except RxSseError:
        say("refused", number)
    else:
        _, seq, nonce = cursor.split(".")
        say("accepted", number, int(seq), int(nonce))


async def flood(bus: rx_sse.Bus, topics: list[str], first: int, count: int, rate: float) -> None:
    """Push numbers at a pace, and say when they have been stored."""
    loop = asyncio.get_running_loop()
    begin = loop.time()
    done = 0
    while done < count:
        due = min(count, int((loop.time() - begin) * rate) + 1)
        for number in range(done, due):
            while True:
                try:
                    bus.topic(topics[number % len(topics)]).on_next(first + number)
                    break
                except rx_sse.RxSseError:
                    await asyncio.sleep(0.01)
        done = due
        await asyncio.sleep(0.005)
    say("answer", loop.time() - begin)


def step_clock(seconds: int, now: Callable[[], int] = time.time_ns) -> None:
    """Have the clock of the machine go so far ahead of the true time, for this process."""
    time.time_ns = lambda: now() + seconds * 1_000_000_000
    time.time = lambda: time.time_ns() / 1e9


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def census(app: web.Application, bus: rx_sse.Bus) -> dict[str, int]:
    """What this process holds, after a collection."""
    gc.collect()
    edge, held = app[REGISTRY].stats(), bus.stats()
    return {
        "streams": edge.open,
        "subscriptions": held.subscriptions,
        "replays": held.replays,
        "topics": held.topics,
        "stored topics": held.stored_topics,
        "tasks": len(asyncio.all_tasks()),
        "sockets": sockets(),
        "objects": len(gc.get_objects()),
        "resident": resident(),
        "cpu": int(time.process_time() * 1000),
        "opened": edge.opened,
        "dropped": edge.dropped,
    }


async def watch(bus: rx_sse.Bus) -> None:
    """Say whenever the bus becomes ready or ceases to be."""
    before = None
    while True:
        if bus.ready() is not before:
            before = bus.ready()
            say("ready", before)
        await asyncio.sleep(LOOK)


async def main(options: dict[str, Any]) -> None:
    """Serve until standard input ends."""
    logging.getLogger("rx_sse").setLevel(logging.ERROR)  # that events are missing, the clients tell
    bus: rx_sse.Bus
    if options["url"] == MEMORY:
        bus = rx_sse.MemoryBus(**options["bus"])
    else:
        kind = rx_sse.RedisBus if "://" in options["url"] else rx_sse.SQLiteBus
        bus = kind(options["url"], **options["bus"])
    app = rx_sse.setup(web.Application(), bus=bus, **options["setup"])
    kept = dict(options["stream"])
    if "overflow" in kept:
        kept["overflow"] = rx_sse.Overflow(**kept["overflow"])

    @rx_sse.sse(**kept)
    def stream(request: web.Request) -> rx.Observable[rx_sse.ServerSentEvent]:
        return bus.events(request.match_info["topic"], after=rx_sse.last_event_id(request))

    app.router.add_get("/{topic}", stream)
    loop = asyncio.get_running_loop()
    commands = asyncio.StreamReader(limit=1 << 20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    running: set[asyncio.Task[None]] = set()

    def run(work: Any) -> None:
        task = loop.create_task(work)
        running.add(task)
        task.add_done_callback(running.discard)

    async with serve(app) as address:
        watching = loop.create_task(watch(bus))
        say("serving", address)
        while line := await commands.readline():
            match json.loads(line):
                case ["publish", topic, number, text]:
                    run(publish(bus, topic, number, text))
                case ["flood", topics, first, count, rate]:
                    run(flood(bus, topics, first, count, rate))
                case ["clock", step]:
                    step_clock(step)
                case ["resident"]:
                    say("answer", resident())
                case ["census"]:
                    say("answer", census(app, bus))
                case ["stop"]:
                    break
                case other:
                    raise ValueError(other)
    watching.cancel()
    if running:
        await asyncio.wait(running, timeout=PATIENCE / 10)  # what became of each publish has been said


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(json.loads(sys.argv[1])))
