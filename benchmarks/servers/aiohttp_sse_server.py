"""aiohttp-sse, as its chat example does it: a queue and a loop for each client.

Kinder than the example in two places: the JSON text is made once for all clients, and the loop is uvloop,
as ours is.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import uvloop
from aiohttp import web
from aiohttp_sse import sse_response
from lines import listen

channels: set[asyncio.Queue[str]] = set()
users: dict[str, asyncio.Queue[str]] = {}


def deliver(key: str, value: dict[str, Any]) -> None:
    deliver_text(key, json.dumps(value))


def deliver_text(key: str, payload: str) -> None:
    if key == "all":
        for queue in channels:
            queue.put_nowait(payload)
    elif key in users:
        users[key].put_nowait(payload)


async def stream(request: web.Request, queue: asyncio.Queue[str]) -> web.StreamResponse:
    async with sse_response(request) as response:
        while response.is_connected():
            payload = await queue.get()
            await response.send(payload)
            queue.task_done()
    return response


async def events(request: web.Request) -> web.StreamResponse:
    queue: asyncio.Queue[str] = asyncio.Queue()
    channels.add(queue)
    try:
        return await stream(request, queue)
    finally:
        channels.discard(queue)


async def user(request: web.Request) -> web.StreamResponse:
    key = "u" + request.match_info["user"]
    users[key] = asyncio.Queue()
    try:
        return await stream(request, users[key])
    finally:
        users.pop(key, None)


def make_app() -> web.Application:
    app = web.Application()
    app.router.add_get("/events", events)
    app.router.add_get("/users/{user}", user)
    return app


async def main(port: int, feed: int) -> None:
    runner = web.AppRunner(make_app(), access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=4096).start()
    async with await listen(feed, deliver):
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2])))
