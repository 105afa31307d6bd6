"""The scheduler that every Observable of this library is subscribed with.

`LoopScheduler` runs the work of reactivex's operators on one asyncio event loop. It adds to reactivex's own
`AsyncIOScheduler` what a server needs:

* Immediate work runs at once, in first-in-first-out order, not in the next turn of the loop. `start_with`,
  `merge`, `retry`, `concat`, `switch_latest` subscribe through the scheduler: deferred by a turn, they would
  lose values pushed in it.
* After 5 ms of uninterrupted work the rest continues in the next turn: `of(1).repeat()` cannot hang a server.
* Work belongs to a group (one per stream), and groups take turns, so a greedy stream delays only itself.
* Timers are kept by absolute, monotonic time: no drift, and a wall clock that is set back changes nothing.
* An action runs in the context (`contextvars`) in which it was scheduled, or the scheduler's own
  (`in_context`), whatever made it run.
* An action that raises is reported to the loop's exception handler and stops no other action.

Standard: reactivex's `PeriodicScheduler`; where that leaves room, the order of its `CurrentThreadScheduler`.
Never: it blocks, makes a thread, or touches the loop from a foreign thread except through
`call_soon_threadsafe`. It cannot interrupt an action either: `from_iterable` emits its whole iterable in one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context, copy_context
from datetime import datetime
from time import monotonic
from typing import Any, TypeVar

from reactivex import abc, typing
from reactivex.scheduler import TimeoutScheduler
from reactivex.scheduler.periodicscheduler import PeriodicScheduler

from rx_sse.reactive.runner import Runner
from rx_sse.reactive.work import Group, PeriodicWork, Work

_TState = TypeVar("_TState")


class LoopScheduler(PeriodicScheduler):
    """Runs reactivex's work on one event loop, in one thread, without losing, delaying or blocking.

    Pass it to `subscribe(..., scheduler=...)`; operators inherit it from there. `rx_sse.sse` does this for
    you.

    Every method may be called from any thread. On the loop, `schedule` runs the action before it returns,
    unless work is already running, or a `subscribe()` is in progress: then the action runs right after that.
    From another thread the action goes to the loop through `call_soon_threadsafe`.

    Args:
        loop: The loop to run on; the running one if not given.

    Raises:
        RuntimeError: No loop was given and none is running; or, later, something is scheduled after the loop
            was closed. Work still pending then is dropped, and disposing it is silent.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        super().__init__()
        self._runner = Runner(asyncio.get_running_loop() if loop is None else loop, self)
        self._context: Context | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that everything runs on."""
        return self._runner.loop

    @property
    def now(self) -> datetime:
        """The time in UTC: the wall clock's at the start, plus what a monotonic clock counted since."""
        return self._runner.now

    @property
    def context(self) -> Context | None:
        """The context that all work runs in, if `in_context` made this scheduler."""
        return self._context

    def in_context(self, context: Context) -> LoopScheduler:
        """A scheduler on the same queue, all of whose work runs in one context.

        An operator schedules when it receives a value: in the context of the code that pushed it. With this
        scheduler its work runs in the context of its subscriber instead.

        Args:
            context: Entered for each action; give it to one scheduler alone, and enter it nowhere else.
        """
        return _InContext(self._runner, context)

    def schedule(
        self, action: abc.ScheduledAction[_TState], state: _TState | None = None
    ) -> abc.DisposableBase:
        """Runs an action as soon as possible: at once, or after the queued work.

        Args:
            action: Called with this scheduler and the state.
            state: Passed to the action.

        Returns:
            Disposing it cancels the action and releases it at once.
        """
        work = Work(action, state, self, self._context)
        self._runner.submit(work)
        return work

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
            Disposing it cancels the action and releases it at once.
        """
        work = Work(action, state, self, self._context)
        seconds = self.to_seconds(duetime)
        if seconds > 0:
            self._runner.submit_at(monotonic() + seconds, work)
        elif seconds <= 0:
            self._runner.submit(work)
        else:
            raise ValueError(f"a due time must be a number of seconds, not {seconds!r}")
        return work

    def schedule_absolute(
        self,
        duetime: typing.AbsoluteTime,
        action: abc.ScheduledAction[_TState],
        state: _TState | None = None,
    ) -> abc.DisposableBase:
        """Runs an action at a time, by the clock of `now`.

        Args:
            duetime: An aware datetime, or seconds since the epoch.
            action: Called with this scheduler and the state.
            state: Passed to the action.

        Returns:
            Disposing it cancels the action and releases it at once.
        """
        work = Work(action, state, self, self._context)
        when = self._runner.origin + (self.to_datetime(duetime) - self._runner.epoch).total_seconds()
        if when > monotonic():
            self._runner.submit_at(when, work)
        else:
            self._runner.submit(work)
        return work

    def schedule_periodic(
        self,
        period: typing.RelativeTime,
        action: typing.ScheduledPeriodicAction[_TState],
        state: _TState | None = None,
    ) -> abc.DisposableBase:
        """Runs an action every `period`, on a fixed grid: delays do not add up, and missed ticks are skipped.

        Args:
            period: Seconds, or a timedelta; zero or less means once in every turn of the loop.
            action: Called with the state; its result is the state of the next call. After an exception it is
                not called again.
            state: The first state.

        Returns:
            Disposing it ends the series and releases it at once.
        """
        seconds = max(0.0, self.to_seconds(period))
        when = monotonic() + seconds
        work = PeriodicWork(action, state, self, self._context, when, seconds, self._runner.timers)
        self._runner.submit_at(when, work)
        return work

    def run(
        self,
        action: Callable[[], object],
        settled: Callable[[], None],
        failed: Callable[[BaseException], bool] | None = None,
    ) -> abc.DisposableBase:
        """Runs an action as the first of a group of its own, and calls back when the group has no work left.

        Actions scheduled for immediate execution by an action of the group belong to the group too. With
        `source.subscribe(...)` as the action, the group settles when the source has emitted everything that
        it emits by itself on subscription: this may be before `run` returns, and never for an endless source.

        Args:
            action: The first action.
            settled: Called once, on the loop.
            failed: Called with an exception raised by work of the group, now or later, timers included;
                returns False if it was not reported, so that the loop's exception handler must be called.

        Returns:
            Disposing it means that `settled` and `failed` are not called, nor `action` if it has not been
            called yet. Work that `action` started ends with the subscription that owns it, not here: other
            streams may share it.
        """
        group = Group(settled, failed)
        work = Work(_call, action, self, self._context)
        work.group = group
        self._runner.submit(work)
        return _Run(group, work)

    def outlive(self, task: asyncio.Task[Any]) -> None:
        """Keeps a task that closes a source after its disposal, until it is done.

        Args:
            task: Cancelled already, and running its `finally` blocks.
        """
        self._runner.outlive(task)

    @property
    def ending(self) -> frozenset[asyncio.Task[Any]]:
        """The tasks that close sources after their disposal; a shutdown waits for them."""
        return frozenset(self._runner.ending)


class _InContext(LoopScheduler):
    """A scheduler on an existing queue."""

    def __init__(self, runner: Runner, context: Context) -> None:
        PeriodicScheduler.__init__(self)
        self._runner = runner
        self._context = context


class _Run(abc.DisposableBase):
    """The disposable of a `run`."""

    __slots__ = ("_first", "_group")

    def __init__(self, group: Group, first: Work) -> None:
        self._group = group
        self._first = first

    def dispose(self) -> None:
        self._group.settled = self._group.failed = None
        self._first.dispose()


def _call(_: abc.SchedulerBase, action: Callable[[], object]) -> None:
    action()


def seconds_of(scheduler: abc.SchedulerBase) -> Callable[[], float]:
    """A scheduler's clock in seconds, from some fixed moment on."""
    if isinstance(scheduler, LoopScheduler):
        return monotonic
    return lambda: scheduler.to_seconds(scheduler.now)


def first_given(*schedulers: abc.SchedulerBase | None) -> abc.SchedulerBase:
    """The first scheduler given; else a new one for the running loop; without a loop, reactivex's threads.

    Work that a subscription schedules with it runs in the subscriber's context.
    """
    for scheduler in schedulers:
        if scheduler is not None:
            return of_subscriber(scheduler)
    try:
        return of_subscriber(LoopScheduler())
    except RuntimeError:
        return TimeoutScheduler.singleton()


def of_subscriber(scheduler: abc.SchedulerBase) -> abc.SchedulerBase:
    """The scheduler for a new subscription: its work runs in the current context, unless the scheduler has
    its own."""
    if isinstance(scheduler, LoopScheduler) and scheduler.context is None:
        return scheduler.in_context(copy_context())
    return scheduler


def context_of(scheduler: abc.SchedulerBase | None) -> Context | None:
    """A copy of the context of a scheduler that has one."""
    context = scheduler.context if isinstance(scheduler, LoopScheduler) else None
    return None if context is None else context.copy()
