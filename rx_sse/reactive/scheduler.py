"""The scheduler that every Observable of this library is subscribed with.

`LoopScheduler` runs the work of reactivex's operators on one asyncio event loop. What it adds to reactivex's
own `AsyncIOScheduler` is what a server needs:

* Immediate work runs at once, in first-in-first-out order, not in the next turn of the loop. `start_with`,
  `merge`, `retry`, `concat`, `switch_latest` subscribe through the scheduler: deferred by a turn, they lose
  what is pushed in it.
* After 5 ms of uninterrupted work the rest goes on in the next turn: `of(1).repeat()` cannot hang a server.
* Work belongs to a group (one per stream), and groups take turns, so a greedy stream hurts itself alone.
* Timers are kept by absolute, monotonic time: no drift, and a wall clock that is set back changes nothing.
* An action that raises is reported to the loop's exception handler and stops nobody else.

Standard: reactivex's `PeriodicScheduler`; where that leaves room, the order of its `CurrentThreadScheduler`.
Never: it blocks, makes a thread, or touches the loop from a foreign thread except through
`call_soon_threadsafe`. It cannot interrupt an action either: `from_iterable` emits its whole iterable in one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, TypeVar

from reactivex import abc, typing
from reactivex.scheduler import CurrentThreadScheduler, ScheduledItem, TimeoutScheduler
from reactivex.scheduler.periodicscheduler import PeriodicScheduler
from reactivex.scheduler.trampoline import Trampoline

from rx_sse.reactive.timers import Timers
from rx_sse.reactive.work import Group, PeriodicWork, Work

_TState = TypeVar("_TState")

SLICE = 0.005
"""Seconds of uninterrupted work after which the loop gets a turn: a third of a frame at 60 Hz."""
GRACE = 16
"""Actions that a slice never cuts off. `concat(prelude, live)` takes four: cut between them, because the
prelude was long or the machine busy, it would lose what is pushed to `live` in the same turn. A greedy source
takes thousands."""


class LoopScheduler(PeriodicScheduler):
    """Runs reactivex's work on one event loop, in one thread, without losing, delaying or blocking.

    Pass it to `subscribe(..., scheduler=...)`; operators inherit it from there. `rx_sse.sse` does this for
    you.

    Every method may be called from any thread. On the loop, `schedule` runs the action before it returns,
    unless work is being run already, or a `subscribe()` is being made: then the action runs right after that.
    From another thread the action goes to the loop through `call_soon_threadsafe`.

    Args:
        loop: The loop to run on; the running one if not given.

    Raises:
        RuntimeError: No loop was given and none is running; or, later, something is scheduled after the loop
            was closed. What was still pending then is dropped, and disposing it is silent.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop() if loop is None else loop
        # One clock for everything: monotonic, exact, right in every thread. On asyncio loop.time() is this
        # clock; on uvloop it stands still while the loop sleeps, and would tell a pushing thread an old time.
        # The wall clock is read this once.
        self._origin = monotonic()
        self._epoch = datetime.now(UTC)
        self._common = Group()  # for what is scheduled outside of any run()
        self._current = self._common
        self._turn: deque[Group] = deque()  # groups that have work
        self._later: deque[Group] = deque()  # groups whose slice was over
        self._draining = False
        self._work: Work | None = None  # that is being run
        self._resumption: asyncio.Handle | None = None
        self._timers: Timers[Work] = Timers(self._loop, self._put_all)
        self._ending: set[asyncio.Task[Any]] = set()
        self._one = _Due(self, self._invoke)
        self._all = _Due(self, self._drain_turn)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that everything runs on."""
        return self._loop

    @property
    def now(self) -> datetime:
        """The time in UTC: the wall clock's at the start, plus what a monotonic clock counted since."""
        # Whole microseconds, rounded down: a due time of now must never lie ahead.
        return self._epoch + timedelta(microseconds=int((monotonic() - self._origin) * 1e6))

    def schedule(
        self, action: abc.ScheduledAction[_TState], state: _TState | None = None
    ) -> abc.DisposableBase:
        """Runs an action as soon as possible: at once, or after the work that is queued already.

        Args:
            action: Called with this scheduler and the state.
            state: Passed to the action.

        Returns:
            Disposing it takes the action back and releases it at once.
        """
        work = Work(action, state)
        self._submit(work)
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
            Disposing it takes the action back and releases it at once.
        """
        work = Work(action, state)
        seconds = self.to_seconds(duetime)
        if seconds > 0:
            self._submit_at(monotonic() + seconds, work)
        elif seconds <= 0:
            self._submit(work)
        else:
            raise ValueError(f"a due time must be a number of seconds, not {seconds!r}")
        return work

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
        work = Work(action, state)
        when = self._origin + (self.to_datetime(duetime) - self._epoch).total_seconds()
        if when > monotonic():
            self._submit_at(when, work)
        else:
            self._submit(work)
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
            action: Called with the state; what it returns is the state of the next call. One that raises is
                not called again.
            state: The first state.

        Returns:
            Disposing it ends the series and releases it at once.
        """
        seconds = max(0.0, self.to_seconds(period))
        when = monotonic() + seconds
        work = PeriodicWork(action, state, when, seconds, self._timers)
        self._submit_at(when, work)
        return work

    def run(
        self,
        action: Callable[[], object],
        settled: Callable[[], None],
        failed: Callable[[BaseException], bool] | None = None,
    ) -> abc.DisposableBase:
        """Runs an action as the first of a group of its own, and tells when the group has nothing left to do.

        What is scheduled for immediate execution while an action of the group runs belongs to the group too.
        With `source.subscribe(...)` as the action, the group settles when the source has emitted everything
        that it emits by itself on subscription: it may be before `run` returns, and for an endless source it
        is never.

        Args:
            action: The first action.
            settled: Called once, on the loop.
            failed: Called with what work of the group raises, now or later, that of timers included; returns
                False if nobody is told, and the loop's exception handler is to be.

        Returns:
            Disposing it means that `settled` and `failed` are not called, nor `action` if it has not been
            yet. What
            `action` set going ends with the subscription that owns it, not here: other streams may share it.
        """
        group = Group(settled, failed)
        work = Work(_call, action)
        work.group = group
        self._submit(work)
        return _Run(group, work)

    def outlive(self, task: asyncio.Task[Any]) -> None:
        """Remembers a task that is closing what nobody listens to any more, until it is done.

        Args:
            task: Cancelled already, and running its `finally` blocks.
        """
        if not task.done():
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    @property
    def ending(self) -> frozenset[asyncio.Task[Any]]:
        """The tasks that are closing what nobody listens to any more; a shutdown waits for them."""
        return frozenset(self._ending)

    # Submission, from any thread.

    def _submit(self, work: Work) -> None:
        if not on_loop(self._loop):
            self._loop.call_soon_threadsafe(self._put_all, (work,))
            return
        self._put(work)
        if self._draining:
            return
        trampoline = CurrentThreadScheduler.singleton().get_trampoline()
        if trampoline.idle():
            self._drain(trampoline)
        else:
            # A subscribe() is under way. Its source must not emit before the subscriber holds the disposable,
            # or `from_iterable(count()).take(1)` could not be stopped. So we run when reactivex's trampoline
            # unwinds, before the outermost subscribe() returns. It forgets its queue when something raises:
            # hence the loop as well.
            self._resume_soon()
            trampoline.run(self._all)

    def _submit_at(self, when: float, work: Work) -> None:
        if on_loop(self._loop):
            work.group = self._current
            self._timers.add(when, work)
        else:
            self._loop.call_soon_threadsafe(self._timers.add, when, work)

    # Running, on the loop.

    def _put(self, work: Work) -> None:
        group = work.group
        if group is None:
            group = work.group = self._current
        group.put(work)
        if not group.waiting:
            group.waiting = True
            self._turn.append(group)

    def _put_all(self, works: Iterable[Work]) -> None:
        for work in works:
            self._put(work)
        self._drain_turn()

    def _drain_turn(self) -> None:
        if self._turn and not self._draining:
            self._drain(CurrentThreadScheduler.singleton().get_trampoline())

    def _drain(self, trampoline: Trampoline) -> None:
        """Runs one action of each group that has work, again and again, until the slice is over."""
        # Each action runs inside reactivex's trampoline. A subscribe() in it then finds the trampoline busy
        # and does not compare wall-clock times to enter it (set back in between, that blocks for as long),
        # and what insists on the trampoline (`ReplaySubject`) is done when the action is.
        run = trampoline.run if trampoline.idle() else _Due.invoke
        one, turn = self._one, self._turn
        self._draining = True
        deadline = monotonic() + SLICE
        grace = GRACE
        try:
            while turn:
                # A group keeps its place while its action runs: one that stops the loop loses nothing else.
                group = self._current = turn[0]
                work = self._work = group.take()
                if work is not None and not work.disposed:
                    try:
                        run(one)
                    except (SystemExit, KeyboardInterrupt):
                        raise
                    except BaseException as error:
                        self._failed(group, error)
                if group:
                    turn.rotate(-1)
                else:
                    turn.popleft()
                    group.waiting = False
                    if group.settled is not None:
                        self._settle(group)
                grace -= 1
                if grace <= 0 and monotonic() >= deadline:
                    break
        finally:
            self._work = None
            self._current = self._common
            self._draining = False
            if turn:
                self._later.extend(turn)
                turn.clear()
                self._resume_soon()

    def _invoke(self) -> None:
        if self._work is not None:
            self._work.invoke(self)

    def _failed(self, group: Group, error: BaseException) -> None:
        try:
            if group.failed is not None and group.failed(error):
                return
        except Exception as another:
            self._report("the callback of a failed group raised", another)
        self._report("a scheduled action raised", error)

    def _settle(self, group: Group) -> None:
        settled, group.settled = group.settled, None
        if settled is not None:
            try:
                settled()
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                self._report("the callback of a settled group raised", error)

    def _resume_soon(self) -> None:
        if self._resumption is None:
            self._resumption = self._loop.call_soon(self._resume)

    def _resume(self) -> None:
        self._resumption = None
        self._turn.extend(self._later)
        self._later.clear()
        self._drain_turn()

    def _report(self, message: str, error: BaseException) -> None:
        self._loop.call_exception_handler({"message": f"rx_sse: {message}", "exception": error})


class _Run(abc.DisposableBase):
    """What takes a `run` back."""

    __slots__ = ("_first", "_group")

    def __init__(self, group: Group, first: Work) -> None:
        self._group = group
        self._first = first

    def dispose(self) -> None:
        self._group.settled = self._group.failed = None
        self._first.dispose()


class _Due(ScheduledItem):
    """A call on its way through reactivex's trampoline; always due, by the scheduler's first moment."""

    def __init__(self, scheduler: LoopScheduler, call: Callable[[], None]) -> None:
        super().__init__(scheduler, None, _nothing, scheduler.now)
        self._call = call

    def invoke(self) -> None:
        self._call()


def _nothing(_: abc.SchedulerBase, __: Any) -> None:
    pass


def _call(_: abc.SchedulerBase, action: Callable[[], object]) -> None:
    action()


def on_loop(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether this is the thread that the loop is running in."""
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


def seconds_of(scheduler: abc.SchedulerBase) -> Callable[[], float]:
    """A scheduler's clock in seconds, from some moment on."""
    if isinstance(scheduler, LoopScheduler):
        return monotonic
    return lambda: scheduler.to_seconds(scheduler.now)


def first_given(*schedulers: abc.SchedulerBase | None) -> abc.SchedulerBase:
    """The first that is one; else a new one for the running loop; without a loop, reactivex's threads."""
    for scheduler in schedulers:
        if scheduler is not None:
            return scheduler
    try:
        return LoopScheduler()
    except RuntimeError:
        return TimeoutScheduler.singleton()
