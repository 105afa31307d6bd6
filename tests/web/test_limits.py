"""How many streams there may be, and the answers to requests over a limit."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest
import reactivex as rx
from aiohttp import web

import rx_sse
from rx_sse import Limits, Principal
from rx_sse.testing import OpenStream, open_stream, serve
from rx_sse.testing.raw import send
from rx_sse.web.registry import REGISTRY

from .apps import app_of, exchange, hello, streaming, until, watched


def by_name(request: web.Request) -> Principal | None:
    """The name in a request is trusted."""
    name = request.headers.get("X-User")
    return None if name is None else Principal(name)


async def opened(stack: AsyncExitStack, url: str, **headers: str) -> OpenStream:
    """One more stream, which stays open as long as the stack."""
    stream = await stack.enter_async_context(open_stream(url, headers=headers))
    assert stream.status == 200
    return stream


async def test_an_event_source_over_the_limit_is_told_to_come_back_later() -> None:
    app = app_of(streaming(rx.never, hold_headers=0), limits=Limits(connections=2))
    retries: set[int] = set()
    async with serve(app) as url, AsyncExitStack() as stack:
        for _ in range(2):
            await opened(stack, url)
        for _ in range(8):
            answer = await exchange(url, "GET /", "Accept: text/event-stream")
            assert (answer.status, answer.header("Content-Type")) == (200, "text/event-stream; charset=utf-8")
            assert answer.header("Cache-Control") == "no-cache, no-transform"
            parser = rx_sse.EventParser()
            (told,) = parser.feed(answer.content)
            assert (told.type, told.json()) == ("stream-reconnect", {"reason": "overloaded"})
            assert parser.retry is not None and 2000 <= parser.retry <= 6000
            retries.add(parser.retry)
        stats = app[REGISTRY].stats()
        assert (stats.open, stats.opened, stats.shed) == (2, 2, 8)
    assert len(retries) > 4, "they must not all come back at once"


async def test_any_other_client_gets_the_status_that_http_has_for_it() -> None:
    app = app_of(
        {"/": streaming(rx.never, hold_headers=0), "POST /": streaming(rx.never, hold_headers=0)},
        limits=Limits(connections=1),
    )
    async with serve(app) as url, AsyncExitStack() as stack:
        await opened(stack, url)
        for request, accept in (("GET /", "*/*"), ("POST /", "text/event-stream")):
            answer = await exchange(url, request, f"Accept: {accept}")
            assert answer.status == 503
            assert 2 <= int(answer.header("Retry-After") or 0) <= 6
            assert answer.content == b"Too many streams are open; try again later."


async def test_there_is_room_again_when_a_stream_has_ended() -> None:
    app = app_of(streaming(rx.never, hold_headers=0), limits=Limits(connections=1))
    async with serve(app) as url:
        for _ in range(3):
            async with open_stream(url) as stream:
                assert stream.status == 200
                assert (await exchange(url, "GET /", "Accept: */*")).status == 503
            await until(lambda: not app[REGISTRY].streams)


async def test_what_is_over_the_limit_reaches_neither_handler_nor_source() -> None:
    called: list[web.Request] = []
    app = app_of(
        rx_sse.sse(lambda request: called.append(request) or rx.never()), limits=Limits(connections=1)
    )
    async with serve(app) as url, AsyncExitStack() as stack:
        await opened(stack, url)
        await exchange(url, "GET /", "Accept: */*")
    assert len(called) == 1


async def test_the_limit_holds_for_handlers_that_take_their_time() -> None:
    """Ten are admitted to the handler together; two of them get a stream."""
    waiting, go, live = 0, asyncio.Event(), set[object]()

    async def slow(request: web.Request) -> rx.Observable[Any]:
        nonlocal waiting
        waiting += 1
        await go.wait()
        return watched(rx.never(), live)

    app = app_of(rx_sse.sse(slow), limits=Limits(connections=2))
    async with serve(app) as url:
        streams = [await send(url + "/", headers={"Accept": "*/*"}) for _ in range(10)]
        try:
            await until(lambda: waiting == 10)
            go.set()
            for stream in streams:
                await stream.read_head()
            assert sorted(stream.status for stream in streams) == [200] * 2 + [503] * 8
            assert len(live) == 2
        finally:
            for stream in streams:
                await stream.aclose()


async def test_a_user_has_a_limit_of_their_own() -> None:
    app = app_of(streaming(rx.never, hold_headers=0, auth=by_name), limits=Limits(per_user=2))
    async with serve(app) as url, AsyncExitStack() as stack:
        for _ in range(2):
            await opened(stack, url, **{"X-User": "ada"})
        answer = await exchange(url, "GET /", "Accept: */*", "X-User: ada")
        assert answer.status == 429
        assert 2 <= int(answer.header("Retry-After") or 0) <= 6
        browser = await exchange(url, "GET /", "Accept: text/event-stream", "X-User: ada")
        assert (browser.status, b"retry: " in browser.content) == (200, True)
        await opened(stack, url, **{"X-User": "grace"})
        assert (await exchange(url, "GET /", "Accept: */*")).status == 401
        assert app[REGISTRY].stats().open == 3


async def test_a_users_room_is_given_back() -> None:
    app = app_of(streaming(rx.never, hold_headers=0, auth=by_name), limits=Limits(per_user=1))
    async with serve(app) as url:
        for _ in range(3):
            async with open_stream(url, headers={"X-User": "ada"}):
                pass
            await until(lambda: not app[REGISTRY].streams)
        assert app[REGISTRY].stats().shed == 0
        assert not app[REGISTRY]._by_user, "nothing is kept of a user who has gone"


async def test_an_address_has_a_limit_if_one_is_set() -> None:
    app = app_of(streaming(rx.never, hold_headers=0), limits=Limits(per_address=2))
    async with serve(app) as url, AsyncExitStack() as stack:
        first = await opened(stack, url)
        await opened(stack, url)
        assert (await exchange(url, "GET /", "Accept: */*")).status == 429
        await first.aclose()
        await until(lambda: len(app[REGISTRY].streams) == 1)
        await opened(stack, url)
    await until(lambda: not app[REGISTRY].streams)
    assert not app[REGISTRY]._by_address


async def test_limits_are_for_streams_alone() -> None:
    app = app_of(
        {
            "/": streaming(rx.never, hold_headers=0),
            "/hello": hello,
            "HEAD /": streaming(rx.never, hold_headers=0),
        },
        limits=Limits(connections=1),
    )
    async with serve(app) as url, AsyncExitStack() as stack:
        await opened(stack, url)
        assert (await exchange(url, "GET /hello")).status == 200
        assert (await exchange(url, "HEAD /", "Accept: text/event-stream")).status == 200
        assert (await exchange(url, "GET /", "Accept: text/event-stream;q=0")).status == 406


async def test_stream_response_is_counted_like_any_other() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return await rx_sse.stream_response(request, rx.never())

    app = app_of(handler, limits=Limits(connections=1))
    async with serve(app) as url, AsyncExitStack() as stack:
        await opened(stack, url)
        assert (await exchange(url, "GET /", "Accept: */*")).status == 503
        assert app[REGISTRY].stats().shed == 1


async def test_no_limit_is_no_limit() -> None:
    limits = Limits(connections=None, per_user=None)
    app = app_of(streaming(rx.never, hold_headers=0, auth=by_name), limits=limits)
    async with serve(app) as url, AsyncExitStack() as stack:
        for _ in range(120):  # over the default of a hundred
            await opened(stack, url, **{"X-User": "ada"})
        assert app[REGISTRY].stats().open == 120


def test_the_defaults_are_these() -> None:
    limits = Limits()
    assert (limits.connections, limits.per_user, limits.per_address) == (20_000, 100, None)
    assert (limits.topics, limits.cursor) == (32, 4096)
    with pytest.raises(AttributeError):
        limits.connections = 5  # type: ignore[misc]


async def test_a_last_event_id_over_the_limit_is_there_and_unknown() -> None:
    @rx_sse.sse
    def handler(request: web.Request) -> rx.Observable[Any]:
        return rx.of(rx_sse.last_event_id(request).value)

    async with serve(app_of(handler, limits=Limits(cursor=10))) as url:
        for sent, seen in (("x" * 10, "x" * 10), ("x" * 11, "?"), ("", "")):
            async with open_stream(url, headers={"Last-Event-ID": sent}) as stream:
                assert (await stream.next_event()).data == seen
        async with open_stream(url) as stream:
            assert (await stream.next_event()).json() is None
        async with open_stream(url, "/?lastEventId=query", headers={"Last-Event-ID": "header"}) as stream:
            assert (await stream.next_event()).data == "header"
        async with open_stream(url, "/?lastEventId=query") as stream:
            assert (await stream.next_event()).data == "query"


def test_no_stream_is_promised_more_topics_than_it_can_have() -> None:
    assert rx_sse.Limits(topics=32).topics == 32
    with pytest.raises(rx_sse.RxSseError, match="topics=33 is more than the 32"):
        rx_sse.Limits(topics=33)
