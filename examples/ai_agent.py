"""An agent for AG-UI: a run goes on without its client; the same `runId` joins it, and DELETE stops it."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import loopback
import reactivex as rx
from aiohttp import web

import rx_sse

bus = rx_sse.MemoryBus()  # RedisBus or SQLiteBus: a run is read, and stopped, from every process
routes = web.RouteTableDef()
FAILED = {"type": "RUN_ERROR", "message": "The agent failed"}


async def model(prompt: str) -> AsyncIterator[str]:
    for word in prompt.split():
        yield f"{word} "
        await asyncio.sleep(0.1)


async def answer(asked: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    run, said = {"threadId": asked["threadId"], "runId": asked["runId"]}, f"{asked['runId']}-answer"
    yield {"type": "RUN_STARTED", **run, "input": asked}  # it tells the question to a tab that joins
    async for text in model(asked["messages"][-1]["content"]):
        yield {"type": "TEXT_MESSAGE_CHUNK", "messageId": said, "role": "assistant", "delta": text}
    yield {"type": "RUN_FINISHED", **run}


@routes.post("/agent")
@rx_sse.sse(control="none", on_error=lambda error: FAILED)
async def ask(request: web.Request) -> Any:
    """Start a run, or join it; an agent that has no message joins only."""
    asked = await request.json()
    name = f"{asked['threadId']}/{asked['runId']}"
    if not asked["messages"] and await bus.find_run(name) is None:
        raise web.HTTPNotFound(text="there is no such run, and no message to start it with")
    run = await bus.run(name, partial(answer, asked))
    return rx.catch(bus.events(run.topic, after=None), rx.of(FAILED))


@routes.delete("/agent/{name:.+}")
async def stop(request: web.Request) -> web.Response:
    if await bus.find_run(name := request.match_info["name"]) is None:
        raise web.HTTPNotFound
    return web.json_response({"state": (await bus.stop(name)).state})


make_app = partial(loopback.app, __file__, routes, bus)
if __name__ == "__main__":
    loopback.run(make_app())
