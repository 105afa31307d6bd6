"""`control="none"`: not a byte that the source did not emit, and no end that looks like one and is none."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import reactivex as rx
from aiohttp import web

import rx_sse
from rx_sse import ServerSentEvent
from rx_sse.delivery.connection import LINGER
from rx_sse.errors import StreamInterrupted
from rx_sse.testing import open_stream, serve
from rx_sse.web.end_reason import End
from rx_sse.web.options import resolve
from rx_sse.web.registry import REGISTRY
from rx_sse.wire.control import ended_id

from .apps import app_of, exchange, exchanges, hello, only_stream, streaming, until
from .conftest import Contexts

pytestmark = pytest.mark.usefixtures("no_leaks")

EVENTS = "Accept: text/event-stream"


async def answers() -> AsyncIterator[str]:
    yield "a"
    yield "[DONE]"


async def fails() -> AsyncIterator[str]:
    yield "a"
    raise ValueError("secret")


async def endless() -> AsyncIterator[str]:
    yield "a"
    await asyncio.Event().wait()


def told(error: Exception) -> Any:
    """What a protocol may have for a failure."""
    reason = error.reason if isinstance(error, StreamInterrupted) else type(error).__name__
    return {"error": reason}


async def raw(url: str, request: str = "POST /", *headers: str, version: str = "1.1") -> tuple[bytes, bool]:
    """The body of a stream, without chunk framing, and whether the connection ended without a reset."""
    reader, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
    try:
        lines = [f"{request} HTTP/{version}", "Host: x", *headers]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        received, clean = b"", True
        async with asyncio.timeout(20):
            try:
                while piece := await reader.read(65536):
                    received += piece
            except ConnectionResetError:
                clean = False
        return received.partition(b"\r\n\r\n")[2], clean
    finally:
        writer.close()


def chunk(text: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(text), text)


# -- what goes out -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("where", ["handler", "setup", "stream_response"])
async def test_the_body_is_what_the_source_emits_and_nothing_else(method: str, where: str) -> None:
    async def late(request: web.Request) -> web.StreamResponse:
        return await rx_sse.stream_response(request, answers(), control="none")

    options: dict[str, Any] = {"control": "none"}
    app = (
        app_of({f"{method} /": streaming(answers)}, **options)
        if where == "setup"
        else app_of({f"{method} /": late if where == "stream_response" else streaming(answers, **options)})
    )
    async with serve(app) as url:
        for headers in ([EVENTS], ["Accept: application/json"], [EVENTS, "Last-Event-ID: 7"]):
            answer = await exchange(url, f"{method} /", *headers)
            assert answer.content == b"data: a\n\ndata: [DONE]\n\n"
    assert app[REGISTRY].stats().ended == {"completed": 3}


async def test_headers_go_out_before_the_first_event() -> None:
    app = app_of(streaming(rx.never, control="none", hold_headers=0))
    async with serve(app) as url, open_stream(url) as stream:
        assert stream.status == 200
        with pytest.raises(TimeoutError):
            await stream.next_event(0.05, control=True)
        assert (stream.comments, stream.retry) == (0, None)


def test_a_heartbeat_is_sent_if_it_is_asked_for() -> None:
    assert resolve({"control": "none"}).heartbeat is None
    assert resolve({"control": "none", "heartbeat": 5.0}).heartbeat == 5.0
    assert resolve({"heartbeat": 5.0}, {"control": "none"}).heartbeat == 5.0


async def test_a_resumable_topic_has_its_position_on_its_events_alone() -> None:
    bus = rx_sse.MemoryBus()

    def handler(request: web.Request) -> Any:
        after = rx_sse.last_event_id(request)
        return bus.events("t", after=after, filter=lambda event: event.data != "skipped")

    app = app_of(rx_sse.sse(control="none", heartbeat=0.1)(handler), bus=bus)
    async with serve(app) as url:
        async with open_stream(url) as stream:
            await bus.publish("t", "one")
            event = await stream.next_event(control=True)
            assert (event.data, event.type) == ("one", "message")
            position = event.last_event_id
            assert position
        await bus.publish("t", "two")
        async with open_stream(url, headers={"Last-Event-ID": position}) as stream:
            event = await stream.next_event(control=True)
            assert (event.data, event.type) == ("two", "message")
            await bus.publish("t", "skipped")  # the position moves with no event that could tell it
            comments = stream.comments
            async with asyncio.timeout(20):
                while stream.comments < comments + 2:
                    await stream._more()
            assert stream.rest(control=True) == []


async def test_a_bus_that_lost_the_position_says_nothing_either() -> None:
    bus, gaps = rx_sse.MemoryBus(), list[Any]()

    def handler(request: web.Request) -> Any:
        return bus.events("t", after=rx_sse.last_event_id(request), on_gap=gaps.append)

    app = app_of(rx_sse.sse(control="none")(handler), bus=bus)
    async with (
        serve(app) as url,
        open_stream(url, headers={"Last-Event-ID": "1_unknown.0.5"}) as stream,
    ):
        await only_stream(app)
        await until(lambda: bool(gaps))
        await bus.publish("t", "next")
        event = await stream.next_event(control=True)
        assert (event.data, event.type) == ("next", "message")


# -- how it ends ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hook", "last"),
    [
        (None, b""),
        (lambda error: None, b""),
        (told, chunk(b'data: {"error":"ValueError"}\n\n')),
        (
            lambda error: ServerSentEvent({"m": str(error)}, event="error"),
            chunk(b'event: error\ndata: {"m":"secret"}\n\n'),
        ),
        (lambda error: rx_sse.RawFrame("event: RUN_ERROR\n\n"), chunk(b"event: RUN_ERROR\n\n")),
        (lambda error: object(), b""),
        (lambda error: 1 / 0, b""),
    ],
    ids=["no hook", "nothing", "a value", "an event", "a frame", "no frame", "it raises"],
)
async def test_a_failure_is_the_hooks_frame_and_a_cut(
    hook: Any, last: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    app = app_of({"POST /": streaming(fails, control="none", on_error=hook)})
    async with serve(app) as url:
        assert await raw(url) == (chunk(b"data: a\n\n") + last, True)
    assert any("secret" in str(record.exc_info) for record in caplog.records)
    assert app[REGISTRY].stats().ended == {"failed": 1}


async def test_a_get_is_cut_as_well() -> None:
    async with serve(app_of(streaming(fails, control="none", on_error=told))) as url:
        body, _ = await raw(url, "GET /", EVENTS)
    assert body == chunk(b"data: a\n\n") + chunk(b'data: {"error":"ValueError"}\n\n')


async def ended_by(how: str, **options: Any) -> bytes:
    """The body of an endless stream that is ended from outside."""
    bus = rx_sse.MemoryBus()
    who = rx_sse.Principal(user="kim", expires_at=time.time() + (2.0 if how == "token expired" else 100))
    limit = {"max_duration": 0.1} if how == "max_duration" else {}
    handler = streaming(endless, auth=lambda request: who, **limit, **options)
    app = app_of({"POST /": handler}, bus=bus)
    async with serve(app) as url:
        body = asyncio.create_task(raw(url))
        await until(lambda: bool(app[REGISTRY].streams) or body.done())
        await until(lambda: body.done() or any(s.connection.sent for s in app[REGISTRY].streams))
        if how == "token revoked":
            await bus.revoke(user="kim")
        if how != "shutdown":
            return (await body)[0]
    return (await body)[0]


WAYS = ["shutdown", "max_duration", "token expired", "token revoked"]


@pytest.mark.parametrize("how", WAYS)
async def test_an_end_from_outside_is_a_cut_with_the_hooks_frame(how: str) -> None:
    body = await ended_by(how, control="none", on_error=told)
    assert body == chunk(b"data: a\n\n") + chunk(b'data: {"error":"%b"}\n\n' % how.encode())


@pytest.mark.parametrize("how", WAYS)
async def test_without_a_hook_it_is_a_cut_alone(how: str) -> None:
    assert await ended_by(how, control="none") == chunk(b"data: a\n\n")


@pytest.mark.parametrize("how", WAYS)
async def test_no_such_end_of_a_post_looks_complete_with_control_events_either(how: str) -> None:
    body = await ended_by(how)
    assert body.startswith(chunk(b": open\n") + chunk(b"data: a\n\n"))
    assert b"event: stream-" in body and b"0\r\n\r\n" not in body


async def test_a_failed_post_says_so_and_is_cut() -> None:
    async with serve(app_of({"POST /": streaming(fails)})) as url:
        body, clean = await raw(url)
    assert b"event: stream-error" in body and clean
    assert not body.endswith(b"0\r\n\r\n")


async def test_the_hook_replaces_stream_error_where_there_are_control_events() -> None:
    async with serve(app_of(streaming(fails, on_error=told))) as url:
        answer = await exchange(url, "GET /", "Accept: */*")
    assert answer.content == b': open\ndata: a\n\ndata: {"error":"ValueError"}\n\n'


async def test_the_hook_that_has_nothing_to_say_leaves_stream_error() -> None:
    async with serve(app_of(streaming(fails, on_error=lambda error: None))) as url:
        answer = await exchange(url, "GET /", "Accept: */*")
    assert b"event: stream-error" in answer.content


@pytest.mark.parametrize("size", [10, 300_000])
async def test_what_is_queued_arrives_before_the_cut(size: int) -> None:
    source = rx.concat(rx.of("x" * size), rx.throw(ValueError("broken")))
    async with serve(app_of({"POST /": streaming(lambda: source, control="none", on_error=told)})) as url:
        body, clean = await raw(url)
    assert clean and body.count(b"x") == size
    assert body.endswith(chunk(b'data: {"error":"ValueError"}\n\n'))


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_the_cut_leaves_a_client_time_to_read_the_last_frame(version: str) -> None:
    async with serve(app := app_of({"POST /": streaming(fails, control="none", on_error=told)})) as url:
        reading = asyncio.create_task(raw(url, version=version))
        connection = (await only_stream(app)).connection
        body, _ = await reading
        assert asyncio.get_running_loop().time() - connection.last_write >= LINGER
    assert b'{"error":"ValueError"}\n\n' in body


async def test_heartbeats_that_are_due_do_not_put_the_cut_off() -> None:
    options: dict[str, Any] = {"control": "none", "heartbeat": LINGER / 5, "close_timeout": 60.0}
    async with serve(app_of({"POST /": streaming(fails, **options)})) as url:
        assert await raw(url) == (chunk(b"data: a\n\n"), True)


async def test_a_stream_that_was_silent_before_its_end_is_cut_at_once() -> None:
    app = app_of({"POST /": streaming(endless, control="none")})
    async with serve(app) as url:
        reading = asyncio.create_task(raw(url))
        stream = await only_stream(app)
        await until(lambda: bool(stream.connection.sent))
        await asyncio.sleep(LINGER)
        stream.close_for_reconnect(End.OPERATOR)
        for _ in range(3):  # turns of the loop: one flush, and what it calls
            await asyncio.sleep(0)
        assert stream.connection.transport.is_closing()
        assert (await reading)[0] == chunk(b"data: a\n\n")


async def test_a_client_that_leaves_before_the_cut_leaves_nothing_behind() -> None:
    app = app_of({"POST /": streaming(fails, control="none", on_error=told, close_timeout=60.0)})
    async with serve(app) as url:
        async with open_stream(url, method="POST") as stream:
            assert [(await stream.next_event()).data for _ in range(2)] == ["a", '{"error":"ValueError"}']
        await until(lambda: not app[REGISTRY].streams)
    assert app[REGISTRY].stats().ended == {"failed": 1}


async def test_http_1_0_has_no_last_chunk_to_leave_out_so_the_connection_is_reset() -> None:
    app = app_of(
        {"POST /": streaming(fails, control="none", on_error=told), "POST /whole": streaming(answers)}
    )
    async with serve(app) as url:
        body, clean = await raw(url, version="1.0")
        assert body == b'data: a\n\ndata: {"error":"ValueError"}\n\n'
        assert not clean
        body, clean = await raw(url, "POST /whole", version="1.0")
        assert clean and b"stream-end" in body


async def test_over_tls_a_cut_is_a_cut(contexts: Contexts) -> None:
    server, client = contexts
    app = app_of({"POST /": streaming(fails, control="none", on_error=told)})
    async with (
        serve(app, ssl=server) as url,
        open_stream(url.replace("127.0.0.1", "localhost"), method="POST", ssl=client) as stream,
    ):
        assert not await stream.ended(2)
        assert [event.data for event in stream.rest()] == ["a", '{"error":"ValueError"}']


async def test_an_overflow_over_http_1_0_is_a_reset_as_well() -> None:
    source = rx.Subject[str]()
    handler = streaming(lambda: source, control="none", overflow=rx_sse.Overflow("disconnect", max_events=1))
    async with serve(app := app_of({"POST /": handler})) as url:
        body = asyncio.create_task(raw(url, version="1.0"))
        opened = await only_stream(app)
        await until(lambda: opened.connection.open)
        for _ in range(40):  # more than the socket takes in this turn
            source.on_next("x" * 200_000)
        assert not (await body)[1]
    assert app[REGISTRY].stats().ended == {"overflow": 1}


async def test_a_reader_that_stalls_does_not_keep_a_cut_from_its_deadline() -> None:
    source = rx.concat(rx.from_iterable(["x" * 50_000] * 40), rx.throw(ValueError("broken")))
    app = app_of({"POST /": streaming(lambda: source, control="none", close_timeout=0.2)})
    async with serve(app) as url, open_stream(url, method="POST", receive_buffer=4096) as stream:
        stream.stall()
        await only_stream(app)
        await until(lambda: not app[REGISTRY].streams, 2)


async def test_the_access_log_and_the_connection_survive_a_whole_stream() -> None:
    app = app_of({"POST /": streaming(answers, control="none"), "/hello": hello})
    async with serve(app) as url:
        stream, after = await exchanges(url, ("POST /", "Content-Length: 0"), ("GET /hello",))
    assert stream.content == b"data: a\n\ndata: [DONE]\n\n" and after.content == b"hello"


# -- before the headers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [[EVENTS], [EVENTS, "Last-Event-ID: 7"]])
async def test_a_refusal_is_a_status_for_whoever_asks(headers: list[str]) -> None:
    def broken(request: web.Request) -> Any:
        raise ValueError("secret")

    app = app_of(
        {"/fails": rx_sse.sse(broken), "/": streaming(rx.never, hold_headers=0)},
        control="none",
        limits=rx_sse.Limits(connections=1),
    )
    async with serve(app) as url:
        assert (await exchange(url, "GET /fails", *headers)).status == 500
        async with open_stream(url):
            assert (await exchange(url, "GET /", *headers)).status == 503


async def test_an_id_that_says_ended_means_nothing_to_it() -> None:
    path = "/"
    app = app_of(streaming(answers, control="none"))
    async with serve(app) as url:
        answer = await exchange(url, f"GET {path}", EVENTS, f"Last-Event-ID: {ended_id('GET', path, '')}")
    assert answer.status == 200 and answer.content == b"data: a\n\ndata: [DONE]\n\n"


# -- a source that completes while the application closes ----------------------------------------------------


@pytest.mark.parametrize(
    ("control", "method", "whole"),
    [("none", "GET", True), ("none", "POST", True), ("events", "POST", True), ("events", "GET", False)],
)
async def test_what_is_pulled_to_its_end_is_whole_even_then(control: Any, method: str, whole: bool) -> None:
    """A generator that was not cancelled has said all; an EventSource may come back all the same."""
    release = asyncio.Event()

    async def source() -> AsyncIterator[str]:
        yield "a"
        await release.wait()
        yield "[DONE]"

    app = app_of({f"{method} /": streaming(source, control=control)})
    async with serve(app) as url:
        body = asyncio.create_task(raw(url, f"{method} /", "Connection: close"))
        await only_stream(app)
        app[REGISTRY].closing = True
        release.set()
        text, _ = await body
    assert text.endswith(b"0\r\n\r\n")
    assert (b"stream-reconnect" not in text) is whole


async def test_an_observable_may_have_been_completed_by_the_shutdown() -> None:
    source = rx.Subject[str]()
    app = app_of({"POST /": streaming(lambda: source, control="none")})
    async with serve(app) as url:
        body = asyncio.create_task(raw(url))
        await only_stream(app)
        app[REGISTRY].closing = True
        source.on_next("a")
        source.on_completed()
        assert (await body)[0] == chunk(b"data: a\n\n")
