"""The development mode: a page sees why its stream failed. Without it nothing of that leaves the server."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import reactivex as rx
from aiohttp import web

import rx_sse
from rx_sse.testing import serve
from rx_sse.web.problem import error_event

from .apps import app_of, exchange, streaming
from .auth.support import SECRET, token

EVENTS = "Accept: text/event-stream"
STATUS = "Accept: */*"


def broken(request: web.Request) -> Any:
    raise ValueError("no such shop")


def late() -> rx.Observable[int]:
    return rx.concat(rx.of(1), rx.throw(ValueError("no such shop")))


def problem(body: bytes) -> Any:
    (event,) = [event for event in rx_sse.EventParser().feed(body) if event.type == "stream-error"]
    return event.json()


def unmasked(found: Any) -> bool:
    assert found["status"] == 500
    assert ("detail" in found) is ("traceback" in found)
    if "detail" not in found:
        return False
    assert found["detail"].startswith("ValueError: no such shop")
    return "in broken" in found["traceback"] or "ValueError" in found["traceback"]


@pytest.mark.parametrize("debug", [True, False, None])
@pytest.mark.parametrize("loop_debug", [True, False])
async def test_an_error_is_shown_in_the_development_mode_alone(debug: bool | None, loop_debug: bool) -> None:
    loop = asyncio.get_running_loop()
    shown = loop_debug if debug is None else debug
    loop.set_debug(loop_debug)
    try:
        app = app_of({"/late": streaming(late), "/broken": rx_sse.sse(broken)}, debug=debug)
        async with serve(app) as url:
            after = await exchange(url, "GET /late", EVENTS)
            assert unmasked(problem(after.content)) is shown
            before = await exchange(url, "GET /broken", EVENTS)
            assert unmasked(problem(before.content)) is shown
            status = await exchange(url, "GET /broken", STATUS)
            assert status.status == 500
            if shown:
                assert status.header("Content-Type") == "application/problem+json; charset=utf-8"
                assert unmasked(json.loads(status.content))
            elif not loop_debug:
                assert b"no such shop" not in status.content
    finally:
        loop.set_debug(False)


async def test_it_is_in_the_log_as_well(caplog: pytest.LogCaptureFixture) -> None:
    async with serve(app_of(rx_sse.sse(broken), debug=True)) as url:
        assert (await exchange(url, "GET /", STATUS)).status == 500
    assert any(record.exc_info for record in caplog.records)


async def test_a_stream_error_is_what_it_says_in_any_mode() -> None:
    error = rx_sse.StreamError("full", status=409)
    async with serve(app_of(streaming(lambda: rx.throw(error)), debug=True)) as url:
        answer = await exchange(url, "GET /", STATUS)
    assert (answer.status, json.loads(answer.content)) == (409, error.problem())


def test_what_utf8_cannot_carry_is_shown_all_the_same() -> None:
    (found,) = rx_sse.EventParser().feed(error_event(ValueError("\ud800"), debug=True).frame)
    assert found.json()["detail"] == "ValueError: \\ud800"


def nobody(request: web.Request) -> None:
    return None


@pytest.mark.parametrize("debug", [True, False])
async def test_a_refusal_says_why_in_the_development_mode_alone(debug: bool) -> None:
    bus = rx_sse.MemoryBus()
    auth = rx_sse.JWTAuth(key=SECRET, algorithms="HS256")
    handlers = {"/own": rx_sse.sse(auth=nobody)(broken), "/token": rx_sse.sse(auth=auth)(broken)}
    app = app_of(handlers, debug=debug)
    app.add_subapp("/events", rx_sse.bus_app(bus, auth=auth))
    async with serve(app) as url:
        own = await exchange(url, "GET /own", EVENTS)
        none = await exchange(url, "GET /token", EVENTS)
        again = await exchange(url, "GET /token", EVENTS, "Last-Event-ID: 1", "Authorization: Bearer x.y.z")
        mount = await exchange(url, "GET /events/?topic=news", f"Authorization: Bearer {token()}")
    assert (own.status, none.status, again.status, mount.status) == (401, 401, 401, 403)
    refusal = json.loads(mount.content)
    assert refusal["detail"] == "the token does not grant all of these topics"
    if debug:
        assert own.content == b"401: auth=nobody returned None"
        assert none.content == b"401: no Authorization: Bearer header"
        assert b"the token was refused: it is no JSON Web Token" in again.content
        assert "claim 'rx_sse'" in refusal["reason"] and "'news'" in refusal["reason"]
        assert own.header("Content-Length") == str(len(own.content))
    else:
        assert {own.content, none.content, again.content} == {b"401: Unauthorized"}
        assert refusal.keys() == {"type", "status", "detail"}


async def test_a_handler_that_has_caught_a_refusal_answers_what_it_says() -> None:
    auth = rx_sse.JWTAuth(key=SECRET, algorithms="HS256")

    async def greet(request: web.Request) -> web.Response:
        try:
            return web.Response(text=f"hello, {(await auth(request)).user}")
        except web.HTTPUnauthorized:
            return web.Response(text="hello, guest")

    async with serve(app_of(greet, debug=True)) as url:
        assert (await exchange(url, "GET /", STATUS)).content == b"hello, guest"
