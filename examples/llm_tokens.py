"""Tokens over POST, passed on from an upstream model; when the reader leaves, the upstream request is
cancelled.

Upstream is any API that answers a POST with an event stream and ends it with `data: [DONE]`; set `UPSTREAM`
to one, with its key in `UPSTREAM_TOKEN`. Without it, a small one of our own is served, so that the example
runs by itself.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator

import loopback
from aiohttp import web

import rx_sse

PAGE = """<!doctype html><meta charset=utf-8><title>Tokens</title><link rel=icon href="data:,">
<form><input name=prompt size=60 value="Every word of this prompt comes back as a token">
<button>Ask</button> <button type=button disabled>Stop</button></form><p></p><small></small>
<script type=module>
import { stream } from "/rx_sse.js";

const [form, ask, stop, answer, state] = ["form", "button", "[type=button]", "p", "small"].map(
  (selector) => document.querySelector(selector));

form.onsubmit = async event => {
  event.preventDefault();
  const leaving = new AbortController();
  stop.onclick = () => leaving.abort();  // the server notices, and cancels its own request
  [ask.disabled, stop.disabled, answer.textContent, state.textContent] = [true, false, "", "cut off"];
  // What is no GET is sent once, and shared with no other tab.
  const tokens = stream("/chat", {method: "POST", body: form.prompt.value, signal: leaving.signal});
  tokens.addEventListener("stream-end", () => { state.textContent = "complete"; });
  tokens.addEventListener("error", ({detail}) => { state.textContent = detail.message; });
  tokens.addEventListener("stream-error", event => { state.textContent = event.json().title; });
  try {
    for await (const event of tokens) if (event.type === "message") answer.textContent += event.json().token;
  } catch {}  // the listeners have told why
  if (leaving.signal.aborted) state.textContent = "stopped";
  [ask.disabled, stop.disabled] = [false, true];
};
</script>"""

routes = web.RouteTableDef()


@routes.post("/chat")
@rx_sse.sse(on_end="reconnect", heartbeat=5.0)
async def chat(request: web.Request) -> AsyncIterator[dict[str, str]]:
    """One `{"token": …}` for each piece of the answer, as fast as the page reads, and `stream-end`."""
    upstream = rx_sse.EventSource(
        os.environ.get("UPSTREAM") or f"http://{request.host}/upstream",
        method="POST",
        headers={"Content-Type": "application/json"},
        body=json.dumps({"prompt": await request.text(), "stream": True}).encode(),
        token=os.environ.get("UPSTREAM_TOKEN"),
        reconnect=False,
    )
    async for event in upstream:  # leaving this loop, however, closes the upstream connection
        if event.data == "[DONE]":
            return
        yield {"token": event.json()["choices"][0]["delta"].get("content", "")}


upstream_closed = asyncio.Event()


@routes.post("/upstream")
@rx_sse.sse(on_end="reconnect")
async def upstream_model(request: web.Request) -> AsyncIterator[object]:
    """Stands in for a model: repeats the prompt, word by word."""
    upstream_closed.clear()
    try:
        for word in (await request.json())["prompt"].split():
            yield {"choices": [{"delta": {"content": word + " "}}]}
            await asyncio.sleep(0.05)
        yield "[DONE]"
    finally:
        upstream_closed.set()


def make_app() -> web.Application:
    """The application."""
    app = rx_sse.setup(web.Application(middlewares=[loopback.guard]))
    app.add_routes(routes)
    app.router.add_get("/", loopback.page(PAGE))
    return app


if __name__ == "__main__":
    loopback.run(make_app())
