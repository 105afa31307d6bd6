"""The error of a wait that fails: the answer with its body, and what was received instead."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import reactivex as rx
from aiohttp import web
from reactivex import operators as ops

import rx_sse
from rx_sse import UsageError
from rx_sse.testing import StreamClosed, check_bus, open_stream, serve


def app_of(handler: Any, **options: Any) -> web.Application:
    app = rx_sse.setup(web.Application(), **options)
    app.router.add_get("/", rx_sse.sse(handler))
    return app


def plain(handler: Any) -> web.Application:
    app = web.Application()
    app.router.add_get("/", handler)
    return app


async def test_a_404_is_told_with_its_body() -> None:
    async with open_stream(app_of(lambda request: rx.never()), "/tics?a=1") as stream:
        assert stream.status == 404
        with pytest.raises(StreamClosed, match=r"GET /tics\?a=1 was answered 404 Not Found:\n404: Not Found"):
            await stream.next_event()


async def test_a_handler_that_fails_at_its_start_is_told() -> None:
    def refusing(request: web.Request) -> rx.Observable[int]:
        raise web.HTTPForbidden(text="members only \x1b[2J")

    async with open_stream(app_of(refusing)) as stream:
        with pytest.raises(StreamClosed, match=r"403 Forbidden:\nmembers only \\x1b\[2J"):
            await stream.events(2)


async def test_an_answer_without_a_body_and_an_endless_one_are_told() -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/html"})
        await response.prepare(request)
        await response.write(b"<p>not yet")
        await asyncio.Event().wait()
        return response

    async def empty(request: web.Request) -> web.Response:
        return web.Response(status=204)

    for handler, told in ((endless, r"200 OK:\n<p>not yet"), (empty, r"204 No Content, without a body")):
        async with serve(plain(handler), handler_cancellation=True) as url, open_stream(url) as stream:
            with pytest.raises(StreamClosed, match=told):
                await stream.next_event()


async def test_a_wait_that_is_over_says_what_came_instead() -> None:
    def gap(request: web.Request) -> rx.Observable[Any]:
        return rx.of("first", "second").pipe(ops.concat(rx.never()))

    async with open_stream(app_of(gap)) as stream:
        assert (await stream.next_event()).data == "first"
        with pytest.raises(TimeoutError) as told:
            await stream.events(3, timeout=0.1)
        assert "1 of 3 events in 0.1 s" in str(told.value)
        assert "GET / was answered 200 OK" in str(told.value) and "2 events before it" in str(told.value)
        with pytest.raises(TimeoutError, match="has not ended in 0"):
            await stream.ended(timeout=0.1)


async def test_control_events_comments_and_what_was_not_asked_for_are_told() -> None:
    """A stream that had failed, and a frame without its blank line: the usual reasons why nothing comes."""

    async def unfinished(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b": hello\n\nevent: stream-gap\ndata: {}\n\ndata: x\n")
        await asyncio.Event().wait()
        return response

    async with serve(plain(unfinished), handler_cancellation=True) as url, open_stream(url) as stream:
        with pytest.raises(TimeoutError) as told:
            await stream.next_event(timeout=0.1)
        assert "1 comment, stream-gap {}; the last bytes end no event: b'" in str(told.value)

    failing = app_of(lambda request: rx.of(1).pipe(ops.concat(rx.throw(rx_sse.StreamError("no disk")))))
    async with open_stream(failing) as stream:
        await stream.next_event()
        with pytest.raises(StreamClosed, match=r"the stream ended .*stream-error .*no disk"):
            await stream.next_event()


async def test_headers_that_do_not_come_are_told() -> None:
    async def slow(request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    async with serve(plain(slow), handler_cancellation=True) as url:
        with pytest.raises(TimeoutError, match=r"GET /\?a: no response headers in 0.1 s"):
            async with open_stream(url, "/?a", timeout=0.1):
                pass


async def test_a_server_that_is_not_there_or_hangs_up_is_told(unused_tcp_port: int) -> None:
    with pytest.raises(
        ConnectionRefusedError, match=f"nothing listens at http://127.0.0.1:{unused_tcp_port}"
    ):
        async with open_stream(f"http://127.0.0.1:{unused_tcp_port}"):
            pass

    async def hang_up(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    with pytest.raises(StreamClosed, match="GET / got no answer"):
        async with open_stream(plain(hang_up)):
            pass


@pytest.mark.parametrize(
    ("app", "path", "told"),
    [
        (web.RouteTableDef(), "/", r"open_stream\(RouteTableDef\)"),
        (None, "/", r"open_stream\(NoneType\)"),
        ("localhost:8080", "/", "give one like 'http://127.0.0.1:8080'"),
        (web.Application(), "ticks", "as '/ticks' does"),
    ],
)
async def test_what_cannot_be_opened_is_refused(app: Any, path: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        async with open_stream(app, path):
            pass


async def test_a_slash_at_the_end_of_an_address_is_no_second_one() -> None:
    async with serve(app_of(lambda request: rx.of(1))) as url, open_stream(url + "/") as stream:
        assert (await stream.next_event()).json() == 1
    with pytest.raises(UsageError, match=r"serve\(str\)"):
        async with serve("http://127.0.0.1"):  # type: ignore[arg-type]
            pass


async def test_check_bus_refuses_what_would_check_nothing() -> None:
    with pytest.raises(UsageError, match="values_come_back_as_json_gives_them"):
        await check_bus(rx_sse.MemoryBus, only="no such check")
    with pytest.raises(UsageError, match="a function that makes a new bus"):
        await check_bus(rx_sse.MemoryBus())  # type: ignore[arg-type]
