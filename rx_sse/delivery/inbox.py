"""The only place where pushes cross from other threads into a loop.

A push from any thread is appended under a lock; the loop is woken at most once for all waiting entries;
everything behind the inbox runs on the loop's thread and takes no lock. Because every push of every thread
passes through one queue, each thread's order is kept, and a push that a thread makes after it saw another
thread's push is delivered after that push.

Precedent: LMAX's Disruptor ("one writer per structure") in its smallest form.
Never: it passes values one by one through `call_soon_threadsafe`, grows without a limit, or runs a target
inside a push. It delivers in an empty context (`contextvars`): a target that runs a user's code enters that
user's context itself.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Any, ClassVar

from rx_sse.delivery.loop import SMALL, Slice

MAX_ENTRIES = 131_072
MAX_BYTES = 64 * 1024 * 1024
CHECK_EVERY = 16
"""Entries between two checks of the clock."""

Target = Callable[[Any], None]

FORKED = (
    "it runs in the process that this one was forked from: start a bus here (SQLiteBus and RedisBus reach "
    "the other process), or publish with SQLitePublisher or RedisPublisher"
)
LOOP_CLOSED = "its event loop was closed; start it again, on the loop that runs now"


class Inbox:
    """Pushes from any thread, delivered in order on one loop.

    Args:
        loop: the loop that delivers. The inbox must be made on its thread.
        max_entries: entries that may wait.
        max_bytes: bytes that may wait, by the sizes given to `put`.
        after: called after each slice of deliveries, to process their results together, with the time at
            which it has to stop.
        slice: the share of a loop turn's time that it may take, together with other parts of the same loop.
    """

    living: ClassVar[weakref.WeakSet[Inbox]] = weakref.WeakSet()
    """All of this process. Of the class, because a hook of the fork is the process's, and stays."""

    __slots__ = (
        "__weakref__",
        "_after",
        "_bytes",
        "_closed",
        "_context",
        "_draining",
        "_entries",
        "_forked",
        "_lock",
        "_loop",
        "_on_room",
        "_queue",
        "_room",
        "_sealed",
        "_slice",
        "_thread",
        "_waiters",
        "_woken",
        "max_bytes",
        "max_entries",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        max_entries: int = MAX_ENTRIES,
        max_bytes: int = MAX_BYTES,
        after: Callable[[float], None] | None = None,
        slice: Slice | None = None,
    ) -> None:
        self.max_entries = max_entries
        self.max_bytes = max_bytes
        self._after = after
        self._context = Context()
        self._slice = slice or Slice(loop.call_soon)
        self._loop = loop
        self._thread = threading.get_ident()
        self._lock = threading.RLock()  # a signal handler that pushes may interrupt a push
        self._room = threading.Condition(self._lock)
        self._waiters = 0
        self._queue: deque[tuple[Target, Any, int]] = deque()
        self._entries = 0
        self._bytes = 0
        self._woken = False
        self._draining = False
        self._closed = False
        self._sealed = False
        self._forked = False
        self._on_room: list[Callable[[], None]] = []
        self.living.add(self)

    def direct(self) -> bool:  # no property: Python calls a method faster, and it is called for every event
        """True on the thread of the loop while nothing waits or is being delivered: a push need not be
        queued."""
        return not self._draining and not self._queue and threading.get_ident() == self._thread

    @property
    def pending(self) -> bool:
        """True while something waits or is being delivered."""
        return self._draining or bool(self._queue)

    @property
    def here(self) -> bool:
        """True on the thread of the loop."""
        return threading.get_ident() == self._thread

    @property
    def gone(self) -> str | None:
        """Why it delivers no more although it was not closed, in words; None if it does. On any thread."""
        if self._forked:
            return FORKED
        return LOOP_CLOSED if self._loop.is_closed() else None

    def put(
        self, target: Target, value: Any, size: int = 0, *, timeout: float = 0.0, exempt: bool = False
    ) -> bool:
        """Have `target(value)` called on the loop, after everything put before.

        Args:
            target: called on the loop's thread; its exceptions go to the loop's exception handler.
            value: its argument.
            size: bytes that the entry holds, for the limit.
            timeout: seconds to wait for room. Never on the loop's own thread.
            exempt: accept it beyond the limits; for what is pushed once and must not be lost, like an end.

        Returns:
            False if there is no room, or the inbox or its loop is closed.
        """
        with self._lock:
            if self._entries and not exempt and self._full(size) and not self._wait_for_room(size, timeout):
                return False
            if self._closed or (self._sealed and not exempt) or (self._woken and self._loop.is_closed()):
                return False
            self._queue.append((target, value, size))
            self._entries += 1
            self._bytes += size
            if self._woken:
                return True
            self._woken = True  # a closed loop refuses the call
        return self._wake()

    def on_room(self, callback: Callable[[], None]) -> None:
        """Have `callback()` called once on the loop, when entries have left. From any thread."""
        with self._lock:
            self._on_room.append(callback)
            if self._woken or self._closed:
                return
            self._woken = True
        self._wake()

    def seal(self) -> None:
        """Refuse every later push; entries that wait are still delivered. Threads that wait for room
        return."""
        with self._lock:
            self._sealed = True
            self._room.notify_all()

    def close(self) -> int:
        """Refuse every later push; entries that wait are dropped. Threads that wait for room return.

        Returns:
            How many entries with a size were dropped.
        """
        with self._lock:
            dropped = sum(1 for _, _, size in self._queue if size)
            self._closed = True
            self._queue.clear()
            self._entries = self._bytes = 0
            self._on_room.clear()
            self._room.notify_all()
        return dropped

    def abandon(self) -> None:
        """This process is a child of a fork: nothing delivers here. A thread that is not in this process may
        have held the lock."""
        self._lock = threading.RLock()
        self._room = threading.Condition(self._lock)
        self._thread = 0
        self._forked = True
        self.close()

    def _full(self, size: int) -> bool:
        # An entry over the byte limit is accepted into an empty inbox: otherwise it could never be delivered.
        return self._entries >= self.max_entries or (
            self._entries > 0 and self._bytes + size > self.max_bytes
        )

    def _wait_for_room(self, size: int, timeout: float) -> bool:
        if timeout <= 0 or self.here:
            return False
        deadline = time.monotonic() + timeout
        self._waiters += 1
        try:
            while self._full(size) and not self._closed and not self._sealed:
                left = deadline - time.monotonic()
                if left <= 0 or not self._room.wait(left):
                    return not self._full(size)
            return not self._closed and not self._sealed
        finally:
            self._waiters -= 1

    def _wake(self) -> bool:
        try:
            if threading.get_ident() == self._thread:
                self._loop.call_soon(self._drain, context=self._context)
            else:
                self._loop.call_soon_threadsafe(self._drain, context=self._context)
        except RuntimeError:  # the loop was closed at this moment
            self.close()
            return False
        return True

    def _drain(self) -> None:
        """Deliver what waits; when the slice is over first, the rest waits for the next turn of the loop."""
        queue, done, freed, empty = self._queue, 0, 0, False
        begun = time.perf_counter()
        end = begun + self._slice.left
        rooms: list[Callable[[], None]] | None = None
        self._draining = True
        try:
            while queue:
                target, value, size = queue.popleft()
                done += 1
                freed += size
                try:
                    target(value)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:  # a CancelledError too: the pusher's, not ours
                    self._report(error, target)
                if done % CHECK_EVERY == 0 and time.perf_counter() > end:
                    break
            else:
                empty = True  # unless another thread has pushed just now
        finally:  # also when a target stopped the loop, which may run again later
            with self._lock:
                if not self._closed:
                    self._entries -= done
                    self._bytes -= freed
                if self._waiters:
                    self._room.notify_all()
                if empty := empty and not queue:
                    self._woken = False
                    if self._on_room:
                        rooms, self._on_room = self._on_room, []
            self._draining = False
            if not empty:
                self._slice.spend(end)
                self._loop.call_soon(self._drain, context=self._context)
        if self._after is not None:
            try:
                self._after(end)
            except Exception as error:
                self._report(error, self._after)
        if empty and time.perf_counter() - begun > SMALL:
            self._slice.spend(end)
        for callback in rooms or ():
            self._guarded(callback)

    def _guarded(self, callback: Callable[[], None]) -> None:
        try:
            callback()
        except Exception as error:
            self._report(error, callback)

    def _report(self, error: BaseException, target: object) -> None:
        self._loop.call_exception_handler(
            {"message": f"rx_sse: {target!r} raised while an event was delivered", "exception": error}
        )


def _forked() -> None:
    for inbox in list(Inbox.living):
        inbox.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
