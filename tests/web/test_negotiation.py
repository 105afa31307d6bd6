"""What the request says decides the form of the answer: Accept, method, HTTP version, origin.

Seen by a client that reads every byte.
"""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

import pytest
import reactivex as rx
from aiohttp import web

import rx_sse
from rx_sse.delivery.tuning import NOTSENT_LOWAT, USER_TIMEOUT
from rx_sse.testing import open_stream, serve
from rx_sse.web.registry import REGISTRY

from .apps import Answer, app_of, exchange, exchanges, hello, streaming, watched

EVENTS = "Accept: text/event-stream"
TWO = b": open\nretry: 3000\ndata: 1\n\ndata: 2\n\n"
NO_LIMIT = 2**31 - 1
STREAM_END = b"event: stream-end\ndata: {}\nid: 0_"


def two() -> rx.Observable[int]:
    return rx.of(1, 2)


def is_stream(answer: Answer) -> bool:
    return answer.header("Content-Type") == "text/event-stream; charset=utf-8"


# -- Accept --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ([], 200),
        ([""], 200),
        (["*/*"], 200),
        (["text/*"], 200),
        (["text/event-stream"], 200),
        (["Text/Event-Stream"], 200),
        (["text/event-stream;q=0.1"], 200),
        (["text/event-stream; charset=utf-8"], 200),
        (["text/html, application/xhtml+xml, */*;q=0.8"], 200),
        (["application/json", "text/event-stream"], 200),
        (["*/*;q=0, text/event-stream"], 200),
        (["application/json;q=0, text/*"], 200),
        (["application/json"], 200),
        (["text/html, image/*"], 200),
        (["application/json", "text/event-stream;q=0"], 406),
        (["application/json, */*;q=0"], 406),
        (["application/json;q=0"], 200),
        (["text/event-stream;q=0"], 406),
        (["text/event-stream;q=0, */*"], 406),
        (["text/event-stream; q=0.000, text/*"], 406),
        (["text/*;q=0, */*;q=1"], 406),
        (["*/*;q=0"], 406),
        (["text/event-stream;q=high"], 200),
        (["text/event-streams;q=0"], 200),
    ],
    ids=str,
)
async def test_accept_decides_whether_there_is_a_stream(accept: list[str], status: int) -> None:
    subscribed: set[object] = set()
    async with serve(app_of(streaming(lambda: watched(two(), subscribed)))) as url:
        answer = await exchange(url, "GET /", *(f"Accept: {value}" for value in accept))
    assert answer.status == status
    assert is_stream(answer) is (status == 200)
    if status == 406:
        assert b"text/event-stream" in answer.content


async def test_a_client_that_accepts_no_stream_never_reaches_the_handler() -> None:
    called: list[web.Request] = []
    app = app_of(rx_sse.sse(lambda request: called.append(request) or two()))
    async with serve(app) as url:
        assert (await exchange(url, "GET /", "Accept: text/event-stream;q=0")).status == 406
        assert called == []
        assert (await exchange(url, "GET /", EVENTS)).status == 200
        assert len(called) == 1


# -- the answer ----------------------------------------------------------------------------------------------


async def test_the_headers_are_these_and_no_others() -> None:
    async with serve(app_of(streaming(rx.never))) as url, open_stream(url) as stream:
        assert stream.status == 200
        assert {name: stream.headers[name] for name in stream.headers.keys() - {"date", "server"}} == {
            "content-type": "text/event-stream; charset=utf-8",
            "cache-control": "no-cache, no-transform",
            "x-accel-buffering": "no",
            "stream-heartbeat": "15",
            "transfer-encoding": "chunked",
            "connection": "close",  # the socket leaves aiohttp, and is closed with the stream
        }


async def test_the_body_is_the_opening_the_events_and_the_end() -> None:
    async with serve(app_of(streaming(two))) as url:
        answer = await exchange(url, "GET /", EVENTS)
    content = answer.content  # which checks the framing, to the last byte
    assert content.startswith(TWO + STREAM_END)
    assert content.endswith(b"\n\n") and content.count(b"\n\n") == 3


async def test_the_first_comment_comes_with_the_headers_before_any_event() -> None:
    async with serve(app_of(streaming(rx.never, hold_headers=0))) as url:
        reader, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(20):
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(12) == b"7\r\n: open\n\r\n"
        writer.close()


async def test_head_gets_the_headers_and_nothing_else() -> None:
    subscribed: list[int] = []
    app = app_of({"/": streaming(lambda: subscribed.append(1) or two()), "/hello": hello})
    app.router.add_head("/", streaming(lambda: subscribed.append(1) or two()))
    async with serve(app) as url:
        head, after = await exchanges(url, ("HEAD /", EVENTS), ("GET /hello",))
    assert head.status == 200 and is_stream(head)
    assert head.header("Cache-Control") == "no-cache, no-transform"
    assert (after.status, after.content) == (200, b"hello")  # not a byte stood before it
    assert subscribed == []


async def test_head_of_a_get_route_is_a_head_too() -> None:
    app = rx_sse.setup(web.Application())
    routes = web.RouteTableDef()
    routes.get("/")(streaming(rx.never))
    app.add_routes(routes)
    async with serve(app) as url:
        assert (await exchange(url, "HEAD /", EVENTS)).body == b""


async def test_http_1_0_gets_the_events_unframed_and_the_end_of_the_connection() -> None:
    async with serve(app_of(streaming(two))) as url:
        for headers in ([], ["Connection: keep-alive"]):
            answer = await exchange(url, "GET /", EVENTS, *headers, version="1.0")
            assert answer.status == 200
            assert "transfer-encoding" not in answer.names and "content-length" not in answer.names
            assert answer.body.startswith(TWO + STREAM_END) and answer.body.endswith(b"\n\n")


async def test_http_1_0_is_live_too() -> None:
    subject = rx.Subject[int]()
    async with (
        serve(app_of(streaming(lambda: subject))) as url,
        open_stream(url, http10=True) as stream,
    ):
        subject.on_next(1)
        assert (await stream.next_event()).json() == 1
        subject.on_completed()
        assert (await stream.next_event(control=True)).type == "stream-end"
        assert await stream.ended()


async def test_a_post_streams_as_well_and_its_body_can_be_read() -> None:
    @rx_sse.sse
    async def complete(request: web.Request) -> rx.Observable[str]:
        prompt = (await request.json())["prompt"]
        return rx.from_iterable(prompt.split())

    body = json.dumps({"prompt": "streams of tokens"}).encode()
    async with (
        serve(app_of({"POST /": complete})) as url,
        open_stream(url, method="POST", body=body, headers={"Accept": "*/*"}) as stream,
    ):
        assert [event.data for event in await stream.events(3)] == ["streams", "of", "tokens"]
        assert await stream.ended()


async def test_a_connection_is_used_again_after_a_stream_that_completed() -> None:
    big = "x" * 1_000_000

    async def large(request: web.Request) -> web.Response:
        return web.Response(text=big)

    async with serve(app_of({"/": streaming(two), "/large": large})) as url:
        stream, again, other, last = await exchanges(
            url, ("GET /", EVENTS), ("GET /", EVENTS), ("GET /large",), ("GET /", EVENTS)
        )
    assert stream.content == again.content == last.content
    assert stream.content.startswith(TWO)
    assert other.content == big.encode()


async def test_a_stream_leaves_its_connection_as_it_found_it() -> None:
    async def state(request: web.Request) -> web.Response:
        transport = request.transport
        assert transport is not None
        sock = transport.get_extra_info("socket")
        options = [
            sock.getsockopt(socket.IPPROTO_TCP, option) or NO_LIMIT
            for option in (NOTSENT_LOWAT, USER_TIMEOUT)
            if option is not None
        ]
        limits = transport.get_write_buffer_limits()
        return web.json_response([transport.get_protocol() is request.protocol, limits, options])

    async with serve(app_of({"/": streaming(two), "/state": state})) as url:
        before, _, after = await exchanges(url, ("GET /state",), ("GET /", EVENTS), ("GET /state",))
    assert json.loads(before.content)[0] is True
    assert before.content == after.content


async def test_a_clients_wish_to_close_is_respected() -> None:
    async with serve(app_of(streaming(two))) as url:
        answer = await exchange(url, "GET /", EVENTS)  # with Connection: close; it reads to the end
        assert answer.content.startswith(TWO)


# -- other sites ---------------------------------------------------------------------------------------------

APP, ELSEWHERE = "https://app.example", "https://elsewhere.example"


def cors(answer: Answer) -> dict[str, str | None]:
    names = {name for name in answer.names if name.startswith("access-control-")} | {"vary"}
    return {name: answer.header(name) for name in names if answer.header(name) is not None}


TO_THIS_PAGE = {
    "vary": "Origin",
    "access-control-allow-origin": APP,
    "access-control-allow-credentials": "true",
}
EXPOSED = {"access-control-expose-headers": "Stream-Heartbeat, Stream-User, Retry-After"}
WITH_CREDENTIALS = TO_THIS_PAGE | EXPOSED
TO_ANY_PAGE = {"vary": "Origin", "access-control-allow-origin": "*"} | EXPOSED


@pytest.mark.parametrize(
    ("allowed", "origin", "expected"),
    [
        ([], None, {}),
        ([], APP, {}),
        ([APP], None, {"vary": "Origin"}),
        ([APP], ELSEWHERE, {"vary": "Origin"}),
        ([APP], "null", {"vary": "Origin"}),
        ([APP], "https://app.example.evil", {"vary": "Origin"}),
        ([APP], "http://app.example", {"vary": "Origin"}),
        ([APP], APP, WITH_CREDENTIALS),
        ([ELSEWHERE, APP], APP, WITH_CREDENTIALS),
        (["HTTPS://App.Example:443"], APP, WITH_CREDENTIALS),
        (["*"], ELSEWHERE, TO_ANY_PAGE),
        (["*"], "null", TO_ANY_PAGE),
        (["*"], None, {"vary": "Origin"}),
        (["*", APP], APP, WITH_CREDENTIALS),
        (["*", APP], ELSEWHERE, TO_ANY_PAGE),
    ],
    ids=str,
)
async def test_pages_of_other_sites_may_read_if_they_are_on_the_list(
    allowed: list[str], origin: str | None, expected: dict[str, str]
) -> None:
    headers = [] if origin is None else [f"Origin: {origin}"]
    async with serve(app_of(streaming(two), allow_origins=allowed)) as url:
        assert cors(await exchange(url, "GET /", EVENTS, *headers)) == expected


async def test_refusals_and_failures_of_a_stream_may_be_read_as_well() -> None:
    def forbidden(request: web.Request) -> Any:
        raise web.HTTPForbidden

    app = app_of(
        {
            "/": streaming(two),
            "/fails": streaming(lambda: rx.throw(ValueError("x"))),
            "/forbidden": rx_sse.sse(forbidden),
        },
        allow_origins=[APP],
    )
    async with serve(app) as url:
        for path, accept, status in (
            ("/", "text/event-stream;q=0", 406),
            ("/fails", "*/*", 500),
            ("/forbidden", "*/*", 403),
        ):
            answer = await exchange(url, f"GET {path}", f"Accept: {accept}", f"Origin: {APP}")
            assert (answer.status, cors(answer)) == (status, WITH_CREDENTIALS)


async def test_routes_that_are_no_streams_are_left_alone() -> None:
    async with serve(app_of({"/": streaming(two), "/hello": hello}, allow_origins=[APP])) as url:
        assert cors(await exchange(url, "GET /hello", f"Origin: {APP}")) == {}
        assert cors(await exchange(url, "GET /nowhere", f"Origin: {APP}")) == {}


async def test_vary_is_added_to_what_the_handler_said() -> None:
    async def prepared(request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Vary"] = "Accept-Language, Cookie"

    app = web.Application()
    app.on_response_prepare.append(prepared)
    rx_sse.setup(app, allow_origins=[APP]).router.add_get("/", streaming(two))
    async with serve(app) as url:
        answer = await exchange(url, "GET /", EVENTS)
    assert answer.header("Vary") == "Accept-Language, Cookie, Origin"


class Views(web.View):
    @rx_sse.sse
    def get(self) -> rx.Observable[int]:
        return two()

    async def post(self) -> web.Response:
        return web.Response()


def with_everything() -> web.Application:
    sub = web.Application()
    sub.router.add_get("/stream", streaming(two))
    app = app_of(
        {
            "/": streaming(two),
            "POST /": streaming(two),
            "/hello": hello,
            "/view": Views,
            "* /any": streaming(two),
        },
        allow_origins=[APP],
    )
    app.add_subapp("/sub", sub)
    return app


@pytest.mark.parametrize(
    ("path", "method"),
    [("/", "GET"), ("/", "POST"), ("/view", "GET"), ("/any", "PUT"), ("/sub/stream", "GET")],
)
async def test_a_preflight_of_a_stream_is_answered(path: str, method: str) -> None:
    async with serve(with_everything()) as url:
        answer = await exchange(
            url,
            f"OPTIONS {path}",
            f"Origin: {APP}",
            f"Access-Control-Request-Method: {method}",
            "Access-Control-Request-Headers: last-event-id",
        )
    assert answer.status == 204 and answer.body == b""
    assert cors(answer) == {
        **TO_THIS_PAGE,
        "access-control-allow-methods": method,
        "access-control-allow-headers": (
            "Last-Event-ID, Authorization, Cache-Control, Content-Type, Idempotency-Key"
        ),
        "access-control-max-age": "600",
    }


@pytest.mark.parametrize(
    ("path", "method", "origin", "status"),
    [
        ("/hello", "GET", APP, 405),
        ("/view", "POST", APP, 405),
        ("/view", "DELETE", APP, 405),
        ("/", "DELETE", APP, 405),
        ("/", "G ET", APP, 405),
        ("/", "GET", ELSEWHERE, 405),
        ("/", "GET", "null", 405),
        ("/nowhere", "GET", APP, 404),
    ],
)
async def test_any_other_preflight_is_not_ours_to_answer(
    path: str, method: str, origin: str, status: int
) -> None:
    async with serve(with_everything()) as url:
        answer = await exchange(
            url, f"OPTIONS {path}", f"Origin: {origin}", f"Access-Control-Request-Method: {method}"
        )
    assert answer.status == status
    assert "access-control-allow-origin" not in answer.names


async def test_options_that_is_no_preflight_reaches_the_routes() -> None:
    app = app_of({"/": streaming(two), "OPTIONS /": hello}, allow_origins=[APP])
    async with serve(app) as url:
        assert (await exchange(url, "OPTIONS /", f"Origin: {APP}")).content == b"hello"


async def test_a_preflight_needs_no_token_and_opens_nothing() -> None:
    def nobody(request: web.Request) -> None:
        raise AssertionError("asked")

    app = app_of(streaming(two, auth=nobody), allow_origins=[APP])
    async with serve(app) as url:
        answer = await exchange(url, "OPTIONS /", f"Origin: {APP}", "Access-Control-Request-Method: GET")
        assert answer.status == 204
        assert app[REGISTRY].stats().opened == 0


async def test_in_a_tree_of_applications_the_outermost_list_counts() -> None:
    inner = app_of(streaming(two), allow_origins=[ELSEWHERE])
    outer = rx_sse.setup(web.Application(), allow_origins=[APP])
    outer.add_subapp("/inner", inner)
    async with serve(outer) as url:
        assert cors(await exchange(url, "GET /inner/", EVENTS, f"Origin: {APP}")) == WITH_CREDENTIALS
        assert cors(await exchange(url, "GET /inner/", EVENTS, f"Origin: {ELSEWHERE}")) == {"vary": "Origin"}
        for origin, status in ((APP, 204), (ELSEWHERE, 405)):
            preflight = await exchange(
                url, "OPTIONS /inner/", f"Origin: {origin}", "Access-Control-Request-Method: GET"
            )
            assert preflight.status == status
