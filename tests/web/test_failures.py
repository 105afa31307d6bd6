"""Errors: a status while the headers are held, `stream-error` after them, and nothing half-written ever."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import reactivex as rx
from aiohttp import web
from reactivex import operators as ops
from reactivex.subject import Subject

import rx_sse
from rx_sse import ServerSentEvent, StreamError
from rx_sse.errors import EncodeError, Overloaded, UsageError
from rx_sse.testing import open_stream, serve
from rx_sse.testing.raw import send
from rx_sse.web.registry import REGISTRY

from .apps import Answer, app_of, exchange, hello, streaming

pytestmark = pytest.mark.usefixtures("no_leaks")

EVENTS = "Accept: text/event-stream"
STATUS = "Accept: */*"
"""Of a client that understands a status; to an EventSource any but 200 would be the end for good."""
SECRET = "dsn=postgres://root:hunter2@db"
MASKED = {"type": "about:blank", "title": "Internal Server Error", "status": 500}


class Opaque:
    """Something that no encoder knows."""

    def __repr__(self) -> str:
        return "<opaque>"


def broken(*_: object) -> Any:
    raise ValueError(SECRET)


def unhashable(value: Any) -> Any:
    return [value]


def raises(error: Exception) -> Callable[..., Any]:
    def fail(*_: object) -> Any:
        raise error

    return fail


async def fails_at_once() -> AsyncIterator[int]:
    broken()
    yield 1


async def fails_after_a_while() -> AsyncIterator[int]:
    await asyncio.sleep(0.01)
    broken()
    yield 1


async def fails_after_one() -> AsyncIterator[int]:
    yield 1
    broken()


async def eventually_fails() -> int:
    await asyncio.sleep(0.005)
    return int(broken())


def control(events: list[ServerSentEvent], type: str = "stream-error") -> ServerSentEvent:
    found = [event for event in events if event.type == type]
    assert len(found) == 1, events
    return found[0]


def parsed(answer: Answer) -> list[ServerSentEvent]:
    return rx_sse.EventParser().feed(answer.content)


# -- before the headers --------------------------------------------------------------------------------------

EARLY: dict[str, Callable[[], Any]] = {
    "the handler": broken,
    "throw": lambda: rx.throw(ValueError(SECRET)),
    "create": lambda: rx.create(broken),
    "defer": lambda: rx.defer(broken),
    "map": lambda: rx.of(1).pipe(ops.map(broken)),
    "next() of nothing": lambda: rx.of(1).pipe(ops.map(lambda _: next(iter(())))),
    "a future": lambda: rx.from_future(asyncio.ensure_future(eventually_fails())),
    "flat_map": lambda: rx.of(1).pipe(
        ops.flat_map(lambda _: rx.from_future(asyncio.ensure_future(eventually_fails())))
    ),
    "a generator's first line": fails_at_once,
    "a generator after a while": fails_after_a_while,
    "the first value": lambda: rx.of(Opaque()),
    "a first value that is NaN": lambda: rx.of(float("nan")),
}


@pytest.mark.parametrize("source", EARLY.values(), ids=EARLY)
async def test_a_failure_before_the_headers_is_a_500_and_is_logged(
    source: Callable[[], Any], caplog: pytest.LogCaptureFixture
) -> None:
    app = app_of(streaming(source, hold_headers=5.0))
    async with serve(app) as url:
        answer = await exchange(url, "GET /", STATUS)
        assert answer.status == 500
        assert answer.header("Content-Type") != "text/event-stream"
        assert SECRET.encode() not in answer.body
        assert app[REGISTRY].stats().open == 0
    assert caplog.records and all(record.exc_info for record in caplog.records)


async def test_a_failure_of_a_coroutine_handler_is_a_500() -> None:
    @rx_sse.sse
    async def handler(request: web.Request) -> rx.Observable[int]:
        await asyncio.sleep(0)
        return rx.of(int(broken()))

    async with serve(app_of(handler)) as url:
        assert (await exchange(url, "GET /", STATUS)).status == 500


@pytest.mark.parametrize(
    "source",
    [
        lambda: raises(web.HTTPNotFound(text="no such room"))(),
        lambda: rx.throw(web.HTTPNotFound(text="no such room")),
    ],
    ids=["the handler", "the source"],
)
@pytest.mark.parametrize("headers", [[EVENTS], [EVENTS, "Last-Event-ID: 7"]], ids=["first", "reconnect"])
async def test_an_http_exception_is_the_answer_as_it_is(
    source: Callable[[], Any], headers: list[str]
) -> None:
    async with serve(app_of(streaming(source))) as url:
        answer = await exchange(url, "GET /", *headers)
    assert (answer.status, answer.content) == (404, b"no such room")


async def test_a_redirect_is_followed_by_browsers_so_it_is_sent() -> None:
    async with serve(app_of(streaming(raises(web.HTTPTemporaryRedirect("/new"))))) as url:
        answer = await exchange(url, "GET /", EVENTS)
    assert (answer.status, answer.header("Location")) == (307, "/new")


@pytest.mark.parametrize("wrap", [lambda error: raises(error), lambda error: lambda: rx.throw(error)])
async def test_a_stream_error_is_a_problem_document_with_its_status(wrap: Any) -> None:
    error = StreamError("30 of 30 seats are taken", title="Full", status=409, seats=30)
    async with serve(app_of(streaming(wrap(error)))) as url:
        answer = await exchange(url, "GET /", EVENTS)
    assert (answer.status, answer.header("Content-Type")) == (409, "application/problem+json; charset=utf-8")
    assert json.loads(answer.content) == error.problem()


async def test_a_stream_error_without_a_status_is_a_500_that_says_what_it_was_told_to() -> None:
    async with serve(app_of(streaming(lambda: rx.throw(StreamError("broken"))))) as url:
        answer = await exchange(url, "GET /", STATUS)
    assert answer.status == 500
    assert json.loads(answer.content) == {"type": "about:blank", "detail": "broken"}


async def test_an_overload_is_shed() -> None:
    async with serve(app_of(streaming(lambda: rx.throw(Overloaded("full", retry_after=5.0))))) as url:
        answer = await exchange(url, "GET /", "Accept: */*")
        assert answer.status == 503
        assert 5 <= int(answer.header("Retry-After") or 0) <= 15
        async with open_stream(url) as stream:
            assert stream.status == 200
            assert await stream.ended()
            assert stream.retry is not None and 5000 <= stream.retry <= 15000


async def test_headers_wait_for_a_failure_no_longer_than_hold_headers() -> None:
    async with (
        serve(app_of(streaming(fails_after_a_while, hold_headers=0))) as url,
        open_stream(url) as stream,
    ):
        assert stream.status == 200
        assert await stream.ended()
        assert control(stream.rest(control=True)).json() == MASKED


# -- when an EventSource asks, for the first time or again ---------------------------------------------------


@pytest.mark.parametrize("source", EARLY.values(), ids=EARLY)
@pytest.mark.parametrize("again", [["Last-Event-ID: 7"], []], ids=["with an id", "without"])
async def test_an_unexpected_failure_does_not_end_an_event_source(
    source: Callable[[], Any], again: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """The reconnect of a stream without ids looks like the first request."""
    async with serve(app_of(streaming(source, hold_headers=5.0))) as url:
        answer = await exchange(url, "GET /", EVENTS, *again)
    assert (answer.status, answer.header("Content-Type")) == (200, "text/event-stream; charset=utf-8")
    parser = rx_sse.EventParser(last_event_id="7")
    assert [event.type for event in parser.feed(answer.content)] == ["stream-error"]
    assert parser.last_event_id == "7"  # the next attempt goes on from there
    assert parser.retry is not None and 2000 <= parser.retry <= 6000
    assert SECRET.encode() not in answer.body
    assert any(record.exc_info for record in caplog.records)


async def test_two_that_come_back_are_told_different_times() -> None:
    retries: set[int | None] = set()
    async with serve(app_of(streaming(broken))) as url:
        for _ in range(8):
            parser = rx_sse.EventParser()
            parser.feed((await exchange(url, "GET /", EVENTS, "Last-Event-ID: 7")).content)
            retries.add(parser.retry)
    assert len(retries) > 4


@pytest.mark.parametrize(
    ("method", "headers"),
    [("GET", [STATUS, "Last-Event-ID: 7"]), ("POST", [EVENTS, "Last-Event-ID: 7"])],
    ids=["Accept names no stream", "POST"],
)
async def test_whoever_is_no_event_source_gets_the_status(method: str, headers: list[str]) -> None:
    async with serve(app_of({f"{method} /": streaming(broken)})) as url:
        assert (await exchange(url, f"{method} /", *headers)).status == 500


async def test_the_query_parameter_of_polyfills_counts_as_well() -> None:
    async with serve(app_of(streaming(broken))) as url:
        assert (await exchange(url, "GET /?lastEventId=7", EVENTS)).status == 200


async def test_a_stream_error_keeps_its_text_and_its_time_on_a_reconnect() -> None:
    error = StreamError("the model is loading", status=503, retry=20_000)
    async with serve(app_of(streaming(lambda: rx.throw(error)))) as url:
        answer = await exchange(url, "GET /", EVENTS, "Last-Event-ID: 7")
    parser = rx_sse.EventParser()
    (event,) = parser.feed(answer.content)
    assert event.json() == error.problem()
    assert parser.retry == 20_000


# -- after the headers ---------------------------------------------------------------------------------------

LATE: dict[str, Callable[[], Any]] = {
    "throw": lambda: rx.concat(rx.of(1), rx.throw(ValueError(SECRET))),
    "map": lambda: rx.of(1, 2).pipe(ops.map(lambda n: n if n == 1 else broken())),
    "create": lambda: rx.create(lambda observer, _: (observer.on_next(1), broken())[1]),
    "a generator": fails_after_one,
    "an unserialisable value": lambda: rx.of(1, Opaque()),
    "NaN": lambda: rx.of(1, {"deep": [float("nan")]}),
    "infinity": lambda: rx.of(1, float("inf")),
    "a lone surrogate": lambda: rx.of(1, "\ud800"),
    "CR LF in an id": lambda: rx.of(1, 2).pipe(
        ops.map(lambda n: ServerSentEvent(n, id=None if n == 1 else "X: y\r\ndata: z"))
    ),
    "LF in an event name": lambda: rx.of(1, 2).pipe(
        ops.map(lambda n: ServerSentEvent(n, event=None if n == 1 else "a\nb"))
    ),
    "NUL in an id": lambda: rx.of(1, 2).pipe(
        ops.map(lambda n: ServerSentEvent(n, id=None if n == 1 else "a\0"))
    ),
    "retry=True": lambda: rx.of(1, 2).pipe(
        ops.map(lambda n: ServerSentEvent(n, retry=None if n == 1 else True))
    ),
    "retry=-1": lambda: rx.of(1, 2).pipe(ops.map(lambda n: ServerSentEvent(n, retry=None if n == 1 else -1))),
}


@pytest.mark.parametrize("source", LATE.values(), ids=LATE)
async def test_a_failure_after_the_headers_is_a_masked_event_and_a_clean_end(
    source: Callable[[], Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Byte by byte: what was whole before it, the event, the end; nothing of what failed."""
    async with serve(app_of(streaming(source))) as url:
        answer = await exchange(url, "GET /", EVENTS)
    assert answer.status == 200
    masked = json.dumps(MASKED, separators=(",", ":")).encode()
    expected = b": open\nretry: 3000\ndata: 1\n\nevent: stream-error\ndata: %b\n\n" % masked
    assert answer.content == expected
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(errors) == 1 and errors[0].exc_info, "what is masked on the wire must be in the log"


async def test_a_stream_error_after_the_headers_reaches_the_client_with_its_time() -> None:
    error = StreamError("the job was cancelled", title="Cancelled", job=7, retry=12_345)
    async with (
        serve(app_of(streaming(lambda: rx.concat(rx.of(1), rx.throw(error))))) as url,
        open_stream(url) as stream,
    ):
        assert await stream.ended()
        assert control(stream.rest(control=True)).json() == error.problem()
        assert stream.retry == 12_345


@pytest.mark.parametrize("retry", [-1, 1.5, True, "5", 2**31])
def test_a_stream_error_refuses_a_time_that_no_retry_line_can_carry(retry: Any) -> None:
    with pytest.raises(UsageError, match=f"retry={retry!r}"):
        StreamError("full", retry=retry)


async def test_an_http_exception_after_the_headers_reaches_the_client() -> None:
    error = web.HTTPGone(text="the room was closed")
    async with (
        serve(app_of(streaming(lambda: rx.concat(rx.of(1), rx.throw(error))))) as url,
        open_stream(url) as stream,
    ):
        assert await stream.ended()
        assert control(stream.rest(control=True)).json() == {
            "type": "about:blank",
            "title": "Gone",
            "status": 410,
            "detail": "the room was closed",
        }


async def test_what_cannot_be_encoded_of_a_stream_error_is_left_out_and_hurts_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    subject, reached = Subject[int](), list[int]()
    async with (
        serve(app_of({"/": streaming(lambda: subject), "/hello": hello})) as url,
        open_stream(url) as stream,
    ):
        subject.subscribe(reached.append, lambda error: reached.append(-1))
        subject.on_next(1)
        await stream.next_event()
        subject.on_error(StreamError("broken", when=Opaque()))
        assert reached == [1, -1]
        assert await stream.ended()
        assert control(stream.rest(control=True)).json() == {"type": "about:blank", "detail": "broken"}
        early = await exchange(url, "GET /", STATUS)
        assert early.status == 500
    assert "opaque" in caplog.text


async def test_a_failed_stream_does_not_say_that_it_ended() -> None:
    """A browser comes back after `stream-error`, with the id that it had."""
    events = rx.concat(rx.of(ServerSentEvent(1, id="5")), rx.throw(ValueError("x")))
    async with serve(app_of(streaming(lambda: events, retry=1500))) as url, open_stream(url) as stream:
        assert await stream.ended()
        assert [event.type for event in stream.rest(control=True)] == ["message", "stream-error"]
        assert (stream.last_event_id, stream.retry) == ("5", 1500)


async def test_whatever_is_emitted_after_the_end_is_nobodys() -> None:
    def subscribe(observer: Any, scheduler: Any = None) -> Any:
        observer.on_next(1)
        observer.on_completed()
        observer.on_next(2)
        observer.on_error(ValueError("late"))

    async with serve(app_of(streaming(lambda: rx.create(subscribe)))) as url:
        answer = await exchange(url, "GET /", EVENTS)
    assert [event.type for event in parsed(answer)] == ["message", "stream-end"]


async def test_an_emission_after_completion_past_reactivex_is_nobodys_too() -> None:
    """A source that does not go through `Observable.subscribe`, which would stop it itself."""

    class Rude(rx.Observable[int]):
        def subscribe(
            self, on_next: Any = None, on_error: Any = None, on_completed: Any = None, **_: Any
        ) -> Any:
            on_next(1)
            on_completed()
            on_next(2)
            on_error(ValueError("late"))
            on_completed()
            return rx.never().subscribe()

    async with serve(app_of(streaming(Rude))) as url:
        answer = await exchange(url, "GET /", EVENTS)
    assert [event.type for event in parsed(answer)] == ["message", "stream-end"]


# -- work that a source has scheduled ------------------------------------------------------------------------


def raises_later(raised: BaseException, after: int) -> Callable[[], rx.Observable[int]]:
    """A source of one's own, whose scheduled action raises."""

    def subscribe(observer: Any, scheduler: Any = None) -> Any:
        def tick(scheduler: Any, n: int | None = None) -> Any:
            if n == after:
                raise raised
            observer.on_next(n)
            return scheduler.schedule_relative(0.01, tick, (n or 0) + 1)

        return scheduler.schedule_relative(0.01, tick, 0)

    return lambda: rx.create(subscribe)


@pytest.mark.parametrize(
    "raised", [ValueError(SECRET), asyncio.CancelledError()], ids=lambda e: type(e).__name__
)
async def test_an_action_that_raises_fails_its_stream(
    raised: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    app = app_of({"/late": streaming(raises_later(raised, 2)), "/early": streaming(raises_later(raised, 0))})
    async with serve(app) as url:
        late = await exchange(url, "GET /late", EVENTS)
        early = await exchange(url, "GET /early", STATUS)
    assert [event.type for event in parsed(late)] == ["message", "message", "stream-error"]
    assert control(parsed(late)).json() == MASKED
    assert early.status == 500
    assert len([record for record in caplog.records if record.levelno >= logging.ERROR]) == 2


async def test_an_operator_that_raises_no_exception_fails_its_stream_too() -> None:
    cancelled = asyncio.get_running_loop().create_future()
    cancelled.cancel()
    source = rx.interval(0.01).pipe(ops.map(lambda n: n if n < 2 else cancelled.result()))
    async with serve(app_of(streaming(lambda: source))) as url:
        answer = await exchange(url, "GET /", EVENTS)
    assert [event.type for event in parsed(answer)] == ["message", "message", "stream-error"]


async def test_what_outlives_its_stream_tells_the_loop(caplog: pytest.LogCaptureFixture) -> None:
    shared = raises_later(ValueError(SECRET), 8)().pipe(ops.share())
    app = app_of(streaming(lambda: shared))
    async with serve(app) as url:
        async with open_stream(url) as first:
            await first.next_event()
            second = await send(url)
            await second.read_head()
            await second.next_event()
        while SECRET not in caplog.text:
            await asyncio.sleep(0.005)
        await second.aclose()


# -- the sink never raises -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"dumps": raises(ValueError(SECRET))},
        {"dumps": lambda value: 5},
        {"overflow": rx_sse.Overflow("latest", key=broken)},
        {"overflow": rx_sse.Overflow("latest", key=unhashable)},
    ],
    ids=["dumps raises", "dumps returns no text", "key raises", "key is not hashable"],
)
async def test_what_fails_for_one_stream_neither_reaches_the_pusher_nor_its_neighbours(
    options: dict[str, Any],
) -> None:
    subject = Subject[int]()
    app = app_of({"/bad": streaming(lambda: subject, **options), "/good": streaming(lambda: subject)})
    async with (
        serve(app) as url,
        open_stream(url, "/good") as before,
        open_stream(url, "/bad") as bad,
        open_stream(url, "/good") as after,
    ):
        for n in range(3):  # the second one finds the first one waiting
            subject.on_next(n)
        assert await bad.ended()
        assert control(bad.rest(control=True)).json() == MASKED
        for stream in (before, after):
            assert [event.json() for event in await stream.events(3)] == [0, 1, 2]
        assert len(subject.observers) == 2


async def test_dumps_that_is_refused_tells_the_log_what_it_was_given(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serve(app_of(streaming(lambda: rx.of({"a": 1}), dumps=lambda value: 5))) as url:
        assert (await exchange(url, "GET /", STATUS)).status == 500
    (record,) = [record for record in caplog.records if record.exc_info]
    assert record.exc_info and isinstance(record.exc_info[1], EncodeError)
    assert "dumps= returned 5 for {'a': 1}" in str(record.exc_info[1])


async def test_something_that_gives_the_stream_a_length_is_told_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def sized(request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Content-Length"] = "5"

    app = app_of(streaming(lambda: rx.of("hello")))
    app.on_response_prepare.append(sized)
    async with serve(app) as url:
        answer = await exchange(url, "GET /", EVENTS)
        assert answer.body == b""
        assert app[REGISTRY].stats().open == 0
    assert "something gave the event stream a Content-Length" in caplog.text
