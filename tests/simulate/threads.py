"""Threads of the library in virtual time: each runs alone, from one place where it waits to the next.

A thread of the library is played by a real one that goes on only while the loop stands still and waits for
it. Where it would wait, for a queue or for a disk, it gives the word back to the loop, and is called again
when it is due: sometimes much later than it asked for, as on a busy machine. In some runs it also loses the
processor where it waits for nothing: behind a statement, a look at the clock, or before it hands something
to the loop; and the loop does before it hands something to a thread.
"""

from __future__ import annotations

import _thread
import math
import queue
import random
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from .loop import COMPUTING, Call, Loop

FIRST = 100
"""The number of the first of these threads; those of publishers have lower ones."""


class Killed(BaseException):
    """The process of this thread is gone."""


class Group:
    """The threads of one life of a process.

    Attributes:
        stalled: until then none of them runs.
    """

    def __init__(self) -> None:
        self.members: list[Thread] = []
        self.stalled = 0.0

    def kill(self) -> None:
        """End all of them where they are."""
        for thread in self.members:
            thread.kill()


GROUP: ContextVar[Group] = ContextVar("GROUP")
"""The life to which new threads belong."""


class Threads:
    """The threads of one run.

    Args:
        loop: calls them.
        chance: how late they are.

    Attributes:
        current: the one that runs now; None while the loop runs.
        faulty: whether they are late now and then.
        all: every one of them.
    """

    def __init__(self, loop: Loop, chance: random.Random) -> None:
        self.loop = loop
        self.chance = chance
        self.current: Thread | None = None
        self.faulty = True
        self.all: list[Thread] = []
        loop.crowded = chance.choice((0.0, 0.02, 0.2))
        loop.lose_processor = self.lose_processor

    def thread(self, *, target: Callable[[], None], name: str, daemon: bool = True) -> Thread:
        """What `threading.Thread` makes."""
        return Thread(self, target, name)

    def queue(self) -> Queue:
        """What `queue.SimpleQueue` makes."""
        return Queue(self)

    def pause(self, seconds: float) -> None:
        """The thread that runs waits for so long."""
        if self.current is not None:
            self.current.wait(seconds)

    def lose_processor(self) -> None:
        """The thread that runs may stand still here, while others run on."""
        crowded, chance = self.loop.crowded, self.chance
        if self.current is not None and crowded and chance.random() < crowded:
            self.current.wait(chance.random() * chance.choice(COMPUTING))

    def monotonic(self) -> float:
        """`time.monotonic()`: what it says may be old by the time it is used."""
        now = self.loop.time()
        self.lose_processor()
        return now

    def late(self) -> float:
        """How long it takes until a thread that has something to do runs."""
        chance = self.chance
        if self.faulty and chance.random() < 0.05:
            return chance.uniform(0.01, 0.3)
        return chance.uniform(0.0, 0.000_3)

    def end(self) -> None:
        """Nothing is left of them."""
        for thread in self.all:
            thread.kill()


class Thread:
    """One thread: what the library uses of `threading.Thread`."""

    def __init__(self, threads: Threads, target: Callable[[], None], name: str) -> None:
        self._threads = threads
        self._target = target
        self.name = name
        self._group = GROUP.get()
        self._group.members.append(self)
        threads.all.append(self)
        self._number = FIRST + len(threads.all)
        self._go, self._back = _thread.allocate_lock(), _thread.allocate_lock()
        self._go.acquire()
        self._back.acquire()
        self._timer: Call | None = None
        self._started = self._ended = self._killed = self._unwinding = False

    def start(self) -> None:
        """Run, soon."""
        self._after(0.0)

    def wake(self) -> None:
        """What it waits for is there."""
        if not self._ended and not self._killed:
            self._after(0.0)

    def wait(self, seconds: float | None) -> None:
        """Give the word back, for so long or until it is woken; on this thread."""
        if self._unwinding:
            return
        if seconds is not None:
            self._after(seconds)
        self._back.release()
        self._go.acquire()
        if self._killed:
            self._unwinding = True
            raise Killed

    def kill(self) -> None:
        """End it where it is."""
        if self._killed or self._ended:
            return
        self._killed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._started:
            self._run()
        self._ended = True

    # -- inside ----------------------------------------------------------------------------------------------

    def _after(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        loop = self._threads.loop
        due = max(loop.time() + seconds, self._group.stalled) + self._threads.late()
        self._timer = loop.switch_at(due, self._run)

    def _run(self) -> None:
        """Let it go on until it waits again; on the loop's thread."""
        threads = self._threads
        if self._ended or threads.current is not None:
            return
        self._timer = None
        threads.current = self
        before, threads.loop.playing = threads.loop.playing, self._number
        if self._started:
            self._go.release()
        else:
            self._started = True
            _thread.start_new_thread(self._main, ())
        self._back.acquire()
        threads.current = None
        threads.loop.playing = before

    def _main(self) -> None:
        try:
            self._target()
        except Killed:
            pass
        except BaseException as error:
            self._threads.loop.failures.append(f"the thread {self.name}: {error!r}")
        finally:
            self._ended = True
            self._back.release()


class Queue:
    """What the library uses of `queue.SimpleQueue`; one thread waits for it at most."""

    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self._items: deque[Any] = deque()
        self._waiter: Thread | None = None

    def put(self, item: Any) -> None:
        if self._threads.current is None:
            self._threads.loop.may_elapse()
        self._items.append(item)
        if self._waiter is not None:
            self._waiter.wake()

    def get(self, timeout: float | None = None) -> Any:
        thread, loop = self._threads.current, self._threads.loop
        assert thread is not None, "the loop waits for a queue"
        deadline = math.inf if timeout is None else loop.time() + timeout
        self._waiter = thread
        try:
            while not self._items and (left := deadline - loop.time()) > 0:
                thread.wait(None if timeout is None else left)
        finally:
            self._waiter = None
        return self.get_nowait()

    def empty(self) -> bool:
        return not self._items

    def get_nowait(self) -> Any:
        if not self._items:
            raise queue.Empty
        return self._items.popleft()
