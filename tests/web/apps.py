"""Small applications for the tests of this folder, and a client that sees every byte."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import reactivex as rx
from aiohttp import web
from reactivex.disposable import Disposable

import rx_sse
from rx_sse.web.registry import REGISTRY
from rx_sse.web.stream import Stream

Handler = Callable[..., Any]


def app_of(routes: Mapping[str, Handler] | Handler, /, **setup: Any) -> web.Application:
    """An application that is set up with these options: one handler for `/`, or one by `"METHOD /path"`."""
    app = rx_sse.setup(web.Application(), **setup)
    for where, handler in (routes if isinstance(routes, Mapping) else {"/": routes}).items():
        method, _, path = where.rpartition(" ")
        app.router.add_route(method or "GET", path, handler)
    return app


def streaming(source: Callable[[], Any], /, **options: Any) -> Handler:
    """A handler that streams what `source()` returns."""
    return rx_sse.sse(**options)(lambda request: source())


async def hello(request: web.Request) -> web.Response:
    """A route that is no stream."""
    return web.Response(text="hello")


async def only_stream(app: web.Application) -> Stream:
    """The one open stream of an application, as soon as there is one."""
    async with asyncio.timeout(20):
        while not (streams := app[REGISTRY].streams):
            await asyncio.sleep(0.005)
    (stream,) = streams
    return stream


async def until(condition: Callable[[], bool], timeout: float = 20.0) -> None:
    """Wait for a condition that no event announces."""
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.005)


async def at_rest(value: Callable[[], Any], seconds: float = 0.05) -> Any:
    """Wait until something has stopped changing: as when the sockets of a stalled client are full."""
    async with asyncio.timeout(10):
        while True:
            before = value()
            await asyncio.sleep(seconds)
            if value() == before:
                return before


def watched(source: rx.Observable[Any], live: set[object]) -> rx.Observable[Any]:
    """`source`, with a member of `live` for each of its subscriptions."""

    def subscribe(observer: Any, scheduler: Any = None) -> Any:
        token = object()
        live.add(token)
        inner = source.subscribe(observer, scheduler=scheduler)

        def dispose() -> None:
            live.discard(token)
            inner.dispose()

        return Disposable(dispose)

    return rx.create(subscribe)


@dataclass
class Answer:
    """A response as it came."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    """Undecoded: with its chunk framing, if it has one."""

    def header(self, name: str) -> str | None:
        """The value of a header that stands there once."""
        found = [value for other, value in self.headers if other.lower() == name.lower()]
        assert len(found) <= 1, f"{name} came {len(found)} times"
        return found[0] if found else None

    @property
    def names(self) -> set[str]:
        return {name.lower() for name, _ in self.headers}

    @property
    def content(self) -> bytes:
        """The body without its framing, which must be complete and nothing more."""
        if self.header("Transfer-Encoding") != "chunked":
            length = self.header("Content-Length")
            assert length is None or int(length) == len(self.body)
            return self.body
        content, rest = b"", self.body
        while True:
            size, _, rest = rest.partition(b"\r\n")
            length = int(size, 16)
            piece, end, rest = rest[:length], rest[length : length + 2], rest[length + 2 :]
            assert len(piece) == length and end == b"\r\n", "a chunk is not complete"
            content += piece
            if not length:
                assert not rest, f"something follows the last chunk: {rest!r}"
                return content


async def exchange(
    url: str,
    request: str = "GET /",
    *headers: str,
    version: str = "1.1",
    body: bytes = b"",
    timeout: float = 20.0,
) -> Answer:
    """Send one request and read to the end of the connection, which the server is asked to close."""
    return (await exchanges(url, (request, *headers), version=version, body=body, timeout=timeout))[0]


async def exchanges(
    url: str, *requests: tuple[str, ...], version: str = "1.1", body: bytes = b"", timeout: float = 20.0
) -> list[Answer]:
    """Send requests on one connection, each when the one before it is answered; the last one closes it."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    answers: list[Answer] = []
    try:
        async with asyncio.timeout(timeout):
            for index, (request, *headers) in enumerate(requests):
                last = index == len(requests) - 1
                lines = [f"{request} HTTP/{version}", f"Host: {parts.netloc}", *headers]
                lines += ["Connection: close"] if last and version == "1.1" else []
                lines += [f"Content-Length: {len(body)}"] if body else []
                writer.write("\r\n".join([*lines, "", ""]).encode() + body)
                answers.append(await _read(reader, request.split()[0], to_the_end=last))
    finally:
        writer.close()
    return answers


async def _read(reader: asyncio.StreamReader, method: str, *, to_the_end: bool) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    fields = [line.partition(":") for line in head[1:] if line]
    headers = [(name, value.strip()) for name, _, value in fields]
    answer = Answer(int(head[0].split()[1]), headers, b"")
    if to_the_end:
        answer.body = await reader.read()
    elif method != "HEAD" and answer.status not in (204, 304):
        if answer.header("Transfer-Encoding") == "chunked":
            answer.body = await reader.readuntil(b"\r\n0\r\n\r\n")
        else:
            answer.body = await reader.readexactly(int(answer.header("Content-Length") or "0"))
    return answer
