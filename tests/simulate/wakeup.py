"""What the system reports of the file's WAL, in virtual time: to some, to none, or not of every commit."""

from __future__ import annotations

import random
from collections.abc import Callable

from .threads import Thread, Threads


class Wakeups:
    """The system of one run.

    Args:
        threads: those of the library.
        chance: what becomes of a report.

    Attributes:
        life: of the file that is at the path, counted by its replacements.
    """

    def __init__(self, threads: Threads, chance: random.Random) -> None:
        self.threads = threads
        self.life = 0
        self.there = chance.random() < 0.8
        self._chance = chance
        self._lost = chance.choice((0.0, 0.0, 0.1, 1.0))
        self._all: list[Wakeup] = []

    def wakeup(self) -> Wakeup:
        """What `wakeup.Wakeup` makes."""
        self._all.append(made := Wakeup(self))
        return made

    def report(self, life: int) -> None:
        """The WAL of a file was written, or deleted."""
        for wakeup in self._all:
            if wakeup.life == life and self._chance.random() >= self._lost:
                wakeup.report()


class Wakeup:
    """What the library uses of `wakeup.Wakeup`; one thread waits for it at most.

    Attributes:
        life: of the file that it watches; -1 if none.
    """

    def __init__(self, wakeups: Wakeups) -> None:
        self._wakeups = wakeups
        self._reported = False
        self._waiter: Thread | None = None
        self.life = -1
        self.armed = self.proved = False

    def arm(self, path: str) -> bool:
        self.armed = self._wakeups.there
        self.life = self._wakeups.life if self.armed else -1
        return self.armed

    def forget(self) -> None:
        self.armed = self.proved = self._reported = False
        self.life = -1

    def report(self) -> None:
        """The file has changed: that is reported once."""
        self.life, self._reported = -1, True
        self.call()

    def changed(self) -> bool:
        found, self._reported = self._reported, False
        self.armed = self.armed and not found
        self.proved = self.proved or found
        return found

    def wait(self, seconds: float, idle: Callable[[], bool]) -> bool:
        threads = self._wakeups.threads
        thread, loop = threads.current, threads.loop
        assert thread is not None, "the loop waits for a change"
        deadline = loop.time() + seconds
        self._waiter = thread
        try:
            threads.lose_processor()
            while idle() and not self._reported and (left := deadline - loop.time()) > 0:
                thread.wait(left)
        finally:
            self._waiter = None
        return self.changed()

    def call(self) -> None:
        if self._waiter is not None:
            self._waiter.wake()

    def close(self) -> None:
        self.forget()
