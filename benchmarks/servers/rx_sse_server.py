"""rx_sse, one way of publishing for each run: `rx_sse_server.py PORT FEED WAY [LOOP]`.

    subject    a plain reactivex Subject, `as_events()` before the fan-out
    topic      bus.topic(name), returned bare
    events     bus.events(name), resumable: positions, history, cursors
    pipeline   three operators for each client over a topic: filter, map, throttle_latest

LOOP is `uvloop` (as the demo has it where it is installed) or `asyncio`. With `probe` for a LOOP, the
longest turn of an asyncio loop is printed when the server ends, in seconds of CPU time of its thread.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from typing import Any

from aiohttp import web
from lines import listen
from reactivex import Observable
from reactivex import operators as ops
from reactivex.subject import Subject

import rx_sse

Stream = Observable[Any]
bus = rx_sse.MemoryBus(history=20_000)


class Subjects:
    """Without a bus: one Subject for everybody, one for each user."""

    def __init__(self) -> None:
        self._values: Subject[Any] = Subject()
        self._events = self._values.pipe(rx_sse.as_events(), ops.share())
        self._users: dict[str, Subject[Any]] = {}

    def deliver(self, key: str, value: dict[str, Any]) -> None:
        subject = self._values if key == "all" else self._users.get(key)
        if subject is not None:
            subject.on_next(value)

    def everybody(self, request: web.Request) -> Stream:
        return self._events

    def user(self, request: web.Request) -> Stream:
        own = self._users[f"u{request.match_info['user']}"] = Subject()
        return own


class Topics:
    """Live values of a topic."""

    def deliver(self, key: str, value: dict[str, Any]) -> None:
        bus.topic(key).on_next(value)

    def everybody(self, request: web.Request) -> Stream:
        return bus.topic("all")

    def user(self, request: web.Request) -> Stream:
        return bus.topic(f"u{int(request.match_info['user'])}")


class Events(Topics):
    """Resumable streams of a topic."""

    def everybody(self, request: web.Request) -> Stream:
        return bus.events("all", after=rx_sse.last_event_id(request))

    def user(self, request: web.Request) -> Stream:
        return bus.events(f"u{int(request.match_info['user'])}", after=rx_sse.last_event_id(request))


class Pipelines(Topics):
    """Operators that every client pays for itself."""

    def everybody(self, request: web.Request) -> Stream:
        return bus.topic("all").pipe(
            ops.filter(lambda value: value["seq"] % 2 == 0),
            ops.map(lambda value: {**value, "half": value["seq"] // 2}),
            rx_sse.throttle_latest(0.005),
        )


WAYS = {"subject": Subjects, "topic": Topics, "events": Events, "pipeline": Pipelines}


class Probe:
    """A callback in every turn of the loop, which so never sleeps: between two of them lies one turn.

    It looks from the first event on, and only so long that everybody is still there.
    """

    seconds = 3.0

    def __init__(self) -> None:
        self.longest = 0.0
        self._until = 0.0

    def start(self) -> None:
        if self._until:
            return
        self._loop = asyncio.get_running_loop()
        self._until = self._loop.time() + self.seconds
        self._last = time.thread_time()
        self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        now = time.thread_time()
        self.longest = max(self.longest, now - self._last)
        self._last = now
        if self._loop.time() < self._until:
            self._loop.call_soon(self._turn)


async def main(port: int, feed: int, way: str, probe: Probe | None) -> None:
    source = WAYS[way]()
    app = rx_sse.setup(web.Application(), bus=bus)
    app.router.add_get("/events", rx_sse.sse(source.everybody))
    app.router.add_get("/users/{user}", rx_sse.sse(source.user))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=4096).start()

    def watched(key: str, value: dict[str, Any]) -> None:
        assert probe is not None
        probe.start()
        source.deliver(key, value)

    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with await listen(feed, source.deliver if probe is None else watched):
        await ended.wait()
    if probe is not None:
        print(probe.longest, flush=True)
    await runner.cleanup()


if __name__ == "__main__":
    port, feed, way, *rest = sys.argv[1:]
    loop = rest[0] if rest else "uvloop"
    serving = main(int(port), int(feed), way, Probe() if loop == "probe" else None)
    if loop == "uvloop":
        import uvloop

        uvloop.run(serving)
    else:
        asyncio.run(serving)
