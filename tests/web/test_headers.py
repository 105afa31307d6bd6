"""The response headers of a stream that its handler asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import reactivex as rx
from aiohttp import web

import rx_sse
from rx_sse.testing import serve
from rx_sse.web.options import resolve

from .apps import Answer, app_of, exchange, streaming

EVENTS = "Accept: text/event-stream"


def one() -> rx.Observable[int]:
    return rx.of(1)


def cookies(answer: Answer) -> list[str]:
    return [value for name, value in answer.headers if name == "Set-Cookie"]


async def test_a_mapping_is_sent_with_every_stream_head_included() -> None:
    own = {"X-Trace": "7", "Set-Cookie": "seen=1; Secure", "Cache-Control": "no-store"}
    app = app_of({"/": streaming(one, headers=own), "HEAD /": streaming(one, headers=own)})
    async with serve(app) as url:
        for method in ("GET", "HEAD"):
            answer = await exchange(url, f"{method} /", EVENTS)
            assert answer.header("Content-Type") == "text/event-stream; charset=utf-8"
            assert (answer.header("X-Trace"), cookies(answer)) == ("7", ["seen=1; Secure"])
            assert answer.header("Cache-Control") == "no-store"
            assert answer.header("X-Accel-Buffering") == "no"


async def test_pairs_may_set_several_cookies() -> None:
    own = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]
    async with serve(app_of(streaming(one), headers=own)) as url:
        assert cookies(await exchange(url, "GET /", EVENTS)) == ["a=1", "b=2"]


async def test_a_function_sees_the_request_as_the_handler_left_it() -> None:
    key = web.RequestKey("room", str)

    def handler(request: web.Request) -> rx.Observable[int]:
        request[key] = request.query["room"]
        return one()

    def headers(request: web.Request) -> Mapping[str, str]:
        return {"X-Room": request[key]}

    async with serve(app_of(rx_sse.sse(headers=headers)(handler))) as url:
        assert (await exchange(url, "GET /?room=7", EVENTS)).header("X-Room") == "7"


async def test_those_of_a_handler_stand_in_the_place_of_the_applications() -> None:
    async def late(request: web.Request) -> web.StreamResponse:
        return await rx_sse.stream_response(request, one(), headers={"X-B": "late"})

    app = app_of(
        {"/": streaming(one), "/own": streaming(one, headers={"X-B": "own"}), "/late": late},
        headers={"X-A": "app"},
    )
    async with serve(app) as url:
        seen = [await exchange(url, f"GET {path}", EVENTS) for path in ("/", "/own", "/late")]
    assert [(a.header("X-A"), a.header("X-B")) for a in seen] == [
        ("app", None),
        (None, "own"),
        (None, "late"),
    ]


async def test_vary_is_added_to_what_compression_says() -> None:
    async with serve(app_of(streaming(one, compress="zstd", headers={"Vary": "Cookie"}))) as url:
        assert (await exchange(url, "GET /", EVENTS)).header("Vary") == "Accept-Encoding, Cookie"


def broken(request: web.Request) -> Any:
    raise LookupError("no session")


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (broken, "no session"),
        (lambda request: 5, "headers= is a mapping or pairs"),
        (lambda request: {"Content-Length": "5"}, "headers= may not set Content-Length"),
        (lambda request: {"X-A": "1\r\nX-B: 2"}, "a value of X-A that is no text of one line"),
    ],
)
async def test_a_function_that_fails_is_a_failure_before_the_headers(
    function: Any, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    subscribed: list[int] = []
    handler = streaming(lambda: rx.defer(lambda _: subscribed.append(1) or one()), headers=function)
    async with serve(app_of({"/": handler, "HEAD /": handler})) as url:
        for method in ("GET", "HEAD"):
            assert (await exchange(url, f"{method} /", "Accept: */*")).status == 500
    assert subscribed == []
    assert said in caplog.text


def test_an_iterator_of_pairs_serves_more_than_one_request() -> None:
    def pairs() -> Iterator[tuple[str, str]]:
        yield "X-A", "1"

    options = resolve({"headers": pairs()})
    assert options.headers == (("X-A", "1"),)
