"""A request whose body still arrives, or is never read, is back-pressure and no lost client."""

from __future__ import annotations

import asyncio
import io
import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest
import reactivex as rx
from aiohttp import web

import rx_sse
from rx_sse.testing import open_stream, serve
from rx_sse.testing.raw import send
from rx_sse.web.registry import REGISTRY

from .apps import Handler, app_of, hello, only_stream, until

pytestmark = pytest.mark.usefixtures("no_leaks")

SIZE = 3_000_000
"""aiohttp stops reading when half a megabyte of an unfinished body waits."""


@rx_sse.sse
async def imports(request: web.Request) -> AsyncIterator[int]:
    done = 0
    async for part in request.content.iter_chunked(65536):
        await asyncio.sleep(0.002)
        done += len(part)
        yield done


def ignores(release: asyncio.Event) -> Handler:
    @rx_sse.sse
    async def handler(request: web.Request) -> AsyncIterator[int]:
        yield 1
        await release.wait()
        yield 2

    return handler


@pytest.mark.parametrize("size", [100_000, SIZE])
async def test_progress_is_streamed_while_the_body_arrives(size: int) -> None:
    app = app_of({"POST /": imports})
    async with serve(app) as url, aiohttp.ClientSession() as session:
        async with session.post(url, data=io.BytesIO(b"x" * size)) as response:
            events = rx_sse.EventParser().feed(await response.read())
    assert events[-1].type == "stream-end"
    assert events[-2].json() == size


@pytest.mark.parametrize(("size", "blind"), [(100_000, False), (SIZE, True)])
async def test_a_body_that_nobody_reads_is_let_be(size: int, blind: bool) -> None:
    release = asyncio.Event()
    app = app_of({"POST /": ignores(release), "/hello": hello})
    async with serve(app) as url, open_stream(url, method="POST", body=b"x" * size) as stream:
        assert (await stream.next_event()).json() == 1
        transport = (await only_stream(app)).connection.transport
        assert transport is not None
        await until(lambda: transport.is_reading() is not blind)
        release.set()
        assert (await stream.next_event()).json() == 2
        assert await stream.ended()
        stream.writer.write(b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")  # aiohttp has read the rest
        assert await asyncio.wait_for(stream._reader.readuntil(b"hello"), 5)
    assert app[REGISTRY].stats().ended == {"completed": 1}


async def test_a_client_that_leaves_behind_its_unread_body_is_missed() -> None:
    """Reading is paused, so asyncio does not see its end; the kernel is asked."""
    release = asyncio.Event()
    app = app_of({"POST /": ignores(release)})
    async with serve(app) as url:
        stream = await send(url, method="POST", headers={"Content-Length": str(SIZE)})
        stream.writer.write(b"x" * 600_000)
        await stream.read_head()
        transport = (await only_stream(app)).connection.transport
        assert transport is not None
        await until(lambda: not transport.is_reading())
        stream.half_close()  # behind bytes that are still unread
        await until(lambda: not app[REGISTRY].streams, 3)
        await stream.aclose()
    assert app[REGISTRY].stats().ended == {"left": 1}


async def test_pipelined_requests_hide_a_client_and_are_cut_as_before() -> None:
    app = app_of({"/": rx_sse.sse(hold_request=True)(lambda request: rx.never())})
    async with serve(app) as url, open_stream(url) as stream:
        await only_stream(app)
        sock = stream.writer.get_extra_info("socket")
        assert sock.family == socket.AF_INET
        stream.writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 64)
        assert not await stream.ended()
        await until(lambda: not app[REGISTRY].streams)
