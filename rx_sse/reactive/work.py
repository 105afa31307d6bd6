"""A scheduler's unit of work, and the group that it belongs to.

A `Work` is also the disposable that reactivex gets for it. Groups are linked lists through their work, so
that thousands of idle streams own no container.

Standard: reactivex's `DisposableBase`; `dispose` may be called from any thread, any number of times.
Never: keeps an action, its state or its result after it was disposed.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from math import floor
from time import monotonic
from typing import Any

from reactivex import abc

from rx_sse.reactive.timers import Timers


class Work(abc.DisposableBase):
    """One scheduled action, and the disposable that cancels it."""

    __slots__ = ("action", "context", "disposed", "following", "group", "inner", "scheduler", "state")

    def __init__(
        self,
        action: Callable[..., Any],
        state: Any,
        scheduler: abc.SchedulerBase,
        context: Context | None,
    ) -> None:
        self.action: Callable[..., Any] | None = action
        self.state = state
        self.scheduler = scheduler
        self.context = context  # None for the caller's
        self.group: Group | None = None
        self.following: Work | None = None
        self.inner: abc.DisposableBase | None = None
        self.disposed = False

    def invoke(self) -> None:
        """Run the action, once."""
        action, state, context = self.action, self.state, self.context
        self.action = self.state = None
        if action is None:
            return
        if context is None:
            inner = action(self.scheduler, state)
        else:
            inner = context.run(action, self.scheduler, state)
        if isinstance(inner, abc.DisposableBase):
            # First stored, then checked: a dispose() from another thread in between finds it.
            self.inner = inner
            if self.disposed:
                self.dispose()

    def dispose(self) -> None:
        """Cancel the action, or dispose of its result."""
        self.disposed = True
        self.action = self.state = self.context = None
        inner, self.inner = self.inner, None
        if inner is not None:
            inner.dispose()


class PeriodicWork(Work):
    """An action that repeats on a fixed grid of times."""

    __slots__ = ("_period", "_timers", "_when")

    def __init__(
        self,
        action: Callable[[Any], Any],
        state: Any,
        scheduler: abc.SchedulerBase,
        context: Context | None,
        when: float,
        period: float,
        timers: Timers[Work],
    ) -> None:
        super().__init__(action, state, scheduler, context)
        self._when = when
        self._period = period
        self._timers = timers

    def invoke(self) -> None:
        """Run the action and schedule the next run."""
        action, context = self.action, self.context
        if action is None:
            return
        self.state = action(self.state) if context is None else context.run(action, self.state)
        if self.disposed:
            self.state = None
            return
        due = self._when + self._period
        now = monotonic()
        if due <= now:
            # Late by a period or more: missed runs are skipped, not repeated in a burst.
            ticks = floor((now - self._when) / self._period) + 1 if self._period else 0
            due = max(now, self._when + ticks * self._period)
        self._when = due
        self._timers.add(due, self)


class Group:
    """A first-in-first-out queue of work."""

    __slots__ = ("_head", "_tail", "failed", "settled", "waiting")

    def __init__(
        self,
        settled: Callable[[], None] | None = None,
        failed: Callable[[BaseException], bool] | None = None,
    ) -> None:
        self._head: Work | None = None
        self._tail: Work | None = None
        self.settled = settled  # called when no work is left for the first time
        self.failed = failed  # called with exceptions of its work; returns whether they were reported
        self.waiting = False  # it is among the groups that have work

    def __bool__(self) -> bool:
        return self._head is not None

    def put(self, work: Work) -> None:
        """Queue a piece of work."""
        if self._tail is None:
            self._head = work
        else:
            self._tail.following = work
        self._tail = work

    def take(self) -> Work | None:
        """The next piece of work."""
        work = self._head
        if work is not None:
            self._head = work.following
            if self._head is None:
                self._tail = None
            work.following = None
        return work
