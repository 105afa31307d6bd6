"""One event to a hundred streams: encoded once, framed once, written in the same turn."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import reactivex as rx
from aiohttp import web
from reactivex import operators as ops
from reactivex.subject import Subject

from rx_sse import RawFrame, ServerSentEvent
from rx_sse.reactive import as_events
from rx_sse.testing import OpenStream, open_stream, serve
from rx_sse.web.registry import REGISTRY

from .apps import app_of, streaming

CLIENTS = 100


@dataclass
class Counted:
    """A value that knows how often it was encoded."""

    n: int
    encoded: int = 0


def dumps(value: Any) -> str:
    value.encoded += 1
    return f'{{"n":{value.n}}}'


async def opened(
    stack: AsyncExitStack, app: web.Application, count: int = CLIENTS, **options: Any
) -> list[OpenStream]:
    url = await stack.enter_async_context(serve(app))
    return [await stack.enter_async_context(open_stream(url, **options)) for _ in range(count)]


async def test_an_event_is_framed_once_for_all() -> None:
    subject = Subject[ServerSentEvent]()
    app = app_of(streaming(lambda: subject, hold_headers=0))
    async with AsyncExitStack() as stack:
        streams = await opened(stack, app)
        event = ServerSentEvent({"n": 1}, id="1")
        subject.on_next(event)
        waiting = [stream.outbox._slot for stream in app[REGISTRY].streams]
        assert len(waiting) == CLIENTS
        assert all(frame is event.chunk for frame in waiting), "not even a copy"
        for stream in streams:
            received = await stream.next_event()
            assert (received.data, received.last_event_id) == ('{"n":1}', "1")


async def test_a_raw_frame_is_framed_once_for_all() -> None:
    subject = Subject[RawFrame]()
    app = app_of(streaming(lambda: subject, hold_headers=0))
    async with AsyncExitStack() as stack:
        streams = await opened(stack, app, 10)
        frame = RawFrame("event: datastar\ndata: x\n\n")
        subject.on_next(frame)
        assert all(stream.outbox._slot is frame.chunk for stream in app[REGISTRY].streams)
        for stream in streams:
            assert (await stream.next_event()).type == "datastar"


async def test_http_1_0_shares_the_frame_as_well() -> None:
    subject = Subject[ServerSentEvent]()
    app = app_of(streaming(lambda: subject, hold_headers=0))
    async with AsyncExitStack() as stack:
        await opened(stack, app, 10, http10=True)
        event = ServerSentEvent(1)
        subject.on_next(event)
        assert all(stream.outbox._slot is event.frame for stream in app[REGISTRY].streams)


async def test_plain_values_of_a_subject_are_encoded_for_each_client_and_as_events_encodes_them_once() -> (
    None
):
    """The difference that the documentation tells of."""
    plain, once = Subject[Counted](), Subject[Counted]()
    shared = once.pipe(as_events(dumps=dumps, shared=True))
    handlers = {
        "/plain": streaming(lambda: plain, dumps=dumps, hold_headers=0),
        "/once": streaming(lambda: shared, hold_headers=0),
    }
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(serve(app_of(handlers)))
        streams = {
            path: [await stack.enter_async_context(open_stream(url, path)) for _ in range(20)]
            for path in handlers
        }
        for subject, path, expected in ((plain, "/plain", 20), (once, "/once", 1)):
            value = Counted(7)
            subject.on_next(value)
            assert value.encoded == expected
            for stream in streams[path]:
                assert (await stream.next_event()).json() == {"n": 7}


async def test_a_push_is_written_to_all_in_one_turn_of_the_loop() -> None:
    subject = Subject[int]()
    app = app_of(streaming(lambda: subject, hold_headers=0))
    async with AsyncExitStack() as stack:
        streams = await opened(stack, app)
        before = {stream: stream.connection.sent for stream in app[REGISTRY].streams}
        for n in range(3):
            subject.on_next(n)
        assert all(len(stream.outbox) == 3 for stream in app[REGISTRY].streams)
        assert all(stream.connection.sent == sent for stream, sent in before.items()), "nothing in the push"
        for stream in streams:
            assert [event.json() for event in await stream.events(3)] == [0, 1, 2]
        assert all(stream.outbox.idle for stream in app[REGISTRY].streams)


async def test_one_interval_feeds_all_from_one_subscription() -> None:
    subscribed: list[int] = []
    source = rx.defer(lambda _: subscribed.append(1) or rx.interval(0.03)).pipe(ops.share())
    app = app_of(streaming(lambda: source, hold_headers=0))
    async with AsyncExitStack() as stack:
        streams = await opened(stack, app)
        for stream in streams:
            numbers = [event.json() for event in await stream.events(2)]
            assert numbers[1] == numbers[0] + 1
    assert len(subscribed) == 1


async def test_one_that_fails_to_encode_spares_the_others() -> None:
    subject = Subject[Any]()
    picky: list[int] = []

    def choosy(value: Any) -> str:
        picky.append(value)
        if len(picky) % 2:
            raise ValueError("not this one")
        return str(value)

    app = app_of(streaming(lambda: subject, dumps=choosy, hold_headers=0))
    async with AsyncExitStack() as stack:
        streams = await opened(stack, app, 20)
        subject.on_next(5)
        subject.on_completed()
        last: list[str] = []
        for stream in streams:
            assert await stream.ended()
            last += [event.type for event in stream.rest(control=True)][:1]
    assert sorted(last) == ["message"] * 10 + ["stream-error"] * 10
