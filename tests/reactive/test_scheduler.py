"""`LoopScheduler`: immediate work, groups, failures, threads. Timers have `test_timers.py`."""

from __future__ import annotations

import asyncio
import gc
import itertools
import threading
import time
import weakref
from collections.abc import Callable
from time import monotonic, thread_time
from typing import Any

import pytest
import reactivex as rx
from reactivex import Observable, abc
from reactivex.disposable import Disposable
from reactivex.subject import ReplaySubject, Subject

from rx_sse.reactive import LoopScheduler
from rx_sse.reactive.runner import SLICE

from .conftest import Reported


def nothing() -> None:
    pass


def act(call: Callable[[], object]) -> abc.ScheduledAction[Any]:
    """An action that ignores the scheduler and the state."""

    def action(_: abc.SchedulerBase, __: Any = None) -> None:
        call()

    return action


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


# At once, in order.


async def test_an_action_runs_before_schedule_returns() -> None:
    scheduler = LoopScheduler()
    ran: list[Any] = []
    scheduler.schedule(lambda who, state: ran.append((who, state)), "state")
    assert ran == [(scheduler, "state")]


async def test_what_an_action_schedules_waits_for_its_turn() -> None:
    scheduler = LoopScheduler()
    ran: list[str] = []

    def first() -> None:
        scheduler.schedule(act(second))
        scheduler.schedule(act(lambda: ran.append("third")))
        ran.append("first")

    def second() -> None:
        scheduler.schedule(act(lambda: ran.append("fourth")))
        ran.append("second")

    scheduler.schedule(act(first))
    assert ran == ["first", "second", "third", "fourth"]


async def test_a_long_chain_of_actions_does_not_recurse() -> None:
    scheduler = LoopScheduler()
    done = asyncio.get_running_loop().create_future()

    def countdown(_: abc.SchedulerBase, left: int | None) -> None:
        if left:
            scheduler.schedule(countdown, left - 1)
        else:
            done.set_result(None)

    scheduler.schedule(countdown, 20_000)
    await done


SAME_TURN: dict[str, tuple[Callable[[Subject[int]], Observable[int]], list[int]]] = {
    "itself": (lambda subject: subject, [7]),
    "start_with": (lambda subject: subject.start_with(1, 2), [1, 2, 7]),
    "merge": (lambda subject: rx.merge(rx.of(1), subject, rx.of(2)), [1, 2, 7]),
    "concat": (lambda subject: rx.concat(rx.of(1), rx.of(2), subject), [1, 2, 7]),
    "concat of many, then live": (
        lambda subject: rx.concat(rx.from_iterable(range(5_000)), subject),
        [*range(5_000), 7],
    ),
    "retry": (lambda subject: fails_twice_then(subject).retry(), [7]),
    "repeat": (lambda subject: completes_twice_then(subject).repeat(), [7]),
    "catch": (lambda subject: rx.throw(ValueError()).catch(subject), [7]),
    "switch_latest": (lambda subject: rx.of(rx.of(1), subject).switch_latest(), [7]),
    "flat_map": (lambda subject: subject.flat_map(lambda n: rx.of(n, n)), [7, 7]),
    "share": (lambda subject: subject.share(), [7]),
    "defer": (lambda subject: rx.defer(lambda _: subject.start_with(0)), [0, 7]),
    "combine_latest": (
        lambda subject: rx.combine_latest(rx.of(1), subject).map(lambda pair: sum(pair)),
        [8],
    ),
}


def fails_twice_then(source: Observable[int]) -> Observable[int]:
    attempts = itertools.count()
    return rx.defer(lambda _: source if next(attempts) == 2 else rx.throw(ValueError()))


def completes_twice_then(source: Observable[int]) -> Observable[int]:
    attempts = itertools.count()
    return rx.defer(lambda _: source if next(attempts) == 2 else rx.empty())


@pytest.mark.parametrize("name", SAME_TURN)
@pytest.mark.parametrize("grouped", [True, False], ids=["run", "subscribe"])
async def test_what_is_pushed_in_the_turn_of_the_subscription_arrives(name: str, grouped: bool) -> None:
    build, expected = SAME_TURN[name]
    scheduler = LoopScheduler()
    subject: Subject[int] = Subject()
    got: list[int] = []

    def subscribe() -> None:
        build(subject).subscribe(got.append, scheduler=scheduler)

    if grouped:
        scheduler.run(subscribe, nothing)
    else:
        subscribe()
    subject.on_next(7)
    assert got == expected


async def test_a_subscription_outside_of_the_queue_can_stop_its_source() -> None:
    scheduler = LoopScheduler()
    got: list[int] = []
    rx.from_iterable(itertools.count()).take(3).subscribe(got.append, scheduler=scheduler)
    assert got == [0, 1, 2]


async def test_an_inner_subscription_made_by_a_push_can_stop_its_source() -> None:
    scheduler = LoopScheduler()
    subject: Subject[int] = Subject()
    got: list[int] = []
    subject.flat_map(lambda n: rx.from_iterable(itertools.count(n)).take(2)).subscribe(
        got.append, scheduler=scheduler
    )
    subject.on_next(10)
    assert got == [10, 11]
    subject.on_next(20)
    assert got == [10, 11, 20, 21]


async def test_work_whose_subscription_raised_is_done_in_the_next_turn() -> None:
    """reactivex's trampoline forgets its queue when something raises; our work is not forgotten."""
    scheduler = LoopScheduler()
    ran: list[str] = []

    def subscribe(_: abc.ObserverBase[int], __: abc.SchedulerBase | None) -> abc.DisposableBase:
        scheduler.schedule(act(lambda: ran.append("scheduled")))
        raise KeyError("source")

    def fail(error: Exception) -> None:
        raise error

    with pytest.raises(KeyError):
        rx.create(subscribe).subscribe(on_error=fail, scheduler=scheduler)
    await turns(2)
    assert ran == ["scheduled"]


# Slices and groups.


async def test_an_endless_source_lets_the_loop_turn() -> None:
    scheduler = LoopScheduler()
    got: list[int] = []
    subscription = rx.of(1).repeat().subscribe(got.append, scheduler=scheduler)
    started = thread_time()
    await turns(10)
    spent = thread_time() - started
    subscription.dispose()
    emitted = len(got)
    assert emitted > 10
    assert spent < 1.0  # CPU seconds; ten slices of 5 ms
    await turns(3)
    assert len(got) == emitted


async def test_an_endless_group_never_settles_and_leaves_the_others_their_turns() -> None:
    scheduler = LoopScheduler()
    settled: list[str] = []
    order: list[str] = []
    greedy = [
        scheduler.run(
            lambda: endless(scheduler, lambda: order.append("greedy")), lambda: settled.append("greedy")
        )
        for _ in range(3)
    ]
    await turns(2)
    subject: Subject[str] = Subject()
    polite = subject.start_with("prelude")
    scheduler.run(
        lambda: polite.subscribe(order.append, scheduler=scheduler), lambda: settled.append("polite")
    )
    subject.on_next("pushed")
    assert order[-2:] == [
        "prelude",
        "pushed",
    ]  # at once, although others have more to do than fits in a slice
    assert settled == ["polite"]
    for run in greedy:
        run.dispose()


def endless(scheduler: LoopScheduler, call: Callable[[], object]) -> None:
    def again(_: abc.SchedulerBase, __: Any = None) -> None:
        call()
        scheduler.schedule(again)

    scheduler.schedule(again)


async def test_greedy_groups_share_a_slice_evenly() -> None:
    scheduler = LoopScheduler()
    counts = [0, 0, 0]

    def count(index: int) -> Callable[[], None]:
        def up() -> None:
            counts[index] += 1

        return up

    for index in range(3):
        scheduler.run(lambda index=index: endless(scheduler, count(index)), nothing)
    counts[:] = [0, 0, 0]
    await turns(5)
    assert min(counts) > 20
    assert max(counts) - min(counts) <= 5  # at most one a slice


async def test_a_long_prelude_does_not_lose_what_is_pushed_after_it() -> None:
    scheduler = LoopScheduler()
    subject: Subject[int] = Subject()
    got: list[int] = []

    def slow(value: int) -> int:
        if value < 0:
            time.sleep(2 * SLICE)
        return value

    source = rx.concat(rx.of(-1), rx.of(-2), subject).map(slow)
    scheduler.run(lambda: source.subscribe(got.append, scheduler=scheduler), nothing)
    subject.on_next(7)
    assert got == [-1, -2, 7]


async def test_a_group_with_much_to_do_is_not_held_up_by_a_greedy_one() -> None:
    scheduler = LoopScheduler()
    greedy = itertools.count()
    done = asyncio.get_running_loop().create_future()

    def batch() -> None:
        for _ in range(1_000):
            scheduler.schedule(act(nothing))

    scheduler.run(lambda: endless(scheduler, lambda: next(greedy)), nothing)
    before = next(greedy)
    scheduler.run(batch, lambda: done.set_result(None))
    await done
    assert next(greedy) - before < 20_000


@pytest.mark.parametrize("after", [None, 0.001], ids=["at once", "by a timer"])
async def test_what_a_group_started_holds_up_nobody_outside_of_it(after: float | None) -> None:
    scheduler = LoopScheduler()
    started = asyncio.Event()

    def greedy() -> None:
        endless(scheduler, started.set)

    if after is None:
        scheduler.run(greedy, nothing)
    else:
        scheduler.run(lambda: scheduler.schedule_relative(after, act(greedy)), nothing)
    await started.wait()
    ran: list[str] = []
    scheduler.schedule(act(lambda: ran.append("at once")))
    assert ran == ["at once"]


async def test_a_group_settles_when_its_last_action_has_run() -> None:
    scheduler = LoopScheduler()
    log: list[str] = []

    def first() -> None:
        scheduler.schedule(act(second))
        log.append("first")

    def second() -> None:
        scheduler.schedule_relative(60.0, act(nothing))
        scheduler.schedule(act(lambda: log.append("third")))
        log.append("second")

    scheduler.run(first, lambda: log.append("settled"))
    assert log == ["first", "second", "third", "settled"]


async def test_a_group_settles_over_actions_that_were_disposed() -> None:
    scheduler = LoopScheduler()
    log: list[str] = []

    def first() -> None:
        scheduler.schedule(act(lambda: log.append("disposed"))).dispose()

    scheduler.run(first, lambda: log.append("settled"))
    assert log == ["settled"]


async def test_a_group_settles_once() -> None:
    scheduler = LoopScheduler()
    log: list[str] = []
    fired = asyncio.Event()

    def later() -> None:
        scheduler.schedule(act(fired.set))

    scheduler.run(lambda: scheduler.schedule_relative(0.01, act(later)), lambda: log.append("settled"))
    await fired.wait()
    await turns(2)
    assert log == ["settled"]


async def test_a_replay_is_over_before_the_group_settles() -> None:
    """`ReplaySubject` insists on reactivex's trampoline."""
    scheduler = LoopScheduler()
    replay: ReplaySubject[int] = ReplaySubject()
    for value in (1, 2, 3):
        replay.on_next(value)
    log: list[Any] = []
    scheduler.run(lambda: replay.subscribe(log.append, scheduler=scheduler), lambda: log.append("settled"))
    assert log == [1, 2, 3, "settled"]


async def test_a_disposed_run_tells_nobody_and_starts_nothing() -> None:
    scheduler = LoopScheduler()
    log: list[str] = []

    def outer() -> None:
        scheduler.run(lambda: log.append("ran"), lambda: log.append("settled")).dispose()

    scheduler.schedule(act(outer))
    endless_run = scheduler.run(lambda: endless_for(scheduler, 3_000), lambda: log.append("settled"))
    endless_run.dispose()
    await turns(20)
    assert log == []


def endless_for(scheduler: LoopScheduler, left: int) -> None:
    if left:
        scheduler.schedule(act(lambda: endless_for(scheduler, left - 1)))


async def test_a_shared_source_outlives_the_stream_that_started_it() -> None:
    scheduler = LoopScheduler()
    shared = rx.of(1).repeat().share()
    first: list[int] = []
    second: list[int] = []
    subscriptions: list[abc.DisposableBase] = []

    def subscribe(got: list[int]) -> Callable[[], None]:
        return lambda: subscriptions.append(shared.subscribe(got.append, scheduler=scheduler))

    run = scheduler.run(subscribe(first), nothing)
    scheduler.run(subscribe(second), nothing)
    run.dispose()
    subscriptions[0].dispose()
    seen = len(second)
    await turns(3)
    assert len(second) > seen
    subscriptions[1].dispose()
    seen = len(second)
    await turns(3)
    assert len(second) == seen


# Failures.


async def test_an_action_that_raises_is_reported_and_stops_nobody(reported: Reported) -> None:
    reported.on(asyncio.get_running_loop())
    scheduler = LoopScheduler()
    ran: list[str] = []
    errors = [ValueError("immediate"), ValueError("timer"), ValueError("settled")]
    timer = asyncio.Event()

    def fail(error: Exception) -> abc.ScheduledAction[Any]:
        def action(_: abc.SchedulerBase, __: Any = None) -> None:
            raise error

        return action

    def fail_settled() -> None:
        raise errors[2]

    def first() -> None:
        scheduler.schedule(fail(errors[0]))
        scheduler.schedule(act(lambda: ran.append("sibling")))
        scheduler.schedule_relative(0.001, fail(errors[1]))
        scheduler.schedule_relative(0.001, act(timer.set))

    scheduler.run(first, fail_settled)
    assert ran == ["sibling"]
    await timer.wait()
    assert reported == [errors[0], errors[2], errors[1]]


async def test_whoever_started_a_run_hears_what_its_work_raises(reported: Reported) -> None:
    """Now or later, of timers and series as well; who has no ear for it any more leaves it to the loop."""
    reported.on(asyncio.get_running_loop())
    scheduler = LoopScheduler()
    heard: list[BaseException] = []
    errors = [
        ValueError("immediate"),
        asyncio.CancelledError(),
        ValueError("unheard"),
        ValueError("disposed"),
    ]

    def fail(error: BaseException) -> Any:
        def action(*_: Any) -> None:
            raise error

        return action

    def hear(error: BaseException) -> bool:
        heard.append(error)
        return error is not errors[2]

    def first() -> None:
        scheduler.schedule(fail(errors[0]))
        scheduler.schedule_periodic(0.001, fail(errors[1]))
        scheduler.schedule_relative(0.01, fail(errors[2]))

    late = asyncio.Event()
    run = scheduler.run(first, nothing, hear)
    scheduler.schedule_relative(0.03, act(late.set))
    await late.wait()
    assert heard == errors[:3] and reported == [errors[2]]
    late.clear()
    run = scheduler.run(lambda: scheduler.schedule_relative(0.01, fail(errors[3])), nothing, hear)
    run.dispose()
    scheduler.schedule_relative(0.03, act(late.set))
    await late.wait()
    assert heard == errors[:3] and reported == [errors[2], errors[3]]


async def test_a_task_that_is_closing_something_is_known_until_it_is_done() -> None:
    scheduler = LoopScheduler()
    release = asyncio.Event()

    async def closing() -> None:
        await release.wait()

    task = asyncio.create_task(closing())
    scheduler.outlive(task)
    assert scheduler.ending == {task}
    release.set()
    await task
    await turns(1)
    assert scheduler.ending == frozenset()
    scheduler.outlive(task)
    assert scheduler.ending == frozenset()


async def test_a_keyboard_interrupt_passes_and_the_rest_goes_on() -> None:
    scheduler = LoopScheduler()
    ran: list[str] = []

    def first() -> None:
        scheduler.schedule(act(interrupt))
        scheduler.schedule(act(lambda: ran.append("rest")))

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scheduler.run(first, lambda: ran.append("settled"))
    await turns(2)
    assert ran == ["rest", "settled"]


# Disposal.


class Precious:
    """Something that an action or its state holds on to."""

    def __call__(self, *_: Any) -> None:
        pass


@pytest.mark.parametrize("kind", ["queued", "timer", "periodic"])
async def test_disposing_releases_the_action_and_its_state_at_once(kind: str) -> None:
    scheduler = LoopScheduler()
    released: list[bool] = []

    def first() -> None:
        action, state = Precious(), Precious()
        refs = [weakref.ref(action), weakref.ref(state)]
        if kind == "timer":
            held = scheduler.schedule_relative(60.0, action, state)
        elif kind == "periodic":
            held = scheduler.schedule_periodic(60.0, action, state)
        else:
            held = scheduler.schedule(action, state)
        del action, state
        assert None not in [ref() for ref in refs]
        held.dispose()
        released.extend(ref() is None for ref in refs)

    gc.disable()  # by reference counting alone: nothing may wait for the collector
    try:
        scheduler.schedule(act(first))
    finally:
        gc.enable()
    assert released == [True, True]


async def test_a_series_disposed_inside_its_tick_releases_what_it_returned() -> None:
    scheduler = LoopScheduler()
    ticked: asyncio.Future[weakref.ref[Precious]] = asyncio.get_running_loop().create_future()

    def tick(_: Precious | None) -> Precious:
        series.dispose()
        state = Precious()
        ticked.set_result(weakref.ref(state))
        return state

    gc.disable()
    try:
        series = scheduler.schedule_periodic(0.001, tick)
        ref = await ticked
        await turns(1)
        assert ref() is None
    finally:
        gc.enable()


async def test_an_action_that_was_taken_back_does_not_run() -> None:
    scheduler = LoopScheduler()
    ran: list[str] = []
    taken_back: list[abc.DisposableBase] = []

    def first() -> None:
        taken_back.append(scheduler.schedule(act(lambda: ran.append("taken back"))))
        scheduler.schedule(act(lambda: ran.append("kept")))
        taken_back[0].dispose()

    scheduler.schedule(act(first))
    assert ran == ["kept"]


async def test_what_an_action_returns_is_disposed_with_it() -> None:
    scheduler = LoopScheduler()
    inner = Disposable()
    outer = scheduler.schedule(lambda *_: inner)
    outer.dispose()
    assert inner.is_disposed

    late = Disposable()
    itself: list[abc.DisposableBase] = []

    def dispose_itself(*_: Any) -> abc.DisposableBase:
        itself[0].dispose()
        return late

    def first() -> None:
        itself.append(scheduler.schedule(dispose_itself))

    scheduler.schedule(act(first))
    assert late.is_disposed


# Threads.


async def test_threads_schedule_on_the_loop_each_in_its_order() -> None:
    loop = asyncio.get_running_loop()
    loop.set_debug(True)  # it complains of calls from a foreign thread
    scheduler = LoopScheduler()
    here = threading.get_ident()
    ran: list[tuple[int, int]] = []
    idents: set[int] = set()
    done = asyncio.Event()

    def note(_: abc.SchedulerBase, state: tuple[int, int] | None) -> None:
        assert state is not None
        ran.append(state)
        idents.add(threading.get_ident())
        if len(ran) == 4_000:
            done.set()

    def push(thread: int) -> None:
        for number in range(1_000):
            scheduler.schedule(note, (thread, number))

    await asyncio.gather(*(loop.run_in_executor(None, push, thread) for thread in range(4)))
    await done.wait()
    assert idents == {here}
    for thread in range(4):
        assert [number for who, number in ran if who == thread] == list(range(1_000))


async def test_timers_set_by_a_thread_are_in_time() -> None:
    """A loop that sleeps is woken; reactivex's AsyncIOScheduler left a debounce of 50 ms for 0.9 s."""
    loop = asyncio.get_running_loop()
    loop.set_debug(True)  # it complains of calls from a foreign thread
    far = loop.call_later(60.0, lambda: None)  # until which it would sleep
    scheduler = LoopScheduler()
    subject: Subject[int] = Subject()
    arrived: asyncio.Future[float] = loop.create_future()
    subject.debounce(0.05).subscribe(lambda _: arrived.set_result(monotonic()), scheduler=scheduler)
    periodic: asyncio.Future[float] = loop.create_future()

    def tick(_: Any) -> None:
        if not periodic.done():
            periodic.set_result(monotonic())

    started = monotonic()
    await loop.run_in_executor(None, subject.on_next, 1)
    series = await loop.run_in_executor(None, scheduler.schedule_periodic, 0.05, tick)
    assert 0.05 <= await arrived - started < 10
    assert 0.05 <= await periodic - started < 10
    far.cancel()
    series.dispose()


async def test_a_run_from_a_thread_settles_on_the_loop() -> None:
    loop = asyncio.get_running_loop()
    scheduler = LoopScheduler()
    settled: asyncio.Future[int] = loop.create_future()
    await loop.run_in_executor(
        None, scheduler.run, nothing, lambda: settled.set_result(threading.get_ident())
    )
    assert await settled == threading.get_ident()


def test_a_scheduler_of_a_closed_loop_raises_and_disposes_in_silence() -> None:
    loop = asyncio.new_event_loop()
    scheduler = LoopScheduler(loop)
    held: list[abc.DisposableBase] = []

    async def main() -> None:
        held.append(scheduler.schedule_relative(60.0, act(nothing)))
        held.append(rx.interval(60.0).subscribe(scheduler=scheduler))

    loop.run_until_complete(main())
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        scheduler.schedule(act(nothing))
    with pytest.raises(RuntimeError, match="closed"):
        scheduler.schedule_relative(1.0, act(nothing))
    for disposable in held:
        disposable.dispose()


def test_without_a_loop_there_is_no_scheduler() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        LoopScheduler()


def test_work_scheduled_before_the_loop_runs_is_done_when_it_does() -> None:
    with asyncio.Runner() as runner:
        scheduler = LoopScheduler(runner.get_loop())
        ran: list[str] = []
        rung = asyncio.Event()
        scheduler.schedule(act(lambda: ran.append("immediate")))
        scheduler.schedule_relative(0.001, act(rung.set))
        assert ran == []
        runner.run(asyncio.wait_for(rung.wait(), 10.0))
        assert ran == ["immediate"]
