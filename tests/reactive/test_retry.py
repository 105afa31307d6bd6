"""`retry_backoff`, in virtual time."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import pytest
import reactivex as rx
from reactivex import Observable, abc
from reactivex.subject import Subject
from reactivex.testing import ReactiveTest, TestScheduler

from rx_sse.errors import UsageError
from rx_sse.reactive import LoopScheduler, retry_backoff

on_next, on_error, on_completed = ReactiveTest.on_next, ReactiveTest.on_error, ReactiveTest.on_completed
ERROR = ValueError("source")


class Attempts:
    """A source that notes when it is subscribed; `build(n)` gives what the nth attempt is."""

    def __init__(self, build: Callable[[int], Observable[Any]] = lambda n: rx.throw(ERROR)) -> None:
        self.times: list[float] = []
        self._build = build
        self.source: Observable[Any] = rx.create(self._subscribe)

    def _subscribe(
        self, observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None
    ) -> abc.DisposableBase:
        assert scheduler is not None  # it is forwarded
        self.times.append(scheduler.to_seconds(scheduler.now))
        return self._build(len(self.times)).subscribe(observer, scheduler=scheduler)


def run(attempts: Attempts, until: float = 1_000.0, **options: Any) -> list[Any]:
    scheduler = TestScheduler()
    options.setdefault("jitter", 0.0)
    operator = retry_backoff(**options)
    return scheduler.start(lambda: attempts.source.pipe(operator), disposed=until).messages


def test_the_delay_grows_up_to_the_cap() -> None:
    attempts = Attempts()
    assert run(attempts, initial=10, factor=3, cap=100, until=700) == []
    assert attempts.times == [200, 210, 240, 330, 430, 530, 630]


def test_it_goes_on_with_the_next_attempt() -> None:
    attempts = Attempts(lambda n: rx.of(1, 2) if n == 3 else rx.throw(ERROR))
    assert run(attempts, initial=10) == [on_next(230, 1), on_next(230, 2), on_completed(230)]


def test_the_error_is_passed_on_after_so_many_attempts() -> None:
    attempts = Attempts()
    assert run(attempts, initial=10, max_attempts=3) == [on_error(230, ERROR)]
    assert len(attempts.times) == 3


def test_one_attempt_is_no_retry() -> None:
    attempts = Attempts()
    assert run(attempts, max_attempts=1) == [on_error(200, ERROR)]


def test_a_value_starts_the_counting_anew() -> None:
    failing: Observable[Any] = rx.throw(ERROR)
    attempts = Attempts(lambda n: rx.concat(rx.of("up"), failing) if n == 3 else failing)
    messages = run(attempts, initial=10, max_attempts=3)
    assert attempts.times == [200, 210, 230, 240, 260]
    assert messages == [on_next(230, "up"), on_error(260, ERROR)]


def test_a_source_that_greets_before_it_fails_has_not_succeeded_until_it_lasted() -> None:
    def build(n: int) -> Observable[Any]:
        lasting = rx.timer(50.0).flat_map(lambda _: rx.throw(ERROR))
        return rx.concat(rx.of("hello"), lasting if n == 3 else rx.throw(ERROR))

    attempts = Attempts(build)
    run(attempts, initial=10, reset_after=50.0, until=320)
    assert attempts.times == [200, 210, 230, 230 + 50 + 10, 230 + 50 + 10 + 20]


def test_an_error_that_is_not_worth_it_is_passed_on_at_once() -> None:
    def worth_it(error: Exception) -> bool:
        return not isinstance(error, ValueError)

    attempts = Attempts(lambda n: rx.throw(ERROR if n == 2 else OSError()))
    assert run(attempts, initial=10, retry_if=worth_it) == [on_error(210, ERROR)]


def test_a_retry_if_that_raises_ends_the_sequence() -> None:
    failure = KeyError("retry_if")

    def fail(_: Exception) -> bool:
        raise failure

    assert run(Attempts(), retry_if=fail) == [on_error(200, failure)]


def test_full_jitter_is_anything_up_to_the_delay() -> None:
    attempts = Attempts()
    run(attempts, initial=100, cap=100, factor=1, jitter=1.0, until=20_000)
    waits = [after - before for before, after in itertools.pairwise(attempts.times)]
    assert len(waits) > 200
    assert 0 <= min(waits) < 20 and 80 < max(waits) <= 100
    assert 40 < sum(waits) / len(waits) < 60


def test_partial_jitter_cuts_its_part() -> None:
    attempts = Attempts()
    run(attempts, initial=100, cap=100, factor=1, jitter=0.2, until=20_000)
    waits = [after - before for before, after in itertools.pairwise(attempts.times)]
    assert 79.9 <= min(waits) < 85 and 95 < max(waits) <= 100.1


def test_disposing_ends_the_waiting() -> None:
    attempts = Attempts()
    run(attempts, initial=10, until=205)
    assert attempts.times == [200]


def test_disposing_ends_the_attempt() -> None:
    subject: Subject[int] = Subject()
    scheduler = TestScheduler()
    got: list[int] = []
    subscription = subject.pipe(retry_backoff()).subscribe(got.append, scheduler=scheduler)
    subject.on_next(1)
    subscription.dispose()
    assert got == [1]
    assert not subject.observers


async def test_ten_thousand_attempts_do_not_recurse() -> None:
    attempts = itertools.count(1)
    source = rx.defer(lambda _: rx.throw(ERROR) if next(attempts) < 10_000 else rx.throw(KeyError("last")))
    done: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
    retried = source.pipe(retry_backoff(initial=0.0, retry_if=lambda error: not isinstance(error, KeyError)))
    retried.subscribe(on_error=done.set_result, scheduler=LoopScheduler())
    assert isinstance(await done, KeyError)
    assert next(attempts) == 10_001


async def test_ten_thousand_delays_do_not_overflow() -> None:
    attempts = Attempts()
    run(attempts, initial=0.01, cap=0.05, factor=1e300, until=700.0)
    assert len(attempts.times) > 9_000


@pytest.mark.parametrize(
    "options",
    [
        {"initial": -1.0},
        {"cap": float("nan")},
        {"factor": 0.5},
        {"jitter": 1.5},
        {"jitter": -0.1},
        {"max_attempts": 0},
        {"initial": "1"},
        {"cap": True},
        {"factor": float("inf")},
        {"jitter": None},
        {"max_attempts": 1.5},
        {"max_attempts": float("nan")},
        {"reset_after": -1.0},
        {"retry_if": ValueError("no function")},
    ],
)
def test_numbers_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    [name] = options
    with pytest.raises(UsageError, match=name):
        retry_backoff(**options)
