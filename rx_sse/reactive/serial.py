"""Notifications from several threads, one at a time and in order, without a thread that waits.

An operator with a timer has two sources: its upstream, pushed from any thread, and the loop. Downstream may
rely on the Observable contract all the same: notifications do not overlap. A thread that calls while another
delivers leaves its notification behind and goes; a notification that is made inside a delivery is appended,
never nested.

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
        """Run `call(*values)`, now or after the calls before it, by the thread that runs those."""
        with self._lock:
            if self._calls is None:
                self._calls = deque()
            self._calls.append((call, values))
            if self._busy:
                return
            self._busy = True
        self._run()

    def _run(self) -> None:
        """Run what was put, until nothing is left. The caller has set `_busy`, under the lock."""
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
        """A call raised: that goes to the caller that pushed, as in reactivex. Waiting calls run with the
        next one."""
        with self._lock:
            self._busy = False
