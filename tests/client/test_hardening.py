"""Servers that misbehave: each bounded, each with the outcome that the standard or the docstring names."""

from __future__ import annotations

import asyncio
import itertools
import tracemalloc
import zlib

import pytest

from rx_sse.client import EventSource
from rx_sse.errors import ConnectionFailed, EventTooLarge

from ..conformance.endpoint import Endpoint, Site
from .seen import Seen

MIB = 1024 * 1024


async def test_one_byte_per_packet(endpoint: Endpoint) -> None:
    seen = Seen(endpoint.url)
    stream = await endpoint.stream()
    await stream.send("id: 7\r\nevent: price\r\ndata: €\r\ndata: 豆腐\r\n\r\n", size=1)
    event = await seen.event()
    assert (event.type, event.data, event.last_event_id) == ("price", "€\n豆腐", "7")
    seen.subscription.dispose()


async def test_an_endless_line_ends_the_stream_at_the_limit(endpoint: Endpoint) -> None:
    """And in bounded memory: the limit, what is read ahead, and no more."""
    seen = Seen(endpoint.url, max_event_size=MIB)
    stream = await endpoint.stream()
    await stream.send("data: first\n\ndata: ")
    assert (await seen.event()).data == "first"
    tracemalloc.start()
    try:

        async def flood() -> None:
            while True:
                await stream.send(b"x" * 65536)

        flooding = asyncio.create_task(flood())
        await seen.end()
        flooding.cancel()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(seen.error, EventTooLarge)
    assert "1,048,576" in str(seen.error)
    assert peak < 4 * MIB
    await asyncio.wait([flooding])
    assert seen.course == ["connecting", "open", "closed"]
    assert len(endpoint.visits) == 1  # it would only come again


async def test_50_mb_in_one_event_are_over_the_limit_and_what_came_before_is_not_lost(
    endpoint: Endpoint,
) -> None:
    seen = Seen(endpoint.url)  # 16 MiB
    stream = await endpoint.stream()

    async def send() -> None:
        await stream.send("data: before\n\n", *(b"data: " + b"x" * MIB + b"\n" for _ in range(50)), "\n")

    sending = asyncio.create_task(send())
    await seen.end()
    assert seen.data == ["before"]
    assert isinstance(seen.error, EventTooLarge)
    sending.cancel()
    await asyncio.wait([sending])


async def test_an_event_that_came_in_one_packet_with_one_too_large_is_not_lost(endpoint: Endpoint) -> None:
    seen = Seen(endpoint.url, max_event_size=100)
    await (await endpoint.stream()).send(f"id: 1\ndata: before\n\ndata: {'x' * 200}\n\n")
    await seen.end()
    assert seen.data == ["before"]
    assert isinstance(seen.error, EventTooLarge)
    assert seen.states[-1].last_event_id == "1"


async def test_50_mb_in_one_event_are_taken_by_who_wants_them(endpoint: Endpoint) -> None:
    seen = Seen(endpoint.url, max_event_size=64 * MIB)
    stream = await endpoint.stream()
    await stream.send(*(b"data: " + b"x" * MIB + b"\n" for _ in range(50)), "\n")
    assert len((await seen.event()).data) == 50 * MIB + 49
    seen.subscription.dispose()


async def test_a_retry_of_5000_digits_is_a_long_time_and_no_error(endpoint: Endpoint) -> None:
    seen = Seen(endpoint.url)
    stream = await endpoint.stream()
    await stream.send(f"retry: {'9' * 5000}\ndata: x\n\n")
    await seen.event()
    stream.end()
    await seen.until("open")
    assert (await seen.until("connecting")).delay >= (2**31 - 1) / 1000
    seen.subscription.dispose()  # in the middle of it


async def test_invalid_utf8_is_replaced(endpoint: Endpoint) -> None:
    seen = Seen(endpoint.url)
    stream = await endpoint.stream()
    await stream.send(b"id: \xff\nevent: \xc3\ndata: a\xe2\x82 b \xf0\x9f\n\n")
    event = await seen.event()
    assert (event.type, event.data, event.last_event_id) == ("\ufffd", "a\ufffd b \ufffd", "\ufffd")
    seen.subscription.dispose()


@pytest.mark.parametrize("way", ["end", "cut"])
async def test_a_close_in_the_middle_of_an_event_loses_that_event_and_its_id(
    endpoint: Endpoint, way: str
) -> None:
    seen = Seen(endpoint.url, retry=0)
    stream = await endpoint.stream()
    await stream.send("id: 1\ndata: whole\n\nid: 2\nretry: 1\ndata: ha")
    await seen.event()
    getattr(stream, way)()
    again = await endpoint.stream()
    assert again.headers["Last-Event-ID"] == "1"
    await again.send("lf\n\ndata: new\n\n")
    assert (await seen.event()).data == "new"
    assert seen.data == ["whole", "new"]
    lost = seen.states[2]
    assert (lost.state, lost.error is None) == ("connecting", way == "end")
    seen.subscription.dispose()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_loop_ends_after_20(endpoint: Endpoint, status: int) -> None:
    seen = Seen(endpoint.url)
    for _ in range(21):
        await (await endpoint.visit()).answer(status, {"Location": endpoint.url})
    await seen.end()
    assert isinstance(seen.error, ConnectionFailed)
    assert seen.error.reason == "more than 20 redirects"
    assert len(endpoint.visits) == 21


async def test_20_redirects_are_followed(site: Site) -> None:
    endpoints = [site.endpoint() for _ in range(21)]
    seen = Seen(endpoints[0].url)
    for endpoint, following in itertools.pairwise(endpoints):
        await (await endpoint.visit()).answer(307, {"Location": following.url})
    await (await endpoints[-1].stream()).send("data: there\n\n")
    assert (await seen.event()).data == "there"
    seen.subscription.dispose()


@pytest.mark.parametrize(
    "location", ["ftp://example.org/", "http://", "http://a:99999/", "javascript:alert(1)"]
)
async def test_a_redirect_to_nowhere_fails(endpoint: Endpoint, location: str) -> None:
    seen = Seen(endpoint.url)
    await (await endpoint.visit()).answer(302, {"Location": location})
    await seen.end()
    assert isinstance(seen.error, ConnectionFailed)
    assert len(endpoint.visits) == 1


async def test_html_is_refused_with_its_beginning(endpoint: Endpoint) -> None:
    seen = Seen(endpoint.url)
    page = b"<!doctype html>\n<title>\x1b[31mSign in</title>" + b"x" * 100_000
    await (await endpoint.visit()).answer(200, {"Content-Type": "text/html; charset=utf-8"}, page)
    await seen.end()
    assert isinstance(seen.error, ConnectionFailed)
    assert seen.error.status == 200
    assert "'text/html; charset=utf-8', not 'text/event-stream'" in seen.error.reason
    assert "Sign in" in str(seen.error)
    assert "\x1b" not in str(seen.error)
    assert len(str(seen.error)) < 1500


async def test_a_refusal_that_does_not_end_is_not_waited_for(endpoint: Endpoint) -> None:
    seen = Seen(endpoint.url)
    await (await endpoint.visit()).open(503, {"Content-Type": "application/json"})
    await seen.end()
    assert isinstance(seen.error, ConnectionFailed)
    assert (seen.error.status, seen.error.reason) == (503, "503 Service Unavailable")


async def test_an_answer_without_content_type_is_refused(site: Site) -> None:
    async def serve(incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
        await incoming.readuntil(b"\r\n\r\n")
        outgoing.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ndata: x\n\n")
        await outgoing.drain()
        outgoing.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    seen = Seen(f"http://{host}:{port}/")
    await seen.end()
    assert isinstance(seen.error, ConnectionFailed)
    assert seen.error.reason == "no Content-Type"
    server.close()
    await server.wait_closed()


async def test_a_server_that_speaks_no_http_is_a_network_error(site: Site) -> None:
    answered = asyncio.Event()

    async def serve(incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
        await incoming.readuntil(b"\r\n\r\n")
        outgoing.write(b"220 smtp.example.org ESMTP\r\n" * 3)
        await outgoing.drain()
        outgoing.close()
        answered.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    seen = Seen(f"http://{host}:{port}/")
    await seen.state()
    lost = await seen.state()
    assert lost.state == "connecting" and lost.error is not None and lost.failures == 1
    assert answered.is_set()
    seen.subscription.dispose()
    server.close()
    await server.wait_closed()


async def test_empty_streams_one_after_another_are_no_storm(endpoint: Endpoint) -> None:
    """`retry: 0` and an end without an event, again and again: each time the wait grows."""
    seen = Seen(endpoint.url)
    for failures in range(1, 5):
        stream = await endpoint.stream()
        await stream.send("retry: 0\n")
        stream.end()
        lost = await seen.until("connecting") if failures > 1 else await second(seen)
        assert lost.failures == failures
        assert lost.delay >= 0.05 * 2**failures
    seen.subscription.dispose()


async def second(seen: Seen):
    await seen.until("connecting")
    return await seen.until("connecting")


async def test_an_id_that_no_header_can_carry_fails_instead_of_losing_events(endpoint: Endpoint) -> None:
    seen = Seen(endpoint.url, retry=0)
    stream = await endpoint.stream()
    await stream.send(b"id: a\x01b\ndata: x\n\n")
    await seen.event()
    stream.end()
    await seen.end()
    assert isinstance(seen.error, ConnectionFailed)
    assert "'a\\x01b'" in str(seen.error)
    assert len(endpoint.visits) == 1


async def test_what_came_before_the_cut_is_dispatched_also_to_a_slow_reader(endpoint: Endpoint) -> None:
    """aiohttp would drop what is not read when a connection is lost; a browser dispatches it."""
    source = EventSource(endpoint.url, retry=0)
    events = source.__aiter__()
    first = asyncio.ensure_future(anext(events))
    stream = await endpoint.stream()
    await stream.send("data: 0\n\n")
    assert (await first).data == "0"
    await stream.send("".join(f"data: {n}\n\n" for n in range(1, 1000)))
    stream.cut()
    await asyncio.sleep(0.1)  # the client notices it while no reader waits; the moment is unknown
    async with asyncio.timeout(20):
        assert [(await anext(events)).data for _ in range(1, 1000)] == [str(n) for n in range(1, 1000)]
    await events.aclose()


async def test_a_compressed_stream_is_read_as_it_comes(endpoint: Endpoint) -> None:
    seen = Seen(endpoint.url)
    visit = await endpoint.visit()
    await visit.open(headers={"Content-Type": "text/event-stream", "Content-Encoding": "gzip"})
    packer = zlib.compressobj(wbits=31)
    for n in range(3):
        await visit.send(packer.compress(f"data: {n}\n\n".encode()) + packer.flush(zlib.Z_SYNC_FLUSH))
        assert (await seen.event()).data == str(n)
    seen.subscription.dispose()
