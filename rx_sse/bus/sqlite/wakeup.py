"""A thread waits until another thread calls it, or a file is written to.

A queue and a file cannot be waited for together, so both become descriptors, of `eventfd` and `inotify`. They
are opened with the first watch, so a reader that watches nothing has none. A call costs the look at one
attribute, unless the thread waits at this moment.

Never: a call between the last look at the queue and the wait is missed: the flag is set before that look.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import threading
from collections.abc import Callable

from rx_sse.bus.sqlite.inotify import MODIFY, Inotify


class Wakeup:
    """Belongs to the one thread that waits; only `call` is for others.

    Attributes:
        armed: whether a watch is set and has reported nothing yet.
        proved: whether a watch has reported a write since `forget`: some systems accept one and never do.
    """

    __slots__ = ("_event", "_inotify", "_lock", "_poll", "_waiting", "armed", "proved")

    def __init__(self) -> None:
        self.armed = False
        self.proved = False
        self._inotify = Inotify()
        self._event = -1
        self._poll: select.poll | None = None
        self._waiting = False
        self._lock = threading.Lock()  # held while the descriptor of the calls is written

    def arm(self, path: str) -> bool:
        """Be woken by the next write to a file; whether the system can."""
        if self._opened():
            self.armed = self._inotify.watch(path)
        return self.armed

    def forget(self) -> None:
        """Watch no file, and trust no watch until it has reported something."""
        self._inotify.forget()
        self.armed = self.proved = False

    def changed(self) -> bool:
        """Whether the file has changed since it was armed; then it is not any more."""
        if not self.armed or not (found := self._inotify.events()):
            return False
        self.armed = False
        self.proved = self.proved or bool(found & MODIFY)
        return True

    def wait(self, seconds: float, idle: Callable[[], bool]) -> bool:
        """Wait for a call or a change, while armed.

        Args:
            seconds: how long at most.
            idle: whether there still is nothing to do; asked once a call can be heard.

        Returns:
            Whether the file has changed.
        """
        assert self._poll is not None
        self._waiting = True
        try:
            found = self._poll.poll(seconds * 1e3) if idle() else []
        finally:
            with self._lock:
                self._waiting = False
        for descriptor, _ in found:
            if descriptor == self._event:
                with contextlib.suppress(BlockingIOError):
                    os.read(descriptor, 8)
        return self.changed()

    def call(self) -> None:
        """End the wait, if there is one. From any thread, after it has queued something to do."""
        # While the lock is held, another caller wakes it; or it has woken, and looks at the queue next.
        if self._waiting and self._lock.acquire(blocking=False):
            try:
                if self._waiting:
                    os.eventfd_write(self._event, 1)
            finally:
                self._lock.release()

    def close(self) -> None:
        """Close the descriptors."""
        self.forget()
        self._inotify.close()
        event, self._event, self._poll = self._event, -1, None
        if event >= 0:
            os.close(event)

    def _opened(self) -> bool:
        """Open the descriptors, if that is possible."""
        if self._poll is not None:
            return True
        if sys.platform != "linux" or not self._inotify.open():
            return False
        try:
            self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        except (OSError, AttributeError):
            self._inotify.close()
            return False
        self._poll = select.poll()
        self._poll.register(self._inotify.descriptor, select.POLLIN)
        self._poll.register(self._event, select.POLLIN)
        return True
