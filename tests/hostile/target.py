"""An application with all that this library serves, for attackers; and bytes as they send them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import reactivex as rx
from aiohttp import web

import rx_sse
from rx_sse.testing import serve

from ..web.tokens import KEY, bearer, token

COOKIE = "__Host-session"
GRANTS = {"subscribe": ["news", "team:*"], "publish": ["news", "team:*"]}
EVE: dict[str, Any] = {"scope": "publish", "rx_sse": GRANTS}
"""The claims of a user that is signed in and means harm: it may read and publish to some topics."""


def bearer_line(user: str = "eve", **claims: Any) -> bytes:
    """The header of a user with those claims, as bytes."""
    return f"Authorization: {bearer(user, **{**EVE, **claims})['Authorization']}".encode()


def cookie_line(user: str = "eve") -> bytes:
    """A cookie of the same user, as a browser sends it along."""
    return f"Cookie: {COOKIE}={token(user, **EVE)}".encode()


def make_app(
    bus: rx_sse.Bus | None = None, limits: rx_sse.Limits | None = None, **options: Any
) -> tuple[web.Application, rx_sse.Bus]:
    """Public and private streams, the mount, the admin page and a handler that fails."""
    bus = bus or rx_sse.MemoryBus()
    auth = rx_sse.JWTAuth(key=KEY, algorithms="HS256", cookie=COOKIE)
    app = rx_sse.setup(
        web.Application(), bus=bus, limits=limits, allow_origins=["https://app.example"], **options
    )

    @rx_sse.sse
    def news(request: web.Request) -> rx.Observable[rx_sse.ServerSentEvent]:
        return bus.events("news", after=rx_sse.last_event_id(request))

    @rx_sse.sse(auth=auth)
    def private(request: web.Request) -> rx.Observable[rx_sse.ServerSentEvent]:
        return bus.events("news", after=rx_sse.last_event_id(request))

    @rx_sse.sse
    def failing(request: web.Request) -> rx.Observable[object]:
        return rx.throw(RuntimeError("the password of the database is swordfish"))

    app.router.add_get("/news", news)
    app.router.add_get("/private", private)
    app.router.add_get("/failing", failing)
    app.add_subapp("/events", rx_sse.bus_app(bus, auth=auth))
    app.add_subapp("/admin", rx_sse.admin_app())
    return app, bus


@dataclass
class Target:
    """An application under attack.

    Attributes:
        url: where it serves.
        bus: its bus.
        app: the application.
    """

    url: str
    bus: rx_sse.Bus
    app: web.Application

    async def ask(self, request: bytes, *, most: int = 65_536, seconds: float = 5.0) -> Answer:
        """Send bytes as they are, and read what is answered: all of it, or the beginning of a stream."""
        parts = urlsplit(self.url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            writer.write(request)
            async with asyncio.timeout(seconds):
                head = await _head(reader)
                body = b""
                if b"text/event-stream" in head:
                    body = await reader.read(most)
                else:
                    while len(body) < most and (piece := await reader.read(most)):
                        body += piece
        finally:
            writer.transport.abort()
        return Answer(int(head.split(b" ", 2)[1]) if head.startswith(b"HTTP/") else 0, head, body)


async def _head(reader: asyncio.StreamReader) -> bytes:
    """The status line and the headers; b"" if the connection is closed without an answer."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


@dataclass(frozen=True)
class Answer:
    """What a server sent back; `status` is 0 where it closed the connection."""

    status: int
    head: bytes
    body: bytes

    def header(self, name: str) -> str | None:
        """The value of a header."""
        for line in self.head.split(b"\r\n")[1:]:
            found, _, value = line.partition(b":")
            if found.lower() == name.lower().encode():
                return value.strip().decode()
        return None


@asynccontextmanager
async def attacked(limits: rx_sse.Limits | None = None, **options: Any) -> AsyncIterator[Target]:
    """The application on a real socket. After an answer to half a body aiohttp reads on for 0.1 s."""
    app, bus = make_app(limits=limits, **options)
    async with serve(app, auto_decompress=False, lingering_time=0.1) as url:
        yield Target(url, bus, app)


def get(path: str | bytes, *lines: bytes, method: bytes = b"GET") -> bytes:
    """A request without a body; it asks for the end of the connection."""
    target = path.encode() if isinstance(path, str) else path
    head = [method + b" " + target + b" HTTP/1.1", b"Host: localhost", b"Connection: close", *lines]
    return b"\r\n".join([*head, b"", b""])


def events(path: str | bytes, *lines: bytes) -> bytes:
    """The same of an EventSource."""
    return get(path, b"Accept: text/event-stream", *lines)


def post(path: str, body: bytes, *lines: bytes) -> bytes:
    """A request with a body and its length."""
    return get(path, f"Content-Length: {len(body)}".encode(), *lines, method=b"POST") + body
