"""The async iterable: read as fast as it is taken, and over when its loop is left."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from rx_sse.client import ConnectionState, EventSource
from rx_sse.errors import ConnectionFailed

from ..conformance.endpoint import Endpoint
from .test_observable import gone


async def test_it_yields_events_until_the_stream_is_over(endpoint: Endpoint) -> None:
    async def serve() -> None:
        for n in range(2):
            stream = await endpoint.stream()
            await stream.send(f"id: {n}\ndata: {n}\n\n")
            stream.end()
        await (await endpoint.visit()).answer(204, {})

    serving = asyncio.create_task(serve())
    assert [event.data async for event in EventSource(endpoint.url, retry=0)] == ["0", "1"]
    await serving


async def test_a_refusal_is_raised(endpoint: Endpoint) -> None:
    async def iterate() -> None:
        async for _ in EventSource(endpoint.url):
            pass

    iterating = asyncio.create_task(iterate())
    await (await endpoint.visit()).answer(401, {"WWW-Authenticate": "Bearer"}, b'{"title": "No token"}')
    with pytest.raises(ConnectionFailed, match=r"^GET http://127.0.0.1:\d+/e1: 401 Unauthorized: .*No token"):
        await iterating


async def test_every_iteration_is_a_connection_of_its_own(endpoint: Endpoint) -> None:
    source = EventSource(endpoint.url)
    pulled = [asyncio.ensure_future(anext(iterator)) for iterator in (aiter(source), aiter(source))]
    for data in ("a", "b"):
        await (await endpoint.stream()).send(f"data: {data}\n\n")
    assert {(await event).data for event in pulled} == {"a", "b"}


async def test_leaving_the_loop_aborts_the_connection(endpoint: Endpoint) -> None:
    async def one() -> str:
        async for event in EventSource(endpoint.url):
            return event.data
        raise AssertionError

    taking = asyncio.create_task(one())
    stream = await endpoint.stream()
    await stream.send("data: 1\n\ndata: 2\n\n")
    assert await taking == "1"
    await gone(stream)


async def test_with_aclosing_it_is_over_when_the_block_is(endpoint: Endpoint) -> None:
    states: list[ConnectionState] = []
    source = EventSource(endpoint.url, on_state=states.append)
    async with aclosing(aiter(source)) as events:
        first = asyncio.ensure_future(anext(events))
        stream = await endpoint.stream()
        await stream.send("data: 1\n\n")
        assert (await first).data == "1"
    assert states[-1].state == "closed"
    await gone(stream)


async def test_cancelling_the_consumer_aborts_the_connection(endpoint: Endpoint) -> None:
    async def iterate() -> None:
        async for _ in EventSource(endpoint.url):
            pass

    iterating = asyncio.create_task(iterate())
    stream = await endpoint.stream()
    iterating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await iterating
    await gone(stream)


async def test_a_timeout_around_one_event_ends_the_iteration(endpoint: Endpoint) -> None:
    events = aiter(EventSource(endpoint.url))
    first = asyncio.ensure_future(anext(events))
    stream = await endpoint.stream()
    await stream.send("data: 1\n\n")
    await first
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await anext(events)
    await gone(stream)


async def test_a_slow_consumer_slows_the_server_down(endpoint: Endpoint) -> None:
    """A server that sends as fast as it may stops after what the sockets and 128 KiB here can hold."""
    events = aiter(EventSource(endpoint.url))
    first = asyncio.ensure_future(anext(events))
    stream = await endpoint.stream()
    block = ("data: " + "x" * 1017 + "\n\n") * 64  # 64 KiB
    sent = 0

    async def flood() -> None:
        nonlocal sent
        while True:
            await stream.send(block)
            sent += 1

    flooding = asyncio.create_task(flood())
    await first
    before = -1
    while sent != before:  # until it is stuck
        before = sent
        await asyncio.sleep(0.2)
    stuck = sent
    assert stuck < 16 * 16  # MiB of 64 KiB: Linux grows a loopback socket to 4 to 6 MiB a side
    for _ in range(64 * 64):  # 4 MiB are taken
        assert len((await anext(events)).data) == 1017
    async with asyncio.timeout(20):
        while sent == stuck:
            await asyncio.sleep(0.01)
    await events.aclose()
    flooding.cancel()
    await asyncio.wait([flooding])
