"""A user's code runs in the context (`contextvars`) in which it was subscribed, on memory and on Redis.

Two users, each with a value of their own in a context variable, as a middleware sets it for each request.
What is published comes from a third place. Whoever is the first in a callback that serves both
must not lend the other its variables.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import Any

import pytest
from aiohttp import web
from reactivex import operators as ops

import rx_sse
from rx_sse.bus.bus import core_of
from rx_sse.testing import OpenStream

from ..tenants import USERS, both, tenant
from .conftest import MakeBus


async def as_(user: str, action: Callable[[], Awaitable[Any]]) -> None:
    """Work in a context of its own."""

    async def act() -> None:
        tenant.set(user)
        await action()

    await asyncio.get_running_loop().create_task(act(), context=copy_context())


async def first_of_each(streams: dict[str, OpenStream]) -> dict[str, str]:
    return {user: (await stream.next_event()).data for user, stream in streams.items()}


OWN = {user: user for user in USERS}


async def test_a_filter_is_asked_where_its_reader_subscribed(make_bus: MakeBus) -> None:
    bus = make_bus()

    def mine(request: web.Request) -> Any:
        return bus.events(
            "t", after=rx_sse.last_event_id(request), filter=lambda event: event.data == tenant.get()
        )

    async with both(mine, bus=bus) as (_, streams):
        for user in USERS:
            await as_("alice", lambda user=user: bus.publish("t", user))
        assert await first_of_each(streams) == OWN


async def test_a_map_is_made_where_its_reader_subscribed(make_bus: MakeBus) -> None:
    bus = make_bus()

    def mine(request: web.Request) -> Any:
        return bus.events("t", after=rx_sse.last_event_id(request), map=lambda event: tenant.get())

    async with both(mine, bus=bus) as (_, streams):
        await as_("carol", lambda: bus.publish("t", 1))
        assert await first_of_each(streams) == OWN


async def test_a_replay_is_mapped_where_its_reader_subscribed(make_bus: MakeBus) -> None:
    bus = make_bus()

    def mine(request: web.Request) -> Any:
        return bus.events("t", after=rx_sse.last_event_id(request), last=3, map=lambda event: tenant.get())

    async with bus:
        for number in range(3):
            await bus.publish("t", number)
        async with both(mine, bus=bus) as (_, streams):
            for user, stream in streams.items():
                assert [event.data for event in await stream.events(3)] == [user] * 3


@pytest.mark.parametrize("waits", [False, True], ids=["function", "coroutine function"])
async def test_a_snapshot_is_made_where_its_reader_subscribed(make_bus: MakeBus, waits: bool) -> None:
    bus = make_bus()
    asked: list[str] = []

    def made(topic: str) -> str:
        asked.append(tenant.get())
        return f"{topic} of {tenant.get()}"

    async def made_later(topic: str) -> str:
        while len(asked) < 2:  # both are under way at the same time
            asked.append(tenant.get())
            await asyncio.sleep(0.01)
        return f"{topic} of {tenant.get()}"

    snapshot = made_later if waits else made

    def mine(request: web.Request) -> Any:
        return bus.events("t", after=rx_sse.last_event_id(request), snapshot=snapshot)

    async with both(mine, bus=bus) as (_, streams):
        assert await first_of_each(streams) == {user: f"t of {user}" for user in USERS}


async def test_readers_in_like_contexts_share_a_snapshot() -> None:
    bus = rx_sse.MemoryBus()
    asked: list[str] = []
    go_on = asyncio.Event()

    async def snapshot(topic: str) -> str:
        asked.append(topic)
        await go_on.wait()
        return "all"

    got: list[str] = []
    async with bus:
        for _ in range(5):
            bus.events("t", after=None, snapshot=snapshot).subscribe(lambda event: got.append(event.data))
        async with asyncio.timeout(20):
            while not asked:
                await asyncio.sleep(0.005)
            await asyncio.sleep(0.02)
            go_on.set()
            while len(got) < 5:
                await asyncio.sleep(0.005)
    assert asked == ["t"]


async def test_on_gap_is_called_where_its_reader_subscribed(make_bus: MakeBus) -> None:
    bus = make_bus()
    told: list[str] = []

    def fails(event: rx_sse.ServerSentEvent) -> bool:
        raise ValueError(tenant.get())

    async with bus:
        for user in USERS:
            tenant.set(user)
            bus.events(
                "t", after=None, filter=fails, on_gap=lambda gap: told.append(tenant.get())
            ).subscribe()
        tenant.set("carol")
        await bus.publish("t", 1)
        await bus.publish("t", 2)
        async with asyncio.timeout(20):
            while len(told) < 4:
                await asyncio.sleep(0.005)
    assert sorted(told) == ["alice", "alice", "bob", "bob"]


async def test_observers_of_a_topic_are_called_where_they_subscribed(make_bus: MakeBus) -> None:
    bus = make_bus()
    got: list[tuple[Any, str]] = []
    ended: list[str] = []

    async with bus:
        for user in USERS:
            tenant.set(user)
            bus.topic("t").subscribe(
                lambda value: got.append((value, tenant.get())),
                on_completed=lambda: ended.append(tenant.get()),
            )
        tenant.set("carol")
        for number in range(3):  # in one burst
            bus.topic("t").on_next(number)
        await bus.end("t")
        async with asyncio.timeout(20):
            while len(ended) < 2:
                await asyncio.sleep(0.005)
    assert sorted(got) == [(number, user) for number in range(3) for user in USERS]
    assert sorted(ended) == list(USERS)


async def test_operators_over_a_topic_and_over_events_run_where_they_were_subscribed(
    make_bus: MakeBus,
) -> None:
    bus = make_bus()

    def mine(request: web.Request) -> Any:
        values = bus.topic("v").pipe(ops.map(lambda _: tenant.get()))
        events = bus.events("e", after=rx_sse.last_event_id(request)).pipe(
            ops.map(lambda event: tenant.get())
        )
        return values.pipe(ops.merge(events))

    async with both(mine, bus=bus) as (_, streams):
        await as_("carol", lambda: bus.publish("v", 1))
        assert await first_of_each(streams) == OWN
        await as_("carol", lambda: bus.publish("e", 1))
        assert await first_of_each(streams) == OWN


async def test_observers_of_presence_are_called_where_they_subscribed(make_bus: MakeBus) -> None:
    bus = make_bus()
    told: list[str] = []

    async with bus:
        for user in USERS:
            tenant.set(user)
            bus.presence("t").subscribe(lambda change: told.append(tenant.get()))
        tenant.set("carol")
        subscription = bus.events("t", after=_resume_of("dave")).subscribe()
        async with asyncio.timeout(20):
            while len(told) < 2:
                await asyncio.sleep(0.005)
        subscription.dispose()
    assert sorted(told) == list(USERS)


async def test_observers_of_errors_are_called_where_they_subscribed(make_bus: MakeBus) -> None:
    bus = make_bus()
    told: list[str] = []

    async with bus:
        for user in USERS:
            tenant.set(user)
            bus.errors.subscribe(lambda trouble: told.append(tenant.get()))
        tenant.set("carol")
        bus.topic("t").on_error(ValueError("a source failed"))
        async with asyncio.timeout(20):
            while len(told) < 2:
                await asyncio.sleep(0.005)
    assert told == list(USERS)


async def test_a_connection_that_runs_no_code_of_a_users_enters_no_context(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bus = rx_sse.MemoryBus()

    def plain(request: web.Request) -> Any:
        return bus.events("t", after=rx_sse.last_event_id(request))

    async with both(plain, bus=bus) as (_, streams):
        subscriptions: list[Any] = list(core_of(bus).runtime.subscribers)
        assert [subscription._user_code for subscription in subscriptions] == [None, None]
        await bus.publish("t", 1)
        assert await first_of_each(streams) == {user: "1" for user in USERS}


def _resume_of(user: str) -> Any:
    from rx_sse.bus.resume.stream_cursor import StreamCursor

    return StreamCursor(None, user=user)
