"""Checks of `check_bus`: published values are delivered, and revocations apply.

Standard: the Observable contract (ReactiveX).
Never: a sleep where an event can be awaited.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from typing import Any

from rx_sse.bus.bus import core_of
from rx_sse.errors import BusClosed, EncodeError, EventTooLarge, PublishRefused, RxSseError
from rx_sse.testing.bench import Bench
from rx_sse.testing.listener import PATIENCE, Listener
from rx_sse.wire.event import ServerSentEvent


async def values_come_back_as_json_gives_them(bench: Bench) -> None:
    """Text as text, anything else as JSON; equal for values and events, in order, after the push has
    returned.
    """
    pushed: list[Any] = [
        {"a": [1, 2.5, None, True]},
        "text\nin two lines é",
        "",
        7,
        None,
        [],
        ServerSentEvent("x", event="named"),
    ]
    expected = [*pushed[:6], "x"]
    async with bench.bus() as bus:
        name = bench.topic()
        topic = bus.topic(name)
        values: list[Any] = []
        enough = asyncio.Event()

        def take(value: Any) -> None:
            values.append(value)
            if len(values) == len(pushed):
                enough.set()

        topic.subscribe(take)
        listener = await Listener(bus, name).opened()
        for value in pushed:
            topic.on_next(value)
        assert not values, "on_next delivered inside the call"
        await asyncio.wait_for(enough.wait(), PATIENCE)
        assert values == expected, f"{values} came out of {expected}"
        await listener.received(len(pushed))
        texts = [
            value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
            for value in expected
        ]
        assert [event.data for event in listener.events] == texts
        assert listener.events[-1].type == "named" and listener.events[0].topic == name
        assert len({event.id for event in listener.events}) == len(pushed), "every event has an id of its own"


async def what_cannot_be_sent_is_refused(bench: Bench) -> None:
    """At the push; nothing is stored."""
    async with bench.bus() as bus:
        name = bench.topic()
        refused: list[tuple[Any, type[RxSseError]]] = [
            (object(), EncodeError),
            (float("nan"), EncodeError),
            (ServerSentEvent("x", id="7"), EncodeError),
            ("x" * 1_000_001, EventTooLarge),
        ]
        for value, error in refused:
            try:
                bus.topic(name).on_next(value)
            except error:
                continue
            raise AssertionError(f"a value of type {type(value).__name__} was taken")
        await bus.publish(name, "good")
        listener = await Listener(bus, name, last=10).received(1)
        assert [event.data for event in listener.events] == ["good"]


async def threads_keep_their_order(bench: Bench) -> None:
    """Four threads push at once; nothing is lost, and every subscriber gets each thread's values in order."""
    async with bench.bus() as bus:
        name, each = bench.topic(), 500
        topic = bus.topic(name)
        listeners = [await Listener(bus, name).opened() for _ in range(3)]

        def push(thread: int) -> None:
            for number in range(each):
                topic.on_next([thread, number])

        threads = [threading.Thread(target=push, args=(thread,)) for thread in range(4)]
        for thread in threads:
            thread.start()
        for listener in listeners:
            await listener.received(4 * each)
        for thread in threads:
            await asyncio.to_thread(thread.join)
        for listener in listeners:
            for thread_number in range(4):
                mine = [number for thread, number in listener.values if thread == thread_number]
                assert mine == list(range(each)), f"thread {thread_number}'s values are not in its order"


async def an_idempotency_key_stores_once(bench: Bench) -> None:
    """The same key gives the same id; with other data it is refused; another user's key is another key."""
    async with bench.bus() as bus:
        name = bench.topic()
        first = await bus.publish(name, {"n": 1}, idempotency_key="k", user="a")
        again = await bus.publish(name, {"n": 1}, idempotency_key="k", user="a")
        assert first == again, "a repeated publish has another id"
        other = await bus.publish(name, {"n": 1}, idempotency_key="k", user="b")
        assert other != first, "the key of another user was taken for the same"
        try:
            await bus.publish(name, {"n": 2}, idempotency_key="k", user="a")
        except PublishRefused:
            pass
        else:
            raise AssertionError("a used key was taken with other data")
        listener = await Listener(bus, name, last=10).received(2)
        assert listener.values == [{"n": 1}, {"n": 1}]


async def leaving_and_raising_hurt_nobody_else(bench: Bench) -> None:
    """Observers that leave during a delivery, make others leave, or raise."""
    async with bench.bus() as bus:
        name = bench.topic()
        topic = bus.topic(name)
        got: dict[str, list[Any]] = {"one": [], "two": [], "left": [], "raiser": []}
        reported: list[dict[str, Any]] = []
        loop = asyncio.get_running_loop()
        before = loop.get_exception_handler()
        loop.set_exception_handler(lambda _, context: reported.append(context))

        def leave(value: Any) -> None:
            got["left"].append(value)
            leaving.dispose()
            victim.dispose()

        def fail(value: Any) -> None:
            got["raiser"].append(value)
            raise ValueError("an observer's own mistake")

        try:
            topic.subscribe(got["one"].append)
            leaving = topic.subscribe(leave)
            topic.subscribe(fail)
            victim = topic.subscribe(lambda value: got.setdefault("victim", []).append(value))
            topic.subscribe(got["two"].append)
            listener = await Listener(bus, name).opened()
            for number in range(3):
                topic.on_next(number)
            await listener.received(3)
            await bus.publish(name, 3)
        finally:
            loop.set_exception_handler(before)
        assert got["one"] == got["two"] == [0, 1, 2, 3], f"others were hurt: {got}"
        assert got["left"] == [0] and got["raiser"] == [0] and "victim" not in got
        assert len(reported) == 1, "the exception of an observer was not reported once"


async def an_end_is_an_entry(bench: Bench) -> None:
    """Readers get the remaining entries, then the end; so do later readers. A source that completes does not
    end the topic.
    """
    async with bench.bus() as bus:
        name = bench.topic()
        ended: list[str] = []
        bus.topic(name).subscribe(lambda _: None, on_completed=lambda: ended.append("values"))
        listener = await Listener(bus, name).opened()
        cursor = listener.cursor
        bus.topic(name).on_completed()
        await bus.publish(name, 1)
        await bus.end(name)
        await listener.until(lambda it: it.completed)
        assert listener.values == [1] and ended == ["values"]
        for late in (Listener(bus, name, cursor=cursor), Listener(bus, name, last=5)):
            await late.until(lambda it: it.completed)
            assert late.values == [1]
        bus.topic(name).subscribe(lambda _: None, on_completed=lambda: ended.append("late"))
        await bus.publish(bench.topic(), "so that a turn has passed")
        assert ended == ["values", "late"]


async def a_revocation_is_known(bench: Bench) -> None:
    """By user, for tokens issued before; by token id; watchers are called."""
    async with bench.bus() as bus:
        told: list[tuple[str | None, str | None]] = []
        user, token = f"u{os.urandom(4).hex()}", f"t{os.urandom(4).hex()}"
        heard = asyncio.Event()

        def watch(who: str | None, which: str | None, before: float | None) -> None:
            if who == user or which == token:
                told.append((who, which))
                if len(told) == 2:
                    heard.set()

        core_of(bus).revocations.watch(watch)
        await bus.revoke(user=user)
        await bus.revoke(token_id=token)
        await asyncio.wait_for(heard.wait(), PATIENCE)
        assert told == [(user, None), (None, token)]
        known = core_of(bus).revocations
        assert (
            known.loaded
            and known.is_revoked(user, None, 0.0)
            and known.is_revoked("stranger", token, 2.0**40)
        )
        assert not known.is_revoked(user, "another", 2.0**40) and not known.is_revoked("stranger", None, 0.0)


async def a_closed_bus_takes_nothing(bench: Bench) -> None:
    """Values pushed before are delivered; then pushing raises, and streams end without their topic's end."""
    got: list[Any] = []
    async with bench.bus() as bus:
        name = bench.topic()
        topic = bus.topic(name)
        topic.subscribe(got.append)
        listener = await Listener(bus, name).opened()
        topic.on_next(1)
    assert got == [1], "what was pushed before the close was not delivered"
    assert isinstance(listener.error, BusClosed) and not listener.completed
    try:
        topic.on_next(2)
    except BusClosed:
        return
    raise AssertionError("a closed bus took a value")
