"""The queue of one event loop, shared by all `LoopScheduler`s of a loop.

Work belongs to a group (one per stream), and groups take turns. Each piece of work runs in a context of its
own (`contextvars`), whatever made the queue run: a timer that is due for two streams runs each stream's
action in the context in which that stream was subscribed.

Standard: the order of reactivex's `CurrentThreadScheduler`.
Never: it blocks, makes a thread, or touches the loop from a foreign thread except through
`call_soon_threadsafe`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import Context, copy_context
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

from reactivex import abc
from reactivex.scheduler import CurrentThreadScheduler, ScheduledItem
from reactivex.scheduler.scheduler import Scheduler
from reactivex.scheduler.trampoline import Trampoline

from rx_sse.reactive.timers import Timers
from rx_sse.reactive.work import Group, Work

SLICE = 0.005
"""Seconds of uninterrupted work after which the loop gets a turn: a third of a frame at 60 Hz."""
GRACE = 16
"""Actions that a slice never cuts off. `concat(prelude, live)` takes four: cut between them, because the
prelude was long or the machine busy, it would lose values pushed to `live` in the same turn. A greedy source
takes thousands."""


class Runner:
    """Runs work on one loop.

    Args:
        loop: the loop.
        scheduler: passed to reactivex's trampoline, which requires one.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, scheduler: Scheduler) -> None:
        self.loop = loop
        # One clock for everything: monotonic, exact, right in every thread. On asyncio loop.time() is this
        # clock; on uvloop it stands still while the loop sleeps, and would give a pushing thread an old time.
        # The wall clock is read only this once.
        self.origin = monotonic()
        self.epoch = datetime.now(UTC)
        self.timers: Timers[Work] = Timers(loop, self._put_all)
        self._common = Group()  # for work scheduled outside of any run()
        self._current = self._common
        self._turn: deque[Group] = deque()  # groups that have work
        self._later: deque[Group] = deque()  # groups whose slice has ended
        self._draining = False
        self._work: Work | None = None  # the work that is being run
        self._resumption: asyncio.Handle | None = None
        self.ending: set[asyncio.Task[Any]] = set()
        self._one = _Due(scheduler, self.epoch, self._invoke)
        self._all = _Due(scheduler, self.epoch, self._drain_turn)

    @property
    def now(self) -> datetime:
        """The time in UTC: the wall clock's at the start, plus what a monotonic clock counted since."""
        # Whole microseconds, rounded down: a due time of now must never lie ahead.
        return self.epoch + timedelta(microseconds=int((monotonic() - self.origin) * 1e6))

    # Submission, from any thread. Work without a context gets a copy of the caller's; work that runs before
    # the call returns needs none: it is already in the caller's context.

    def submit(self, work: Work) -> None:
        """Run it as soon as possible: at once, or after the queued work."""
        if not on_loop(self.loop):
            if work.context is None:
                work.context = copy_context()
            self.loop.call_soon_threadsafe(self._put_all, (work,), context=Context())
            return
        if self._draining:
            if work.context is None:
                work.context = copy_context()
            self._put(work)
            return
        trampoline = CurrentThreadScheduler.singleton().get_trampoline()
        if trampoline.idle():
            if work.context is None and self._common.waiting:
                work.context = copy_context()
            self._put(work)
            self._drain(trampoline)
        else:
            if work.context is None:
                work.context = copy_context()
            self._put(work)
            # A subscribe() is in progress. Its source must not emit before the subscriber holds the
            # disposable, or `from_iterable(count()).take(1)` could not be stopped. So the work runs when
            # reactivex's trampoline unwinds, before the outermost subscribe() returns. The trampoline
            # discards its queue when something raises: hence the loop as well.
            self._resume_soon()
            trampoline.run(self._all)

    def submit_at(self, when: float, work: Work) -> None:
        """Run it at a time of `time.monotonic`."""
        if work.context is None:
            work.context = copy_context()
        if on_loop(self.loop):
            work.group = self._current
            self.timers.add(when, work)
        else:
            self.loop.call_soon_threadsafe(self.timers.add, when, work, context=Context())

    def outlive(self, task: asyncio.Task[Any]) -> None:
        """Keep a task that closes a source after its disposal, until it is done."""
        if not task.done():
            self.ending.add(task)
            task.add_done_callback(self.ending.discard)

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
        # and work that requires the trampoline (`ReplaySubject`) is done when the action is.
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
                        self._failed(group, error, work.context)
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
            self._work.invoke()

    def _failed(self, group: Group, error: BaseException, context: Context | None) -> None:
        try:
            if group.failed is not None and group.failed(error):
                return
        except Exception as another:
            self._report("the callback of a failed group raised", another, context)
        self._report("a scheduled action raised", error, context)

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
            self._resumption = self.loop.call_soon(self._resume, context=Context())

    def _resume(self) -> None:
        self._resumption = None
        self._turn.extend(self._later)
        self._later.clear()
        self._drain_turn()

    def _report(self, message: str, error: BaseException, context: Context | None = None) -> None:
        told = {"message": f"rx_sse: {message}", "exception": error}
        if context is None:
            self.loop.call_exception_handler(told)
        else:  # an error collector sees the stream that the error belongs to
            context.copy().run(self.loop.call_exception_handler, told)


class _Due(ScheduledItem):
    """A call that goes through reactivex's trampoline; always due, by the queue's first moment."""

    def __init__(self, scheduler: Scheduler, moment: datetime, call: Callable[[], None]) -> None:
        super().__init__(scheduler, None, _nothing, moment)
        self._call = call

    def invoke(self) -> None:
        self._call()


def _nothing(_: abc.SchedulerBase, __: Any) -> None:
    pass


def on_loop(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether this is the thread that the loop is running in."""
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
