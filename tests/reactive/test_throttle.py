"""`throttle_latest`, in virtual time; and with threads on a real loop."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from datetime import datetime, timedelta
from typing import Any

import pytest
import reactivex as rx
from hypothesis import given
from hypothesis import strategies as st
from reactivex import Observable
from reactivex import operators as ops
from reactivex.scheduler.periodicscheduler import PeriodicScheduler
from reactivex.subject import Subject
from reactivex.testing import ReactiveTest, Recorded, TestScheduler

from rx_sse.errors import UsageError
from rx_sse.reactive import LoopScheduler, throttle_latest
from rx_sse.reactive.observer import Unwrapped

on_next, on_error, on_completed = ReactiveTest.on_next, ReactiveTest.on_error, ReactiveTest.on_completed
START, END = ReactiveTest.subscribed, ReactiveTest.disposed  # 200 and 1000, as in every test of reactivex


def run(*messages: Recorded[Any], window: Any = 100.0, **options: Any) -> list[Any]:
    scheduler = TestScheduler()
    source: Observable[Any] = scheduler.create_hot_observable(*messages)
    return scheduler.start(lambda: source.pipe(throttle_latest(window, **options))).messages


def test_the_first_value_passes_at_once_and_the_newest_when_the_window_is_over() -> None:
    assert run(
        on_next(210, "a"),
        on_next(220, "b"),
        on_next(230, "c"),
        on_next(320, "d"),
        on_next(600, "e"),
    ) == [on_next(210, "a"), on_next(310, "c"), on_next(410, "d"), on_next(600, "e")]


def test_a_window_in_which_nothing_came_is_the_last() -> None:
    assert run(on_next(210, "a"), on_next(315, "b")) == [on_next(210, "a"), on_next(315, "b")]


def test_each_key_has_windows_of_its_own() -> None:
    def first_letter(value: str) -> str:
        return value[0]

    assert run(
        on_next(210, "a1"),
        on_next(220, "b1"),
        on_next(230, "a2"),
        on_next(240, "b2"),
        on_next(250, "a3"),
        key=first_letter,
    ) == [on_next(210, "a1"), on_next(220, "b1"), on_next(310, "a3"), on_next(320, "b2")]


def test_what_waits_at_completion_is_emitted_in_the_order_of_its_arrival() -> None:
    assert run(
        on_next(210, "a1"),
        on_next(211, "b1"),
        on_next(220, "a2"),
        on_next(230, "b2"),
        on_next(240, "a3"),
        on_completed(250),
        key=lambda value: value[0],
    ) == [
        on_next(210, "a1"),
        on_next(211, "b1"),
        on_next(250, "b2"),
        on_next(250, "a3"),
        on_completed(250),
    ]


def test_a_failure_passes_at_once_and_drops_what_waits() -> None:
    error = ValueError("source")
    assert run(on_next(210, "a"), on_next(220, "b"), on_error(230, error)) == [
        on_next(210, "a"),
        on_error(230, error),
    ]


def test_a_key_that_cannot_be_found_or_hashed_is_a_failure() -> None:
    def fail(_: Any) -> Any:
        raise KeyError("key")

    assert [message.value.kind for message in run(on_next(210, "a"), key=fail)] == ["E"]
    [message] = run(on_next(210, "a"), key=lambda value: [value])
    assert isinstance(message.value.exception, TypeError)


def test_none_is_a_value() -> None:
    assert run(on_next(210, None), on_next(220, None)) == [on_next(210, None), on_next(310, None)]


def test_a_window_may_be_a_timedelta() -> None:
    assert run(on_next(210, 1), on_next(220, 2), window=timedelta(seconds=50)) == [
        on_next(210, 1),
        on_next(260, 2),
    ]


def test_each_subscription_has_its_own_state() -> None:
    scheduler = TestScheduler()
    source = scheduler.create_hot_observable(on_next(210, 1), on_next(220, 2), on_completed(230))
    throttled = source.pipe(throttle_latest(100.0))
    first, second = scheduler.create_observer(), scheduler.create_observer()
    throttled.subscribe(first, scheduler=scheduler)
    throttled.subscribe(second, scheduler=scheduler)
    scheduler.start()
    assert first.messages == second.messages == [on_next(210, 1), on_next(230, 2), on_completed(230)]


def test_an_idle_key_leaves_nothing_behind() -> None:
    class Key:
        def __init__(self, name: int) -> None:
            self.name = name

    scheduler = TestScheduler()
    source: Subject[Key] = Subject()
    subscription = source.pipe(throttle_latest(10.0, key=lambda key: key)).subscribe(scheduler=scheduler)
    refs: list[weakref.ref[Key]] = []

    def push() -> None:
        for name in range(100):
            key = Key(name)
            refs.append(weakref.ref(key))
            source.on_next(key)
            source.on_next(key)

    push()
    scheduler.advance_by(50.0)
    gc.collect()
    assert [ref() for ref in refs if ref() is not None] == []
    subscription.dispose()


def test_disposing_ends_the_windows() -> None:
    scheduler = TestScheduler()
    got: list[int] = []
    source: Subject[int] = Subject()
    subscription = source.pipe(throttle_latest(10.0)).subscribe(got.append, scheduler=scheduler)
    source.on_next(1)
    source.on_next(2)
    subscription.dispose()
    scheduler.advance_by(50.0)
    assert got == [1]
    assert not source.observers


def test_a_source_slower_than_its_window_sets_no_timer() -> None:
    class Counting(TestScheduler):
        timers = 0

        def schedule_relative(self, *args: Any, **kwargs: Any) -> Any:
            self.timers += 1
            return super().schedule_relative(*args, **kwargs)

    scheduler = Counting()
    got: list[int] = []
    source: Subject[int] = Subject()
    source.pipe(throttle_latest(10.0)).subscribe(got.append, scheduler=scheduler)
    for n in range(5):
        source.on_next(n)
        scheduler.advance_by(11.0)
    assert got == [0, 1, 2, 3, 4] and scheduler.timers == 0
    source.on_next(5)
    source.on_next(6)
    scheduler.advance_by(11.0)
    assert got[-2:] == [5, 6] and scheduler.timers == 1


def test_a_clock_that_is_set_back_holds_nothing_for_longer_than_a_window() -> None:
    virtual = TestScheduler()
    back = timedelta()

    class SetBack(PeriodicScheduler):
        @property
        def now(self) -> datetime:
            return virtual.now - back

        def schedule(self, *args: Any, **kwargs: Any) -> Any:
            return virtual.schedule(*args, **kwargs)

        def schedule_relative(self, *args: Any, **kwargs: Any) -> Any:
            return virtual.schedule_relative(*args, **kwargs)

        def schedule_absolute(self, *args: Any, **kwargs: Any) -> Any:
            return virtual.schedule_absolute(*args, **kwargs)

    got: list[int] = []
    source: Subject[int] = Subject()
    source.pipe(throttle_latest(10.0)).subscribe(got.append, scheduler=SetBack())
    source.on_next(1)
    back = timedelta(hours=1)
    source.on_next(2)
    virtual.advance_by(11.0)
    assert got == [1, 2]


def test_a_value_pushed_by_the_observer_waits_for_its_window() -> None:
    scheduler = TestScheduler()
    got: list[int] = []
    source: Subject[int] = Subject()

    def echo(value: int) -> None:
        got.append(value)
        if value < 3:
            source.on_next(value + 1)
        got.append(-value)

    source.pipe(throttle_latest(10.0)).subscribe(echo, scheduler=scheduler)
    source.on_next(1)
    scheduler.advance_by(50.0)
    assert got == [1, -1, 2, -2, 3, -3]


@pytest.mark.parametrize("seconds", [0, -1.0, float("nan"), float("inf"), timedelta(), None, "1", True])
def test_a_window_without_length_is_refused(seconds: Any) -> None:
    with pytest.raises(UsageError, match="throttle_latest: seconds"):
        throttle_latest(seconds)


def test_a_key_that_is_no_function_is_refused() -> None:
    with pytest.raises(UsageError, match="throttle_latest: key='symbol'"):
        throttle_latest(1.0, key="symbol")  # type: ignore[arg-type]


@given(
    moments=st.lists(st.tuples(st.integers(201, 900), st.sampled_from("abc")), max_size=30),
    window=st.integers(1, 200),
)
def test_any_sequence_is_throttled_as_a_model_says(moments: list[tuple[int, str]], window: int) -> None:
    pushed = [(at, key, f"{key}{n}") for n, (at, key) in enumerate(sorted(moments, key=lambda m: m[0]))]

    def model() -> list[tuple[int, str]]:
        emitted: list[tuple[int, str]] = []
        for name in "abc":
            closes, waiting = -1, None
            for at, key, value in [*pushed, (END + 1_000, name, "")]:
                while key == name and 0 <= closes < at:  # what comes as a window closes is still in it
                    if waiting is None:
                        closes = -1
                    else:
                        emitted.append((closes, waiting))
                        closes, waiting = closes + window, None
                if key == name and value:
                    if closes < 0:
                        emitted.append((at, value))
                        closes = at + window
                    else:
                        waiting = value
        return sorted(emitted for emitted in emitted if emitted[0] < END)

    messages = run(*(on_next(at, value) for at, _, value in pushed), window=window, key=lambda v: v[0])
    assert sorted((int(message.time), message.value.value) for message in messages) == model()


@pytest.mark.parametrize("end", ["dispose", "complete", "fail"])
async def test_the_end_releases_the_observer_and_what_waits_at_once(end: str) -> None:
    class Sink:
        def __call__(self, value: Any) -> None:
            pass

    sink = Sink()
    source: Subject[Any] = Subject()
    scheduler = LoopScheduler()
    subscription = source.pipe(throttle_latest(60.0)).subscribe(sink, lambda _: None, scheduler=scheduler)
    waiting = Sink()
    source.on_next(1)
    source.on_next(waiting)
    refs = [weakref.ref(sink), weakref.ref(waiting)]
    if end == "dispose":
        subscription.dispose()
    elif end == "complete":
        source.on_completed()
    else:
        source.on_error(ValueError())
    del sink, waiting, subscription, source
    gc.collect()
    assert [ref() for ref in refs] == [None, None]


async def test_four_threads_and_the_loop_never_overlap() -> None:
    loop = asyncio.get_running_loop()
    source: Subject[tuple[int, int]] = Subject()
    inside = threading.Lock()
    overlaps: list[Any] = []
    got: list[tuple[int, int]] = []
    done = loop.create_future()

    def note(value: tuple[int, int]) -> None:
        if not inside.acquire(blocking=False):
            overlaps.append(value)
            return
        got.append(value)
        inside.release()

    source.pipe(throttle_latest(0.001, key=lambda value: value[0])).subscribe(
        note, on_completed=lambda: done.set_result(None), scheduler=LoopScheduler()
    )

    def push(thread: int) -> None:
        for number in range(20_000):
            source.on_next((thread, number))

    await asyncio.gather(*(loop.run_in_executor(None, push, thread) for thread in range(4)))
    source.on_completed()
    await done
    assert overlaps == []
    for thread in range(4):
        mine = [number for who, number in got if who == thread]
        assert mine == sorted(mine)
        assert mine[0] == 0 and mine[-1] == 19_999


async def test_without_a_scheduler_it_uses_the_running_loop() -> None:
    threads = threading.active_count()
    got: asyncio.Queue[int] = asyncio.Queue()
    with rx.merge(rx.of(1, 2), rx.never()).pipe(throttle_latest(0.01)).subscribe(got.put_nowait):
        assert [await got.get(), await got.get()] == [1, 2]
    assert threading.active_count() == threads


def test_a_bad_key_lets_the_source_go() -> None:
    source, got, failed = Subject[Any](), list[Any](), list[Exception]()
    source.pipe(throttle_latest(1.0, key=lambda value: value["name"])).subscribe(got.append, failed.append)
    source.on_next({"name": "a"})
    source.on_next({})
    source.on_next({"name": "b"})
    assert got == [{"name": "a"}] and [type(error) for error in failed] == [KeyError]
    assert not source.observers


def test_a_bad_key_of_a_value_that_comes_with_the_subscription_lets_the_source_go() -> None:
    source: Subject[Any] = Subject()
    failed: list[Exception] = []
    throttled = rx.concat(rx.of([]), source).pipe(throttle_latest(1.0, key=lambda value: value))
    throttled.subscribe(on_error=failed.append)
    assert [type(error) for error in failed] == [TypeError] and not source.observers


def test_an_observer_that_leaves_while_it_is_subscribed_lets_the_source_go() -> None:
    source: Subject[int] = Subject()
    got: list[int] = []
    source.pipe(ops.start_with(1), throttle_latest(1e-9), ops.take(1)).subscribe(got.append)
    source.on_next(2)
    assert got == [1] and not source.observers


def test_a_source_that_cannot_be_subscribed_is_a_failure() -> None:
    class Refusing(Unwrapped[int]):
        def subscribe_observer(self, observer: Any, scheduler: Any = None) -> Any:
            raise LookupError("no such source")

    failed: list[Exception] = []
    Refusing().pipe(throttle_latest(1.0)).subscribe(on_error=failed.append)
    assert [str(error) for error in failed] == ["no such source"]


def test_after_dispose_the_observer_hears_nothing_that_waits_behind_its_own_call() -> None:
    source: Subject[int] = Subject()
    got: list[int] = []

    def take(value: int) -> None:
        got.append(value)
        source.on_next(value + 1)  # comes after this one, as nothing overlaps
        subscription.dispose()

    subscription = source.pipe(throttle_latest(1e-9)).subscribe(take)
    source.on_next(1)
    assert got == [1]


def test_an_observer_that_raises_holds_up_nobody() -> None:
    source: Subject[int] = Subject()
    got: list[int] = []

    def take(value: int) -> None:
        got.append(value)
        if value == 1:
            raise ValueError("mine")

    source.pipe(throttle_latest(1e-9)).subscribe(take)
    with pytest.raises(ValueError, match="mine"):
        source.on_next(1)
    source.on_next(2)
    assert got == [1, 2]
