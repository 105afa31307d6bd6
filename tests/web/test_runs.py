"""Runs over HTTP: status and stop by grants, readers, shutdown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import aiohttp
import pytest
import reactivex as rx
from aiohttp import web

import rx_sse
from rx_sse.errors import StreamError, UsageError
from rx_sse.testing import open_stream, serve
from tests.web.tokens import bearer, jwt_auth

GRANTS = {"subscribe": ["run:*"], "publish": ["run:mine"]}
HEADERS = bearer("ada", 3600.0, scope="publish", rx_sse=GRANTS)


@asynccontextmanager
async def mounted() -> AsyncIterator[tuple[str, rx_sse.Bus]]:
    bus = rx_sse.MemoryBus()
    app = rx_sse.setup(web.Application(), bus=bus)
    app.add_subapp("/events", rx_sse.bus_app(bus, auth=jwt_auth()))
    async with serve(app) as url:
        yield url + "/events", bus


async def forever() -> AsyncIterator[int]:
    yield 1
    await asyncio.Event().wait()


async def test_a_run_is_read_asked_for_and_stopped_by_grants() -> None:
    async with mounted() as (url, bus), aiohttp.ClientSession(headers=HEADERS) as session:
        await bus.run("mine", forever)
        await bus.run("others", forever)
        async with open_stream(url, "?topic=run:mine", headers=HEADERS) as stream:
            assert (await stream.next_event()).data == "1"
            async with session.get(f"{url}/runs/mine") as answer:
                said = await answer.json()
                assert (answer.status, said["state"], said["entries"]) == (200, "running", 1)
            async with session.post(f"{url}/runs/others/stop") as answer:
                assert answer.status == 403
            async with session.post(f"{url}/runs/mine/stop") as answer:
                assert (answer.status, (await answer.json())["state"]) == (200, "stopped")
            end = await stream.next_event(control=True)
            while end.type != "stream-end":
                end = await stream.next_event(control=True)
            assert end.json() == {"reason": "stopped"}
        async with session.get(f"{url}/runs/none") as answer:
            assert answer.status == 404
        async with session.get(f"{url}/runs/a~2") as answer:
            assert answer.status == 400


async def test_a_run_that_failed_ends_its_streams_with_its_problem() -> None:
    async with mounted() as (url, bus):
        run = await bus.run("mine", rx.concat(rx.of(1), rx.throw(StreamError("no paper", status=409))))
        with pytest.raises(StreamError):
            await run.result()
        async with open_stream(url, "?topic=run:mine", headers=HEADERS) as stream:
            assert (await stream.next_event()).data == "1"
            error = await stream.next_event(control=True)
            while error.type != "stream-error":
                error = await stream.next_event(control=True)
            assert error.json()["detail"] == "no paper"


@pytest.mark.parametrize(("runs", "state"), [("stop", "stopped"), ("finish", "completed")])
async def test_a_shutdown_stops_runs_or_lets_them_finish(runs: Literal["stop", "finish"], state: str) -> None:
    bus = rx_sse.MemoryBus()
    begun, may_end = asyncio.Event(), asyncio.Event()
    ended: list[str] = []

    async def source() -> AsyncIterator[int]:
        try:
            yield 1
            begun.set()
            await may_end.wait()
            ended.append("completed")
        finally:
            ended.append("closed")

    app = rx_sse.setup(web.Application(), bus=bus, runs=runs, drain=5.0 if runs == "finish" else 0.0)
    async with serve(app):
        await bus.run("a", source)
        await begun.wait()
        if runs == "finish":
            asyncio.get_running_loop().call_later(0.1, may_end.set)
    assert ended == (["completed", "closed"] if state == "completed" else ["closed"])
    with pytest.raises(UsageError, match="runs='no'"):
        rx_sse.setup(web.Application(), runs="no")  # type: ignore[arg-type]
