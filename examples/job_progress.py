"""A long job with progress that anybody may watch.

The job runs once, in a thread, whoever watches. It pushes into a topic; a page that was reloaded in the
middle gets the last report at once, and one that comes after the end gets the end.
"""

from __future__ import annotations

import asyncio
import itertools
import time

import loopback
import reactivex as rx
from aiohttp import web

import rx_sse

PAGE = """<!doctype html><meta charset=utf-8><title>A job</title><link rel=icon href="data:,">
<button>Start a job</button><p><progress max=1 value=0></progress> <span></span></p>
<script type=module>
import { stream } from "/rx_sse.js";

const [bar, text] = [document.querySelector("progress"), document.querySelector("span")];
let source;
function watch(id) {
  source?.close();
  source = stream(`/jobs/${id}`, {position: "none", replay: 1});  // begin with the last report
  source.addEventListener("message", event => {
    const {done, of} = event.json();
    bar.value = done / of;
    text.textContent = `${done} of ${of}`;
  });
  source.addEventListener("stream-end", () => { text.textContent += ", finished"; });
}
document.querySelector("button").onclick = async () => {
  location.hash = (await (await fetch("/jobs", {method: "POST"})).json()).id;
  watch(location.hash.slice(1));
};
if (location.hash) watch(location.hash.slice(1));
</script>"""

bus = rx_sse.MemoryBus(ttl=600.0)
numbers = itertools.count(1)
running: set[asyncio.Task[None]] = set()
routes = web.RouteTableDef()


def work(topic: rx_sse.Topic, steps: int = 50) -> None:
    """The job: anything that takes its time. It runs in a thread and just pushes."""
    for step in range(1, steps + 1):
        time.sleep(0.05)
        topic.on_next({"done": step, "of": steps})


async def run(name: str) -> None:
    """Run a job and end its topic, so that whoever watches, now or later, is told."""
    try:
        await asyncio.to_thread(work, bus.topic(name))
    finally:
        await bus.end(name)


@routes.post("/jobs")
async def start(request: web.Request) -> web.Response:
    """Start a job; its id is its topic."""
    name = rx_sse.topic_name("job", next(numbers))
    task = asyncio.create_task(run(name))
    running.add(task)
    task.add_done_callback(running.discard)
    return web.json_response({"id": name})


@routes.get("/jobs/{id}")
@rx_sse.sse
def watch(request: web.Request) -> rx.Observable[rx_sse.ServerSentEvent]:
    """The last report, then the next ones, then the end."""
    return bus.events(request.match_info["id"], after=rx_sse.last_event_id(request), last=1)


def make_app() -> web.Application:
    """The application."""
    app = rx_sse.setup(web.Application(middlewares=[loopback.guard]), bus=bus)
    app.add_routes(routes)
    app.router.add_get("/", loopback.page(PAGE))
    return app


if __name__ == "__main__":
    loopback.run(make_app())
