"""FastAPI, as its tutorial on Server-Sent Events does it: `yield` of a model, the return type declared."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.sse import EventSourceResponse
from lines import listen
from pydantic import BaseModel


class Item(BaseModel):
    seq: int
    t: int
    text: str


clients: set[asyncio.Queue[Item]] = set()
users: dict[str, asyncio.Queue[Item]] = {}


def deliver(key: str, value: dict[str, Any]) -> None:
    item = Item(**value)
    if key == "all":
        for queue in clients:
            queue.put_nowait(item)
    elif key in users:
        users[key].put_nowait(item)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with await listen(int(sys.argv[2]), deliver):
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/events", response_class=EventSourceResponse)
async def events() -> AsyncIterable[Item]:
    queue: asyncio.Queue[Item] = asyncio.Queue()
    clients.add(queue)
    try:
        while True:
            yield await queue.get()
    finally:
        clients.discard(queue)


@app.get("/users/{user}", response_class=EventSourceResponse)
async def own(user: int) -> AsyncIterable[Item]:
    queue = users[f"u{user}"] = asyncio.Queue()
    try:
        while True:
            yield await queue.get()
    finally:
        users.pop(f"u{user}", None)


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
