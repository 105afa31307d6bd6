"""The bridges between Observables and async iterables, on real loops: `await` knows no virtual time."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
import reactivex as rx
from reactivex import abc
from reactivex import operators as ops
from reactivex.subject import Subject
from reactivex.testing import ReactiveTest, TestScheduler

from rx_sse.delivery.overflow import Overflow
from rx_sse.errors import RxSseError, UsageError
from rx_sse.reactive import LoopScheduler, Overflowed, buffer, from_async_iterable, to_async_iterable

from .conftest import Reported
from .test_scheduler import turns


class Source:
    """An async generator function that tells what happens to its generators."""

    def __init__(self, *items: Any, error: Exception | None = None) -> None:
        self.items = items
        self.error = error
        self.asked = 0
        self.opened = 0
        self.closed = 0
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.was_closed = asyncio.Event()

    async def __call__(self) -> AsyncIterator[Any]:
        self.opened += 1
        try:
            for item in self.items:
                self.asked += 1
                await self.go_on.wait()
                yield item
            if self.error is not None:
                raise self.error
        finally:
            self.closed += 1
            self.was_closed.set()


async def outcome(source: rx.Observable[Any]) -> list[Any]:
    """What it emits; then "completed", or the error."""
    got: list[Any] = []
    ended = asyncio.Event()

    def end(what: Any) -> None:
        got.append(what)
        ended.set()

    source.subscribe(got.append, end, lambda: end("completed"), scheduler=LoopScheduler())
    await ended.wait()
    return got


# From an async iterable.


async def test_items_are_emitted_and_the_end_is_told() -> None:
    source = Source(1, 2, 3)
    assert await outcome(from_async_iterable(source)) == [1, 2, 3, "completed"]
    assert (source.opened, source.closed) == (1, 1)


async def test_each_subscription_iterates_anew() -> None:
    observable = from_async_iterable(Source(1, 2))
    assert await outcome(observable) == await outcome(observable) == [1, 2, "completed"]


async def test_a_failure_is_an_error() -> None:
    error = ValueError("source")
    assert await outcome(from_async_iterable(Source(1, error=error))) == [1, error]


async def test_a_generator_can_be_given_once() -> None:
    observable = from_async_iterable(Source(1)())
    assert await outcome(observable) == [1, "completed"]
    [error] = await outcome(observable)
    assert isinstance(error, UsageError)
    assert "read once" in str(error)


async def test_an_iterable_that_is_no_generator_can_be_given_often() -> None:
    class Twice:
        def __aiter__(self) -> AsyncIterator[int]:
            return Source(1, 2)()

    observable = from_async_iterable(Twice())
    assert await outcome(observable) == await outcome(observable) == [1, 2, "completed"]


@pytest.mark.parametrize("wrong", [[1, 2], lambda: [1, 2], 7])
async def test_anything_else_is_refused(wrong: Any) -> None:
    [error] = await outcome(from_async_iterable(wrong))
    assert isinstance(error, UsageError)


async def test_the_next_item_is_asked_for_when_the_last_was_delivered() -> None:
    source = Source(*range(10))
    seen: list[tuple[int, int]] = []
    done = asyncio.Event()
    from_async_iterable(source).subscribe(
        lambda item: seen.append((item, source.asked)), on_completed=done.set, scheduler=LoopScheduler()
    )
    await done.wait()
    assert seen == [(n, n + 1) for n in range(10)]


async def test_disposing_closes_the_generator_where_it_waits() -> None:
    source = Source(1, 2)
    source.go_on.clear()
    subscription = from_async_iterable(source).subscribe(scheduler=LoopScheduler())
    await turns(3)
    assert source.asked == 1
    subscription.dispose()
    await source.was_closed.wait()
    await turns(2)
    assert len(asyncio.all_tasks()) == 1


async def test_disposing_inside_of_on_next_asks_for_no_more() -> None:
    source = Source(1, 2, 3)
    got: list[int] = []
    rx.concat(from_async_iterable(source)).take(2).subscribe(got.append, scheduler=LoopScheduler())
    await source.was_closed.wait()
    assert got == [1, 2]
    assert source.asked == 2


@pytest.mark.parametrize("inside", [True, False], ids=["inside of on_next", "outside"])
async def test_cleaning_up_may_await(inside: bool) -> None:
    cleaned = asyncio.Event()

    async def generate() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.001)
            cleaned.set()

    got: asyncio.Queue[int] = asyncio.Queue()
    source = from_async_iterable(generate)
    if inside:
        source = source.take(1)
    subscription = source.subscribe(got.put_nowait, scheduler=LoopScheduler())
    assert await got.get() == 1
    subscription.dispose()
    subscription.dispose()
    await cleaned.wait()


async def test_a_generator_that_will_not_be_cancelled_is_closed_all_the_same() -> None:
    closed = asyncio.Event()
    started = asyncio.Event()

    async def stubborn() -> AsyncIterator[int]:
        try:
            while True:
                started.set()
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    yield 1
        finally:
            closed.set()

    got: list[int] = []
    subscription = from_async_iterable(stubborn).subscribe(got.append, scheduler=LoopScheduler())
    await started.wait()
    subscription.dispose()
    await closed.wait()
    assert got == []


async def test_a_failure_while_closing_is_reported(reported: Reported) -> None:
    reported.on(asyncio.get_running_loop())
    error = ValueError("closing")
    closing = asyncio.Event()

    async def generate() -> AsyncIterator[int]:
        try:
            await asyncio.Event().wait()
            yield 1
        finally:
            closing.set()
            raise error

    subscription = from_async_iterable(generate).subscribe(scheduler=LoopScheduler())
    await turns(2)
    subscription.dispose()
    await closing.wait()
    await turns(2)
    assert reported == [error]


async def test_a_generator_with_a_task_group_is_closed_in_silence(reported: Reported) -> None:
    reported.on(asyncio.get_running_loop())
    closed = asyncio.Event()

    async def grouped() -> AsyncIterator[int]:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(1000))
                yield 1
                yield 2
        finally:
            closed.set()

    source = from_async_iterable(grouped())
    assert await outcome(source.pipe(ops.take(1))) == [1, "completed"]
    await closed.wait()
    await asyncio.sleep(0)
    assert reported == []


async def test_a_task_group_that_fails_is_an_error_of_its_own_kind() -> None:
    async def grouped() -> AsyncIterator[int]:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            yield 1
            await asyncio.Event().wait()

    async def fail() -> None:
        raise ValueError("the poller")

    got = await outcome(from_async_iterable(grouped()))
    assert got[0] == 1
    assert isinstance(got[1], ExceptionGroup) and isinstance(got[1].exceptions[0], ValueError)


async def test_an_observer_that_raises_is_reported_and_ends_the_iteration(reported: Reported) -> None:
    reported.on(asyncio.get_running_loop())
    error = ValueError("observer")
    source = Source(1, 2)

    def fail(_: int) -> None:
        raise error

    ends: list[Any] = []
    from_async_iterable(source).subscribe(fail, ends.append, scheduler=LoopScheduler())
    await source.was_closed.wait()
    await turns(2)
    assert reported == [error]
    assert ends == []
    assert source.asked == 1


async def test_a_cancelled_task_is_an_error() -> None:
    async def cancels_itself() -> AsyncIterator[int]:
        raise asyncio.CancelledError
        yield 1

    [error] = await outcome(from_async_iterable(cancels_itself))
    assert isinstance(error, RuntimeError)
    assert "cancelled" in str(error)


async def test_an_iterable_that_never_waits_leaves_the_loop_its_turns() -> None:
    async def busy() -> AsyncIterator[int]:
        while True:
            yield 1

    got: list[int] = []
    with from_async_iterable(busy).subscribe(got.append, scheduler=LoopScheduler()):
        await turns(5)
        seen = len(got)
        await turns(5)
        assert len(got) > seen > 0


async def test_subscribing_and_disposing_from_a_thread_happens_on_the_loop() -> None:
    loop = asyncio.get_running_loop()
    scheduler = LoopScheduler()
    source = Source(1, 2)
    here = threading.get_ident()
    idents: asyncio.Queue[int] = asyncio.Queue()

    def subscribe() -> abc.DisposableBase:
        return from_async_iterable(source).subscribe(
            lambda _: idents.put_nowait(threading.get_ident()), scheduler=scheduler
        )

    subscription = await loop.run_in_executor(None, subscribe)
    assert await idents.get() == here
    source.go_on.clear()
    await loop.run_in_executor(None, subscription.dispose)
    await source.was_closed.wait()


def test_without_a_loop_it_is_an_error() -> None:
    errors: list[Exception] = []

    async def generate() -> AsyncIterator[int]:
        yield 1

    from_async_iterable(generate).subscribe(on_error=errors.append)
    assert "no running event loop" in str(errors[0])


def test_disposing_after_the_loop_was_closed_is_silent() -> None:
    async def generate() -> AsyncIterator[int]:
        await asyncio.Event().wait()
        yield 1

    async def main() -> abc.DisposableBase:
        return from_async_iterable(generate).subscribe(on_error=lambda _: None, scheduler=LoopScheduler())

    asyncio.run(main()).dispose()  # its task was cancelled

    loop = asyncio.new_event_loop()
    subscription = from_async_iterable(generate).subscribe(scheduler=LoopScheduler(loop))
    loop.close()
    subscription.dispose()  # its task was never made


# To an async iterable.


async def test_values_are_read_and_the_end_ends_the_loop() -> None:
    assert [value async for value in to_async_iterable(rx.of(1, 2, 3))] == [1, 2, 3]


async def test_a_failure_comes_after_what_was_emitted_before_it_and_once() -> None:
    error = ValueError("source")
    values = to_async_iterable(rx.concat(rx.of(1, 2), rx.throw(error)))
    assert [await anext(values), await anext(values)] == [1, 2]
    with pytest.raises(ValueError, match="source"):
        await anext(values)
    with pytest.raises(StopAsyncIteration):
        await anext(values)


async def test_nothing_is_subscribed_before_the_first_value_is_wanted() -> None:
    subject: Subject[int] = Subject()
    values = to_async_iterable(subject)
    assert not subject.observers
    aiter(values)
    assert subject.observers
    subject.on_next(1)
    assert await anext(values) == 1


async def test_leaving_the_loop_disposes_the_subscription_at_once() -> None:
    subject: Subject[int] = Subject()
    gc.disable()
    try:
        async for value in to_async_iterable(subject.start_with(1)):
            assert value == 1
            assert subject.observers
            break
        assert not subject.observers
    finally:
        gc.enable()


async def test_aclose_disposes_the_subscription_and_ends_whoever_waits() -> None:
    subject: Subject[int] = Subject()
    async with aclosing(to_async_iterable(subject)) as values:
        waiting = asyncio.ensure_future(anext(values, "ended"))
        await turns(2)
    assert not subject.observers
    assert await waiting == "ended"
    assert [value async for value in values] == []


async def test_what_was_closed_before_it_was_read_subscribes_nothing() -> None:
    subject: Subject[int] = Subject()
    values = to_async_iterable(subject)
    await values.aclose()
    assert await anext(values, "ended") == "ended"
    assert [value async for value in values] == []
    assert not subject.observers


async def test_a_cancelled_reader_may_come_back() -> None:
    subject: Subject[int] = Subject()
    values = to_async_iterable(subject)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await anext(values)
    subject.on_next(1)
    assert await anext(values) == 1


async def test_two_readers_at_a_time_are_refused() -> None:
    values = to_async_iterable(Subject[int]())
    first = asyncio.ensure_future(anext(values))
    await turns(1)
    with pytest.raises(RuntimeError, match="another task"):
        await anext(values)
    first.cancel()


async def test_a_prelude_larger_than_the_limit_arrives_whole() -> None:
    subject: Subject[int] = Subject()
    values = aiter(to_async_iterable(rx.concat(rx.from_iterable(range(5_000)), subject)))
    for value in range(5_000, 5_500):
        subject.on_next(value)
    subject.on_completed()
    assert [value async for value in values] == list(range(5_500))


async def test_an_endless_prelude_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffer, "PRELUDE_EVENTS", 2_000)
    values = to_async_iterable(rx.of(1).repeat())
    count = 0
    with pytest.raises(Overflowed):
        async for _ in aiter(values):
            count += 1
            await asyncio.sleep(0)  # the source emits hundreds meanwhile
    assert count >= 2_000


OVERFLOWED: dict[str, tuple[Any, list[int], int]] = {
    "drop_oldest": (Overflow("drop_oldest", max_events=3), [7, 8, 9], 7),
    "drop_newest": (Overflow("drop_newest", max_events=3), [0, 1, 2], 7),
    "latest": ("latest", [9], 0),
    "latest of each key": (Overflow("latest", key=lambda n: n % 4), [6, 7, 8, 9], 0),
    "latest with more keys than room": (
        Overflow("latest", key=lambda n: n % 4, max_events=2),
        [8, 9],
        8,
    ),
}


@pytest.mark.parametrize("name", OVERFLOWED)
async def test_a_slow_reader_meets_the_policy(name: str) -> None:
    overflow, expected, dropped = OVERFLOWED[name]
    subject: Subject[int] = Subject()
    values = aiter(to_async_iterable(subject, overflow=overflow))
    for value in range(10):
        subject.on_next(value)
    subject.on_completed()
    assert [value async for value in values] == expected
    assert values.dropped == dropped


async def test_disconnect_gives_what_waits_and_then_its_error() -> None:
    subject: Subject[int] = Subject()
    values = aiter(to_async_iterable(subject))
    got: list[int] = []
    for value in range(513):
        assert subject.observers
        subject.on_next(value)
    assert not subject.observers  # 512 wait, one too many came
    with pytest.raises(Overflowed, match="512 values waiting") as raised:
        async for value in values:
            got.append(value)
    assert isinstance(raised.value, RxSseError)
    assert got == list(range(512))


async def test_a_key_that_cannot_be_found_is_an_error() -> None:
    values = to_async_iterable(rx.of(1), overflow=Overflow("latest", key=lambda n: n["key"]))
    with pytest.raises(TypeError):
        await anext(values)


async def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(UsageError, match="policy"):
        to_async_iterable(rx.of(1), overflow="explode")  # type: ignore[arg-type]


async def test_something_else_than_an_observable_is_an_error_for_the_reader() -> None:
    values = to_async_iterable(7)  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        await anext(values)


async def test_threads_push_and_the_reader_gets_all_in_each_order() -> None:
    loop = asyncio.get_running_loop()
    loop.set_debug(True)  # it complains of calls from a foreign thread
    subject: Subject[tuple[int, int]] = Subject()
    values = aiter(to_async_iterable(subject, overflow=Overflow("disconnect", max_events=100_000)))

    def push(thread: int) -> None:
        for number in range(2_000):
            subject.on_next((thread, number))

    async def read() -> list[tuple[int, int]]:
        return [value async for value in values]

    reading = asyncio.ensure_future(read())
    await turns(2)  # it waits
    await asyncio.gather(*(loop.run_in_executor(None, push, thread) for thread in range(4)))
    subject.on_completed()
    got = await reading
    for thread in range(4):
        assert [number for who, number in got if who == thread] == list(range(2_000))


async def test_another_scheduler_may_be_given() -> None:
    scheduler = TestScheduler()
    source = scheduler.create_cold_observable(
        ReactiveTest.on_next(10, "a"), ReactiveTest.on_next(20, "b"), ReactiveTest.on_completed(30)
    )
    values = aiter(to_async_iterable(source, scheduler=scheduler))
    scheduler.start()
    assert [value async for value in values] == ["a", "b"]


async def test_there_and_back() -> None:
    source = Source(*range(100))
    values = to_async_iterable(from_async_iterable(source))
    assert [value async for value in values] == list(range(100))
    assert source.closed == 1


async def test_a_source_that_fails_with_stop_async_iteration_is_not_taken_for_one_that_completed() -> None:
    got: list[int] = []
    with pytest.raises(RuntimeError, match="StopAsyncIteration") as raised:  # as in an async generator
        async for value in to_async_iterable(rx.concat(rx.of(1), rx.throw(StopAsyncIteration("lost")))):
            got.append(value)
    assert got == [1] and isinstance(raised.value.__cause__, StopAsyncIteration)
