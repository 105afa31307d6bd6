"""Tasks under any task factory: `asyncio.eager_task_factory` runs a task before `create_task` returns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextvars import ContextVar, copy_context
from typing import Any

import pytest
from aiohttp import web
from reactivex import operators as ops

import rx_sse
from rx_sse.tasks import start
from rx_sse.testing import open_stream, serve
from rx_sse.web.auth.jwks import JWKS

from .redis_server import RedisServer
from .web.apps import app_of, exchange


def ordinary(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
    """An application's own factory, which is not eager."""
    return asyncio.Task(coroutine, loop=loop, **options)


# Python 3.11 has no eager tasks: there the tests hold that a factory of the application's is honoured.
FACTORIES: list[Any] = [ordinary]
if (eager := getattr(asyncio, "eager_task_factory", None)) is not None:
    FACTORIES.append(eager)


@pytest.fixture(params=FACTORIES, ids=lambda factory: factory.__name__)
def factory(request: pytest.FixtureRequest) -> Any:
    return request.param


def use(factory: Any) -> None:
    asyncio.get_running_loop().set_task_factory(factory)


async def words(request: web.Request) -> AsyncIterator[str]:
    yield "one"
    yield "two"


async def test_a_task_begins_after_its_owner_has_it(factory: Any) -> None:
    use(factory)
    owner: list[asyncio.Task[str]] = []

    async def work(word: str) -> str:
        assert owner == [asyncio.current_task()]
        return word

    owner.append(start(work, "done", name="the work"))
    assert owner[0].get_name() == "the work"
    assert await owner[0] == "done"


async def test_a_task_runs_in_the_context_that_it_is_given(factory: Any) -> None:
    use(factory)
    variable: ContextVar[str] = ContextVar("variable", default="none")
    context = copy_context()
    context.run(variable.set, "given")

    async def read() -> str:
        return variable.get()

    assert await start(read, context=context) == "given"
    assert await start(read) == "none"


async def test_a_task_cancelled_before_it_begins_leaves_no_coroutine_behind(factory: Any) -> None:
    use(factory)
    begun: list[bool] = []

    async def work() -> None:
        begun.append(True)

    task = start(work)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):  # and a coroutine never awaited would be a warning
        await task
    assert not begun


async def test_a_generator_that_yields_before_it_waits_is_streamed(factory: Any) -> None:
    use(factory)
    async with serve(app_of(rx_sse.sse(words))) as url:
        answer = await exchange(url)
    assert [line for line in answer.content.split(b"\n") if line.startswith(b"data")][:2] == [
        b"data: one",
        b"data: two",
    ]
    assert b"event: stream-end" in answer.content


async def test_an_iterable_is_pulled_no_further_than_its_subscriber_wants(factory: Any) -> None:
    use(factory)
    asked: list[int] = []

    async def source() -> AsyncIterator[int]:
        for number in range(10):
            asked.append(number)
            yield number

    ended = asyncio.Event()
    rx_sse.from_async_iterable(source()).pipe(ops.take(2)).subscribe(
        on_completed=ended.set, scheduler=rx_sse.LoopScheduler()
    )
    await ended.wait()
    await asyncio.sleep(0.01)
    assert asked == [0, 1]


async def test_an_event_source_may_be_disposed_of_by_its_first_event(factory: Any) -> None:
    use(factory)
    async with serve(app_of(rx_sse.sse(words))) as url:
        ended = asyncio.Event()
        seen: list[str] = []
        rx_sse.EventSource(url).pipe(ops.take(1), ops.finally_action(ended.set)).subscribe(
            lambda event: seen.append(event.data)
        )
        async with asyncio.timeout(20):
            await ended.wait()
    assert seen == ["one"]


async def test_a_snapshot_that_does_not_wait_begins_its_stream(factory: Any) -> None:
    use(factory)
    bus = rx_sse.MemoryBus()

    async def snapshot(topic: str) -> str:
        return f"all of {topic}"

    @rx_sse.sse
    def handler(request: web.Request) -> Any:
        return bus.events("a", after=rx_sse.last_event_id(request), snapshot=snapshot)

    async with serve(app_of(handler, bus=bus)) as url, open_stream(url) as stream:
        assert (await stream.next_event()).data == "all of a"
        await bus.publish("a", "next")
        assert (await stream.next_event()).data == "next"


async def test_a_key_set_is_fetched_once_for_all_who_ask(factory: Any) -> None:
    use(factory)
    asked: list[str] = []

    async def keys(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.json_response({"keys": []})

    app = web.Application()
    app.router.add_get("/keys", keys)
    async with serve(app) as url:
        jwks = JWKS(f"{url}/keys", insecure_http=True)
        await asyncio.gather(*(jwks.ask() for _ in range(3)))
        await jwks.close()
    assert asked == ["/keys"]


async def test_a_bus_on_redis_starts_and_stops(factory: Any) -> None:
    use(factory)
    got = asyncio.Event()
    with RedisServer("redis") as server:
        async with rx_sse.RedisBus(server.url) as bus:
            bus.topic("a").subscribe(lambda _: got.set())
            await bus.publish("a", 1)
            async with asyncio.timeout(20):
                await got.wait()
