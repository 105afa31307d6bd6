"""sse-starlette, as its broadcasting example does it: a bounded queue and an iterator for each client."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from lines import listen
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

Queue = asyncio.Queue[ServerSentEvent]
clients: set[Queue] = set()
users: dict[str, Queue] = {}


def deliver(key: str, value: dict[str, Any]) -> None:
    event = ServerSentEvent(data=json.dumps(value))  # once for all, as in the example
    if key == "all":
        for queue in list(clients):
            put(queue, event)
    elif key in users:
        put(users[key], event)


def put(queue: Queue, event: ServerSentEvent) -> None:
    try:
        queue.put_nowait(event)
    except (
        asyncio.QueueFull
    ):  # the example ends a client that lags; here it misses the event, which the client counts
        return


async def every(request: Request) -> AsyncIterator[ServerSentEvent]:
    queue: Queue = asyncio.Queue(100)
    clients.add(queue)
    try:
        while not await request.is_disconnected():
            yield await queue.get()
    finally:
        clients.discard(queue)


async def own(request: Request) -> AsyncIterator[ServerSentEvent]:
    key = f"u{request.path_params['user']}"
    queue = users[key] = asyncio.Queue(100)
    try:
        while not await request.is_disconnected():
            yield await queue.get()
    finally:
        users.pop(key, None)


async def events(request: Request) -> EventSourceResponse:
    return EventSourceResponse(every(request))


async def user(request: Request) -> EventSourceResponse:
    return EventSourceResponse(own(request))


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    async with await listen(int(sys.argv[2]), deliver):
        yield


app = Starlette(routes=[Route("/events", events), Route("/users/{user:int}", user)], lifespan=lifespan)

if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        access_log=False,
        log_level="error",
        backlog=4096,
        timeout_graceful_shutdown=1,
    )
