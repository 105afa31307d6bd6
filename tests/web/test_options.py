"""Options: where they come from, and what those do that no other file is about."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest
import reactivex as rx
from aiohttp import web
from reactivex.subject import Subject

import rx_sse
from rx_sse.delivery.tuning import KERNEL_LIMIT, NOTSENT_LOWAT, USER_TIMEOUT
from rx_sse.testing import open_stream, serve
from rx_sse.web.options import DEFAULTS, Options, resolve
from rx_sse.web.registry import HANDLERS, REGISTRY

from .apps import app_of, exchange, only_stream, streaming, until, watched

# -- where they come from ------------------------------------------------------------------------------------


async def test_the_decorators_options_overlay_those_of_setup() -> None:
    async def late(request: web.Request) -> web.StreamResponse:
        return await rx_sse.stream_response(request, rx.of(1), retry=3333)

    handlers = {
        "/default": streaming(lambda: rx.of(1)),
        "/own": streaming(lambda: rx.of(1), retry=2222),
        "/none": streaming(lambda: rx.of(1), retry=None),
        "/late": late,
    }
    async with serve(app_of(handlers, retry=1111)) as url:
        for path, retry in (("/default", 1111), ("/own", 2222), ("/none", 3000), ("/late", 3333)):
            async with open_stream(url, path) as stream:
                assert await stream.ended()
                assert stream.retry == retry, path


async def test_one_handler_may_serve_two_applications() -> None:
    handler = streaming(lambda: rx.of(1))
    for retry in (1111, 2222):
        async with serve(app_of(handler, retry=retry)) as url, open_stream(url) as stream:
            assert await stream.ended()
            assert stream.retry == retry


class Own(dict[str, Any]):
    """The options of a handler, which can be watched going."""


def test_the_options_of_handlers_that_are_decorated_for_each_request_are_not_all_kept() -> None:
    edge = rx_sse.setup(web.Application())[REGISTRY]
    known: list[weakref.ref[Own]] = []
    for number in range(3 * HANDLERS):
        edge.options(own := Own(retry=number))
        known.append(weakref.ref(own))
        del own
    gc.collect()
    assert sum(own() is not None for own in known) <= HANDLERS


def test_the_defaults_are_those_of_the_documentation() -> None:
    assert resolve() == Options() == resolve(DEFAULTS)
    assert DEFAULTS == {
        "overflow": "disconnect",
        "heartbeat": 15.0,
        "retry": None,
        "hold_headers": 0.05,
        "hold_request": None,
        "write_timeout": 30.0,
        "on_end": "stop",
        "max_duration": None,
        "prelude_bytes": 8 * 1024 * 1024,
        "close_timeout": 2.0,
        "dumps": None,
        "compress": None,
        "control": "events",
        "on_error": None,
        "headers": None,
    }
    assert set(DEFAULTS) == set(rx_sse.StreamOptions.__annotations__)


# -- hold_headers --------------------------------------------------------------------------------------------


async def head_after(url: str) -> float:
    loop = asyncio.get_running_loop()
    begin = loop.time()
    async with open_stream(url) as stream:
        assert stream.status == 200
        return loop.time() - begin


async def test_headers_are_held_for_so_long_and_no_longer() -> None:
    async with serve(app_of(streaming(rx.never, hold_headers=0.4))) as url:
        assert 0.3 < await head_after(url) < 20
    async with serve(app_of(streaming(rx.never, hold_headers=0), hold_headers=60.0)) as url:
        assert await head_after(url) < 20


@pytest.mark.parametrize(
    "source",
    [lambda: rx.concat(rx.of(1), rx.never()), rx.empty, lambda: rx.timer(0.02)],
    ids=["a first emission", "completion", "an emission after a while"],
)
async def test_headers_leave_with_the_first_sign_of_life(source: Any) -> None:
    async with serve(app_of(streaming(source, hold_headers=60.0))) as url:
        assert await head_after(url) < 20


async def test_headers_leave_after_the_source_is_subscribed() -> None:
    """A client that has received the headers misses nothing that is pushed after them."""
    subject, live = Subject[int](), set[object]()
    app = app_of(streaming(lambda: watched(subject, live), hold_headers=0))
    async with serve(app) as url:
        for n in range(20):
            async with open_stream(url) as stream:
                assert len(live) == 1
                subject.on_next(n)
                assert (await stream.next_event()).json() == n
            await until(lambda: not live)


async def test_an_async_generator_is_held_for_as_well() -> None:
    async def slow() -> AsyncIterator[int]:
        await asyncio.sleep(0.02)
        raise web.HTTPConflict
        yield 1

    async with serve(app_of(streaming(slow, hold_headers=5.0))) as url:
        assert (await exchange(url, "GET /", "Accept: */*")).status == 409


# -- dumps ---------------------------------------------------------------------------------------------------


async def test_dumps_replaces_the_encoder_for_values_alone() -> None:
    given: list[Any] = []

    def dumps(value: Any) -> str:
        given.append(value)
        return json.dumps({"own": value})

    source = rx.of({"a": 1}, "text", rx_sse.ServerSentEvent({"b": 2}), rx_sse.RawFrame("data: raw\n\n"), None)
    async with serve(app_of(streaming(lambda: source, dumps=dumps))) as url, open_stream(url) as stream:
        events = await stream.events(5)
    assert [event.data for event in events] == [
        '{"own": {"a": 1}}',
        "text",
        '{"b":2}',
        "raw",
        '{"own": null}',
    ]
    assert given == [{"a": 1}, None]


async def test_dumps_may_return_bytes_of_several_lines() -> None:
    dumps = streaming(lambda: rx.of([1]), dumps=lambda value: b"[\n1\n]")
    async with serve(app_of(dumps)) as url, open_stream(url) as stream:
        assert (await stream.next_event()).json() == [1]


# -- the socket ----------------------------------------------------------------------------------------------


async def test_little_waits_in_the_kernel_and_in_the_transport_while_a_stream_is_open() -> None:
    app = app_of(streaming(rx.never, write_timeout=7.5))
    async with serve(app) as url, open_stream(url):
        transport = (await only_stream(app)).connection.transport
        assert transport.get_write_buffer_limits()[1] == KERNEL_LIMIT
        sock = transport.get_extra_info("socket")
        for option, value in ((NOTSENT_LOWAT, KERNEL_LIMIT), (USER_TIMEOUT, 7500)):
            if option is not None:
                assert sock.getsockopt(socket.IPPROTO_TCP, option) == value


async def test_a_write_timeout_beyond_what_the_kernel_can_count_is_no_failure() -> None:
    async with serve(app_of(streaming(rx.never, write_timeout=1e9))) as url, open_stream(url) as stream:
        assert stream.status == 200


# -- stats ---------------------------------------------------------------------------------------------------


async def test_stats_tell_what_there_is_and_was() -> None:
    subject = Subject[int]()
    app = app_of({"/": streaming(lambda: subject), "/never": streaming(rx.never)})
    async with serve(app) as url:
        edge = app[REGISTRY]
        assert (edge.stats().open, edge.stats().opened, dict(edge.stats().ended)) == (0, 0, {})
        async with open_stream(url) as stream, open_stream(url, "/never"):
            assert (edge.stats().open, edge.stats().opened) == (2, 2)
            subject.on_completed()
            assert await stream.ended()
            await until(lambda: edge.stats().open == 1)
        await until(lambda: edge.stats().open == 0)
        assert edge.stats().ended == {"completed": 1, "left": 1}
        assert not edge.stats().closing
    assert app[REGISTRY].stats().closing
