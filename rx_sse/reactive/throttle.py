"""`throttle_latest`: at most one value in so many seconds, and always the last one.

What a slow screen wants from a fast source: the first value at once, then the newest at a steady pace, and
when the source falls silent the last value is not lost (`throttle_first` drops it, `debounce` never emits
while the source is busy).

Standard: RxJava's `throttleLatest(timeout, emitLast=true)`, with a window for each key.
Never: keeps the state of a key that has been silent for a window, or emits two values at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from datetime import timedelta
from math import inf
from threading import Lock
from typing import TypeVar

from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable, Disposable

from rx_sse.errors import UsageError
from rx_sse.reactive.scheduler import first_given, seconds_of
from rx_sse.reactive.serial import Serial

T = TypeVar("T")


def throttle_latest(
    seconds: float | timedelta,
    *,
    key: Callable[[T], Hashable] | None = None,
    scheduler: abc.SchedulerBase | None = None,
) -> Callable[[Observable[T]], Observable[T]]:
    """Lets at most one value pass in each window of `seconds`, and never loses the last one.

    The first value passes at once and opens a window. Of those that come in a window the newest passes when
    it is over, and opens the next. A window in which nothing came is the last: the value after it passes at
    once again.

    With a `key` each key has windows of its own, so that a quiet one is not hidden by a busy one::

        prices.pipe(rx_sse.throttle_latest(0.5, key=lambda price: price["symbol"]))

    Values of different keys may then change their order: a value that waited comes after later ones of other
    keys. On a resumable stream of a bus that is a position that goes back, and makes the stream live-only.

    When the source completes, what still waits is emitted first, in the order of its arrival. When it fails,
    what waits is dropped and the error passes at once: it must not look newer than it is.

    Args:
        seconds: The length of a window: seconds or a timedelta, more than zero.
        key: Gives the key of a value. State is kept only for keys whose window is open.
        scheduler: Instead of the one that comes with the subscription. Without either it is a `LoopScheduler`
            of the running loop, or reactivex's threads where no loop runs.

    Returns:
        An operator for `pipe`.

    Raises:
        UsageError: `seconds` is not more than zero.
    """
    length = seconds.total_seconds() if isinstance(seconds, timedelta) else seconds
    if not length > 0:
        raise UsageError(f"throttle_latest({seconds!r}): give the length of a window, more than zero seconds")

    def operator(source: Observable[T]) -> Observable[T]:
        def subscribe(
            observer: abc.ObserverBase[T], given: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            clock = first_given(scheduler, given)
            serial = Serial()
            lock = Lock()  # around the two dictionaries, never around a call of somebody else's
            windows: dict[Hashable, abc.DisposableBase] = {}  # the open ones, each with its timer
            waiting: dict[Hashable, T] = {}  # in the order of arrival
            # Without keys there is one window, and nothing to forget when it is over: it has a timer only
            # while a value waits. Most sources are slower than their window.
            time = seconds_of(clock)
            over_at = -inf

            def open_window(name: Hashable) -> bool:
                """Whether a value may pass, now that nothing waits."""
                nonlocal over_at
                left = length
                if key is None:
                    now = time()
                    if now >= over_at:
                        over_at = now + length
                        return True
                    left = min(length, over_at - now)  # a wall clock may be set back
                windows[name] = clock.schedule_relative(left, over, name)
                return key is not None

            def over(_: abc.SchedulerBase, name: Hashable = None) -> None:
                nonlocal over_at
                with lock:
                    if windows.pop(name, None) is None or name not in waiting:
                        return
                    value = waiting.pop(name)
                    over_at = -inf
                    open_window(name)
                serial.put(observer.on_next, value)

            def on_next(value: T) -> None:
                name = None
                if key is not None:
                    try:
                        name = key(value)
                        hash(name)
                    except Exception as error:
                        on_error(error)
                        return
                with lock:
                    if name in windows or not open_window(name):
                        waiting.pop(name, None)
                        waiting[name] = value
                        return
                serial.put(observer.on_next, value)

            def stop() -> list[T]:
                with lock:
                    timers, left = list(windows.values()), list(waiting.values())
                    windows.clear()
                    waiting.clear()
                for timer in timers:
                    timer.dispose()
                return left

            def forget() -> None:
                stop()

            def on_error(error: Exception) -> None:
                forget()
                serial.put(observer.on_error, error)

            def on_completed() -> None:
                for value in stop():
                    serial.put(observer.on_next, value)
                serial.put(observer.on_completed)

            subscription = source.subscribe(on_next, on_error, on_completed, scheduler=given)
            return CompositeDisposable(subscription, Disposable(forget))

        return Observable(subscribe)

    return operator
