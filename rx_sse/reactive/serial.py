"""Notifications from several threads, one at a time and in order, without a waiting thread.

An operator with a timer has two sources: its upstream, pushed from any thread, and the loop. Downstream
relies on the Observable contract: notifications do not overlap. A thread that calls while another thread
delivers queues its notification and returns; a notification made inside a delivery is appended, never nested.

Standard: the Observable contract, "notifications are serial"; the method is RxJava's `SerializedObserver`.
Never: it holds its lock while it calls an observer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Lock
from typing import Any


class Serial:
    """Runs calls in the order in which they were put."""

    __slots__ = ("_busy", "_calls", "_lock")

    def __init__(self) -> None:
        self._lock = Lock()
        self._calls: deque[tuple[Callable[..., None], tuple[Any, ...]]] | None = None
        self._busy = False

    def put(self, call: Callable[..., None], *values: Any) -> None:
        """Run `call(*values)`, now or after the earlier calls, on the thread that runs those."""
        with self._lock:
            if self._calls is None:
                self._calls = deque()
            self._calls.append((call, values))
            if self._busy:
                return
            self._busy = True
        self._run()

    def _run(self) -> None:
        """Run the queued calls, until none are left. The caller has set `_busy`, under the lock."""
        while True:
            with self._lock:
                if not self._calls:
                    self._busy = False
                    return
                call, values = self._calls.popleft()
            try:
                call(*values)
            except BaseException:
                self._failed()
                raise

    def _failed(self) -> None:
        """A call raised: the pushing caller gets the exception, as in reactivex. Waiting calls run with the
        next one."""
        with self._lock:
            self._busy = False
