"""`retry_backoff`: subscribe again after a failure, later each time.

reactivex's `retry` has no delay, and the usual recipe for one recurses: it dies after 150 attempts. Here an
attempt is an action of the scheduler, so there may be any number of them.

Standard: exponential back-off with full jitter ("Exponential Backoff And Jitter", AWS Architecture Blog,
2015). Never: recurses, blocks, or subscribes twice at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from random import random
from typing import TypeVar

from reactivex import Observable, abc
from reactivex.disposable import SerialDisposable, SingleAssignmentDisposable

from rx_sse import arguments
from rx_sse.reactive.scheduler import first_given

T = TypeVar("T")


def retry_backoff(
    *,
    initial: float = 0.5,
    cap: float = 30.0,
    factor: float = 2.0,
    jitter: float = 1.0,
    max_attempts: int | None = None,
    reset_after: float = 0.0,
    retry_if: Callable[[Exception], bool] | None = None,
    scheduler: abc.SchedulerBase | None = None,
) -> Callable[[Observable[T]], Observable[T]]:
    """Subscribes again when the source fails, after a delay that grows with each failure in a row.

    The delays are `initial`, `initial * factor`, … up to `cap`, each cut by a random part, so that a thousand
    clients that lost the same server do not reconnect at once. An attempt that succeeded (see `reset_after`)
    starts the counting anew. Put it before `share()`, which never restarts after an error.

    Args:
        initial: Seconds before the second attempt.
        cap: The longest delay, in seconds.
        factor: By how much a delay is longer than the one before.
        jitter: The random part of a delay: 1 for anything between nothing and all of it, 0 for exactly it.
        max_attempts: Subscriptions in a row without success, the first included, after which the error is
            passed on; None for no limit.
        reset_after: Seconds that an attempt must have lasted to count as a success, if it emitted anything.
            The default is that one value is enough; give more for a source that greets before it fails.
        retry_if: Returns whether an error is worth another attempt; other errors are passed on at once.
        scheduler: Instead of that of the subscription. Without either it is a `LoopScheduler`
            of the running loop, or reactivex's threads where no loop runs.

    Returns:
        An operator for `pipe`.

    Raises:
        UsageError: A number out of range.
    """
    for name, value in (("initial", initial), ("cap", cap), ("reset_after", reset_after)):
        arguments.seconds(f"retry_backoff: {name}", value)
    arguments.number("retry_backoff: factor", factor, least=1)
    arguments.number("retry_backoff: jitter", jitter, least=0, most=1)
    if max_attempts is not None:
        arguments.count("retry_backoff: max_attempts", max_attempts)
    arguments.function("retry_backoff: retry_if", retry_if, "a function of an error")

    def operator(source: Observable[T]) -> Observable[T]:
        def subscribe(
            observer: abc.ObserverBase[T], given: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            clock = first_given(scheduler, given)
            current = SerialDisposable()  # the subscription, or the timer of the next one
            failures = 0  # in a row
            delay = min(initial, cap)
            started = clock.now
            emitted = False

            def attempt(_: abc.SchedulerBase | None = None, __: object = None) -> None:
                nonlocal started, emitted
                started, emitted = clock.now, False
                subscription = SingleAssignmentDisposable()
                current.disposable = subscription
                subscription.disposable = source.subscribe(
                    on_next, on_error, observer.on_completed, scheduler=given
                )

            def on_next(value: T) -> None:
                nonlocal emitted
                emitted = True
                observer.on_next(value)

            def on_error(error: Exception) -> None:
                nonlocal failures, delay
                if emitted and (clock.now - started).total_seconds() >= reset_after:
                    failures, delay = 0, min(initial, cap)
                failures += 1
                try:
                    wanted = retry_if is None or retry_if(error)
                except Exception as failure:
                    observer.on_error(failure)
                    return
                if not wanted or failures == max_attempts:
                    observer.on_error(error)
                    return
                wait = delay * (1 - jitter * random())
                delay = min(delay * factor, cap)
                current.disposable = clock.schedule_relative(wait, attempt)

            attempt()
            return current

        return Observable(subscribe)

    return operator
