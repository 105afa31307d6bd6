"""aiohttp and nothing else: each event framed once, HTTP/1.1 chunk included, one write for each client.

It shows what a server on aiohttp costs at least. No history, no ids, no limits, no heartbeats, no policy for
slow clients: not a product.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any, cast

import uvloop
from aiohttp import web
from lines import listen

clients: set[asyncio.Transport] = set()
users: dict[str, asyncio.Transport] = {}
encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def deliver(key: str, value: dict[str, Any]) -> None:
    event = b"data: %b\n\n" % encode(value).encode()
    chunk = b"%x\r\n%b\r\n" % (len(event), event)
    if key == "all":
        for transport in clients:
            transport.write(chunk)
    elif key in users:
        users[key].write(chunk)


async def opened(request: web.Request) -> tuple[web.StreamResponse, asyncio.Transport]:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    return response, cast(asyncio.Transport, request.transport)


async def events(request: web.Request) -> web.StreamResponse:
    response, transport = await opened(request)
    clients.add(transport)
    try:
        await asyncio.Event().wait()
    finally:
        clients.discard(transport)
    return response


async def user(request: web.Request) -> web.StreamResponse:
    key = "u" + request.match_info["user"]
    response, users[key] = await opened(request)
    try:
        await asyncio.Event().wait()
    finally:
        users.pop(key, None)
    return response


async def main(port: int, feed: int) -> None:
    app = web.Application()
    app.router.add_get("/events", events)
    app.router.add_get("/users/{user}", user)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=4096).start()
    async with await listen(feed, deliver):
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2])))
