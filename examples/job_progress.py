"""A long job with progress: it goes on without its page; any tab that has its address joins and stops it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from functools import partial

import loopback
import reactivex as rx
from aiohttp import web

import rx_sse

bus = rx_sse.MemoryBus()  # RedisBus or SQLiteBus: a job is seen, and stopped, from every process
routes = web.RouteTableDef()


async def work(steps: int = 50) -> AsyncIterator[dict[str, int]]:
    """The job: anything that takes its time. What blocks belongs into `asyncio.to_thread`."""
    for step in range(1, steps + 1):
        await asyncio.sleep(0.05)
        yield {"done": step, "of": steps}


@routes.post("/jobs")
async def start(request: web.Request) -> web.Response:
    """Start a job."""
    return web.json_response({"id": (await bus.run(uuid.uuid4().hex, work)).name})


@routes.get("/jobs/{id}")
@rx_sse.sse
async def watch(request: web.Request) -> rx.Observable[rx_sse.ServerSentEvent]:
    """The last report, then the next ones, then the end."""
    if (run := await bus.find_run(request.match_info["id"])) is None:
        raise web.HTTPNotFound
    return bus.events(run.topic, after=rx_sse.last_event_id(request), last=1)


@routes.delete("/jobs/{id}")
async def stop(request: web.Request) -> web.Response:
    """Stop a job, whichever page started it."""
    if (run := await bus.find_run(request.match_info["id"])) is None:
        raise web.HTTPNotFound
    return web.json_response({"state": (await bus.stop(run.name)).state})


make_app = partial(loopback.app, __file__, routes, bus)
if __name__ == "__main__":
    loopback.run(make_app())
