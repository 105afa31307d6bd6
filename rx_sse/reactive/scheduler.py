"""The scheduler that every Observable of this library is subscribed with.

`LoopScheduler` runs the work of reactivex's operators on one asyncio event loop. It follows the contract of
reactivex's `PeriodicScheduler`; what it adds is what a server needs and `AsyncIOScheduler` does not give:

* Immediate work runs at once, in first-in-first-out order, not in the next turn of the loop. `start_with`, `merge`,
  `retry`, `concat`, `switch_latest` subscribe through the scheduler: deferred by a turn, they lose what is pushed in it.
* After 5 ms of uninterrupted work the rest goes on in the next turn, so `of(1).repeat()` cannot hang a server.
* Work belongs to a group (one per stream), and groups take turns, so a greedy stream hurts itself alone.
* Timers are kept by absolute, monotonic time: no drift, and a wall clock that is set back changes nothing.
* An action that raises is reported to the loop's exception handler and stops nobody else.

It never blocks, never makes a thread, and never touches the loop from a foreign thread except through
`call_soon_threadsafe`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from heapq import heapify, heappop, heappush
from math import floor
from time import monotonic
from typing import Any, TypeVar

from reactivex import abc, typing
from reactivex.scheduler.periodicscheduler import PeriodicScheduler

_TState = TypeVar("_TState")

SLICE = 0.005
"""Seconds of uninterrupted work after which the loop gets a turn: a third of a 60 Hz frame, and some thousand actions."""

_LONGEST_WAIT = 86_400.0  # asyncio's own cap for one wait; uvloop overflows on infinity
_EARLY_WAKE = 0.001  # uvloop rounds to whole milliseconds and may wake early; asking for less would spin
_COMPACT_FROM = 64  # a heap smaller than this is not worth cleaning of disposed timers


class _Item(abc.DisposableBase):
    """One scheduled action, and the disposable that takes it back."""

    __slots__ = ("action", "disposed", "group", "inner", "next", "state")

    def __init__(self, action: abc.ScheduledAction[Any], state: Any) -> None:
        self.action: abc.ScheduledAction[Any] | None = action
        self.state: Any = state
        self.group: _Group | None = None
        self.next: _Item | None = None
        self.inner: abc.DisposableBase | None = None
        self.disposed = False

    def invoke(self, scheduler: LoopScheduler) -> None:
        action, state = self.action, self.state
        if action is None:
            return
        self.action = self.state = None
        inner = action(scheduler, state)
        if isinstance(inner, abc.DisposableBase):
            # First stored, then asked: a dispose() from another thread in between finds it.
            self.inner = inner
            if self.disposed:
                self.inner = None
                inner.dispose()

    def dispose(self) -> None:
        self.disposed = True
        self.action = self.state = None
        inner, self.inner = self.inner, None
        if inner is not None:
            inner.dispose()


class _Periodic(_Item):
    """A timer that comes back on a fixed grid of times."""

    __slots__ = ("period", "when")

    def __init__(self, action: Callable[[Any], Any], state: Any, when: float, period: float) -> None:
        super().__init__(action, state)  # type: ignore[arg-type]
        self.when = when
        self.period = period

    def invoke(self, scheduler: LoopScheduler) -> None:
        action = self.action
        if action is None:
            return
        try:
            state = action(self.state)  # type: ignore[call-arg, arg-type]
        except BaseException:
            self.dispose()
            raise
        if self.disposed:
            return
        self.state = state
        now = monotonic()
        following = self.when + self.period
        if following <= now:
            # Late by a period or more: what was missed is skipped, not made up for in a burst.
            missed = floor((now - self.when) / self.period) if self.period else 0
            following = max(now, self.when + (missed + 1) * self.period)
        self.when = following
        scheduler._add_timer(following, self)


class _Group:
    """A first-in-first-out queue of actions, linked through the items so that an idle stream owns no container."""

    __slots__ = ("head", "settled", "tail", "waiting")

    def __init__(self, settled: Callable[[], None] | None = None) -> None:
        self.head: _Item | None = None
        self.tail: _Item | None = None
        self.waiting = False  # in the rotation of groups that have work
        self.settled = settled


class _Run(abc.DisposableBase):
    """Takes a `run` back."""

    __slots__ = ("_first", "_group")

    def __init__(self, group: _Group, first: _Item) -> None:
        self._group: _Group | None = group
        self._first: _Item | None = first

    def dispose(self) -> None:
        group, self._group = self._group, None
        first, self._first = self._first, None
        if group is not None:
            group.settled = None
        if first is not None:
            first.dispose()


def _call(_: abc.SchedulerBase, action: Callable[[], None] | None) -> None:
    if action is not None:
        action()


class LoopScheduler(PeriodicScheduler):
    """Runs reactivex's work on one event loop, in one thread, without losing, delaying or blocking.

    Pass it to `subscribe(..., scheduler=...)`; operators inherit it from there. Inside `rx_sse.sse` this is done for you.

    Every method may be called from any thread. On the loop, `schedule` runs the action before it returns, unless work
    is already being run: then the action waits its turn. From another thread the action goes to the loop with
    `call_soon_threadsafe`.

    Args:
        loop: The loop to run on; the running one if not given.

    Raises:
        RuntimeError: No loop was given and none is running; or, later, something is scheduled after the loop was
            closed. Pending work of a closed loop is dropped, and disposing it stays silent.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop() if loop is None else loop
        # One clock for all: monotonic, exact, right in every thread. loop.time() is the same clock on asyncio;
        # on uvloop it is a reading that stands still while the loop sleeps. The wall clock is read this once.
        self._origin = monotonic()
        self._epoch = datetime.now(UTC)
        self._common = _Group()  # for what is scheduled outside of any run()
        self._current = self._common
        self._turn: deque[_Group] = deque()  # groups with work, in this drain
        self._later: deque[_Group] = deque()  # groups whose slice was over
        self._draining = False
        self._resuming = False
        self._timers: list[tuple[float, int, _Item]] = []
        self._serial = 0
        self._compact_at = _COMPACT_FROM
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = 0.0

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that everything runs on."""
        return self._loop

    @property
    def now(self) -> datetime:
        """The time in UTC as it was when this scheduler was made, plus what a monotonic clock has counted since."""
        return self._epoch + timedelta(seconds=monotonic() - self._origin)

    def schedule(
        self, action: abc.ScheduledAction[_TState], state: _TState | None = None
    ) -> abc.DisposableBase:
        """Runs an action as soon as possible: at once, or after the work that is already queued.

        Args:
            action: Called with this scheduler and the state.
            state: Passed to the action.

        Returns:
            Disposing it takes the action back and releases it at once.
        """
        item = _Item(action, state)
        self._submit(item)
        return item

    def schedule_relative(
        self,
        duetime: typing.RelativeTime,
        action: abc.ScheduledAction[_TState],
        state: _TState | None = None,
    ) -> abc.DisposableBase:
        """Runs an action after a time.

        Args:
            duetime: Seconds, or a timedelta; zero or less means at once.
            action: Called with this scheduler and the state.
            state: Passed to the action.

        Returns:
            Disposing it takes the action back and releases it at once.
        """
        item = _Item(action, state)
        self._submit_after(self.to_seconds(duetime), item)
        return item

    def schedule_absolute(
        self,
        duetime: typing.AbsoluteTime,
        action: abc.ScheduledAction[_TState],
        state: _TState | None = None,
    ) -> abc.DisposableBase:
        """Runs an action at a time, as told by `now`.

        Args:
            duetime: An aware datetime, or seconds since the epoch.
            action: Called with this scheduler and the state.
            state: Passed to the action.

        Returns:
            Disposing it takes the action back and releases it at once.
        """
        item = _Item(action, state)
        when = self._origin + (self.to_datetime(duetime) - self._epoch).total_seconds()
        self._submit_after(when - monotonic(), item)
        return item

    def schedule_periodic(
        self,
        period: typing.RelativeTime,
        action: typing.ScheduledPeriodicAction[_TState],
        state: _TState | None = None,
    ) -> abc.DisposableBase:
        """Runs an action every `period`, on a fixed grid: delays do not add up, and missed ticks are skipped.

        Args:
            period: Seconds, or a timedelta; zero or less means once in every turn of the loop.
            action: Called with the state; what it returns is the state of the next call. One that raises is not
                called again.
            state: The first state.

        Returns:
            Disposing it ends the series and releases it at once.
        """
        seconds = max(0.0, self.to_seconds(period))
        when = monotonic() + seconds
        item = _Periodic(action, state, when, seconds)
        if self._on_loop():
            item.group = self._current
            self._add_timer(when, item)
        else:
            item.group = self._common
            self._loop.call_soon_threadsafe(self._add_timer, when, item)
        return item

    def run(self, action: Callable[[], None], settled: Callable[[], None]) -> abc.DisposableBase:
        """Runs an action as the first of a group of its own, and tells when the group has nothing left to do.

        Whatever is scheduled for immediate execution while an action of the group runs belongs to the group too. With
        `source.subscribe(...)` as the action, the group settles when the source has emitted everything that it emits
        by itself on subscription. It may settle before `run` returns; an endless source never settles.

        Args:
            action: The first action.
            settled: Called once, on the loop.

        Returns:
            Disposing it means that `settled` is not called, nor `action` if it has not been yet. What `action` set
            going goes on until its own subscription is disposed, because others may share it.
        """
        group = _Group(settled)
        item = _Item(_call, action)
        item.group = group
        self._submit(item)
        return _Run(group, item)

    def _on_loop(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False

    def _submit(self, item: _Item) -> None:
        if self._on_loop():
            if item.group is None:
                item.group = self._current
            self._enqueue(item)
        else:
            if item.group is None:
                item.group = self._common
            self._loop.call_soon_threadsafe(self._enqueue, item)

    def _submit_after(self, seconds: float, item: _Item) -> None:
        if seconds <= 0:
            self._submit(item)
        elif seconds > 0:
            when = monotonic() + seconds
            if self._on_loop():
                item.group = self._current
                self._add_timer(when, item)
            else:
                item.group = self._common
                self._loop.call_soon_threadsafe(self._add_timer, when, item)
        else:
            raise ValueError(f"a due time must be a number of seconds, not {seconds!r}")

    def _enqueue(self, item: _Item) -> None:
        self._append(item)
        if self._turn and not self._draining:
            self._drain()

    def _append(self, item: _Item) -> None:
        group = item.group
        assert group is not None
        tail = group.tail
        if tail is None:
            group.head = item
        else:
            tail.next = item
        group.tail = item
        if not group.waiting:
            group.waiting = True
            self._turn.append(group)

    def _drain(self) -> None:
        self._draining = True
        turn = self._turn
        deadline = monotonic() + SLICE
        try:
            while turn:
                # The group stays in its place while its action runs, so that nothing is lost if that one ends the loop.
                group = self._current = turn[0]
                item = group.head
                if item is not None:
                    group.head = item.next
                    if group.head is None:
                        group.tail = None
                    item.next = None
                    self._invoke(item)
                if group.head is not None:
                    turn.rotate(-1)
                else:
                    turn.popleft()
                    group.waiting = False
                    if group.settled is not None:
                        self._settle(group)
                if monotonic() >= deadline:
                    break
        finally:
            self._current = self._common
            self._draining = False
            if turn:
                self._later.extend(turn)
                turn.clear()
                if not self._resuming:
                    self._resuming = True
                    self._loop.call_soon(self._resume)

    def _resume(self) -> None:
        self._resuming = False
        self._turn.extend(self._later)
        self._later.clear()
        self._drain()

    def _invoke(self, item: _Item) -> None:
        try:
            item.invoke(self)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._report("a scheduled action raised", error)

    def _settle(self, group: _Group) -> None:
        settled, group.settled = group.settled, None
        assert settled is not None
        try:
            settled()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._report("the callback of a settled group raised", error)

    def _report(self, message: str, error: BaseException) -> None:
        self._loop.call_exception_handler({"message": f"rx_sse: {message}", "exception": error})

    def _add_timer(self, when: float, item: _Item) -> None:
        timers = self._timers
        if len(timers) >= self._compact_at:
            timers[:] = [entry for entry in timers if not entry[2].disposed]
            heapify(timers)
            self._compact_at = max(_COMPACT_FROM, 2 * len(timers))
        self._serial += 1
        heappush(timers, (when, self._serial, item))
        if self._alarm is None or when < self._alarm_at:
            self._set_alarm(when, when - monotonic())

    def _set_alarm(self, when: float, seconds: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = when
        self._alarm = self._loop.call_later(min(max(seconds, 0.0), _LONGEST_WAIT), self._ring)

    def _ring(self) -> None:
        self._alarm = None
        timers = self._timers
        now = monotonic()
        fired = False
        while timers and timers[0][0] <= now:
            item = heappop(timers)[2]
            if not item.disposed:
                fired = True
                self._append(item)
        if fired and not self._draining:
            self._drain()
        while timers and timers[0][2].disposed:
            heappop(timers)
        if timers and self._alarm is None:
            when = timers[0][0]
            wait = when - monotonic()
            self._set_alarm(when, wait if fired else max(wait, _EARLY_WAKE))
