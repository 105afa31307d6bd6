"""A deterministic event loop: its clock moves when nothing is left to do, and only then.

`call_soon` is first in, first out, as asyncio promises. Timers run in the order of their times; where two are
due at the same instant, in the order in which they were set. Threads that push are played between two
callbacks, and where the library looks at the clock, with another thread's identity: the places at which a
real thread may come in. Threads of the library (`threads`) run on at their own times, also while the loop
computes: a callback may take a while, and what they hand over then waits.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import logging
import math
import os
import random
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from unittest import mock

from rx_sse.web import registry

T = TypeVar("T")

BEGIN = 1_000.0
"""The loop's time at the beginning, in seconds; not zero, so that a wrong "never" shows."""
EPOCH = 1_700_000_000.0
"""`time.time()` at that moment."""
SPINNING = 200_000
"""Callbacks at one instant of virtual time: beyond it something asks again and again without a pause."""
LOOK = 0.000_02
"""Seconds of computing between two looks at `time.perf_counter`."""
COMPUTING = (0.000_2, 0.001, 0.05)
"""Seconds for which others may have the processor, at most."""


class _NoWatchdog:
    """Watches nothing."""

    def __init__(self, loop: object, observe: object = None) -> None:
        pass

    def close(self) -> None:
        pass


class Spinning(AssertionError):
    """The loop never comes to rest at one instant."""


class Call:
    """A callback that waits: what asyncio calls a handle."""

    __slots__ = ("_args", "_callback", "_context", "_when", "is_cancelled")

    def __init__(
        self, callback: Callable[..., Any], args: tuple[Any, ...], context: Any, when: float = 0.0
    ) -> None:
        self._callback: Callable[..., Any] | None = callback
        self._args = args
        self._context = contextvars.copy_context() if context is None else context
        self._when = when
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True
        self._callback = None
        self._args = ()

    def cancelled(self) -> bool:
        return self.is_cancelled

    def when(self) -> float:
        return self._when

    def run(self) -> None:
        if self._callback is not None:
            self._context.run(self._callback, *self._args)


class Loop(asyncio.AbstractEventLoop):
    """The loop of one run.

    Args:
        chance: where threads come in, and how long computing takes.
    """

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._now = BEGIN
        self._cpu = 0.0
        self._ready: deque[Call] = deque()
        self._timers: list[tuple[float, int, Call]] = []
        self._switches: list[tuple[float, int, Call]] = []
        self._number = 0
        self._closed = False
        self._threads: dict[int, deque[Callable[[], None]]] = {}
        self.playing = 0
        self.slow = 0.0
        """How likely a look at the clock finds that a time slice is over."""
        self.crowded = 0.0
        """How likely the processor goes to others: between two callbacks, and where a thread may lose it."""
        self.lose_processor: Callable[[], None] = _nothing
        """Called on a thread of the library, where it may lose the processor."""
        self.failures: list[str] = []
        """What reached the exception handler."""

    # -- what asyncio asks of a loop -------------------------------------------------------------------------

    def time(self) -> float:
        return self._now

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Any = None) -> Any:
        call = Call(callback, args, context)
        self._ready.append(call)
        return call

    def call_soon_threadsafe(self, callback: Callable[..., Any], *args: Any, context: Any = None) -> Any:
        self.lose_processor()
        return self.call_soon(callback, *args, context=context)

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any, context: Any = None) -> Any:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Callable[..., Any], *args: Any, context: Any = None) -> Any:
        return self._timed(self._timers, Call(callback, args, context, when))

    def switch_at(self, when: float, action: Callable[[], None]) -> Call:
        """Have a thread of the library run on at a time, whatever the loop does then."""
        return self._timed(self._switches, Call(action, (), None, when))

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: str | None = None, context: Any = None, **_: Any) -> Any:
        return asyncio.Task(coro, loop=self, name=name, context=context)

    def get_task_factory(self) -> None:
        return None

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        self._closed = True
        self._ready.clear()
        self._timers.clear()
        self._switches.clear()

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        trail = "" if error is None else "".join(traceback.format_exception(error))
        self.failures.append(f"{context.get('message')}: {error!r}\n{trail}")

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.call_exception_handler(context)

    # -- running ---------------------------------------------------------------------------------------------

    def run_until(self, deadline: float, *, done: Callable[[], bool] = lambda: False) -> None:
        """Run until that time, or until `done()`, which is asked when the clock is about to move."""
        while not done():
            self._settle()
            when = min(_first(self._timers), _first(self._switches))
            if when > deadline:
                self._now = max(self._now, deadline)
                return
            self._now = max(self._now, when)
            for waiting in (self._timers, self._switches):
                while waiting and waiting[0][0] <= self._now:
                    self._ready.append(heapq.heappop(waiting)[2])

    def elapse(self, seconds: float) -> None:
        """The loop computes for so long: threads run on meanwhile."""
        end = self._now + seconds
        while _first(self._switches) <= end:
            when, _, call = heapq.heappop(self._switches)
            self._now = max(self._now, when)
            call.run()
        self._now = max(self._now, end)

    def may_elapse(self) -> None:
        """It may be that the loop computes here, for longer than nothing."""
        if self._switches and self.crowded and self._chance.random() < self.crowded:
            self.elapse(self._chance.random() * self._chance.choice(COMPUTING))

    def run_for(self, seconds: float) -> None:
        """Run for that long."""
        self.run_until(self._now + seconds)

    def complete(self, coroutine: Coroutine[Any, Any, T], seconds: float = 60.0) -> T:
        """Run until a coroutine has returned.

        Raises:
            AssertionError: it took longer than `seconds`.
        """
        task: asyncio.Task[T] = self.create_task(coroutine)
        self.run_until(self._now + seconds, done=task.done)
        assert task.done(), f"{coroutine!r} did not end within {seconds} s"
        return task.result()

    def _settle(self) -> None:
        """Run what is ready, and what that makes ready, at this instant."""
        ready = self._ready
        turns = 0
        while ready or self._threads:
            if self._threads and (not ready or self._chance.random() < 0.3):
                self._play_thread()
                continue
            ready.popleft().run()
            self.may_elapse()
            turns += 1
            if turns > SPINNING:
                raise Spinning(f"more than {SPINNING} callbacks at {self._now:.3f}")

    def _timed(self, waiting: list[tuple[float, int, Call]], call: Call) -> Call:
        self._number += 1
        heapq.heappush(waiting, (call.when(), self._number, call))
        return call

    # -- threads ---------------------------------------------------------------------------------------------

    def in_thread(self, number: int, action: Callable[[], None]) -> None:
        """Have `action` called soon on the thread `number`, 1 or more, behind what that thread has to do."""
        self._threads.setdefault(number, deque()).append(action)

    def _play_thread(self) -> None:
        number = self._chance.choice(list(self._threads))
        actions = self._threads[number]
        action = actions.popleft()
        if not actions:
            del self._threads[number]
        self.playing = number
        asyncio._set_running_loop(None)
        try:
            action()
        finally:
            self.playing = 0
            asyncio._set_running_loop(self)

    def thread_id(self) -> int:
        """`threading.get_ident()`."""
        return 1_000_000 + self.playing

    def perf_counter(self) -> float:
        """`time.perf_counter()`: computing takes a while, and threads come in meanwhile."""
        if self.playing == 0:
            if self._threads and self._chance.random() < 0.2:
                self._play_thread()
            if self.slow:
                self._cpu += LOOK if self._chance.random() >= self.slow else 0.005
            else:
                self._cpu += LOOK
        return self._now + self._cpu

    def wall_time(self) -> float:
        """`time.time()`."""
        return EPOCH + self._now


def _first(waiting: list[tuple[float, int, Call]]) -> float:
    """When the first of these is due."""
    while waiting and waiting[0][2].is_cancelled:
        heapq.heappop(waiting)
    return waiting[0][0] if waiting else math.inf


def _nothing() -> None:
    """There are no threads of the library."""


def _sleep(seconds: float) -> None:
    raise AssertionError(f"time.sleep({seconds}) in virtual time")


@contextmanager
def virtual(seed: int, chance: random.Random) -> Iterator[Loop]:
    """A loop; while it lives, every clock, `os.urandom`, `random` and the thread's identity are its own."""
    loop = Loop(chance)
    nonces = random.Random(f"nonces of {seed}")
    state = random.getstate()
    random.seed(f"library of {seed}")
    with (
        mock.patch.object(time, "monotonic", loop.time),
        mock.patch.object(time, "time", loop.wall_time),
        mock.patch.object(time, "perf_counter", loop.perf_counter),
        mock.patch.object(time, "sleep", _sleep),
        mock.patch.object(os, "urandom", nonces.randbytes),
        mock.patch.object(threading, "get_ident", loop.thread_id),
        mock.patch.object(registry, "Watchdog", _NoWatchdog),  # a real thread, for real time
        mock.patch.object(logging, "logThreads", False),
    ):
        asyncio._set_running_loop(loop)
        try:
            yield loop
        finally:
            loop.close()
            asyncio._set_running_loop(None)
            random.setstate(state)
