"""`throttle_latest`: at most one value in so many seconds, and always the last one.

For a slow consumer of a fast source: the first value at once, then the newest at a steady pace, and when the
source falls silent the last value is not lost (`throttle_first` drops it, `debounce` never emits while the
source is busy).

Standard: RxJava's `throttleLatest(timeout, emitLast=true)`, with a window for each key.
Never: keeps the state of a key that has been silent for a window, or emits two values at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from datetime import timedelta
from math import inf
from typing import Any, TypeVar

from reactivex import Observable, abc

from rx_sse import arguments
from rx_sse.reactive.observer import NOBODY, Callbacks, Unwrapped
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

    The first value passes at once and opens a window. When the window ends, the newest value that arrived in
    it passes and opens the next window. A window without a value is the last: the next value passes at once
    again.

    With a `key` each key has windows of its own, so that a quiet one is not hidden by a busy one::

        prices.pipe(rx_sse.throttle_latest(0.5, key=lambda price: price["symbol"]))

    Values of different keys may then change their order: a value that waited follows later values of other
    keys. On a resumable stream of a bus the position would go back, so the stream becomes live-only.

    When the source completes, waiting values are emitted first, in the order of their arrival. When it fails,
    they are dropped and the error passes at once: a value must not look newer than it is.

    Args:
        seconds: The length of a window: seconds or a timedelta, more than zero.
        key: Returns the key of a value. State is kept only for keys whose window is open.
        scheduler: Instead of that of the subscription. Without either it is a `LoopScheduler`
            of the running loop, or reactivex's threads where no loop runs.

    Returns:
        An operator for `pipe`.

    Raises:
        UsageError: `seconds` is not a valid duration, or `key` not a function.
    """
    length = seconds.total_seconds() if isinstance(seconds, timedelta) else seconds
    length = arguments.seconds("throttle_latest: seconds", length, zero="would be no window")
    arguments.function("throttle_latest: key", key, "a function of a value")
    return lambda source: _Throttled(source, length, key, scheduler)


class _Throttled(Unwrapped[T]):
    """A source, throttled."""

    def __init__(
        self,
        source: Observable[T],
        length: float,
        key: Callable[[T], Hashable] | None,
        scheduler: abc.SchedulerBase | None,
    ) -> None:
        super().__init__()
        self._source = source
        self._length = length
        self._key = key
        self._scheduler = scheduler

    def subscribe_observer(
        self, observer: Callbacks, scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        windows = _Windows(observer, self._length, self._key, first_given(self._scheduler, scheduler))
        windows.follow(self._source, scheduler)
        return windows


class _Windows(Serial, abc.DisposableBase):
    """One subscription: the open windows, and the values that wait for their end.

    Without keys there is one window, and no state to remove when it ends: it has a timer only while a value
    waits. Most sources are slower than their window, and then a value takes one lock and no container.
    """

    __slots__ = (
        "_clock",
        "_ended",
        "_key",
        "_length",
        "_observer",
        "_over_at",
        "_time",
        "_timers",
        "_upstream",
        "_waiting",
    )

    def __init__(
        self,
        observer: Callbacks,
        length: float,
        key: Callable[[Any], Hashable] | None,
        clock: abc.SchedulerBase,
    ) -> None:
        super().__init__()
        self._observer = observer
        self._length = length
        self._key = key
        self._clock = clock
        self._time = seconds_of(clock)
        self._over_at = -inf
        self._timers: dict[Hashable, abc.DisposableBase] | None = None  # timers of the open windows
        self._waiting: dict[Hashable, Any] | None = None  # waiting values by key, in the order of arrival
        self._upstream: abc.DisposableBase | None = None
        self._ended = False

    def follow(self, source: Observable[Any], scheduler: abc.SchedulerBase | None) -> None:
        """Subscribe to the source."""
        try:
            upstream = source.subscribe(self.on_next, self.on_error, self.on_completed, scheduler=scheduler)
        except Exception as error:
            self.on_error(error)
            return
        self._upstream = upstream
        if self._ended:
            upstream.dispose()

    def on_next(self, value: Any) -> None:
        """A value of the source."""
        if self._key is not None:
            self._keyed(self._key, value)
            return
        time = self._time
        with self._lock:
            now = time()
            if now < self._over_at or self._timers or self._busy or self._calls:
                alone = False
            else:
                self._over_at = now + self._length
                alone = self._busy = True
        if not alone:
            self._admit(None, value)
            return
        try:
            self._observer.on_next(value)
        except BaseException:
            self._failed()
            raise
        with self._lock:
            if not self._calls:
                self._busy = False
                return
        self._run()

    def on_error(self, error: Exception) -> None:
        """The source failed: waiting values are dropped."""
        if self._end() is not None:
            self.put(self._fail, error)

    def on_completed(self) -> None:
        """The source completed: waiting values are emitted first."""
        if (left := self._end()) is not None:
            for value in left:
                self.put(self._emit, value)
            self.put(self._complete)

    def dispose(self) -> None:
        """Release everything. From any thread."""
        self._observer = NOBODY
        self._end()
        self._leave()

    # -- windows ---------------------------------------------------------------------------------------------

    def _keyed(self, key: Callable[[Any], Hashable], value: Any) -> None:
        try:
            name = key(value)
            hash(name)
        except Exception as error:
            self.on_error(error)
            self._leave()
            return
        self._admit(name, value)

    def _admit(self, name: Hashable, value: Any) -> None:
        """Let a value pass, or have it wait."""
        with self._lock:
            if self._ended:
                return
            if (self._timers and name in self._timers) or not self._open(name):
                if self._waiting is None:
                    self._waiting = {}
                self._waiting.pop(name, None)
                self._waiting[name] = value
                return
        self.put(self._emit, value)

    def _open(self, name: Hashable) -> bool:
        """Open a window, under the lock; returns whether a value may pass, now that none waits."""
        left = self._length
        if self._key is None:
            now = self._time()
            if now >= self._over_at:
                self._over_at = now + left
                return True
            left = min(left, self._over_at - now)  # a wall clock may be set back
        if self._timers is None:
            self._timers = {}
        self._timers[name] = self._clock.schedule_relative(left, self._over, name)
        return self._key is not None

    def _over(self, _: abc.SchedulerBase, name: Hashable = None) -> None:
        """A window is over."""
        with self._lock:
            if self._timers is None or self._timers.pop(name, None) is None:
                return
            if not self._waiting or name not in self._waiting:
                return
            value = self._waiting.pop(name)
            self._over_at = -inf
            self._open(name)
        self.put(self._emit, value)

    # -- the end ---------------------------------------------------------------------------------------------

    def _end(self) -> list[Any] | None:
        """Accept no more values; returns the waiting values, None if it was called before."""
        with self._lock:
            if self._ended:
                return None
            self._ended = True
            timers, waiting = self._timers, self._waiting
            self._timers = self._waiting = None
        for timer in (timers or {}).values():
            timer.dispose()
        return list((waiting or {}).values())

    def _leave(self) -> None:
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.dispose()

    def _emit(self, value: Any) -> None:
        self._observer.on_next(value)

    def _fail(self, error: Exception) -> None:
        observer, self._observer = self._observer, NOBODY
        observer.on_error(error)

    def _complete(self) -> None:
        observer, self._observer = self._observer, NOBODY
        observer.on_completed()
