"""A client that comes back is never turned away for good by what fails before its stream: at every door."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import reactivex as rx
from aiohttp import web

import rx_sse
from rx_sse.testing import open_stream, serve
from tests.web.apps import app_of, streaming

BACK = {"Last-Event-ID": "5"}
Next = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def away(request: web.Request) -> rx_sse.Principal:
    raise ConnectionError("the users' database is away")


@web.middleware
async def sessions(request: web.Request, handler: Next) -> web.StreamResponse:
    raise ConnectionError("the sessions' database is away")


def behind_a_middleware(*, before: bool) -> web.Application:
    """With a middleware that stands before `setup`'s own, or behind them."""
    app = web.Application(middlewares=[sessions] if before else [])
    rx_sse.setup(app)
    if not before:
        app.middlewares.append(sessions)
    app.router.add_get("/", streaming(rx.never))
    return app


async def late(request: web.Request) -> web.StreamResponse:
    """A handler that decides late whether it streams."""
    await away(request)
    return await rx_sse.stream_response(request, rx.never())


async def refusing(who: rx_sse.Principal, topic: str, action: str) -> bool:
    raise ConnectionError("the grants' database is away")


def mount() -> web.Application:
    bus = rx_sse.MemoryBus()
    app = rx_sse.setup(web.Application(), bus=bus)
    app.add_subapp("/sub", rx_sse.bus_app(bus, auth=lambda _: rx_sse.Principal("ada"), allow=refusing))
    return app


def admin() -> web.Application:
    app = rx_sse.setup(web.Application())
    app.add_subapp("/admin", rx_sse.admin_app(auth=away))
    return app


@web.middleware
async def as_json(request: web.Request, handler: Next) -> web.StreamResponse:
    """What many applications have: an answer of their own for whatever fails."""
    try:
        return await handler(request)
    except ConnectionError:
        return web.json_response({"error": "failed"}, status=500)


def answered(*, auth: bool) -> web.Application:
    app = rx_sse.setup(web.Application(middlewares=[as_json]))
    handler = streaming(rx.never, auth=away) if auth else rx_sse.sse(away)  # type: ignore[arg-type]
    app.router.add_get("/", handler)
    return app


class Watched:
    """An authenticator of one's own that cannot be watched."""

    def __call__(self, request: web.Request) -> rx_sse.Principal:
        return rx_sse.Principal("ada")

    def watch(self, callback: object) -> Callable[[], None]:
        raise ConnectionError("the issuer is away")


DOORS: dict[str, tuple[Callable[[], web.Application], str]] = {
    "an authenticator": (lambda: app_of(streaming(rx.never, auth=away)), "/"),
    "an authenticator below a middleware that answers": (lambda: answered(auth=True), "/"),
    "a handler below a middleware that answers": (lambda: answered(auth=False), "/"),
    "an authenticator's watch": (lambda: app_of(streaming(rx.never, auth=Watched())), "/"),
    "a middleware outside": (lambda: behind_a_middleware(before=True), "/"),
    "a middleware inside": (lambda: behind_a_middleware(before=False), "/"),
    "a handler of stream_response": (lambda: app_of(late), "/"),
    "a function that grants": (mount, "/sub?topic=news"),
    "the admin's authenticator": (admin, "/admin/streams"),
}


@pytest.mark.parametrize("door", DOORS)
async def test_a_failure_at_any_door_lets_a_browser_come_back(door: str) -> None:
    make, path = DOORS[door]
    async with serve(make()) as url:
        async with open_stream(url, path, headers=BACK) as stream:
            assert stream.status == 200
            assert await stream.ended()
            (failed,) = stream.rest(control=True)
            assert failed.type == "stream-error" and "away" not in failed.data
            assert stream.retry is not None and stream.retry >= 1000
        async with open_stream(url, path, headers={**BACK, "Accept": "*/*"}) as stream:
            assert stream.status == 500, "a program gets the status"


@pytest.mark.parametrize("raised", [web.HTTPUnauthorized, web.HTTPForbidden, web.HTTPNotFound])
async def test_what_is_refused_on_purpose_stays_refused(raised: Any) -> None:
    async def auth(request: web.Request) -> rx_sse.Principal:
        raise raised

    async with open_stream(app_of(streaming(rx.never, auth=auth)), headers=BACK) as stream:
        assert stream.status == raised.status_code


async def test_what_fails_behind_the_headers_gets_no_second_answer() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: 1\n\n")
        raise ConnectionError("later")

    async with open_stream(app_of(handler), headers=BACK) as stream:
        assert (await stream.next_event()).data == "1"
        assert not await stream.ended(), "it is cut"
        assert stream.rest(control=True) == []
