"""A server that a test writes the answers of, one by one.

A client is pointed at an `Endpoint`. Each of its requests is a `Visit`: the test waits for it, looks at what
it carries, and answers: whole, piece by piece, by a clean end, or by cutting the connection.
"""

from __future__ import annotations

import asyncio
import itertools
import ssl as tls
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

# Seconds: for a connection, and for each report.
PATIENCE: Final = 10.0

# Bytes of a request: a report of 14 MB of data, and what JSON adds to it.
_LARGEST: Final = 64 * 1024 * 1024

_STREAM: Final = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache, no-store, must-revalidate",
}


class Failed(AssertionError):
    """The client did not do what the test awaited."""


class Visit:
    """One request of the client, and the answer that a test gives it."""

    def __init__(self, request: web.Request, body: bytes) -> None:
        self.request = request
        self.method = request.method
        self.headers = request.headers
        self.body = body
        self.over = asyncio.Event()
        self.response: web.StreamResponse | None = None

    async def answer(self, status: int, headers: Mapping[str, str], body: bytes = b"") -> None:
        """A whole answer."""
        self.response = web.Response(status=status, headers=headers, body=body)
        self.over.set()

    async def open(self, status: int = 200, headers: Mapping[str, str] = _STREAM) -> Visit:
        """The head of a streamed answer."""
        self.response = web.StreamResponse(status=status, headers=headers)
        await self.response.prepare(self.request)
        return self

    async def send(self, *pieces: str | bytes, size: int | None = None, pause: float = 0.0) -> None:
        """Each piece by one write; or all of them by writes of `size` bytes, with a pause between two."""
        assert self.response is not None
        chunks = [piece.encode() if isinstance(piece, str) else piece for piece in pieces]
        if size is not None:
            whole = b"".join(chunks)
            chunks = [whole[start : start + size] for start in range(0, len(whole), size)]
        for index, chunk in enumerate(chunks):
            if index:
                await asyncio.sleep(pause)
            await self.response.write(chunk)

    def end(self) -> None:
        """The clean end of the answer: the last chunk."""
        self.over.set()

    def cut(self) -> None:
        """Cut the connection, in the middle of whatever it is."""
        transport = self.request.transport
        if transport is not None:
            transport.abort()
        self.over.set()


class Endpoint:
    """A path that a client visits."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.visits: list[Visit] = []  # so far
        self._new: asyncio.Queue[Visit] = asyncio.Queue()

    def visited(self, visit: Visit) -> None:
        """For the server: a request came."""
        self.visits.append(visit)
        self._new.put_nowait(visit)

    async def visit(self) -> Visit:
        """The next request."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._new.get()
        except TimeoutError:
            raise Failed(f"no request came within {PATIENCE} s") from None

    async def stream(self) -> Visit:
        """The next request, answered by an open stream."""
        return await (await self.visit()).open()


class Site:
    """A server of endpoints."""

    def __init__(self) -> None:
        self.base = ""
        self.app = web.Application(client_max_size=_LARGEST)
        self.app.router.add_route("*", "/{endpoint}", self._visited)
        self._endpoints: dict[str, Endpoint] = {}
        self._names = itertools.count(1)

    def endpoint(self) -> Endpoint:
        """A new path."""
        name = f"e{next(self._names)}"
        endpoint = self._endpoints[name] = Endpoint(f"{self.base}/{name}")
        return endpoint

    def close(self, endpoints: Iterable[Endpoint] | None = None) -> None:
        """End every answer that is still open."""
        for endpoint in self._endpoints.values() if endpoints is None else endpoints:
            for visit in endpoint.visits:
                visit.end()

    async def _visited(self, request: web.Request) -> web.StreamResponse:
        endpoint = self._endpoints.get(request.match_info["endpoint"])
        if endpoint is None:
            raise web.HTTPNotFound
        visit = Visit(request, await request.read())
        endpoint.visited(visit)
        await visit.over.wait()
        return visit.response or web.Response(status=404)


@asynccontextmanager
async def listening(site: Site, ssl: tls.SSLContext | None = None) -> AsyncIterator[Site]:
    """Run it on a free port of loopback, as production would."""
    runner = web.AppRunner(site.app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=ssl).start()
        host, port = runner.addresses[0][:2]
        site.base = f"http{'s' if ssl else ''}://{host}:{port}"
        yield site
    finally:
        site.close()
        await runner.cleanup()
