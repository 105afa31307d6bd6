"""The service around a client in Python: what the driver starts, commands and stops.

Standard: docs/service_spec.md of launchdarkly/sse-contract-tests. A client is an `Adapter`: one coroutine
that reads a stream and reports what it gets. Each started client is one task, and each has its own reports,
numbered and sent in order.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any, Protocol

import aiohttp
from aiohttp import web


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a client is asked to do. Times are seconds."""

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: str | None = None
    last_event_id: str = ""
    initial_delay: float | None = None
    read_timeout: float | None = None


class Report:
    """Where an adapter puts what its client gives it; from the thread of the loop."""

    def __init__(self) -> None:
        self.last_event_id = ""
        self.queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def event(self, type: str, data: str, id: str) -> None:
        """An event, with the client's last event ID as of then."""
        self.last_event_id = id
        self.queue.put_nowait({"kind": "event", "event": {"type": type, "data": data, "id": id}})

    def comment(self, text: str) -> None:
        self.queue.put_nowait({"kind": "comment", "comment": text})

    def error(self, error: object) -> None:
        """Trouble: a connection that failed or was lost. Not the clean end of a stream."""
        self.queue.put_nowait({"kind": "error", "error": f"{type(error).__name__}: {error}"})


class Adapter(Protocol):
    """A client under test.

    Attributes:
        name: of the client, as the table shows it.
        capabilities: of docs/optional_features.md, what it can do.
    """

    name: str
    capabilities: frozenset[str]

    async def run(self, order: Order, report: Report) -> None:
        """Read the stream until it is over for good. It is cancelled to stop, and to restart."""
        ...


class _Client:
    """A client at work."""

    def __init__(self, adapter: Adapter, order: Order, callback: str, session: aiohttp.ClientSession) -> None:
        self._adapter = adapter
        self._order = order
        self._report = Report()
        self._sending = asyncio.create_task(self._send(callback, session))
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            await self._adapter.run(self._order, self._report)
        except Exception as error:
            self._report.error(error)

    async def _send(self, callback: str, session: aiohttp.ClientSession) -> None:
        for number in itertools.count(1):
            report = json.dumps(await self._report.queue.get()).encode()
            async with session.post(f"{callback}/{number}", data=BytesIO(report)):  # it may be 14 MB
                pass

    async def restart(self) -> None:
        await ended(self._reading)
        self._order = replace(self._order, last_event_id=self._report.last_event_id)
        self._reading = asyncio.create_task(self._read())

    async def stop(self) -> None:
        await ended(self._reading)
        await ended(self._sending)


async def ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()


def seconds(milliseconds: Any) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


class Service:
    """The HTTP side."""

    def __init__(self, adapter: Adapter, session: aiohttp.ClientSession) -> None:
        self._adapter = adapter
        self._session = session
        self._clients: dict[str, _Client] = {}
        self._names = itertools.count(1)

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/", self._about)
        app.router.add_post("/", self._start)
        app.router.add_post("/streams/{name}", self._command)
        app.router.add_delete("/streams/{name}", self._stop)
        return app

    async def _about(self, _: web.Request) -> web.Response:
        capabilities = sorted(self._adapter.capabilities)
        return web.json_response({"name": self._adapter.name, "capabilities": capabilities})

    async def _start(self, request: web.Request) -> web.Response:
        wanted = await request.json()
        order = Order(
            url=wanted["streamUrl"],
            method=wanted.get("method") or "GET",
            headers=wanted.get("headers") or {},
            body=wanted.get("body"),
            last_event_id=wanted.get("lastEventId") or "",
            initial_delay=seconds(wanted.get("initialDelayMs")),
            read_timeout=seconds(wanted.get("readTimeoutMs")),
        )
        name = str(next(self._names))
        self._clients[name] = _Client(self._adapter, order, wanted["callbackUrl"], self._session)
        return web.Response(status=201, headers={"Location": f"/streams/{name}"})

    def _find(self, request: web.Request) -> _Client:
        client = self._clients.get(request.match_info["name"])
        if client is None:
            raise web.HTTPNotFound
        return client

    async def _command(self, request: web.Request) -> web.Response:
        command = (await request.json()).get("command")
        client = self._find(request)
        if command == "restart":
            await client.restart()
        elif command != "listen":  # every type is reported, announced or not
            raise web.HTTPBadRequest
        return web.Response(status=202)

    async def _stop(self, request: web.Request) -> web.Response:
        await self._find(request).stop()
        del self._clients[request.match_info["name"]]
        return web.Response(status=204)

    async def close(self) -> None:
        for client in self._clients.values():
            await client.stop()


@asynccontextmanager
async def serving(adapter: Adapter) -> AsyncIterator[str]:
    """The service for a client, on a free port of loopback: its URL."""
    async with aiohttp.ClientSession() as session:
        service = Service(adapter, session)
        runner = web.AppRunner(service.app(), access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield "http://127.0.0.1:{1}".format(*runner.addresses[0])
        finally:
            await service.close()
            await runner.cleanup()
