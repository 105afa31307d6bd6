"""How a stream ends, what the client receives, and what happens at a reconnect; and what keeps it open."""

from __future__ import annotations

import asyncio

import pytest
import reactivex as rx
from aiohttp import web
from reactivex import operators as ops
from reactivex.subject import Subject

import rx_sse
from rx_sse import ServerSentEvent
from rx_sse.errors import EncodeError
from rx_sse.testing import OpenStream, open_stream, serve
from rx_sse.web.end_reason import End
from rx_sse.web.registry import REGISTRY
from rx_sse.wire.control import is_ended_id, stream_reconnect

from .apps import app_of, exchange, exchanges, only_stream, streaming, until

EVENTS = "Accept: text/event-stream"


def three() -> rx.Observable[int]:
    return rx.of(1, 2, 3)


async def ended_id(url: str, path: str = "/", method: str = "GET") -> str:
    """The id with which a browser comes back to a stream that has ended."""
    async with open_stream(url, path, method=method) as stream:
        assert await stream.ended()
        return stream.last_event_id


# -- completion ----------------------------------------------------------------------------------------------


async def test_completion_is_told_and_closes() -> None:
    async with serve(app_of(streaming(three))) as url, open_stream(url) as stream:
        assert await stream.ended()
        *events, end = stream.rest(control=True)
        assert [event.json() for event in events] == [1, 2, 3]
        assert (end.type, end.json()) == ("stream-end", {})
        assert is_ended_id(end.last_event_id) and stream.last_event_id == end.last_event_id
        assert stream.retry == 3000  # what an EventSource is told at every opening


async def test_a_source_without_a_single_event_ends_like_any_other() -> None:
    async with serve(app_of(streaming(rx.empty, hold_headers=5))) as url, open_stream(url) as stream:
        assert await stream.ended()
        assert [event.type for event in stream.rest(control=True)] == ["stream-end"]


async def test_who_comes_back_to_what_has_ended_is_told_to_stop_for_good() -> None:
    runs: list[int] = []
    app = app_of(streaming(lambda: runs.append(1) or three()))
    async with serve(app) as url:
        last = await ended_id(url, "/?room=7")
        assert len(runs) == 1
        answer = await exchange(url, "GET /?room=7", EVENTS, f"Last-Event-ID: {last}")
        assert (answer.status, answer.body, answer.header("Content-Type")) == (204, b"", None)
        polyfill = await exchange(url, f"GET /?room=7&lastEventId={last}", EVENTS)
        assert polyfill.status == 204
        assert len(runs) == 1
        assert app[REGISTRY].stats().opened == 1


async def test_another_process_says_the_same() -> None:
    """It is stateless: the id says it."""
    async with serve(app_of(streaming(three))) as first:
        last = await ended_id(first)
    async with serve(app_of(streaming(three))) as second:
        assert (await exchange(second, "GET /", EVENTS, f"Last-Event-ID: {last}")).status == 204


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("GET /a?x=1", 204),
        ("GET /a?x=2", 200),
        ("GET /a", 200),
        ("GET /a?x=1&y=2", 200),
        ("GET /b?x=1", 200),
        ("POST /a?x=1", 200),
    ],
)
async def test_only_the_same_url_and_method_have_ended(request_line: str, status: int) -> None:
    app = app_of({path: streaming(three) for path in ("/a", "/b", "POST /a")})
    async with serve(app) as url:
        last = await ended_id(url, "/a?x=1")
        answer = await exchange(url, request_line, EVENTS, f"Last-Event-ID: {last}")
    assert answer.status == status


async def test_a_post_that_has_ended_has_ended_too() -> None:
    async with serve(app_of({"POST /": streaming(three)})) as url:
        last = await ended_id(url, method="POST")
        assert (await exchange(url, "POST /", EVENTS, f"Last-Event-ID: {last}")).status == 204


async def test_the_connection_lives_on_after_the_204() -> None:
    async with serve(app_of(streaming(three))) as url:
        last = await ended_id(url)
        ended, again = await exchanges(
            url, ("GET /", EVENTS, f"Last-Event-ID: {last}"), ("GET /", EVENTS, "Last-Event-ID: 3")
        )
        assert (ended.status, again.status) == (204, 200)


async def test_on_end_reconnect_runs_the_source_again() -> None:
    runs: list[str] = []

    def handler(request: web.Request) -> rx.Observable[ServerSentEvent]:
        runs.append(str(rx_sse.last_event_id(request)))
        return rx.of(ServerSentEvent(1, id="one"))

    async with serve(app_of(rx_sse.sse(on_end="reconnect", retry=1500)(handler))) as url:
        for headers in ({}, {"Last-Event-ID": "one"}):
            async with open_stream(url, headers=headers) as stream:
                assert await stream.ended()
                assert stream.rest(control=True)[-1].type == "stream-end"
                assert (stream.last_event_id, stream.retry) == ("one", 1500)  # the user's own, untouched
    assert runs == ["", "one"]


async def test_an_id_that_says_ended_is_refused_to_users() -> None:
    async with serve(app_of(streaming(three))) as url:
        last = await ended_id(url)
    with pytest.raises(EncodeError, match=last):
        ServerSentEvent(1, id=last)
    with pytest.raises(EncodeError, match="the form that tells a client to stop for good"):
        ServerSentEvent(1).replace(id="0_0123456789abcdef")
    ServerSentEvent(1, id="0_0123456789abcdeg")
    source = rx.of(1, 2).pipe(ops.map(lambda n: ServerSentEvent(n, id=last if n == 2 else None)))
    async with serve(app_of(streaming(lambda: source))) as url, open_stream(url) as stream:
        assert await stream.ended()
        assert [event.type for event in stream.rest(control=True)] == ["message", "stream-error"]
        assert stream.last_event_id == ""


async def test_completion_from_an_empty_loop_turn_waits_for_what_is_queued() -> None:
    subject = Subject[str]()
    app = app_of(streaming(lambda: subject))
    async with serve(app) as url, open_stream(url) as stream:
        for n in range(100):
            subject.on_next(f"{n:03}".ljust(2000, "."))
        subject.on_completed()
        subject.on_next("late")
        assert len(app[REGISTRY].streams) == 1
        assert await stream.ended()
        assert [event.data[:3] for event in stream.rest()] == [f"{n:03}" for n in range(100)]
    assert app[REGISTRY].stats().ended == {"completed": 1}


async def test_a_stalled_reader_of_an_ended_stream_is_cut_after_close_timeout() -> None:
    app = app_of(streaming(lambda: rx.from_iterable(["x" * 50_000] * 40), close_timeout=0.2))
    async with serve(app) as url, open_stream(url, receive_buffer=4096) as stream:
        stream.stall()
        opened = await only_stream(app)
        begin = asyncio.get_running_loop().time()
        await until(lambda: not app[REGISTRY].streams)
        assert 0.1 < asyncio.get_running_loop().time() - begin < 10
        assert opened.outbox.size == 0
        stream.resume()
        assert not await stream.ended()


# -- time ----------------------------------------------------------------------------------------------------


async def test_max_duration_closes_for_a_reconnect_and_is_no_end() -> None:
    app = app_of(streaming(lambda: rx.concat(rx.of(1), rx.never()), max_duration=0.3, retry=2000))
    retries: set[int | None] = set()
    async with serve(app) as url:

        async def visit() -> float:
            begin = asyncio.get_running_loop().time()
            async with open_stream(url) as stream:
                assert await stream.ended(), "a clean end"
                assert [event.type for event in stream.rest(control=True)] == ["message", "stream-reconnect"]
                assert stream.last_event_id == ""
                retries.add(stream.retry)
            return asyncio.get_running_loop().time() - begin

        took = await asyncio.gather(*(visit() for _ in range(12)))
    assert all(0.26 < seconds < 20 for seconds in took)
    assert app[REGISTRY].stats().ended == {"duration": 12}
    assert len(retries) > 6, "they must not all come back at once"
    assert all(retry is not None and 1000 <= retry <= 3000 for retry in retries)


async def test_a_reader_that_makes_the_server_pause_does_not_put_off_the_deadline() -> None:
    """Each pause looks at the write deadline; the others stay where they are."""
    subject = Subject[str]()
    app = app_of(
        streaming(
            lambda: subject, overflow="drop_oldest", max_duration=2.0, write_timeout=20.0, close_timeout=0.1
        )
    )
    async with serve(app) as url, open_stream(url, receive_buffer=4096) as stream:
        opened = await only_stream(app)
        pauses = 0
        async with asyncio.timeout(20):
            while app[REGISTRY].streams:
                stream.stall()
                while app[REGISTRY].streams and not opened.connection.paused:
                    subject.on_next("x" * 20_000)
                    await asyncio.sleep(0)
                pauses += 1
                stream.resume()
                while app[REGISTRY].streams and opened.connection.paused:
                    await asyncio.sleep(0.001)
        assert pauses > 1
        assert app[REGISTRY].stats().ended == {"duration": 1}


# -- heartbeat and opening -----------------------------------------------------------------------------------


async def comments(stream: OpenStream, count: int) -> None:
    """Read on until so many comments have come; the opening is the first."""
    async with asyncio.timeout(20):
        while stream.comments < count:
            await stream._more()


async def test_a_heartbeat_is_a_comment_line_and_no_blank_line() -> None:
    async with serve(app_of(streaming(rx.never, heartbeat=0.1))) as url, open_stream(url) as stream:
        received = b""
        async with asyncio.timeout(20):
            while received.count(b":\n") < 3:
                received += await stream._piece()
    assert received == b": open\nretry: 3000\n:\n:\n:\n"


async def test_a_heartbeat_comes_after_silence_alone() -> None:
    subject = Subject[int]()
    async with (
        serve(app_of(streaming(lambda: subject, heartbeat=0.3, hold_headers=0))) as url,
        open_stream(url) as stream,
    ):
        loop, silences = asyncio.get_running_loop(), 0  # of 0.3 s, that a busy machine makes
        last = loop.time()
        for n in range(6):  # 0.6 s of traffic
            subject.on_next(n)
            assert (await stream.next_event()).json() == n
            await asyncio.sleep(0.1)
            silences += int((loop.time() - last) / 0.25)
            last = loop.time()
        assert 1 <= stream.comments <= 1 + silences  # the opening
        begin, before = loop.time(), stream.comments
        subject.on_next(6)
        await stream.next_event()
        await comments(stream, before + 2)  # one may have been on its way
        assert loop.time() - begin > 0.25


@pytest.mark.parametrize("heartbeat", [0, None])
async def test_no_heartbeat_if_none_is_wanted(heartbeat: float | None) -> None:
    handlers = {"/": streaming(rx.never, heartbeat=heartbeat), "/other": streaming(rx.never)}
    async with (
        serve(app_of(handlers, heartbeat=0.1)) as url,
        open_stream(url) as silent,
        open_stream(url, "/other") as other,
    ):
        await comments(other, 3)
        with pytest.raises(TimeoutError):
            await silent.next_event(0.05)
        assert silent.comments == 1


@pytest.mark.parametrize(
    ("retry", "headers", "opening"),
    [
        (None, [EVENTS], b": open\nretry: 3000\n"),
        (None, ["Accept: */*"], b": open\n"),
        (None, ["Accept: */*", "Last-Event-ID: 7"], b": open\nretry: 3000\n"),
        (2500, [EVENTS], b": open\nretry: 2500\n"),
        (2500, ["Accept: */*"], b": open\nretry: 2500\n"),
        (0, [EVENTS], b": open\nretry: 0\n"),
    ],
    ids=str,
)
async def test_the_opening_tells_the_time_to_come_back(
    retry: int | None, headers: list[str], opening: bytes
) -> None:
    """Whatever a shutdown or an overload has told the client before: it keeps the last that it heard."""
    async with serve(app_of(streaming(lambda: rx.of(1), retry=retry))) as url:
        answer = await exchange(url, "GET /", *headers)
    assert answer.content.startswith(opening + b"data: 1\n\n")


async def test_the_users_own_retry_is_an_event_like_any_other() -> None:
    source = rx.of(ServerSentEvent(retry=9000), ServerSentEvent(1, retry=7000))
    async with serve(app_of(streaming(lambda: source, retry=1000))) as url:
        answer = await exchange(url, "GET /", EVENTS)
    expected = b": open\nretry: 1000\nretry: 9000\n\ndata: 1\nretry: 7000\n\nevent: stream-end\n"
    assert answer.content.startswith(expected)


# -- clients that count blank lines --------------------------------------------------------------------------


async def closings(url: str, app: web.Application, bus: rx_sse.MemoryBus) -> dict[str, bytes]:
    """The bodies of streams that were closed, or refused, in every way that there is."""
    bodies: dict[str, bytes] = {}
    for how in ("shutdown", "revoked"):
        answer = asyncio.create_task(exchange(url, "GET /", EVENTS))
        stream = await only_stream(app)
        if how == "shutdown":
            stream.close_for_reconnect(End.SHUTDOWN)
        else:
            await bus.revoke(user="kim")
        bodies[how] = (await answer).content
    for path in ("/short", "/fails", "/fails-late", "/ends"):
        bodies[path] = (await exchange(url, f"GET {path}", EVENTS)).content
    app[REGISTRY].closing = True
    bodies["shed"] = (await exchange(url, "GET /short", EVENTS)).content
    return bodies


async def test_no_closing_makes_an_empty_message_anywhere() -> None:
    """httpx-sse, fetch-event-source, Symfony and others dispatch an event at every blank line; some parse its
    data as JSON."""
    bus = rx_sse.MemoryBus()
    who = rx_sse.Principal(user="kim", issued_at=0.0)
    app = app_of(
        {
            "/": streaming(rx.never, auth=lambda request: who, hold_headers=0),
            "/short": streaming(rx.never, max_duration=0.05, hold_headers=0),
            "/fails": streaming(lambda: rx.throw(ValueError("x"))),
            "/fails-late": streaming(lambda: rx.concat(rx.of(1), rx.throw(ValueError("x")))),
            "/ends": streaming(three),
        },
        bus=bus,
    )
    async with serve(app) as url:
        bodies = await closings(url, app, bus)
    for how, body in bodies.items():
        assert body.endswith(b"\n\n"), how
        for block in body[:-2].split(b"\n\n"):
            lines = [line for line in block.split(b"\n") if line and not line.startswith(b":")]
            assert any(line.startswith(b"data: ") for line in lines), (how, block)
    told = {how: rx_sse.EventParser().feed(body)[-1] for how, body in bodies.items()}
    assert {how: (event.type, event.retry is not None) for how, event in told.items()} == {
        "shutdown": ("stream-reconnect", True),
        "revoked": ("stream-expired", True),  # the opening's, which stands in the same block
        "/short": ("stream-reconnect", True),
        "/fails": ("stream-error", True),
        "/fails-late": ("stream-error", False),
        "/ends": ("stream-end", False),
        "shed": ("stream-reconnect", True),
    }


def test_the_closing_time_is_obeyed_and_gives_no_id() -> None:
    parser = rx_sse.EventParser(last_event_id="5")
    (event,) = parser.feed(stream_reconnect("shutdown", retry=4321).frame)
    assert (parser.retry, parser.last_event_id, event.json()) == (4321, "5", {"reason": "shutdown"})
