"""From one entry to its thousands of readers.

The relay of a topic hands over an entry together with the readers it had at that moment; they are called one
by one, directly, in order. After a slice of a few milliseconds the rest goes on in the next turn of the loop,
so ten thousand readers never hold it; what is handed over meanwhile waits its turn. Whoever joins later is
not among an earlier entry's readers, and whoever left is skipped: that is why joining and leaving need no
lock and cost nothing here.

Standard: the Observable contract's "one at a time" (ReactiveX).
Never: a reader that raises is heard of by another one; it is let go, and its exception goes to the loop's
exception handler.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

SLICE = 0.004
CHECK_EVERY = 32


class Receiver(Protocol):
    """A reader of live entries."""

    @property
    def emit(self) -> Callable[[Any], None]:
        """Takes one payload. Once the reader has left, it is something that does nothing."""
        ...

    def fail(self, error: Exception) -> None:
        """`emit` raised: leave, and report it."""
        ...


class Audience:
    """The readers of one kind that a topic has.

    Joining and leaving is O(1); the list that deliveries walk over is made anew at the first delivery after
    either.
    """

    __slots__ = ("_members", "_snapshot")

    def __init__(self) -> None:
        self._members: dict[Any, None] = {}
        self._snapshot: tuple[Any, ...] | None = ()

    def __len__(self) -> int:
        return len(self._members)

    def join(self, receiver: Receiver) -> None:
        """Be called from the next entry on."""
        self._members[receiver] = None
        self._snapshot = None

    def leave(self, receiver: Receiver) -> None:
        """Be called no more, if it was."""
        if receiver in self._members:
            del self._members[receiver]
            self._snapshot = None

    def members(self) -> tuple[Any, ...]:
        """Who is to be called for an entry that comes now."""
        if self._snapshot is None:
            self._snapshot = tuple(self._members)
        return self._snapshot


Job = tuple[Sequence[Receiver], Any, Callable[[Any, Any], None] | None, int]


class Dispatcher:
    """Calls readers, in slices.

    Args:
        soon: has a function called in the loop's next turn.
    """

    __slots__ = ("_at", "_jobs", "_running", "_scheduled", "_soon", "delivered", "size")

    def __init__(self, soon: Callable[[Callable[[], None]], object]) -> None:
        self._soon = soon
        self._jobs: deque[Job] = deque()
        self._at = 0
        self._running = False
        self._scheduled = False
        self.delivered = 0
        self.size = 0

    def __len__(self) -> int:
        return len(self._jobs)

    def hand(
        self,
        receivers: Sequence[Receiver],
        payload: Any,
        call: Callable[[Any, Any], None] | None = None,
        size: int = 0,
    ) -> None:
        """Deliver `payload` to `receivers`, after everything handed over before.

        Args:
            receivers: who gets it.
            payload: what.
            call: how: `call(receiver, payload)`; by default `receiver.emit(payload)`.
            size: bytes it holds while it waits.
        """
        self._jobs.append((receivers, payload, call, size))
        self.size += size
        if not self._running and not self._scheduled:
            self._run()

    def clear(self) -> None:
        """Forget what waits."""
        self._jobs.clear()
        self._at = self.size = 0

    def _turn(self) -> None:
        self._scheduled = False
        if self._jobs and not self._running:
            self._run()

    def _run(self) -> None:
        self._running = True
        end = time.perf_counter() + SLICE
        jobs = self._jobs
        try:
            while jobs:
                receivers, payload, call, size = jobs[0]
                at = self._at
                while at < len(receivers):
                    part = receivers[at : at + CHECK_EVERY]
                    at += len(part)
                    self._at = at
                    self._deliver(part, payload, call)
                    if at < len(receivers) and time.perf_counter() > end:
                        return
                if jobs:  # cleared by a reader that closed the bus?
                    jobs.popleft()
                    self.size -= size
                    self._at = 0
                if jobs and time.perf_counter() > end:
                    return
        finally:
            self._running = False
            if jobs and not self._scheduled:
                self._scheduled = True
                self._soon(self._turn)

    def _deliver(
        self, receivers: Sequence[Receiver], payload: Any, call: Callable[[Any, Any], None] | None
    ) -> None:
        self.delivered += len(receivers)
        at = 0
        while at < len(receivers):
            try:
                # The loop stands inside the `try`: entering one for each reader would cost as much as the
                # call.
                if call is None:
                    for receiver in receivers[at:] if at else receivers:
                        at += 1
                        receiver.emit(payload)
                else:
                    for receiver in receivers[at:]:
                        at += 1
                        call(receiver, payload)
            except Exception as error:
                receivers[at - 1].fail(error)


def ignore(_: Any) -> None:
    """What a reader that has left does with what still comes."""
