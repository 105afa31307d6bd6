"""The Observable form: cold, one connection a subscription, and nothing left of it when it is disposed."""

from __future__ import annotations

import asyncio
import socket
import ssl as tls
import threading
from pathlib import Path
from time import monotonic
from typing import Any, cast

import aiohttp
import pytest
import reactivex as rx

from rx_sse.client import ConnectionState, EventSource
from rx_sse.errors import UsageError
from rx_sse.reactive.scheduler import LoopScheduler
from rx_sse.testing.leaks import sockets
from rx_sse.wire.event import ServerSentEvent

from ..certificate import self_signed
from ..conformance.endpoint import Endpoint, Site, Visit, listening
from .seen import Seen


async def gone(visit: Visit) -> None:
    """Until the server sees that the client has left."""
    async with asyncio.timeout(20):
        while visit.request.transport is not None:
            await asyncio.sleep(0.001)


async def test_it_is_an_observable_of_events(endpoint: Endpoint) -> None:
    source = EventSource(endpoint.url)
    assert isinstance(source, rx.Observable)
    got = source.map(lambda event: event.json()["n"]).take(2).to_list()
    task = asyncio.ensure_future(as_future(got))
    stream = await endpoint.stream()
    await stream.send('data: {"n": 1}\n\ndata: {"n": 2}\n\ndata: {"n": 3}\n\n')
    assert await task == [1, 2]
    await gone(stream)


async def as_future(source: rx.Observable[Any]) -> Any:
    return await source


async def test_nothing_happens_before_it_is_subscribed_to(endpoint: Endpoint) -> None:
    source = EventSource(endpoint.url)
    await asyncio.sleep(0.05)
    assert endpoint.visits == []
    subscriptions = [source.subscribe(lambda _: None) for _ in range(2)]
    visits = [await endpoint.stream() for _ in range(2)]
    assert len({visit.request.transport for visit in visits}) == 2  # two connections
    for subscription in subscriptions:
        subscription.dispose()
    await asyncio.gather(*map(gone, visits))


async def test_dispose_before_the_first_turn_opens_nothing(endpoint: Endpoint) -> None:
    seen = Seen(endpoint.url)
    seen.subscription.dispose()
    await asyncio.sleep(0.05)
    assert (endpoint.visits, seen.states) == ([], [])


async def test_dispose_while_it_connects(site: Site) -> None:
    """To a server that accepts and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
        seen = Seen(f"http://{host}:{port}/")
        await seen.state()
        await asyncio.sleep(0.05)
        seen.subscription.dispose()
        assert (await seen.state()).state == "closed"
        assert not (seen.completed or seen.error)


async def test_dispose_while_it_waits_for_the_next_attempt(site: Site) -> None:
    seen = Seen("http://127.0.0.1:9/", retry=60_000)
    await seen.state()
    assert (await seen.state()).delay > 1
    seen.subscription.dispose()
    assert (await seen.state()).state == "closed"


async def test_dispose_aborts_the_connection_and_silences_it_at_once(endpoint: Endpoint) -> None:
    seen = Seen(endpoint.url)
    stream = await endpoint.stream()
    await stream.send("data: 1\n\n")
    await seen.event()
    await stream.send("data: 2\n\n")  # on its way
    seen.subscription.dispose()
    await gone(stream)
    assert seen.data == ["1"]
    assert not (seen.completed or seen.error)


async def test_dispose_from_within_takes_the_rest_of_the_packet_back(endpoint: Endpoint) -> None:
    got: list[str] = []

    def on_next(event: ServerSentEvent) -> None:
        got.append(event.data)
        if event.data == "2":
            subscription.dispose()

    subscription = EventSource(endpoint.url).subscribe(on_next)
    stream = await endpoint.stream()
    await stream.send("".join(f"data: {n}\n\n" for n in range(1000)))
    await gone(stream)
    assert got == ["0", "1", "2"]


@pytest.mark.parametrize("course", [["connecting", "closed"], ["connecting", "open", "closed"]])
async def test_dispose_from_the_state_callback(endpoint: Endpoint, course: list[str]) -> None:
    states: list[str] = []
    done = asyncio.Event()

    def on_state(state: ConnectionState) -> None:
        states.append(state.state)
        if state.state == course[-2]:
            subscription.dispose()
        if state.state == "closed":
            done.set()

    subscription = EventSource(endpoint.url, on_state=on_state).subscribe(lambda _: None)
    if "open" in course:
        await gone(await endpoint.stream())
    async with asyncio.timeout(20):
        await done.wait()
    assert states == course


async def test_dispose_from_another_thread(endpoint: Endpoint) -> None:
    seen = Seen(endpoint.url)
    stream = await endpoint.stream()
    await seen.until("open")
    thread = threading.Thread(target=seen.subscription.dispose)
    thread.start()
    await seen.until("closed")
    thread.join()
    await gone(stream)


def test_dispose_after_the_loop_is_closed_is_silent(tmp_path: Path) -> None:
    async def main() -> Seen:
        async with listening(Site()) as site:
            endpoint = site.endpoint()
            seen = Seen(endpoint.url)
            await endpoint.stream()
            await seen.until("open")
            return seen

    seen = asyncio.run(main())  # which cancels what is left
    assert seen.course[-1] == "closed"
    seen.subscription.dispose()


async def test_over_tls_dispose_waits_for_no_farewell(tmp_path: Path, site: Site) -> None:
    """A server that has stopped reading would hold a polite TLS shutdown for half a minute."""
    certificate, key = self_signed(tmp_path)
    server_side = tls.SSLContext(tls.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(certificate, key)
    client_side = tls.create_default_context(cafile=certificate)
    async with listening(Site(), ssl=server_side) as secure:
        endpoint = secure.endpoint()
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=client_side)) as session:
            seen = Seen(endpoint.url, session=session)
            stream = await endpoint.stream()
            await seen.until("open")
            transport = cast(asyncio.Transport, stream.request.transport)
            transport.pause_reading()
            connected = sockets()
            seen.subscription.dispose()
            await seen.until("closed")
            async with asyncio.timeout(1):
                while sockets() == connected:  # the server keeps its own, as it does not look
                    await asyncio.sleep(0.01)
            assert not session.closed
            transport.resume_reading()
            await gone(stream)


async def test_an_observer_that_raises_ends_its_own_stream_and_is_reported(endpoint: Endpoint) -> None:
    reports: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))

    def raises(_: ServerSentEvent) -> None:
        raise ZeroDivisionError

    source = EventSource(endpoint.url)
    source.subscribe(raises)
    other = Seen(endpoint.url)
    first, second = await endpoint.stream(), await endpoint.stream()
    for stream in (first, second):
        await stream.send("data: 1\n\n")
    await other.event()
    open_ones = [visit for visit in (first, second) if visit.request.transport is not None]
    while len(open_ones) == 2:
        await asyncio.sleep(0.001)
        open_ones = [visit for visit in (first, second) if visit.request.transport is not None]
    await open_ones[0].send("data: 2\n\n")
    assert (await other.event()).data == "2"
    assert [type(report["exception"]) for report in reports] == [ZeroDivisionError]
    other.subscription.dispose()


async def test_an_error_that_nobody_handles_is_reported(endpoint: Endpoint) -> None:
    reports: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.put_nowait(context))
    EventSource(endpoint.url).subscribe(lambda _: None)
    await (await endpoint.visit()).answer(404, {})
    async with asyncio.timeout(20):
        assert "404" in str((await reports.get())["exception"])


async def test_callbacks_that_raise_hurt_nobody(endpoint: Endpoint) -> None:
    reports: list[type] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: reports.append(type(context["exception"])))

    def raises(_: object) -> None:
        raise ZeroDivisionError

    source = EventSource(endpoint.url, on_state=raises, on_comment=raises)
    got = asyncio.ensure_future(as_future(source.take(1)))
    stream = await endpoint.stream()
    await stream.send(":\n", "data: 1\n\n")
    assert (await got).data == "1"
    await gone(stream)
    await asyncio.sleep(0.01)
    assert reports == [ZeroDivisionError] * 4  # connecting, open, the comment, closed


async def test_a_flood_lets_the_loop_turn(endpoint: Endpoint) -> None:
    """10,000 events in a packet or two, and a pipeline that takes 50 µs for each: half a second of work."""

    def work(event: ServerSentEvent) -> str:
        until = monotonic() + 50e-6
        while monotonic() < until:
            pass
        return event.data

    done = asyncio.Event()
    EventSource(endpoint.url).map(work).take(10_000).subscribe(on_completed=done.set)
    stream = await endpoint.stream()
    sending = asyncio.create_task(stream.send("data: x\n\n" * 10_000))
    turns = 0
    while not done.is_set():
        await asyncio.sleep(0)
        turns += 1
    await sending
    assert turns > 40  # of 100 slices of 5 ms; a loop that is held turns a dozen times


async def test_operators_run_under_the_loop_scheduler(endpoint: Endpoint) -> None:
    threads: set[str] = set()
    done = asyncio.Event()
    got: list[str] = []

    def on_next(event: ServerSentEvent) -> None:
        threads.add(threading.current_thread().name)
        got.append(event.data)
        done.set()

    subscription = EventSource(endpoint.url).debounce(0.05).subscribe(on_next, scheduler=LoopScheduler())
    stream = await endpoint.stream()
    await stream.send("data: 1\n\n", "data: 2\n\n")
    await done.wait()
    assert (got, threads) == (["2"], {threading.main_thread().name})
    subscription.dispose()


async def test_one_connection_can_be_shared(endpoint: Endpoint) -> None:
    shared = EventSource(endpoint.url).share()
    got: list[str] = []
    subscriptions = [shared.subscribe(lambda event: got.append(event.data)) for _ in range(2)]
    stream = await endpoint.stream()
    await stream.send("data: 1\n\n")
    while len(got) < 2:
        await asyncio.sleep(0.001)
    assert len(endpoint.visits) == 1
    for subscription in subscriptions:
        subscription.dispose()
    await gone(stream)


async def test_it_is_not_awaited(endpoint: Endpoint) -> None:
    with pytest.raises(UsageError, match="endless"):
        await EventSource(endpoint.url)


def test_outside_of_a_loop_it_says_so() -> None:
    with pytest.raises(UsageError, match="event loop"):
        EventSource("http://127.0.0.1:9/").subscribe(lambda _: None)
