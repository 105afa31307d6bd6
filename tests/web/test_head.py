"""The head of a stream that leaves aiohttp is the one that aiohttp would have sent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
import reactivex as rx
from aiohttp import web

import rx_sse
from rx_sse.testing import serve
from tests.web.apps import app_of, streaming

USER = rx_sse.Principal("ann")


async def head_of(app: web.Application, *headers: str) -> list[str]:
    """The lines of the head, sorted, without the date."""
    async with serve(app) as url:
        parts = urlsplit(url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write("\r\n".join(("GET / HTTP/1.1", "Host: localhost", *headers, "", "")).encode())
        async with asyncio.timeout(5):
            lines = sorted((await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n"))
        writer.close()
    (date,) = [line for line in lines if line.startswith("Date: ")]
    assert abs(parsedate_to_datetime(date[6:]).timestamp() - time.time()) < 5
    lines.remove(date)
    return lines


@pytest.mark.parametrize("user", [None, USER])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"headers": {"X-Own": "1", "Cache-Control": "no-store", "Server": "ours"}},
        {"headers": [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")], "heartbeat": None},
        {"compress": "zstd"},
    ],
)
async def test_it_is_the_head_that_aiohttp_makes(
    options: dict[str, Any], user: rx_sse.Principal | None
) -> None:
    def app() -> web.Application:
        return app_of(streaming(rx.never, auth=(lambda _: user) if user is not None else None, **options))

    async def looks(request: web.Request, response: web.StreamResponse) -> None:
        seen.append(response.status)

    seen: list[int] = []
    watched = app()
    watched.on_response_prepare.append(looks)  # so aiohttp prepares the response
    theirs = await head_of(watched, "Accept-Encoding: zstd")
    ours = await head_of(app(), "Accept-Encoding: zstd")
    assert seen == [200]
    assert ours == theirs
    assert "Connection: close" in ours


async def test_a_middleware_sees_a_response_whose_headers_are_sent() -> None:
    seen: list[tuple[bool, bool, str]] = []

    @web.middleware
    async def looks(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        response = await handler(request)
        seen.append((response.prepared, "Date" in response.headers, repr(response)))
        response.headers["X-Late"] = "1"
        return response

    app = app_of(streaming(rx.never))
    app.middlewares.append(looks)
    assert await head_of(app) == await head_of(app_of(streaming(rx.never)))
    assert seen == [(True, True, "<EventStreamResponse OK left>")]
