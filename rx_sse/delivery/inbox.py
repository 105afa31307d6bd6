"""The one place where threads cross into a loop.

A push from any thread is appended under a lock; the loop is woken at most once for all that is waiting;
everything behind the inbox runs on the loop's thread and takes no lock. Because every push of every thread
passes through one queue, each thread's order is kept, and what one thread pushed after it saw another's push
comes after it.

Standard: none; the precedent is LMAX's Disruptor ("one writer per structure") in its smallest form.
Never: it hops values one by one through `call_soon_threadsafe`, grows without a limit, or runs a target
inside a push. It delivers in a context (`contextvars`) of nobody's: a target that runs a user's code knows
whose it is.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Any

MAX_ENTRIES = 131_072
MAX_BYTES = 64 * 1024 * 1024
SLICE = 0.004
"""Seconds of dispatch in one loop turn. At 4 ms a turn that also flushes stays under 10 ms."""
CHECK_EVERY = 16
"""Entries between two looks at the clock."""

Target = Callable[[Any], None]


class Inbox:
    """Pushes from any thread, delivered in order on one loop.

    Args:
        loop: the loop that delivers. The inbox must be made on its thread.
        max_entries: entries that may wait.
        max_bytes: bytes that may wait, by the sizes that `put` is told.
        after: called after each slice of deliveries; for what they have left to do together.
    """

    __slots__ = (
        "_after",
        "_bytes",
        "_closed",
        "_draining",
        "_entries",
        "_lock",
        "_loop",
        "_on_room",
        "_queue",
        "_room",
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
        after: Callable[[], None] | None = None,
    ) -> None:
        self.max_entries = max_entries
        self.max_bytes = max_bytes
        self._after = after
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
        self._on_room: list[Callable[[], None]] = []

    def direct(self) -> bool:  # no property: Python calls a method faster, and it is asked for every event
        """True on the thread of the loop while nothing waits or is being delivered: a push need not queue
        behind anything."""
        return not self._draining and not self._queue and threading.get_ident() == self._thread

    @property
    def pending(self) -> bool:
        """True while something waits or is being delivered."""
        return self._draining or bool(self._queue)

    @property
    def here(self) -> bool:
        """True on the thread of the loop."""
        return threading.get_ident() == self._thread

    def put(
        self, target: Target, value: Any, size: int = 0, *, timeout: float = 0.0, exempt: bool = False
    ) -> bool:
        """Have `target(value)` called on the loop, after everything put before.

        Args:
            target: called on the loop's thread; what it raises goes to the loop's exception handler.
            value: its argument.
            size: bytes that the entry holds, for the limit.
            timeout: seconds to wait for room. Never on the loop's own thread.
            exempt: take it beyond the limits; for what comes once and must not be lost, like an end.

        Returns:
            False if there is no room, or the inbox or its loop is closed.
        """
        with self._lock:
            if not exempt and self._full(size) and not self._wait_for_room(size, timeout):
                return False
            if self._closed or self._loop.is_closed():
                return False
            self._queue.append((target, value, size))
            self._entries += 1
            self._bytes += size
            if self._woken:
                return True
            self._woken = True
        return self._wake()

    def on_room(self, callback: Callable[[], None]) -> None:
        """Have `callback()` called once on the loop, when entries have left. From any thread."""
        with self._lock:
            self._on_room.append(callback)
            if self._woken or self._closed:
                return
            self._woken = True
        self._wake()

    def close(self) -> None:
        """Refuse what comes from now on; what waits is dropped. Threads that wait for room get their
        answer."""
        with self._lock:
            self._closed = True
            self._queue.clear()
            self._entries = self._bytes = 0
            self._on_room.clear()
            self._room.notify_all()

    def _full(self, size: int) -> bool:
        # One entry over the byte limit is let into an empty inbox: refusing it for ever would help nobody.
        return self._entries >= self.max_entries or (
            self._entries > 0 and self._bytes + size > self.max_bytes
        )

    def _wait_for_room(self, size: int, timeout: float) -> bool:
        if timeout <= 0 or self.here:
            return False
        deadline = time.monotonic() + timeout
        self._waiters += 1
        try:
            while self._full(size) and not self._closed:
                left = deadline - time.monotonic()
                if left <= 0 or not self._room.wait(left):
                    return not self._full(size)
            return not self._closed
        finally:
            self._waiters -= 1

    def _wake(self) -> bool:
        try:
            if self.here:
                self._loop.call_soon(self._drain, context=Context())
            else:
                self._loop.call_soon_threadsafe(self._drain, context=Context())
        except RuntimeError:  # the loop was closed in this very moment
            self.close()
            return False
        return True

    def _drain(self) -> None:
        deadline = time.perf_counter() + SLICE
        rooms: list[Callable[[], None]] = []
        empty = False
        try:
            while not empty and time.perf_counter() < deadline:
                with self._lock:
                    batch, self._queue = self._queue, deque()
                    if empty := not batch:
                        self._woken = False
                        rooms, self._on_room = self._on_room, []
                self._deliver(batch, deadline)
        finally:  # also when a target ended the loop, which may go on later
            if not empty:
                self._loop.call_soon(self._drain, context=Context())
        if self._after is not None:
            rooms.insert(0, self._after)
        for callback in rooms:
            self._guarded(callback)

    def _deliver(self, batch: deque[tuple[Target, Any, int]], deadline: float) -> None:
        """Deliver a batch; when the slice is over first, the rest goes back to the front of the queue."""
        done = freed = 0
        self._draining = True
        try:
            while batch:
                target, value, size = batch.popleft()
                done += 1
                freed += size
                try:
                    target(value)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:  # a CancelledError too: the pusher's, not ours
                    self._report(error, target)
                if done % CHECK_EVERY == 0 and time.perf_counter() > deadline:
                    return
        finally:
            with self._lock:
                if not self._closed:
                    self._entries -= done
                    self._bytes -= freed
                    if batch:
                        batch.extend(self._queue)
                        self._queue = batch
                if self._waiters:
                    self._room.notify_all()
            self._draining = False

    def _guarded(self, callback: Callable[[], None]) -> None:
        try:
            callback()
        except Exception as error:
            self._report(error, callback)

    def _report(self, error: BaseException, target: object) -> None:
        self._loop.call_exception_handler(
            {"message": f"rx_sse: {target!r} raised while an event was delivered", "exception": error}
        )
