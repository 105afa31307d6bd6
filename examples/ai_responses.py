"""OpenAI's Responses in the background: an answer goes on without its client, which comes back to it."""

import asyncio
import itertools
import time
import uuid
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import loopback
from aiohttp import web

import rx_sse

bus = rx_sse.MemoryBus()  # RedisBus or SQLiteBus: an answer is read, and stopped, from every process
answers: dict[str, dict[str, Any]] = {}  # your database
routes = web.RouteTableDef()
STATUS = {"running": "in_progress", "stopped": "cancelled", "lost": "failed"}  # the others are the same
ERROR = rx_sse.ServerSentEvent({"type": "error", "error": {"message": "The model failed"}}, event="error")
openai = rx_sse.sse(control="none", on_error=lambda error: ERROR)


async def model(prompt: str) -> AsyncIterator[str]:
    for word in prompt.split():
        yield f"{word} "
        await asyncio.sleep(0.1)


async def answer(made: dict[str, Any], prompt: str) -> AsyncIterator[rx_sse.ServerSentEvent]:
    numbers, place = itertools.count(), {"item_id": "m1", "output_index": 0, "content_index": 0}

    def typed(type: str, **fields: Any) -> rx_sse.ServerSentEvent:
        return rx_sse.ServerSentEvent({"type": type, "sequence_number": next(numbers), **fields}, event=type)

    said = {"type": "output_text", "text": "", "annotations": []}
    message = {"id": "m1", "type": "message", "role": "assistant", "content": [said]}
    made["output"].append(message)
    yield typed("response.created", response=made | {"output": []})
    yield typed("response.output_item.added", output_index=0, item=message)
    async for text in model(prompt):
        said["text"] += text
        yield typed("response.output_text.delta", delta=text, **place)
    yield typed("response.completed", response=made | {"status": "completed"})


async def found(request: web.Request) -> rx_sse.RunStatus:
    if (run := await bus.find_run(request.match_info["id"])) is None:
        raise web.HTTPNotFound
    return run


@routes.post("/v1/responses")
@openai
async def create(request: web.Request) -> Any:
    asked, id = await request.json(), f"resp_{uuid.uuid4().hex}"
    answers[id] = {"id": id, "created_at": time.time(), "model": asked["model"], "output": []}
    run = await bus.run(id, partial(answer, answers[id], asked["input"]))
    return bus.events(run.topic, after=None)


@routes.get("/v1/responses/{id}")
@openai
async def retrieve(request: web.Request) -> Any:
    run, after = await found(request), int(request.query.get("starting_after", -1))
    if request.query.get("stream") == "true":
        return bus.events(run.topic, after=None, filter=lambda e: e.json()["sequence_number"] > after)
    return web.json_response(answers[run.name] | {"status": STATUS.get(run.state, run.state)})


@routes.post("/v1/responses/{id}/cancel")
async def cancel(request: web.Request) -> web.Response:
    run = await bus.stop((await found(request)).name)
    return web.json_response(answers[run.name] | {"status": STATUS.get(run.state, run.state)})


make_app = partial(loopback.app, __file__, routes, bus)
if __name__ == "__main__":
    loopback.run(make_app())
