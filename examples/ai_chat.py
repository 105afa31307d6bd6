"""A chat for the AI SDK's `useChat`: its answer survives a reload; another tab joins it, and may stop it."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import loopback
import reactivex as rx
from aiohttp import web

import rx_sse

bus = rx_sse.MemoryBus()  # RedisBus or SQLiteBus: an answer is read, and stopped, from every process
chats: dict[str, list[dict[str, Any]]] = {}  # your database: the messages of each chat,
latest: dict[str, str] = {}  # and the name of its latest run
routes = web.RouteTableDef()
V1 = {"x-vercel-ai-ui-message-stream": "v1"}
FAILED = {"type": "error", "errorText": "The model failed"}
ui = rx_sse.sse(control="none", headers=V1, on_error=lambda error: FAILED)


async def model(prompt: str) -> AsyncIterator[str]:
    for word in prompt.split():
        yield f"{word} "
        await asyncio.sleep(0.1)


async def answer(chat: str, name: str, messages: list[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
    reply = {"id": f"a{len(messages)}", "role": "assistant", "parts": [said := {"type": "text", "text": ""}]}
    chats[chat], latest[chat] = messages, name
    try:
        yield {"type": "start", "messageId": reply["id"]}
        yield {"type": "text-start", "id": "1"}
        async for text in model(messages[-1]["parts"][0]["text"]):
            said["text"] += text
            yield {"type": "text-delta", "id": "1", "delta": text}
        yield {"type": "text-end", "id": "1"}
        yield {"type": "finish"}
    finally:
        chats[chat] = [*messages, reply]  # of an answer that was stopped, what there is


@routes.post("/api/chat")
@ui
async def ask(request: web.Request) -> Any:
    asked = await request.json()
    chat, messages, again = asked["id"], asked["messages"], asked["trigger"] == "regenerate-message"
    name = f"{chat}/{messages[-1]['id']}"  # the same request again joins the same run
    run = await bus.run(name, partial(answer, chat, name, messages), restart=again)
    return rx.catch(bus.events(run.topic, after=None), rx.of(FAILED))


@routes.get("/api/chat/{id}/stream")
@ui
async def join(request: web.Request) -> Any:
    run = await bus.find_run(latest.get(chat := request.match_info["id"], "none"))
    if run and (run.state == "running" or len(chats[chat]) > float(request.query.get("have", "inf"))):
        return rx.catch(bus.events(run.topic, after=None), rx.of(FAILED))
    return web.Response(status=204)  # the page has every answer


@routes.get("/api/chat/{id}")
async def load(request: web.Request) -> web.Response:
    return web.json_response(chats.get(request.match_info["id"], []))


@routes.delete("/api/chat/{id}")
async def stop(request: web.Request) -> web.Response:
    if name := latest.get(request.match_info["id"]):
        await bus.stop(name)
    return web.Response(status=204)


make_app = partial(loopback.app, __file__, routes, bus)
if __name__ == "__main__":
    loopback.run(make_app())
