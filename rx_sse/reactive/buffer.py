"""The buffer between an Observable, which cannot be slowed down, and the loop of its one reader.

Live values are bounded by an `Overflow`, in items: the size of a value in bytes is known only once it is
encoded, so `max_bytes` has no effect here. Values that the source emits while it is being subscribed (the
prelude: "snapshot, then live") come before them and have a limit of their own, because the reader could not
have read any of them yet.

Standard: the Observable contract on one side, one waiting reader on the other.
Never: raises into the source, or wakes the loop more than once for a reader that does not wait yet.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Hashable
from contextlib import suppress
from threading import Lock
from typing import Generic, TypeVar

from rx_sse.delivery.overflow import Overflow
from rx_sse.errors import RxSseError
from rx_sse.reactive.runner import on_loop
from rx_sse.wire.counted import counted

T = TypeVar("T")

PRELUDE_EVENTS = 65_536
"""Values that a source may emit while it is being subscribed; half of what an inbox holds."""


class Overflowed(RxSseError):
    """The policy `"disconnect"`: the reader was too slow, and values are missing from here on."""


class Exhausted(Exception):
    """Nothing waits, and no value will follow."""


class Buffer(Generic[T]):
    """An observer for any thread, and a queue for one reader on the loop.

    Args:
        overflow: What happens when it is full.
        loop: The reader's.
    """

    __slots__ = (
        "_ended",
        "_error",
        "_live",
        "_lock",
        "_loop",
        "_overflow",
        "_prelude",
        "_serial",
        "_settled",
        "_waiter",
        "_waking",
        "dropped",
    )

    def __init__(self, overflow: Overflow, loop: asyncio.AbstractEventLoop) -> None:
        self._overflow = overflow
        self._loop = loop
        self._lock = Lock()
        self._prelude: deque[T] = deque()
        self._live: OrderedDict[Hashable, T] = OrderedDict()  # by key for "latest", else by number
        self._serial = 0
        self._settled = False
        self._ended = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._waking = False
        self.dropped = 0

    @property
    def ended(self) -> bool:
        """Whether it accepts no more values from the source."""
        return self._ended

    def settle(self) -> None:
        """The prelude has ended: from now on the limits of live values apply."""
        self._settled = True

    def on_next(self, value: T) -> None:
        """Accept a value, or apply the policy. Never raises."""
        key: Hashable = None
        if self._overflow.key is not None:
            try:
                key = self._overflow.key(value)
                hash(key)
            except Exception as error:
                self.end(error)
                return
        with self._lock:
            if self._ended:
                return
            if not self._settled and len(self._prelude) < PRELUDE_EVENTS:
                self._prelude.append(value)
            elif not self._put(key, value):
                self._ended = True
                waiting = counted(len(self._prelude) + len(self._live), "value")
                self._error = Overflowed(
                    f"{waiting} waiting, which is the limit: read faster, or choose another policy than "
                    "'disconnect', or a higher limit with Overflow(max_events=)"
                )
            wake = self._wake_wanted()
        if wake:
            self._wake_from_anywhere()

    def end(self, error: Exception | None = None) -> None:
        """Waiting values are still read; then the reader gets the end, or the error."""
        with self._lock:
            if self._ended:
                return
            self._ended = True
            self._error = error
            wake = self._wake_wanted()
        if wake:
            self._wake_from_anywhere()

    def forget(self) -> None:
        """The reader has gone: discard everything."""
        with self._lock:
            self._ended = True
            self._error = None
            self._prelude.clear()
            self._live.clear()
            wake = self._wake_wanted()
        if wake:
            self._wake_from_anywhere()

    async def take(self) -> T:
        """The next value, when there is one.

        Raises:
            Exhausted: The source has completed.
            Exception: The source failed, or the buffer overflowed; raised once.
            RuntimeError: Another task is waiting already.
        """
        while True:
            with self._lock:
                if self._prelude:
                    return self._prelude.popleft()
                if self._live:
                    return self._live.popitem(last=False)[1]
                if self._ended:
                    error, self._error = self._error, None
                    raise error if error is not None else Exhausted
                if self._waiter is not None:
                    raise RuntimeError("another task is waiting for the next value already")
                waiter = self._waiter = self._loop.create_future()
            try:
                await waiter
            finally:
                self._waiter = None

    def _put(self, key: Hashable, value: T) -> bool:
        live, policy = self._live, self._overflow.policy
        if policy == "latest":
            live.pop(key, None)  # a newer value goes to the tail
        else:
            self._serial += 1
            key = self._serial
        if len(live) >= self._overflow.max_events:
            if policy == "disconnect":
                return False
            self.dropped += 1
            if policy == "drop_newest":
                return True
            live.popitem(last=False)
        live[key] = value
        return True

    def _wake_wanted(self) -> bool:
        if self._waiter is None or self._waking:
            return False
        self._waking = True
        return True

    def _wake_from_anywhere(self) -> None:
        if on_loop(self._loop):
            self._wake()
        else:
            with suppress(RuntimeError):  # the loop was closed, and its reader with it
                self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        with self._lock:
            self._waking = False
            waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
