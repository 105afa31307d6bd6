"""A stream's work runs in the context (`contextvars`) of its request, whatever caused it.

Two users at once, each with a tenant that a middleware has set, on real sockets, on both loops.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from typing import Any

import pytest
import reactivex as rx
import uvloop
from aiohttp import web
from reactivex import operators as ops
from reactivex.disposable import Disposable
from reactivex.subject import Subject

import rx_sse
from rx_sse.testing import OpenStream, open_stream, serve
from rx_sse.web.registry import REGISTRY

from ..tenants import USERS, both, sets_tenant, tenant
from .apps import until


def push(subject: Subject[Any], value: Any, user: str = "carol") -> None:
    """Push as another user."""
    token = tenant.set(user)
    subject.on_next(value)
    tenant.reset(token)


def mine(value: Any) -> str:
    return tenant.get()


async def seen(streams: dict[str, OpenStream], count: int = 2) -> dict[str, set[str]]:
    return {user: {event.data for event in await stream.events(count)} for user, stream in streams.items()}


OWN = {user: {user} for user in USERS}

TIMED: dict[str, Callable[[rx.Observable[Any]], rx.Observable[Any]]] = {
    "debounce": lambda source: source.pipe(ops.debounce(0.01)),
    "delay": lambda source: source.pipe(ops.delay(0.01)),
    "throttle_latest": lambda source: source.pipe(
        ops.do_action(lambda _: None), rx_sse.throttle_latest(0.02), ops.skip(1)
    ),
    "buffer_with_time": lambda source: source.pipe(ops.buffer_with_time(0.02), ops.filter(bool)),
    "observe": lambda source: source.pipe(ops.flat_map(lambda _: rx.timer(0.01))),
    "iterable": lambda source: source.pipe(ops.flat_map(lambda _: rx_sse.from_async_iterable(numbers()))),
}


async def numbers() -> AsyncIterator[str]:
    await asyncio.sleep(0)
    yield tenant.get()


async def test_an_interval_ticks_in_the_context_of_its_request() -> None:
    async with both(lambda request: rx.interval(0.02).pipe(ops.map(mine))) as (_, streams):
        assert await seen(streams, 4) == OWN


@pytest.mark.parametrize("operator", TIMED)
async def test_what_an_operator_does_later_is_done_in_the_context_of_its_request(operator: str) -> None:
    source: Subject[Any] = Subject()

    def handler(request: web.Request) -> rx.Observable[Any]:
        return TIMED[operator](source).pipe(ops.map(mine))

    async with both(handler, hold_headers=0.0) as (_, streams):
        push(source, 1)
        push(source, 2)
        assert await seen(streams, 1) == OWN


async def test_a_shared_source_runs_where_it_was_built_and_its_subscribers_where_they_subscribed() -> None:
    upstream: list[str] = []
    shared = rx.interval(0.02).pipe(
        ops.do_action(lambda _: upstream.append(tenant.get())), rx_sse.as_events(shared=True)
    )

    async with both(lambda request: shared.pipe(ops.map(mine))) as (_, streams):
        assert await seen(streams, 3) == OWN
    assert set(upstream) == {"nobody"}


async def test_a_source_is_disposed_of_in_the_context_of_its_request() -> None:
    disposed: list[str] = []

    def handler(request: web.Request) -> rx.Observable[int]:
        def subscribe(observer: Any, scheduler: Any = None) -> Any:
            observer.on_next(1)
            return Disposable(lambda: disposed.append(tenant.get()))

        return rx.create(subscribe)

    async with both(handler) as (app, streams):
        await seen(streams, 1)
        for stream in streams.values():
            stream.leave()
        await until(lambda: not app[REGISTRY].streams)
    assert sorted(disposed) == list(USERS)


async def test_a_generator_runs_and_ends_in_the_context_of_its_request() -> None:
    ended: list[str] = []

    async def handler(request: web.Request) -> AsyncIterator[str]:
        try:
            while True:
                yield tenant.get()
                await asyncio.sleep(0.01)
        finally:
            ended.append(tenant.get())

    async with both(handler) as (_, streams):
        assert await seen(streams, 3) == OWN
        for stream in streams.values():
            stream.leave()
        await until(lambda: len(ended) == 2)
    assert sorted(ended) == list(USERS)


async def test_the_key_of_a_policy_is_made_in_the_context_of_the_request() -> None:
    source: Subject[Any] = Subject()
    asked: list[str] = []

    def key(value: Any) -> str:
        asked.append(tenant.get())
        return str(value)

    @rx_sse.sse(overflow=rx_sse.Overflow("latest", key=key), hold_headers=0.0)
    def handler(request: web.Request) -> rx.Observable[Any]:
        return source

    app = rx_sse.setup(web.Application(middlewares=[sets_tenant]))
    app.router.add_get("/", handler)
    async with serve(app) as url, open_stream(url, "/?me=alice") as alice:
        push(source, 1)
        await alice.next_event()
    assert asked == ["alice"]


async def test_a_failure_is_logged_in_the_context_of_the_request() -> None:
    source: Subject[Any] = Subject()
    logged: list[str] = []

    class Tenants(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            logged.append(tenant.get())

    watching = Tenants()
    logging.getLogger("rx_sse").addHandler(watching)
    try:
        async with both(lambda request: source, hold_headers=0.0) as (app, streams):
            push(source, 1)
            await seen(streams, 1)
            token = tenant.set("carol")
            source.on_error(ValueError("the source"))
            tenant.reset(token)
            await until(lambda: not app[REGISTRY].streams)
    finally:
        logging.getLogger("rx_sse").removeHandler(watching)
    assert sorted(logged) == list(USERS)


async def test_an_event_that_is_emitted_from_a_delivery_may_lead_to_another() -> None:
    """A context can be entered once at a time: nested work must not meet one that is entered."""
    source: Subject[int] = Subject()

    def again(value: int) -> None:
        if value < 3:
            source.on_next(value + 1)

    def handler(request: web.Request) -> rx.Observable[Any]:
        return source.pipe(
            ops.do_action(again), ops.observe_on(rx_sse.LoopScheduler()), ops.delay(0.0), ops.map(mine)
        )

    async with both(handler, hold_headers=0.0) as (_, streams):
        push(source, 3)
        assert await seen(streams, 1) == OWN


@pytest.mark.parametrize(
    "scenario",
    [
        test_an_interval_ticks_in_the_context_of_its_request,
        test_a_shared_source_runs_where_it_was_built_and_its_subscribers_where_they_subscribed,
        test_a_source_is_disposed_of_in_the_context_of_its_request,
        test_a_generator_runs_and_ends_in_the_context_of_its_request,
        test_an_event_that_is_emitted_from_a_delivery_may_lead_to_another,
        *(
            partial(test_what_an_operator_does_later_is_done_in_the_context_of_its_request, it)
            for it in TIMED
        ),
    ],
)
def test_the_same_on_uvloop(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())
