"""From a value to the log: the only way in.

A value is encoded on the thread that pushes it, once for all readers, so a value that cannot be encoded
raises there. Then it passes through the inbox, the only place where threads cross, and the log gets it on the
loop's thread, in the order of the pushes.

When there is no room, a thread without a loop waits for it, up to `publish_timeout`; on a loop, waiting is
not allowed, so the push raises, and the readers of the topic get a gap as soon as there is room.

Standard: docs/resume.md §4.
Never: an accepted value is lost silently; a push delivers inside the call.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

from rx_sse.bus.log.entry import GAP, Draft, gap_data
from rx_sse.bus.log.port import Bounded
from rx_sse.bus.log.position import Position
from rx_sse.bus.runtime import Runtime
from rx_sse.delivery.inbox import Inbox
from rx_sse.delivery.loop import running_loop
from rx_sse.errors import BusClosed, QueueFull

MAX_WAITING = 65_536
MAX_WAITING_BYTES = 64 * 1024 * 1024
"""Deliveries for which readers have still to be called. Beyond it the publisher has no room, whatever the
inbox has.
"""
PATIENCE = 0.002
"""Seconds between two checks of a thread that waits for room."""


class Publisher:
    """The way into the log of one running bus.

    Args:
        runtime: the bus.
        inbox: the queue between threads and the loop.
        timeout: seconds that a thread waits for room.

    Attributes:
        tracing: makes the `traceparent` of a publish to a topic, on the thread that publishes; None for none.
    """

    __slots__ = (
        "_bounded",
        "_fanout",
        "_inbox",
        "_lock",
        "_log",
        "_refused",
        "_runtime",
        "_timeout",
        "accepted",
        "closed",
        "refused",
        "tracing",
    )

    def __init__(self, runtime: Runtime, inbox: Inbox, timeout: float) -> None:
        self._runtime = runtime
        self._log = runtime.log
        self._fanout = runtime.fanout
        self._bounded = runtime.log if isinstance(runtime.log, Bounded) else None
        self._inbox = inbox
        self._timeout = timeout
        self._lock = threading.Lock()
        self._refused: dict[str, None] = {}
        self.closed = False
        self.accepted = 0
        self.refused = 0
        self.tracing: Callable[[str], str | None] | None = None

    def push(self, draft: Draft) -> None:
        """Publish, from any thread.

        Raises:
            QueueFull: there is no room.
            BusClosed: the bus has been closed.
        """
        if self.tracing is not None:
            draft.trace = self.tracing(draft.topic)
        fanout, bounded = self._fanout, self._bounded
        if (
            fanout.waiting < MAX_WAITING
            and fanout.size < MAX_WAITING_BYTES
            and (bounded is None or not bounded.full)
            and self._inbox.put(self._append, draft, draft.size)
        ):
            return
        self._refuse_if_closed()
        if running_loop() is not None:
            self._refuse(draft.topic)
        elif self._wait(draft):
            return
        self._refuse_if_closed()
        raise QueueFull(
            f"{draft.topic}: the queue is full, pushes come faster than deliveries; the value was not taken",
            retry_after=1.0,
        )

    def offer(self, draft: Draft) -> bool:
        """Publish, if there is room now: what is not taken is not counted as refused.

        Raises:
            BusClosed: the bus has been closed.
        """
        if self.has_room() and self._inbox.put(self._append, draft, draft.size):
            return True
        self._refuse_if_closed()
        return False

    async def publish(self, draft: Draft) -> Position:
        """Publish, on the bus's loop, and wait until the log has it.

        Raises:
            QueueFull: there was no room for `publish_timeout`.
            PublishRefused: the log refused it.
            PublishUnknown: the log did not answer in time.
        """
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[Position] = loop.create_future()

        def settle(result: Position | Exception) -> None:
            if outcome.done():
                return
            if isinstance(result, Exception):
                outcome.set_exception(result)
            else:
                outcome.set_result(result)

        draft.settle = settle
        if self.tracing is not None:
            draft.trace = self.tracing(draft.topic)
        deadline = loop.time() + self._timeout
        while not (self.has_room() and self._inbox.put(self._append, draft, draft.size)):
            self._refuse_if_closed()
            if loop.time() > deadline:
                raise QueueFull(f"{draft.topic}: no room for {self._timeout} s", retry_after=1.0)
            await asyncio.sleep(PATIENCE)
        return await outcome

    def close(self) -> None:
        """Refuse every later push. Accepted values are still stored."""
        self.closed = True
        self._inbox.seal()

    def _append(self, draft: Draft) -> None:
        self.accepted += 1
        self._fanout.expected = True  # the inbox calls it after delivering its entries
        self._log.append(draft)

    def has_room(self) -> bool:
        """Whether a push now would find room, counting readers and the log. On any thread."""
        fanout = self._fanout
        if fanout.waiting >= MAX_WAITING or fanout.size >= MAX_WAITING_BYTES:
            return False
        return self._bounded is None or not self._bounded.full

    def _wait(self, draft: Draft) -> bool:
        """Wait for room, on a thread that has no loop."""
        deadline = time.monotonic() + self._timeout
        while (left := deadline - time.monotonic()) > 0:
            if not self.has_room():
                time.sleep(min(PATIENCE, left))
            elif self._inbox.put(self._append, draft, draft.size, timeout=left):
                return True
            self._refuse_if_closed()
        return False

    def _refuse_if_closed(self) -> None:
        if self.closed:
            raise BusClosed("the bus is closed; the value was not taken")
        if (why := self._inbox.gone) is not None:
            raise BusClosed(f"the bus does not run here, and the value was not taken: {why}")

    def _refuse(self, topic: str) -> None:
        with self._lock:
            self.refused += 1
            first = not self._refused
            self._refused[topic] = None
        if first:
            self._inbox.on_room(self._tell_refused)

    def _tell_refused(self) -> None:
        """There is room: report the refused pushes to the readers as gaps."""
        if self.closed:
            return
        if not self.has_room():
            self._runtime.later(self._tell_refused)
            return
        with self._lock:
            topics, self._refused = self._refused, {}
        for topic in topics:
            kept = self._runtime.retention_of(topic)
            self._log.append(Draft(topic, GAP, gap_data("refused"), None, kept))
