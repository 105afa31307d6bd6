"""The driver: it has a service start clients on its endpoints, and listens to what they report.

Standard: docs/service_spec.md of launchdarkly/sse-contract-tests. Every wait ends after `PATIENCE`; what is
compared is compared exactly and in order, and an `error` where something else is awaited fails the test.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

from .endpoint import PATIENCE, Endpoint, Failed, Site, Visit, listening


class Client:
    """A client that a service has started."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def command(self, name: str, **arguments: Any) -> None:
        async with self._session.post(self._url, json={"command": name, **arguments}) as answer:
            if answer.status // 100 != 2:
                raise Failed(f"the service refused {name!r}: {answer.status}")

    async def stop(self) -> None:
        async with self._session.delete(self._url) as answer:
            if answer.status not in (200, 204):
                raise Failed(f"the service did not stop its client: {answer.status}")


class Run:
    """One test: its endpoints, the clients it started, and what they report."""

    def __init__(self, session: aiohttp.ClientSession, service: str, site: Site, callback: str) -> None:
        self._session = session
        self._service = service
        self._site = site
        self._callback = callback
        self._reports: dict[int, dict[str, Any]] = {}
        self._next = 1
        self._news = asyncio.Condition()
        self.capabilities: frozenset[str] = frozenset()
        self.name = ""
        self.comments = True  # whether reports of comments are of interest
        self.endpoints: list[Endpoint] = []
        self.clients: list[Client] = []

    def endpoint(self) -> Endpoint:
        """A new path."""
        endpoint = self._site.endpoint()
        self.endpoints.append(endpoint)
        return endpoint

    async def start(self, url: str, **parameters: Any) -> Client:
        """Have the service start a client. By default it reconnects at once."""
        order = {"streamUrl": url, "callbackUrl": self._callback, "tag": self.name}
        order |= {"initialDelayMs": 0} | parameters
        async with self._session.post(self._service, json=order) as answer:
            if answer.status // 100 != 2 or "Location" not in answer.headers:
                raise Failed(f"the service started no client: {answer.status}")
            location = answer.url.join(URL(answer.headers["Location"]))
        client = Client(self._session, str(location))
        self.clients.append(client)
        return client

    async def connect(self, **parameters: Any) -> tuple[Endpoint, Visit]:
        """A new endpoint, a client on it, and its first request, answered by an open stream."""
        endpoint = self.endpoint()
        await self.start(endpoint.url, **parameters)
        return endpoint, await endpoint.stream()

    # What comes back.

    async def reported(self, number: int, report: dict[str, Any]) -> None:
        """For the callback: reports may overtake each other on their way, their numbers say the order."""
        async with self._news:
            self._reports[number] = report
            self._news.notify_all()

    async def report(self, *, within: float = PATIENCE) -> dict[str, Any] | None:
        """The next report; None if there is none in time."""
        try:
            async with asyncio.timeout(within), self._news:
                while True:
                    await self._news.wait_for(lambda: self._next in self._reports)
                    found = self._reports.pop(self._next)
                    self._next += 1
                    if self.comments or found.get("kind") != "comment":
                        return found
        except TimeoutError:
            return None

    async def expect(self, kind: str) -> dict[str, Any]:
        """The next report, which must be of that kind."""
        found = await self.report()
        if found is None:
            raise Failed(f"no {kind} came within {PATIENCE} s")
        if found.get("kind") != kind:
            raise Failed(f"awaited {kind}, got {shown(found)}")
        return found

    async def event(
        self,
        data: str,
        *,
        type: str = "message",
        id: str = "",
        not_id: str | None = None,
        error: bool = False,
    ) -> None:
        """Await an event. With `error` one before it is forgiven; with `not_id` any other id will do."""
        found = await self.report()
        if error and found is not None and found.get("kind") == "error":
            found = await self.report()
        if found is None:
            raise Failed(f"no event {data[:60]!r} came within {PATIENCE} s")
        event = found.get("event") or {}
        got = (event.get("type") or "message", event.get("data"), event.get("id") or "")
        if not_id is not None and got[2] != not_id:
            id = got[2]
        if found.get("kind") != "event" or got != (type, data, id):
            raise Failed(f"awaited {(type, data, id)!r:.200}, got {shown(found)}")

    async def comment(self, text: str) -> None:
        found = await self.expect("comment")
        if found.get("comment") != text:
            raise Failed(f"awaited the comment {text!r}, got {shown(found)}")

    async def error(self) -> None:
        await self.expect("error")


def shown(report: dict[str, Any]) -> str:
    text = repr(report)
    return text if len(text) < 300 else f"{text[:200]}… ({len(text):,} characters)"


class Harness:
    """The driver's own server, and the service it drives."""

    def __init__(self, session: aiohttp.ClientSession, service: str) -> None:
        self._session = session
        self._service = service
        self._runs: dict[str, Run] = {}
        self._names = itertools.count(1)
        self.site = Site()
        self.site.app.router.add_post("/callback/{run}/{number}", self._called_back)
        self.name = ""
        self.capabilities: frozenset[str] = frozenset()

    async def greet(self) -> None:
        """Ask the service who it is; it may still be starting."""
        for _ in range(100):
            try:
                async with self._session.get(self._service) as answer:
                    if answer.status == 200:
                        about = await answer.json(content_type=None) if await answer.read() else {}
                        self.name = about.get("name", self._service)
                        self.capabilities = frozenset(about.get("capabilities", ()))
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)
        raise Failed(f"no service at {self._service}")

    @asynccontextmanager
    async def run(self, name: str = "") -> AsyncIterator[Run]:
        """One test. Afterwards its clients are stopped and its streams are closed."""
        key = f"r{next(self._names)}"
        run = self._runs[key] = Run(
            self._session, self._service, self.site, f"{self.site.base}/callback/{key}"
        )
        run.name, run.capabilities = name, self.capabilities
        try:
            yield run
        finally:
            try:
                for client in run.clients:
                    await client.stop()
            finally:
                del self._runs[key]
                self.site.close(run.endpoints)

    async def _called_back(self, request: web.Request) -> web.Response:
        run = self._runs.get(request.match_info["run"])
        if run is not None:
            await run.reported(int(request.match_info["number"]), json.loads(await request.read()))
        return web.Response(status=204)


@asynccontextmanager
async def driving(service: str) -> AsyncIterator[Harness]:
    """A driver for the service at that URL."""
    async with aiohttp.ClientSession() as session:
        harness = Harness(session, service)
        async with listening(harness.site):
            await harness.greet()
            yield harness
