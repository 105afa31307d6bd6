"""When it comes back, and when it gives up; what it tells meanwhile."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from rx_sse.client import EventSource
from rx_sse.errors import ConnectionFailed, StreamError
from rx_sse.wire.control import stream_end, stream_error, stream_gap
from rx_sse.wire.event import ServerSentEvent

from ..conformance.endpoint import Endpoint, Site
from .seen import Seen


async def test_the_states_tell_the_whole_story(endpoint: Endpoint) -> None:
    seen = Seen(endpoint.url, retry=10)
    stream = await endpoint.stream()
    await stream.send("id: 5\nretry: 40\ndata: x\n\n")
    await seen.event()
    stream.cut()
    await (await endpoint.visit()).answer(204, {})
    await seen.end()
    first, opened, lost, closed = seen.states
    assert (first.state, first.reason, first.delay, first.last_event_id) == (
        "connecting",
        "first attempt",
        0.0,
        "",
    )
    assert (opened.state, opened.reason, opened.status, opened.url) == ("open", "200 OK", 200, endpoint.url)
    assert (lost.state, lost.reason, lost.last_event_id) == ("connecting", "the connection was lost", "5")
    assert 0.04 <= lost.delay <= 0.05 and lost.failures == 0 and lost.error is not None
    assert (closed.state, closed.reason, closed.status, closed.error) == (
        "closed",
        "204 No Content",
        204,
        None,
    )


async def test_last_event_id_starts_with_what_was_given(endpoint: Endpoint) -> None:
    seen = Seen(endpoint.url, last_event_id="7", retry=0)
    stream = await endpoint.stream()
    assert stream.headers["Last-Event-ID"] == "7"
    await stream.send("data: x\n\n", "id\ndata: y\n\n")
    assert [(await seen.event()).last_event_id for _ in range(2)] == ["7", ""]
    stream.end()
    assert "Last-Event-ID" not in (await endpoint.visit()).headers
    seen.subscription.dispose()


async def test_an_id_only_block_moves_the_position_and_shows_no_event(endpoint: Endpoint) -> None:
    seen = Seen(endpoint.url, retry=0)
    stream = await endpoint.stream()
    await stream.send("id: 7\n\n", "data: x\n\n")
    assert (await seen.event()).last_event_id == "7"
    stream.end()
    assert (await endpoint.visit()).headers["Last-Event-ID"] == "7"
    assert seen.data == ["x"]
    seen.subscription.dispose()


async def test_every_subscription_starts_anew(endpoint: Endpoint) -> None:
    first = Seen(endpoint.url)
    stream = await endpoint.stream()
    await stream.send("id: 7\ndata: x\n\n")
    await first.event()
    first.subscription.dispose()
    again = first.source.subscribe(lambda _: None)
    assert "Last-Event-ID" not in (await endpoint.visit()).headers
    again.dispose()


async def test_a_server_that_is_not_there_is_tried_again_and_again(site: Site) -> None:
    seen = Seen("http://127.0.0.1:9/", retry=1)
    states = [await seen.state() for _ in range(4)]
    assert [(state.state, state.failures, state.status) for state in states] == [
        ("connecting", n, None) for n in range(4)
    ]
    assert states[-1].reason == "cannot connect to 127.0.0.1:9: Connection refused"
    assert states[3].delay > states[1].delay / 2
    seen.subscription.dispose()


async def test_a_read_timeout_counts_as_loss_and_comments_as_life(endpoint: Endpoint) -> None:
    seen = Seen(endpoint.url, read_timeout=1.5, retry=0)
    stream = await endpoint.stream()
    for _ in range(6):  # a busy machine may take a while longer for one of them
        await asyncio.sleep(0.3)
        await stream.send(":\n")
    assert seen.course == ["connecting", "open"]
    await seen.until("open")
    lost = await seen.until("connecting")
    assert lost.reason == "no byte came for 1.5 s"
    await endpoint.stream()
    seen.subscription.dispose()


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "QUERY"])
async def test_only_a_safe_method_is_sent_again_unless_it_is_asked_for(
    endpoint: Endpoint, method: str
) -> None:
    """A POST to a language model is paid for, and an order is an order."""
    seen = Seen(endpoint.url, method=method, retry=0)
    await (await endpoint.visit()).answer(200, {"Content-Type": "text/event-stream"}, b"data: x\n\n")
    if method in ("GET", "HEAD"):
        assert (await endpoint.visit()).method == method
        seen.subscription.dispose()
        return
    await seen.end()
    assert (seen.data, seen.completed, len(endpoint.visits)) == (["x"], True, 1)


async def test_a_lost_post_fails_and_is_not_sent_again(endpoint: Endpoint) -> None:
    seen = Seen(endpoint.url, method="POST", body={"prompt": "?"}, retry=0)
    stream = await endpoint.stream()
    await stream.send("data: x\n\n")
    stream.cut()
    await seen.end()
    assert isinstance(seen.error, ConnectionFailed)
    assert "POST" in str(seen.error) and "reconnect=True" in str(seen.error)
    assert len(endpoint.visits) == 1


@pytest.mark.parametrize("reconnect", [True, lambda _: False], ids=["True", "a function"])
async def test_a_post_is_sent_again_where_that_is_asked_for(endpoint: Endpoint, reconnect: Any) -> None:
    seen = Seen(endpoint.url, method="POST", body=[1], retry=0, reconnect=reconnect)
    for _ in range(2):
        stream = await endpoint.stream()
        assert (stream.method, stream.body) == ("POST", b"[1]")
        stream.end()
    seen.subscription.dispose()


async def test_without_reconnect_the_end_completes(endpoint: Endpoint) -> None:
    seen = Seen(endpoint.url, reconnect=False)
    stream = await endpoint.stream()
    await stream.send("data: {}\n\n", "data: [DONE]\n\n")
    stream.end()
    await seen.end()
    assert (seen.data, seen.completed) == (["{}", "[DONE]"], True)
    assert seen.states[-1].reason == "the server ended the stream"
    assert len(endpoint.visits) == 1


async def test_without_reconnect_a_loss_fails(endpoint: Endpoint) -> None:
    seen = Seen(endpoint.url, reconnect=False)
    stream = await endpoint.stream()
    await stream.send("data: x\n\n")
    stream.cut()
    await seen.end()
    assert seen.data == ["x"]
    assert isinstance(seen.error, ConnectionFailed)
    assert seen.error.reason == "the connection was lost"


@pytest.mark.parametrize(
    "last", ["", "event: stream-reconnect\ndata: {}\nretry: 5\n\n", "event: stream-error\ndata: {}\n\n"]
)
@pytest.mark.parametrize("opening", [": open\n", ": open\nretry: 3000\n"])
async def test_without_reconnect_the_end_of_our_own_stream_is_stream_end(
    endpoint: Endpoint, opening: str, last: str
) -> None:
    """A proxy may have turned a cut into an end that looks whole."""
    seen = Seen(endpoint.url, reconnect=False)
    stream = await endpoint.stream()
    await stream.send(*opening, f"data: x\n\n{last}")
    stream.end()
    await seen.end()
    assert seen.data[0] == "x" and not seen.completed
    assert isinstance(seen.error, ConnectionFailed)
    assert seen.error.reason == "the stream ended without its stream-end"
    assert (last.partition("\n")[0].partition(" ")[2] or ": the") in str(seen.error)


async def test_without_reconnect_our_own_stream_completes_with_its_end(endpoint: Endpoint) -> None:
    seen = Seen(endpoint.url, reconnect=False)
    stream = await endpoint.stream()
    await stream.send(": open\ndata: x\n\n", "event: stream-end\ndata: {}\n\n")
    await seen.end()
    assert (seen.data, seen.completed) == (["x"], True)


async def test_without_reconnect_a_server_that_is_not_there_fails(site: Site) -> None:
    seen = Seen("http://127.0.0.1:9/", reconnect=False)
    await seen.end()
    assert isinstance(seen.error, ConnectionFailed)
    assert isinstance(seen.error.__cause__, OSError)
    assert seen.error.status is None


async def test_a_function_decides_about_refusals(endpoint: Endpoint) -> None:
    asked: list[tuple[int | None, str]] = []

    def again(failure: ConnectionFailed) -> bool:
        asked.append((failure.status, failure.reason))
        return failure.status in (502, 200)

    seen = Seen(endpoint.url, reconnect=again, retry=0)
    await (await endpoint.visit()).answer(502, {})
    await (await endpoint.visit()).answer(200, {"Content-Type": "text/html"}, b"<p>Back soon")
    (await endpoint.stream()).end()  # not asked: the standard comes back
    await (await endpoint.visit()).answer(404, {})
    await seen.end()
    assert isinstance(seen.error, ConnectionFailed) and seen.error.status == 404
    assert asked == [
        (502, "502 Bad Gateway"),
        (200, "the answer is 'text/html', not 'text/event-stream'"),
        (404, "404 Not Found"),
    ]
    assert [state.failures for state in seen.states] == [0, 1, 2, 2, 3, 3]


@pytest.mark.parametrize(
    ("value", "shortest"),
    [
        ("120", 120),
        (format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True), 3000),
        ("9" * 5000, (2**31 - 1) / 1000),
        ("-5", 0),
        ("soon", 0),
        ("", 0),
    ],
    ids=["seconds", "a date", "5,000 digits", "negative", "nonsense", "empty"],
)
async def test_retry_after_is_honoured(endpoint: Endpoint, value: str, shortest: float) -> None:
    seen = Seen(endpoint.url, reconnect=lambda _: True, retry=0)
    await (await endpoint.visit()).answer(503, {"Retry-After": value})
    await seen.state()
    delay = (await seen.state()).delay
    assert shortest <= delay <= max(shortest * 2, 1)
    seen.subscription.dispose()


async def test_what_the_function_raises_ends_the_stream(endpoint: Endpoint) -> None:
    def again(failure: ConnectionFailed) -> bool:
        raise LookupError

    seen = Seen(endpoint.url, reconnect=again)
    await (await endpoint.visit()).answer(502, {})
    await seen.end()
    assert isinstance(seen.error, LookupError)


async def test_stream_end_completes_and_what_follows_is_not_read(endpoint: Endpoint) -> None:
    seen = Seen(endpoint.url)
    stream = await endpoint.stream()
    await stream.send(
        b"data: x\n\n"
        + stream_gap("overflow", missed=3).frame
        + stream_end("sold out").frame
        + b"data: y\n\n" * 5000  # more than a piece
    )
    await seen.end()
    assert seen.completed
    assert [event.type for event in seen.events] == ["message", "stream-gap"]
    assert seen.states[-1].reason == "stream-end: sold out"


async def test_stream_error_is_an_event_and_the_client_comes_back(endpoint: Endpoint) -> None:
    seen = Seen(endpoint.url, retry=0)
    stream = await endpoint.stream()
    await stream.send(stream_error({"title": "Broken", "status": 500}).frame)
    stream.end()
    assert (await seen.event()).json() == {"title": "Broken", "status": 500}
    await endpoint.stream()
    seen.subscription.dispose()


async def test_stream_error_may_be_raised_as_the_server_raised_it(endpoint: Endpoint) -> None:
    sent = StreamError("The feed is down", title="Upstream", type="https://x/y", status=502, feed="a")
    seen = Seen(endpoint.url, raise_stream_error=True)
    stream = await endpoint.stream()
    await stream.send(b"data: x\n\n" + stream_error(sent.problem()).frame + b"data: y\n\n")
    await seen.end()
    assert seen.data == ["x"]
    assert isinstance(seen.error, StreamError)
    assert seen.error.problem() == sent.problem()
    assert str(seen.error) == "The feed is down"


@pytest.mark.parametrize(
    "data", ["", "[]", "x", "[" * 100_000, '{"status": 99, "type": 7, "detail": [], "title": {}, "self": 1}']
)
async def test_a_stream_error_of_any_content_is_an_error(endpoint: Endpoint, data: str) -> None:
    seen = Seen(endpoint.url, raise_stream_error=True)
    await (await endpoint.stream()).send(f"event: stream-error\ndata: {data}\n\n")
    await seen.end()
    assert isinstance(seen.error, StreamError)
    assert seen.error.status is None


async def test_comments_are_heard_in_their_place(endpoint: Endpoint) -> None:
    heard: list[str] = []
    source = EventSource(endpoint.url, on_comment=lambda text: heard.append(f": {text}"))
    done = asyncio.Event()

    def on_next(event: ServerSentEvent) -> None:
        heard.append(event.data)
        if len(heard) == 6:
            done.set()

    subscription = source.subscribe(on_next)
    stream = await endpoint.stream()
    await stream.send(":a\rdata: 1\r\r: b\r\n\r\n:\ndata: 2\n:c\n\n")
    await done.wait()
    assert heard == [": a", "1", ": b", ": ", ": c", "2"]
    subscription.dispose()


async def test_without_on_state_trouble_is_logged(
    endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="rx_sse.client"):
        subscription = EventSource(endpoint.url, retry=1).subscribe(lambda _: None)
        stream = await endpoint.stream()
        await stream.send("data: x\n\n")
        stream.cut()
        await endpoint.stream()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "the connection was lost" in caplog.text and endpoint.url in caplog.text
    subscription.dispose()
