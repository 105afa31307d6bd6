"""Wrong use has its own error, where it happens, with the value and the way out."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import aiohttp
import pytest
import reactivex as rx
from aiohttp import web

import rx_sse
from rx_sse import Limits, Overflow, Principal
from rx_sse.errors import RxSseError, UsageError
from rx_sse.testing import serve

from .apps import app_of, exchange, hello

unchecked: Any = rx_sse  # for calls that a type checker refuses

EVENTS = "Accept: text/event-stream"


def ticks(request: web.Request) -> rx.Observable[int]:
    return rx.of(1)


def wrong(action: Callable[[], Any]) -> str:
    with pytest.raises(UsageError) as caught:
        action()
    assert isinstance(caught.value, TypeError) and isinstance(caught.value, RxSseError)
    return str(caught.value)


async def logged(app: web.Application, caplog: pytest.LogCaptureFixture, request: str = "GET /") -> str:
    """The one error that a request leads to: a 500 for the client, and all of it in the log."""
    async with serve(app) as url:
        answer = await exchange(url, request, EVENTS)
    assert answer.status == 500
    assert b"rx_sse" not in answer.body
    (record,) = [record for record in caplog.records if record.exc_info]
    assert record.exc_info and isinstance(record.exc_info[1], UsageError)
    return str(record.exc_info[1])


# -- the decorator -------------------------------------------------------------------------------------------


def test_sse_given_a_path() -> None:
    said = "@rx_sse.sse('/ticks'): sse takes no path; put @routes.get('/ticks') above @rx_sse.sse"
    assert wrong(lambda: unchecked.sse("/ticks")) == said


@pytest.mark.parametrize(("given", "kind"), [(5, "int"), (rx.of(1), "Observable"), ({}, "dict")])
def test_sse_given_something_that_is_no_handler(given: Any, kind: str) -> None:
    assert wrong(lambda: rx_sse.sse(given)) == f"@rx_sse.sse decorates a handler, not a {kind}"
    assert "decorates a handler, not " in wrong(lambda: rx_sse.sse(retry=1)(given))


def test_sse_on_a_class() -> None:
    class Stream(web.View):
        pass

    said = wrong(lambda: rx_sse.sse(Stream))
    assert "on the class" in said and "decorate its methods (get, post) instead" in said


async def coroutine(request: web.Request) -> rx.Observable[int]:
    return rx.of(1)


async def generator(request: web.Request) -> AsyncIterator[int]:
    yield 1


@pytest.mark.filterwarnings("ignore:Bare functions are deprecated")  # aiohttp's own hint
@pytest.mark.parametrize("handler", [ticks, coroutine, generator], ids=lambda handler: handler.__name__)
async def test_decorators_swapped(handler: Any, caplog: pytest.LogCaptureFixture) -> None:
    routes = web.RouteTableDef()
    rx_sse.sse(routes.get("/")(handler))
    app = rx_sse.setup(web.Application())
    app.add_routes(routes)
    said = await logged(app, caplog)
    assert said.startswith("the handler of / returned a")
    assert "put @rx_sse.sse directly above the function, below @routes.get(...)" in said


async def test_an_assertion_of_ones_own_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(request: web.Request) -> web.Response:
        result = rx.of(1)
        assert result is None, "my own"
        return web.Response()

    async with serve(app_of(handler)) as url:
        assert (await exchange(url, "GET /")).status == 500
    (record,) = [record for record in caplog.records if record.exc_info]
    assert record.exc_info and "my own" in str(record.exc_info[1])


def test_a_plain_function_with_yield() -> None:
    def counting(request: web.Request) -> Iterator[int]:
        yield 1

    class Page:
        def numbers(self, request: web.Request) -> Iterator[int]:
            yield 1

    decorators: list[Any] = [rx_sse.sse, rx_sse.sse(retry=1)]
    for handler in (counting, Page.numbers):
        for decorate in decorators:
            said = wrong(lambda handler=handler, decorate=decorate: decorate(handler))
            assert handler.__qualname__ in said and "make it `async def`, or return rx.from_iterable" in said


async def test_a_coroutine_that_is_emitted(caplog: pytest.LogCaptureFixture) -> None:
    async def price() -> int:
        return 1

    waiting = price()
    async with serve(app_of(rx_sse.sse(lambda request: rx.of({"price": waiting})))) as url:
        assert (await exchange(url, "GET /", "Accept: */*")).status == 500
    assert await waiting == 1
    assert "await it, and emit what it returns" in caplog.text


async def test_a_websocket_is_no_source_although_it_is_iterated(caplog: pytest.LogCaptureFixture) -> None:
    async def echo(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data)
        return socket

    async def streamed(request: web.Request) -> web.StreamResponse:
        return await rx_sse.stream_response(request, web.WebSocketResponse())

    app = app_of({"/ws": echo, "/streamed": streamed, "/sse": rx_sse.sse(echo)})
    async with serve(app) as url, aiohttp.ClientSession() as session:
        for path in ("/ws", "/sse"):  # `sse` passes a response through
            async with session.ws_connect(url + path) as socket:
                await socket.send_str("hi")
                assert await socket.receive_str() == "hi"
        assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
        assert (await exchange(url, "GET /streamed", "Accept: */*")).status == 500
    assert "source is a WebSocketResponse: an event stream needs an Observable" in caplog.text


def test_auth_that_is_no_function() -> None:
    """A secret is the likely mistake, so it is not shown."""
    said = wrong(lambda: unchecked.sse(auth="secret"))
    assert said == "auth= is a str: give a function of a request that returns a Principal or None"


async def test_a_handler_called_without_a_request() -> None:
    handler = rx_sse.sse(ticks)
    with pytest.raises(UsageError, match=r"ticks was called without a request.*__wrapped__"):
        await handler(None)  # type: ignore[arg-type]


# -- the handler's result ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (None, "is None: return an Observable or an async iterable (is a 'return' missing?)"),
        ([1, 2], "is a list: an event stream needs an Observable or an async iterable (rx.from_iterable"),
        ((1,), "is a tuple: an event stream needs an Observable or an async iterable (rx.from_iterable"),
        ("text", "is a str: an event stream needs an Observable or an async iterable"),
        ({"a": 1}, "is a dict: an event stream needs"),
        (iter([1]), "is a list_iterator: an event stream needs"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("is_async", [False, True], ids=["function", "coroutine function"])
async def test_a_handler_that_returns_something_else(
    result: Any, said: str, is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def function(request: web.Request) -> Any:
        return result

    async def coroutine(request: web.Request) -> Any:
        return result

    message = await logged(app_of(rx_sse.sse(coroutine if is_async else function)), caplog)
    assert message.startswith("what test_a_handler_that_returns_something_else.<locals>.")
    assert said in message


async def test_stream_response_given_something_else(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return await unchecked.stream_response(request, [1])

    assert "source is a list" in await logged(app_of(handler), caplog)


async def test_an_unknown_option_of_stream_response(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return await unchecked.stream_response(request, rx.of(1), timeout=3)

    assert "unknown option 'timeout'; the options are close_timeout, compress" in await logged(
        app_of(handler), caplog
    )


async def test_auth_that_returns_something_else(caplog: pytest.LogCaptureFixture) -> None:
    def auth(request: web.Request) -> Any:
        return "ada"

    said = await logged(app_of(rx_sse.sse(auth=auth)(ticks)), caplog)
    assert "returned a str: return a rx_sse.Principal, or None for 401" in said


async def test_principal_of_a_route_without_auth(caplog: pytest.LogCaptureFixture) -> None:
    def handler(request: web.Request) -> rx.Observable[Principal]:
        return rx.of(rx_sse.principal(request))

    assert "not authenticated" in await logged(app_of(rx_sse.sse(handler)), caplog)


# -- the application -----------------------------------------------------------------------------------------


async def test_an_application_without_setup(caplog: pytest.LogCaptureFixture) -> None:
    app = web.Application()
    app.router.add_get("/", rx_sse.sse(ticks))
    assert "call rx_sse.setup(app) before it is started" in await logged(app, caplog)


def test_setup_of_something_that_is_no_application() -> None:
    said = "rx_sse.setup(app) takes an aiohttp web.Application, not a str"
    assert wrong(lambda: unchecked.setup("app")) == said


def test_setup_twice() -> None:
    app = rx_sse.setup(web.Application())
    assert "was called twice for the same application" in wrong(lambda: rx_sse.setup(app))


async def test_setup_after_the_start() -> None:
    app = web.Application()
    app.router.add_get("/", hello)
    async with serve(app):
        assert "came too late" in wrong(lambda: rx_sse.setup(app))


@pytest.mark.parametrize(
    ("origins", "said"),
    [
        ("https://app.example", "is one string: give a list of origins"),
        (["app.example"], "origin 'app.example' is not one: give scheme://host or scheme://host:port"),
        (["https://app.example/"], "origin 'https://app.example/' is not one"),
        (["https://*.example"], "origin 'https://*.example' is not one"),
        (["null"], "origin 'null' is not one"),
        ([5], "origin 5 is not one"),
        (None, "allow_origins=None must be a list of origins, () for none"),
    ],
    ids=str,
)
def test_origins_that_are_none(origins: Any, said: str) -> None:
    assert said in wrong(lambda: rx_sse.setup(web.Application(), allow_origins=origins))


@pytest.mark.parametrize(
    ("bus", "kind"),
    [("redis://app:secret@localhost", "a str"), (rx_sse.MemoryBus, "the class MemoryBus"), (5, "an int")],
    ids=str,
)
def test_a_bus_that_is_none(bus: Any, kind: str) -> None:
    """A URL is the likely mistake, and may hold a password."""
    said = wrong(lambda: rx_sse.setup(web.Application(), bus=bus))
    assert said == f"bus= is a rx_sse.MemoryBus, SQLiteBus or RedisBus, not {kind}"
    assert f"not {kind}" in wrong(lambda: rx_sse.bus_app(bus, auth=lambda request: None))


def test_a_mount_without_a_bus_or_with_an_allow_that_is_no_function() -> None:
    missing: Any = None
    assert "not a NoneType" in wrong(lambda: rx_sse.bus_app(missing, auth=lambda request: None))
    bus = rx_sse.MemoryBus()
    said = wrong(lambda: rx_sse.bus_app(bus, auth=lambda request: None, allow=missing))
    assert "a NoneType: give a function" in said


@pytest.mark.parametrize("drain", [-1, float("nan"), float("inf"), "5", None, True])
def test_a_drain_that_is_no_time(drain: Any) -> None:
    said = wrong(lambda: rx_sse.setup(web.Application(), drain=drain))
    assert said == f"drain={drain!r} must be a number of seconds"


# -- options -------------------------------------------------------------------------------------------------

OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"heart_beat": 5}, "unknown option 'heart_beat'; the options are close_timeout, compress"),
    ({"overflow": "drop"}, "overflow policy 'drop' does not exist; use one of disconnect"),
    ({"overflow": 5}, "overflow policy 5 does not exist"),
    ({"overflow": None}, "overflow policy None does not exist"),
    ({"heartbeat": -1}, "heartbeat=-1 must be a number of seconds or None"),
    ({"heartbeat": "15"}, "heartbeat='15' must be a number of seconds or None"),
    ({"heartbeat": True}, "heartbeat=True must be a number of seconds or None"),
    ({"retry": 1.5}, "retry=1.5 must be an integer number of milliseconds"),
    ({"retry": True}, "retry=True must be an integer number of milliseconds"),
    ({"retry": -1}, "retry=-1 must be an integer number of milliseconds"),
    ({"retry": 2**31}, "retry=2147483648 must be an integer number of milliseconds from 0 to 2147483647"),
    ({"hold_headers": -0.1}, "hold_headers=-0.1 must be a number of seconds"),
    ({"hold_headers": None}, "hold_headers=None must be a number of seconds"),
    ({"hold_request": "yes"}, "hold_request='yes' must be True, False or None"),
    ({"write_timeout": 0}, "write_timeout=0 would end every stream at once; give a positive number"),
    ({"write_timeout": None}, "write_timeout=None must be a number of seconds"),
    ({"write_timeout": 10**400}, "must be a number of seconds"),
    ({"on_end": "close"}, "on_end='close' must be 'stop' or 'reconnect'"),
    ({"on_end": None}, "on_end=None must be 'stop' or 'reconnect'"),
    ({"on_end": ["stop"]}, "on_end=['stop'] must be 'stop' or 'reconnect'"),
    ({"max_duration": 0}, "max_duration=0 would end every stream at once"),
    ({"max_duration": float("nan")}, "max_duration=nan must be a number of seconds or None"),
    ({"prelude_bytes": 0}, "prelude_bytes=0 must be an integer of at least 1"),
    ({"prelude_bytes": 1e6}, "prelude_bytes=1000000.0 must be an integer of at least 1"),
    ({"prelude_bytes": None}, "prelude_bytes=None must be an integer of at least 1"),
    ({"close_timeout": 0}, "close_timeout=0 would end every stream at once"),
    ({"dumps": "json"}, "dumps='json' must be a function of a value that returns JSON text, or None"),
    ({"compress": "gzip"}, "compress='gzip' must be 'zstd' or None"),
    ({"compress": True}, "compress=True must be 'zstd' or None"),
    ({"control": None}, "control=None must be 'events' or 'none'"),
    ({"control": "off"}, "control='off' must be 'events' or 'none'"),
    (
        {"on_error": "frame"},
        "on_error='frame' must be a function of an exception that returns the last event",
    ),
    ({"headers": "X-A: 1"}, "headers= is a mapping or pairs of names and values, not a str"),
    ({"headers": 5}, "headers= is a mapping or pairs of names and values, not a int"),
    ({"headers": ["X-A"]}, "headers= has a str where a pair of name and value belongs"),
    ({"headers": {"X A": "1"}}, "headers= has the name 'X A', which no header can have"),
    ({"headers": {"X-A": 1}}, "headers= has a value of X-A that is no text of one line"),
    ({"headers": {"X-A": "1\r\nX-B: 2"}}, "headers= has a value of X-A that is no text of one line"),
    ({"headers": {"content-type": "text/plain"}}, "headers= may not set content-type"),
    ({"headers": {"Content-Length": "5"}}, "headers= may not set Content-Length"),
]


@pytest.mark.parametrize(("options", "said"), OPTIONS, ids=[str(options) for options, _ in OPTIONS])
def test_an_option_that_cannot_work_is_told_at_once(options: dict[str, Any], said: str) -> None:
    assert said in wrong(lambda: rx_sse.sse(**options))
    assert said in wrong(lambda: rx_sse.sse(ticks, **options))
    assert said in wrong(lambda: rx_sse.setup(web.Application(), **options))


def test_every_option_has_its_wrong_values_above() -> None:
    assert {name for options, _ in OPTIONS for name in options} >= set(rx_sse.StreamOptions.__annotations__)


def test_options_that_can_work_are_taken() -> None:
    rx_sse.sse(
        overflow=Overflow("latest", key=str),
        heartbeat=0,
        retry=0,
        hold_headers=0,
        write_timeout=1e9,
        on_end="reconnect",
        max_duration=1,
        prelude_bytes=1,
        close_timeout=0.1,
        dumps=str,
        compress="zstd",
        control="none",
        on_error=str,
        headers={"Set-Cookie": "a=1"},
    )


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"connections": 0}, "limit connections=0 must be an integer of at least 1 or None"),
        ({"per_user": -1}, "limit per_user=-1 must be an integer of at least 1 or None"),
        ({"per_address": 1.5}, "limit per_address=1.5 must be an integer of at least 1 or None"),
        ({"connections": True}, "limit connections=True must be an integer of at least 1 or None"),
        ({"topics": None}, "limit topics=None must be an integer of at least 1"),
        ({"cursor": "4k"}, "limit cursor='4k' must be an integer of at least 1"),
        ({"body_timeout": "30"}, "limit body_timeout='30' must be a number of seconds or None"),
        (
            {"body_timeout": 0},
            "limit body_timeout=0 refuses every body; give a positive number of seconds",
        ),
    ],
    ids=str,
)
def test_limits_that_cannot_work(limits: dict[str, Any], said: str) -> None:
    assert wrong(lambda: Limits(**limits)) == said


def test_limits_must_be_limits() -> None:
    said = wrong(lambda: unchecked.setup(web.Application(), limits={"connections": 5}))
    assert said == "limits={'connections': 5} must be a rx_sse.Limits"
