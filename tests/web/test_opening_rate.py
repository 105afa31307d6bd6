"""How many streams an application opens in a second, and when those that are refused may return."""

from __future__ import annotations

from typing import Any

import reactivex as rx
from aiohttp import web

import rx_sse
from rx_sse import Limits
from rx_sse.testing import open_stream, serve
from rx_sse.web.opening_rate import LATEST, SOONEST, OpeningRate
from rx_sse.web.registry import REGISTRY

from .apps import app_of, exchange, streaming, until


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_so_many_in_a_row_and_so_many_a_second_after_that() -> None:
    clock = Clock()
    rate = OpeningRate(10, clock)
    assert [rate.take() == 0.0 for _ in range(11)] == [True] * 10 + [False]
    clock.now += 0.35
    assert [rate.take() == 0.0 for _ in range(4)] == [True] * 3 + [False]
    clock.now += 3600.0
    assert sum(rate.take() == 0.0 for _ in range(50)) == 10, "a pause saves nothing up"


def test_without_a_bound_all_are_opened() -> None:
    rate = OpeningRate(None)
    assert not any(rate.take() for _ in range(10_000))


def test_a_crowd_is_spread_over_the_time_that_it_needs() -> None:
    clock = Clock()
    rate = OpeningRate(100, clock)
    waits = [rate.take() for _ in range(2_100)]
    assert waits[:100] == [0.0] * 100
    assert waits[100] == SOONEST and waits[-1] == 20.0, "2,000 were refused, and 100 a second are let in"
    assert waits[100:] == sorted(waits[100:])
    for _ in range(20_000):
        rate.take()
    assert rate.take() == LATEST
    clock.now += 300.0
    [rate.take() for _ in range(100)]
    assert rate.take() == SOONEST, "those have had their turn"


async def test_what_is_over_the_rate_is_shed_before_its_handler_and_counted() -> None:
    called = 0

    @rx_sse.sse(hold_headers=0)
    def handler(request: web.Request) -> rx.Observable[Any]:
        nonlocal called
        called += 1
        return rx.of(1)

    app = app_of(handler, limits=Limits(opens_per_second=2))
    app[REGISTRY]._opening = OpeningRate(2, Clock())  # which fills again with time, of which there is none
    async with serve(app) as url:
        for _ in range(2):
            assert (await exchange(url, "GET /", "Accept: text/event-stream")).content.startswith(b":")
        answer = await exchange(url, "GET /", "Accept: */*")
        assert (
            answer.status == 503 and answer.content == b"Too many streams are being opened; try again later."
        )
        assert 2 <= int(answer.header("Retry-After") or 0) <= 6
        (told,) = rx_sse.EventParser().feed(
            (await exchange(url, "GET /", "Accept: text/event-stream")).content
        )
        assert (told.type, told.json()) == ("stream-reconnect", {"reason": "overloaded"})
        assert (called, app[REGISTRY].stats().shed) == (2, 2)


async def test_a_request_is_counted_once_whichever_way_it_streams() -> None:
    """`sse` asks before a handler, and again after one that was awaited; `stream_response` asks once."""

    async def awaited(request: web.Request) -> rx.Observable[int]:
        return rx.of(1)

    async def later(request: web.Request) -> web.StreamResponse:
        return await rx_sse.stream_response(request, rx.of(1))

    routes = {"/": streaming(lambda: rx.of(1)), "/awaited": rx_sse.sse(awaited), "/later": later}
    app = app_of(routes, limits=Limits(opens_per_second=4))
    app[REGISTRY]._opening = OpeningRate(4, Clock())  # which fills again with time, of which there is none
    async with serve(app) as url:
        for path in ("/", "/awaited", "/awaited", "/later"):
            assert (await exchange(url, f"GET {path}", "Accept: */*")).status == 200
        assert (await exchange(url, "GET /later", "Accept: */*")).status == 503


async def test_what_another_limit_refuses_uses_nothing_up() -> None:
    routes = {"/": streaming(rx.never, hold_headers=0), "/done": streaming(lambda: rx.of(1))}
    app = app_of(routes, limits=Limits(connections=1, opens_per_second=2))
    async with serve(app) as url:
        async with open_stream(url) as stream:
            assert stream.status == 200
            for _ in range(3):
                answer = await exchange(url, "GET /", "Accept: */*")
                assert answer.content.startswith(b"Too many streams are open;")
        await until(lambda: not app[REGISTRY].streams)
        assert (await exchange(url, "GET /done", "Accept: */*")).status == 200
