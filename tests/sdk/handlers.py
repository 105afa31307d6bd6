"""Endpoints as the official SDKs want them, each a handler of at most ten lines.

`?how=` says what becomes of the answer: it is whole, fails in the middle, or stops there and waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

import rx_sse
from rx_sse import ServerSentEvent

routes = web.RouteTableDef()
WORDS = ("Hello", " world")


async def words(request: web.Request) -> AsyncIterator[str]:
    """What a model would say."""
    left = request.app[LEFT]
    try:
        yield WORDS[0]
        await asyncio.sleep(0.05)
        if request.query.get("how") == "fails":
            raise RuntimeError("the model is gone")
        if request.query.get("how") == "waits":
            await asyncio.Event().wait()
        yield WORDS[1]
    finally:
        left.set()


LEFT: web.AppKey[asyncio.Event] = web.AppKey("left", asyncio.Event)


@routes.post("/v1/chat/completions")
@rx_sse.sse(control="none", on_error=lambda error: {"error": {"message": str(error), "type": "server_error"}})
async def openai(request: web.Request) -> AsyncIterator[dict[str, Any] | str]:
    about = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    async for word in words(request):
        delta = {"role": "assistant", "content": word}
        yield about | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield about | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    yield "[DONE]"


def named(data: dict[str, Any]) -> ServerSentEvent:
    return ServerSentEvent(data, event=data["type"])


@routes.post("/v1/messages")
@rx_sse.sse(control="none", on_error=lambda error: named({"type": "error", "error": {"message": str(error)}}))
async def anthropic(request: web.Request) -> AsyncIterator[ServerSentEvent]:
    about = {"id": "1", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": USAGE}
    yield named({"type": "message_start", "message": about})
    yield named({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
    async for word in words(request):
        yield named(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}
        )
    yield named({"type": "content_block_stop", "index": 0})
    yield named({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": USAGE})
    yield named({"type": "message_stop"})


USAGE = {"input_tokens": 1, "output_tokens": 1}
UI = {"x-vercel-ai-ui-message-stream": "v1"}


@routes.post("/ai")
@rx_sse.sse(control="none", headers=UI, on_error=lambda error: {"type": "error", "errorText": str(error)})
async def vercel(request: web.Request) -> AsyncIterator[dict[str, Any] | str]:
    yield {"type": "start"}
    yield {"type": "text-start", "id": "0"}
    async for word in words(request):
        yield {"type": "text-delta", "id": "0", "delta": word}
    yield {"type": "text-end", "id": "0"}
    yield {"type": "finish"}
    yield "[DONE]"


@routes.post("/ag-ui")
@rx_sse.sse(control="none", on_error=lambda error: {"type": "RUN_ERROR", "message": str(error)})
async def ag_ui(request: web.Request) -> AsyncIterator[dict[str, Any]]:
    run = {"threadId": "t", "runId": "r"}
    yield {"type": "RUN_STARTED", **run}
    yield {"type": "TEXT_MESSAGE_START", "messageId": "m", "role": "assistant"}
    async for word in words(request):
        yield {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m", "delta": word}
    yield {"type": "TEXT_MESSAGE_END", "messageId": "m"}
    yield {"type": "RUN_FINISHED", **run}


@routes.post("/graphql")
@rx_sse.sse(
    control="none",
    on_error=lambda error: ServerSentEvent({"errors": [{"message": str(error)}]}, event="next"),
)
async def graphql(request: web.Request) -> AsyncIterator[ServerSentEvent]:
    async for word in words(request):
        yield ServerSentEvent({"data": {"word": word}}, event="next")
    yield ServerSentEvent("", event="complete")


def application() -> web.Application:
    """All of them."""
    app = rx_sse.setup(web.Application())
    app[LEFT] = asyncio.Event()
    app.add_routes(routes)
    return app
