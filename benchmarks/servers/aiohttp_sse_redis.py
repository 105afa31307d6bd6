"""aiohttp-sse and redis.asyncio, put together as their two documentations show it: `… ROLE REDIS PORT`.

    stream   one subscription for the process, a queue and a loop for each client
    publish  `PUBLISH`, one after another, so that they stay in order

What is published while a process is away is gone: Redis's pub/sub has no history.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import uvloop
from aiohttp import web
from aiohttp_sse_server import deliver_text, make_app
from lines import listen
from redis.asyncio import Redis


async def stream(url: str, port: int) -> None:
    runner = web.AppRunner(make_app(), access_log=None, handler_cancellation=True)
    await runner.setup()
    async with Redis.from_url(url, decode_responses=True) as redis, redis.pubsub() as pubsub:
        await pubsub.psubscribe("*")
        await web.TCPSite(runner, "127.0.0.1", port, backlog=4096).start()
        async for message in pubsub.listen():
            if message["type"] == "pmessage":
                deliver_text(message["channel"], message["data"])


async def publish(url: str, feed: int) -> None:
    values: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue()
    async with (
        Redis.from_url(url) as redis,
        await listen(feed, lambda key, value: values.put_nowait((key, value))),
    ):
        while True:
            key, value = await values.get()
            await redis.publish(key, json.dumps(value))


if __name__ == "__main__":
    uvloop.run({"stream": stream, "publish": publish}[sys.argv[1]](sys.argv[2], int(sys.argv[3])))
