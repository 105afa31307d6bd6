"""The socket leaves aiohttp when the headers are out, and everything goes on."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import struct
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
import reactivex as rx
from aiohttp import web

import rx_sse
from rx_sse.testing import open_stream, serve
from rx_sse.web.hand_over import EventStreamResponse, can_leave
from rx_sse.web.registry import REGISTRY
from tests.web.apps import app_of, only_stream, streaming, until


async def values() -> AsyncIterator[int]:
    yield 1
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("source", "hold", "held"),
    [
        (rx.Subject, None, False),
        (rx.Subject, True, True),
        (values, None, True),
        (values, False, False),
    ],
)
async def test_a_middleware_has_its_response_when_the_headers_are_out_or_at_the_end(
    source: Callable[[], Any], hold: bool | None, held: bool
) -> None:
    returned = asyncio.Event()

    @web.middleware
    async def notes(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            return await handler(request)
        finally:
            returned.set()

    app = app_of(streaming(source, hold_request=hold))
    app.middlewares.append(notes)
    async with serve(app) as url, open_stream(url):
        stream = await only_stream(app)
        await until(lambda: stream.connection.open)
        if held:
            await asyncio.sleep(0)
            assert not returned.is_set()
        else:
            async with asyncio.timeout(20):
                await returned.wait()
            assert app[REGISTRY].streams == {stream}
    async with asyncio.timeout(20):
        await returned.wait()


@pytest.mark.parametrize("hold", [True, False])
async def test_the_access_log_has_one_line_at_the_end_with_all_bytes(
    hold: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "aiohttp.access")
    source = rx.Subject[str]()
    app = app_of(streaming(lambda: source, hold_request=hold))
    runner = web.AppRunner(app, access_log_format="%s %b")
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        async with open_stream(f"http://{host}:{port}", "/") as stream:
            await only_stream(app)
            source.on_next("x" * 5000)
            await stream.next_event()
            assert not [it for it in caplog.records if it.name == "aiohttp.access"]
            source.on_completed()
            assert await stream.ended()
        await until(lambda: not app[REGISTRY].streams)
        lines = [it.getMessage() for it in caplog.records if it.name == "aiohttp.access"]
        assert len(lines) == 1
        status, size = lines[0].split()
        assert status == "200" and int(size) > 5000
    finally:
        await runner.cleanup()


async def test_a_pipelined_request_finds_the_connection_closed_and_the_stream_whole() -> None:
    source = rx.Subject[str]()
    app = app_of(streaming(lambda: source))
    async with serve(app) as url, open_stream(url) as stream:
        await only_stream(app)
        stream.writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 64)
        source.on_next("a")
        assert (await stream.next_event()).data == "a"
        source.on_completed()
        assert stream.headers.get("connection") == "close"
        assert await stream.ended()


async def test_nothing_of_aiohttp_is_left() -> None:
    app = app_of(streaming(rx.Subject))
    async with serve(app) as url:
        async with open_stream(url):
            stream = await only_stream(app)
            await until(lambda: stream.connection.open)
            gc.collect()
            left = [it for it in gc.get_objects() if type(it) in (web.Request, EventStreamResponse)]
            left = [it for it in left if not isinstance(it, web.Request) or app in it.match_info.apps]
            assert not left
        await until(lambda: not app[REGISTRY].streams)


async def test_a_stream_that_failed_in_a_middleware_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    @web.middleware
    async def fails(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        await handler(request)
        raise ValueError("after the stream began")

    source = rx.Subject[str]()
    app = app_of(streaming(lambda: source))
    app.middlewares.append(fails)
    async with serve(app) as url, open_stream(url) as stream:
        await only_stream(app)
        source.on_next("still here")
        assert (await stream.next_event()).data == "still here"
        source.on_completed()
        assert await stream.ended()


async def test_without_what_the_hand_over_needs_a_stream_stays_with_aiohttp() -> None:
    """As in a version of aiohttp whose protocol lacks an attribute: then the connection is used again."""
    protocols: set[object] = set()

    @web.middleware
    async def lacks_an_attribute(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        protocol = request.protocol
        protocols.add(protocol)
        transport, log = request.transport, protocol.access_logger
        assert transport is not None and can_leave(request, transport)
        del protocol.access_logger
        try:
            assert not can_leave(request, transport)
            return await handler(request)
        finally:
            protocol.access_logger = log

    sources: list[rx.Subject[str]] = []

    def source() -> rx.Subject[str]:
        sources.append(rx.Subject())
        return sources[-1]

    app = app_of(streaming(source))
    app.middlewares.append(lacks_an_attribute)
    async with serve(app) as url, asyncio.timeout(10):
        address = urlsplit(url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        for number in (1, 2):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
            assert b"connection: close" not in (await reader.readuntil(b"\r\n\r\n")).lower()
            sources[-1].on_next(f"event {number}")
            assert b"event %d" % number in await reader.readuntil(b"\n\n\r\n")
            sources[-1].on_completed()
            await reader.readuntil(b"\r\n0\r\n\r\n")
        await until(lambda: not app[REGISTRY].streams)
        writer.close()
    assert len(protocols) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="TCP_INFO of Linux counts the segments")
@pytest.mark.parametrize("hold", [True, False])
async def test_the_headers_and_the_first_events_are_one_write(hold: bool) -> None:
    bus = rx_sse.MemoryBus()
    app = app_of(
        rx_sse.sse(hold_request=hold)(lambda request: bus.events("a", after=rx_sse.last_event_id(request))),
        bus=bus,
    )
    async with serve(app) as url, asyncio.timeout(10):
        address = urlsplit(url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
        await reader.readuntil(b"event: stream-cursor")
        info = writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)
        (segments_with_data,) = struct.unpack_from("I", info, 152)
        assert segments_with_data == 1
        writer.close()


async def test_on_response_prepare_sees_the_transport() -> None:
    seen: list[Any] = []

    async def look(request: web.Request, response: web.StreamResponse) -> None:
        assert request.transport is not None and not request.transport.is_closing()
        seen.append(request.get_extra_info("peername"))
        response.headers["X-Seen"] = "yes"

    app = app_of(streaming(rx.Subject))
    app.on_response_prepare.append(look)
    async with serve(app) as url, open_stream(url) as stream:
        assert stream.headers["x-seen"] == "yes" and seen[0][0] == "127.0.0.1"


@pytest.mark.parametrize("hold", [True, False])
async def test_what_fails_while_the_headers_are_made_is_answered(hold: bool) -> None:
    async def fails(request: web.Request, response: web.StreamResponse) -> None:
        if isinstance(response, EventStreamResponse):
            raise ValueError("before the headers")

    app = app_of(streaming(rx.Subject, hold_request=hold))
    app.on_response_prepare.append(fails)
    async with serve(app) as url, asyncio.timeout(10):
        address = urlsplit(url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 500 ")
        assert not app[REGISTRY].streams
        writer.close()


def test_a_wrong_value_is_told() -> None:
    with pytest.raises(rx_sse.UsageError, match="hold_request='yes'"):
        rx_sse.sse(hold_request="yes")  # type: ignore[call-overload]
