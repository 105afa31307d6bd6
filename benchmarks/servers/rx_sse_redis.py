"""rx_sse over Redis, one process of it for each run: `rx_sse_redis.py ROLE REDIS PORT`.

stream     the application with the streams: bus.events(name), resumable; several may share the port
bus        another application that has a RedisBus and pushes what the feed brings
publisher  a process without a loop: RedisPublisher, one call and one answer for each event
"""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Any

import uvloop
from aiohttp import web
from lines import listen, read
from reactivex import Observable
from reactivex import operators as ops

import rx_sse


async def stream(url: str, port: int) -> None:
    bus = rx_sse.RedisBus(url)

    def everybody(request: web.Request) -> Observable[rx_sse.ServerSentEvent]:
        return bus.events("all", after=rx_sse.last_event_id(request))

    def user(request: web.Request) -> Observable[rx_sse.ServerSentEvent]:
        return bus.events(f"u{int(request.match_info['user'])}", after=rx_sse.last_event_id(request))

    def altered(request: web.Request) -> Observable[dict[str, Any]]:
        """Work for each client: its own value, its own JSON."""
        return bus.topic("all").pipe(ops.map(lambda value: {**value, "half": value["seq"] // 2}))

    app = rx_sse.setup(web.Application(), bus=bus)
    app.router.add_get("/events", rx_sse.sse(everybody))
    app.router.add_get("/altered", rx_sse.sse(altered))
    app.router.add_get("/users/{user}", rx_sse.sse(user))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=4096, reuse_port=True).start()
    await terminated()
    await runner.cleanup()


async def push(url: str, feed: int) -> None:
    bus = rx_sse.RedisBus(url)
    runner = web.AppRunner(rx_sse.setup(web.Application(), bus=bus))
    await runner.setup()

    def deliver(key: str, value: dict[str, Any]) -> None:
        bus.topic(key).on_next(value)

    async with await listen(feed, deliver):
        await terminated()
    await runner.cleanup()


async def terminated() -> None:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()


if __name__ == "__main__":
    role, url, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if role == "publisher":
        with rx_sse.RedisPublisher(url) as publisher:
            read(port, publisher.publish)
    else:
        uvloop.run((stream if role == "stream" else push)(url, port))
