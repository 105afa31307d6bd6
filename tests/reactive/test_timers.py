"""Time under `LoopScheduler`: order, drift, missed ticks, the wall clock, the heap, operators."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial
from time import monotonic
from typing import Any

import pytest
import reactivex as rx
import reactivex.scheduler.scheduler as reactivex_scheduler
from reactivex import Observable
from reactivex.scheduler.eventloop import AsyncIOScheduler
from reactivex.subject import Subject

from rx_sse.reactive import LoopScheduler, work
from rx_sse.reactive import scheduler as scheduler_module
from rx_sse.reactive.timers import Timers

from .test_scheduler import act, nothing, turns

GENEROUS = 2.0
"""Seconds that a busy machine may be late; the defects that are looked for are later by more."""


async def collect(source: Observable[Any], count: int) -> list[tuple[Any, float]]:
    """The first `count` values, each with the time since the subscription."""
    got: list[tuple[Any, float]] = []
    done = asyncio.Event()

    def note(value: Any) -> None:
        got.append((value, monotonic() - started))
        if len(got) == count:
            done.set()

    started = monotonic()
    with source.subscribe(note, scheduler=LoopScheduler()):
        await asyncio.wait_for(done.wait(), 10.0)
    return got


# Order.


async def test_timers_fire_in_the_order_of_their_times_and_then_of_their_making() -> None:
    scheduler = LoopScheduler()
    ran: list[str] = []
    done = asyncio.Event()
    at = scheduler.now + timedelta(seconds=0.5)
    scheduler.schedule_relative(1.0, act(done.set))
    scheduler.schedule_absolute(at, act(lambda: ran.append("second")))
    scheduler.schedule_absolute(at, act(lambda: ran.append("third")))
    scheduler.schedule_relative(0.01, act(lambda: ran.append("first")))
    scheduler.schedule_relative(0, act(lambda: ran.append("at once")))
    scheduler.schedule_relative(-1.0, act(lambda: ran.append("late")))
    scheduler.schedule_absolute(scheduler.now, act(lambda: ran.append("now")))
    assert ran == ["at once", "late", "now"]
    await done.wait()
    assert ran == ["at once", "late", "now", "first", "second", "third"]


async def test_a_timer_is_never_early() -> None:
    scheduler = LoopScheduler()
    early: list[float] = []
    left = asyncio.Semaphore(0)
    delays = [0.0003 * n for n in range(1, 60)]
    for delay in delays:

        def note(due: float) -> None:
            if monotonic() < due:
                early.append(due - monotonic())
            left.release()

        scheduler.schedule_relative(delay, act(partial(note, monotonic() + delay)))
    for _ in delays:
        await left.acquire()
    assert early == []


async def test_a_timer_that_adds_a_late_one_does_not_make_the_loop_oversleep_the_others() -> None:
    scheduler = LoopScheduler()
    rung = asyncio.Event()
    scheduler.schedule_relative(0.01, act(lambda: scheduler.schedule_relative(60.0, act(nothing))))
    scheduler.schedule_relative(0.03, act(rung.set))
    await asyncio.wait_for(rung.wait(), GENEROUS)


@pytest.mark.parametrize("due", [float("inf"), timedelta(days=10_000)], ids=["infinity", "ten thousand days"])
async def test_a_timer_may_lie_far_ahead(due: float | timedelta) -> None:
    scheduler = LoopScheduler()
    far = scheduler.schedule_relative(due, act(nothing))
    rung = asyncio.Event()
    scheduler.schedule_relative(0.01, act(rung.set))
    await rung.wait()
    far.dispose()


async def test_a_due_time_that_is_no_number_is_refused() -> None:
    scheduler = LoopScheduler()
    with pytest.raises(ValueError, match="not nan"):
        scheduler.schedule_relative(float("nan"), act(nothing))


# Series.


class Clockwork(Timers[work.Work]):
    """Timers of a clock that the test sets, which only note what is added."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.due: list[float] = []
        monkeypatch.setattr(work, "monotonic", lambda: self.now)

    def add(self, when: float, what: work.Work) -> None:
        self.due.append(when)


@pytest.mark.parametrize("late", [0.0, 0.3, 0.999])
async def test_being_late_does_not_add_up(late: float, monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler, timers = LoopScheduler(), Clockwork(monkeypatch)
    series = work.PeriodicWork(lambda state: state, None, scheduler, None, 100.0, 1.0, timers)
    for tick in range(1_000):
        timers.now = 100.0 + tick + late
        series.invoke()
    assert timers.due == [101.0 + tick for tick in range(1_000)]


@pytest.mark.parametrize(("late", "due"), [(1.0, 102.0), (1.5, 102.0), (7.01, 108.0)])
async def test_missed_ticks_are_skipped(late: float, due: float, monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler, timers = LoopScheduler(), Clockwork(monkeypatch)
    timers.now += late
    work.PeriodicWork(lambda state: state, None, scheduler, None, 100.0, 1.0, timers).invoke()
    assert timers.due == [due]


async def test_a_period_of_zero_ticks_once_a_turn() -> None:
    scheduler = LoopScheduler()
    count = 0

    def tick(_: Any) -> None:
        nonlocal count
        count += 1

    with scheduler.schedule_periodic(0.0, tick):
        await turns(50)
    assert 10 <= count <= 50


async def test_the_state_of_a_series_is_handed_on_and_a_failure_ends_it() -> None:
    loop = asyncio.get_running_loop()
    failed: asyncio.Future[BaseException] = loop.create_future()
    loop.set_exception_handler(lambda _, context: failed.set_result(context["exception"]))
    scheduler = LoopScheduler()
    states: list[int | None] = []

    def tick(state: int | None) -> int:
        states.append(state)
        if state == 3:
            raise ValueError("three")
        return (state or 0) + 1

    scheduler.schedule_periodic(timedelta(milliseconds=2), tick, 1)
    assert isinstance(await failed, ValueError)
    rung = asyncio.Event()
    scheduler.schedule_relative(0.02, act(rung.set))
    await rung.wait()
    assert states == [1, 2, 3]


async def test_a_series_that_is_disposed_inside_its_tick_is_over() -> None:
    scheduler = LoopScheduler()
    count = 0

    def tick(_: Any) -> None:
        nonlocal count
        count += 1
        series.dispose()

    series = scheduler.schedule_periodic(0.001, tick)
    rung = asyncio.Event()
    scheduler.schedule_relative(0.03, act(rung.set))
    await rung.wait()
    assert count == 1


# The wall clock.


class WallClock:
    """The wall clock as reactivex's own schedulers read it, which somebody may set."""

    def __init__(self) -> None:
        self.offset = timedelta()
        self.readings = 0
        self.step_after = -1

    def __call__(self) -> datetime:
        self.readings += 1
        if self.readings == self.step_after:
            self.offset -= STEP
        return datetime.now(UTC) + self.offset


STEP = timedelta(seconds=0.1)


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> WallClock:
    clock = WallClock()

    class Datetime(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return clock()

    monkeypatch.setattr(reactivex_scheduler, "default_now", clock)
    monkeypatch.setattr(scheduler_module, "datetime", Datetime)
    return clock


WALL: dict[str, Callable[[Subject[int]], Observable[Any]]] = {
    "timer(0, p)": lambda subject: rx.timer(0.0, 0.02),
    "interval": lambda subject: rx.interval(0.02),
    "throttle_first": lambda subject: rx.interval(0.02).throttle_first(0.01),
    "delay": lambda subject: rx.interval(0.02).delay(0.02),
    "debounce": lambda subject: rx.interval(0.02).debounce(0.005),
    "timestamp": lambda subject: rx.interval(0.02).timestamp(),
    "time_interval": lambda subject: rx.interval(0.02).time_interval(),
    "take_last_with_time": lambda subject: rx.interval(0.02).take(6).take_last_with_time(60.0),
}


@pytest.mark.parametrize("name", WALL)
async def test_a_wall_clock_that_steps_back_an_hour_changes_nothing(name: str, wall: WallClock) -> None:
    asyncio.get_running_loop().call_later(0.03, setattr, wall, "offset", timedelta(hours=-1))
    values = await asyncio.wait_for(collect(WALL[name](Subject()), 6), 5.0)
    assert values[-1][1] < 0.14 + GENEROUS
    if name == "timestamp":
        stamps = [value.timestamp for value, _ in values]
        assert stamps == sorted(stamps)


async def test_the_step_is_seen_by_a_scheduler_that_reads_the_wall_clock(wall: WallClock) -> None:
    """The test above could not fail otherwise."""
    got: list[int] = []
    with rx.timer(0.0, 0.02).subscribe(got.append, scheduler=AsyncIOScheduler(asyncio.get_running_loop())):
        await turns(3)
        wall.offset = timedelta(hours=-1)
        rung = asyncio.Event()
        LoopScheduler().schedule_relative(0.2, act(rung.set))
        await rung.wait()
    assert len(got) <= 3


async def test_subscribing_inside_the_queue_does_not_wait_for_the_wall_clock(wall: WallClock) -> None:
    """reactivex's `subscribe` compares readings, and sleeps for as long as the last is earlier."""
    scheduler = LoopScheduler()
    subject: Subject[int] = Subject()
    wall.readings, wall.step_after = 0, 2
    started = monotonic()
    subject.subscribe()  # in nobody's queue
    blocked = monotonic() - started
    assert blocked > STEP.total_seconds() / 2  # or reactivex has been cured, and we may forget it
    sources = [subject, subject.start_with(0), rx.concat(rx.of(1), rx.of(2)), rx.of(3).repeat(5)]
    for reading in range(1, 12):
        times: list[float] = []
        for _ in range(3):  # a busy machine may stop one of them; `subscribe` would sleep in each
            got: list[int] = []
            wall.readings, wall.step_after = 0, reading
            started = monotonic()
            for source in sources:
                scheduler.run(partial(source.subscribe, got.append, scheduler=scheduler), nothing)
            times.append(monotonic() - started)
            assert got == [0, 1, 2, 3, 3, 3, 3, 3]
        assert min(times) < STEP.total_seconds() / 2


async def test_now_does_not_follow_the_wall_clock(wall: WallClock) -> None:
    scheduler = LoopScheduler()
    before = scheduler.now
    assert before.tzinfo is UTC
    assert abs(before - datetime.now(UTC)) < timedelta(seconds=10)
    wall.offset = timedelta(hours=-1)
    assert timedelta() <= scheduler.now - before < timedelta(seconds=10)


async def test_a_date_is_a_due_time() -> None:
    [(value, at)] = await collect(rx.timer(datetime.now(UTC) + timedelta(seconds=0.05)), 1)
    assert value == 0
    assert 0.03 < at < 0.05 + GENEROUS


# The heap.


class Thing:
    """Something with a due time."""

    def __init__(self) -> None:
        self.disposed = False


async def test_disposed_timers_are_thrown_out_when_they_could_be_half() -> None:
    timers: Timers[Thing] = Timers(asyncio.get_running_loop(), lambda due: None)
    kept = [Thing() for _ in range(100)]
    for thing in kept:
        timers.add(monotonic() + 60.0, thing)
    husks: list[weakref.ref[Thing]] = []
    most = 0
    for _ in range(5_000):  # a debounce
        thing = Thing()
        timers.add(monotonic() + 60.0, thing)
        thing.disposed = True
        husks.append(weakref.ref(thing))
        if len(husks) % 100 == 0:
            most = max(most, sum(ref() is not None for ref in husks))
    assert most <= 200


async def test_what_is_due_together_is_handed_over_together() -> None:
    loop = asyncio.get_running_loop()
    handed: asyncio.Future[list[Thing]] = loop.create_future()
    timers = Timers(loop, handed.set_result)
    things = [Thing() for _ in range(5)]
    when = monotonic() + 0.01
    for thing in reversed(things):
        timers.add(when, thing)
    things[2].disposed = True
    assert await handed == [things[4], things[3], things[1], things[0]]


# Operators, as on paper.


def pushed(*moments: float) -> Observable[int]:
    """0, 1, 2… at the given moments, in hundredths of a second."""
    return rx.merge(*(rx.timer(at / 100).map(lambda _, n=n: n) for n, at in enumerate(moments)))


TIMED: dict[str, tuple[Callable[[], Observable[Any]], list[Any]]] = {
    "interval": (lambda: rx.interval(0.02).take(3), [0, 1, 2]),
    "timer": (lambda: rx.timer(0.01, 0.02).take(3), [0, 1, 2]),
    "delay": (lambda: rx.of(1, 2, 3).delay(0.02), [1, 2, 3]),
    "debounce": (lambda: pushed(1, 3, 150, 152).debounce(0.7), [1, 3]),
    "throttle_first": (lambda: pushed(1, 3, 150, 152).throttle_first(0.7), [0, 2]),
    "sample": (lambda: rx.interval(0.01).sample(0.1).take(2).count(), [2]),
    "buffer_with_time": (
        lambda: rx.concat(rx.of(1, 2), rx.never()).buffer_with_time(0.03).take(2),
        [[1, 2], []],
    ),
    "timeout": (lambda: rx.never().timeout(0.03, rx.of("late")), ["late"]),
    "retry with a delay": (lambda: fails_then(2).retry(5), ["ok"]),
    "switch_latest": (
        lambda: pushed(1, 30).map(lambda n: rx.interval(0.15).map(lambda k: (n, k))).switch_latest().take(2),
        [(0, 0), (1, 0)],
    ),
    "share": (lambda: shared_twice(), [0, 0, 1, 1]),
    "repeat": (lambda: rx.timer(0.01).repeat(3), [0, 0, 0]),
    "concat": (lambda: rx.concat(rx.timer(0.02), rx.of(7), rx.timer(0.01)), [0, 7, 0]),
    "take_until": (lambda: rx.interval(0.6).take_until(rx.timer(1.5)), [0, 1]),
    "delay_subscription": (lambda: rx.of(1).delay_subscription(0.02), [1]),
}


def fails_then(count: int) -> Observable[Any]:
    attempts = iter(range(count + 1))
    return rx.defer(
        lambda _: rx.timer(0.01).flat_map(
            lambda _: rx.of("ok") if next(attempts) == count else rx.throw(ValueError())
        )
    )


def shared_twice() -> Observable[int]:
    source = rx.interval(0.02).share()
    return rx.merge(source, source).take(4)


@pytest.mark.parametrize("name", TIMED)
async def test_an_operator_behaves_as_on_paper_in_one_thread(name: str) -> None:
    build, expected = TIMED[name]
    threads = threading.active_count()
    here = threading.get_ident()
    done = asyncio.get_running_loop().create_future()
    got: list[Any] = []

    def note(value: Any) -> None:
        assert threading.get_ident() == here
        got.append(value)

    build().subscribe(note, done.set_exception, lambda: done.set_result(None), scheduler=LoopScheduler())
    await asyncio.wait_for(done, 10.0)
    assert got == expected
    assert threading.active_count() == threads


async def test_a_debounced_stream_survives_pushes_from_four_threads() -> None:
    loop = asyncio.get_running_loop()
    scheduler = LoopScheduler()
    subject: Subject[int] = Subject()
    quiet: asyncio.Future[int] = loop.create_future()
    subject.debounce(1.0).subscribe(quiet.set_result, scheduler=scheduler)

    def push() -> None:
        for number in range(500):
            subject.on_next(number)

    await asyncio.gather(*(loop.run_in_executor(None, push) for _ in range(4)))
    assert await quiet == 499
