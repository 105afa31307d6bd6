"""Delivers one event to its thousands of receivers.

A topic hands over an event for the receivers that it has at that moment. They are called later, one by one,
directly and in order, after the loop has finished the callback that pushed the event. Events pushed meanwhile
join it in one batch, so a receiver is called once for all of them, and whatever is the same for all receivers
is made once a batch. When the time of the turn is over, the rest continues in the next turn, so ten thousand
receivers never hold the loop. A receiver that joins later does not get an earlier batch, and a receiver that
left is skipped: that is why joining and leaving need no lock and cost nothing here.

Standard: the Observable contract's "one at a time" (ReactiveX).
Never: a receiver that raises affects another one; it is removed, and its exception goes to the loop's
exception handler.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from rx_sse.delivery.batch import EventBatch, Writable
from rx_sse.delivery.loop import Slice
from rx_sse.delivery.receivers import ReceiverSet

CHECK_EVERY = 32
"""Deliveries between two checks of the clock."""
BATCH_ITEMS = 128
BATCH_BYTES = 65_536
"""A batch is a quarter of an outbox at most, and one write."""
WORTH_A_WRITE = 8
"""Items for which a batch is written on its own, even if other batches of the same turn may follow."""


class Delivery(EventBatch):
    """A batch on its way to the receivers that are in a set now.

    Args:
        group: the set.
        first: the first item.
        size: its bytes.

    Attributes:
        receivers: the readers that get the batch.
        takers: their `receive`, in the same order; empty for one receiver.
        called: how many receivers have been called.
        first: connections, and the bytes that each of them alone gets in answer to this batch; None unless it
            is the fan-out's `lone`.
    """

    __slots__ = ("called", "first", "group", "receivers", "takers")

    def __init__(self, group: ReceiverSet, first: Any, size: int) -> None:
        current = group.current
        self.group = group
        self.receivers = receivers = group.members() if current is None else current
        self.takers: Sequence[Callable[[EventBatch], None]] = group.takers() if len(receivers) > 1 else ()
        self.items = [first]
        self.size = size
        self.source = None
        self.ref = ""
        self.at = 0.0
        self.prompt = False
        self.called = 0
        self.writing = None
        self.first: list[tuple[Writable, bytes]] | None = None

    def write(self) -> None:
        """Send the batch to the connections that accepted it. All receivers are called before any is written
        to, because a system call between two calls costs the processor's caches: a tenth of a delivery."""
        at = self.at
        if self.writing:
            writing, self.writing = self.writing, []
            data = self.chunk
            for connection in writing:
                if connection.open:
                    connection.write(data, at)
        if self.first:
            first, self.first = self.first, []
            for connection, data in first:
                if connection.open:
                    connection.write_first(data, at)


class _Call:
    """Something other than an event, for some receivers."""

    __slots__ = ("call", "called", "payload", "receivers")

    def __init__(self, receivers: Sequence[Any], payload: Any, call: Callable[[Any, Any], None]) -> None:
        self.receivers = receivers
        self.payload = payload
        self.call = call
        self.called = 0


class FanOut:
    """Calls receivers, for a slice of each turn of the loop.

    Args:
        soon: has a function called in the loop's next turn.
        now: the loop's clock.
        slice: the time that it may take, shared with other parts of the same loop.

    Attributes:
        waiting: items that wait for receivers to be called.
        size: their bytes.
        delivered: calls made, times their items.
        expected: `turn` will be called in this turn of the loop, without being scheduled.
        lone: the batch that is being delivered, if no other batch waits for any receiver in this turn.
        probe: called with each batch that has been delivered, as long as it is set.
    """

    __slots__ = (
        "_queue",
        "_running",
        "_scheduled",
        "_soon",
        "delivered",
        "expected",
        "lone",
        "now",
        "probe",
        "size",
        "slice",
        "waiting",
    )

    def __init__(
        self,
        soon: Callable[[Callable[[], None]], object],
        now: Callable[[], float] = time.monotonic,
        slice: Slice | None = None,
    ) -> None:
        self._soon = soon
        self.now = now
        self.slice = slice or Slice(soon)
        self._queue: deque[Delivery | _Call] = deque()
        self._running = False
        self._scheduled = False
        self.waiting = 0
        self.size = 0
        self.delivered = 0
        self.expected = False
        self.lone: Delivery | None = None
        self.probe: Callable[[EventBatch], None] | None = None

    def deliver(self, receivers: ReceiverSet, item: Any, size: int = 0) -> EventBatch:
        """Deliver an item to the receivers that are in a set now, after everything handed over before.

        Args:
            receivers: the set.
            item: the item; it joins the items that wait for the same receivers.
            size: bytes that it holds while it waits.

        Returns:
            The batch that it is in, as its last item.
        """
        self.waiting += 1
        self.size += size
        batch = receivers.open
        if batch is not None:
            batch.items.append(item)
            batch.size += size
            if len(batch.items) >= BATCH_ITEMS or batch.size >= BATCH_BYTES:
                receivers.open = None
            return batch
        receivers.open = batch = Delivery(receivers, item, size)
        self._queue.append(batch)
        if not self.expected and not self._running and not self._scheduled:
            self._scheduled = True
            self._soon(self._scheduled_turn)
        return batch

    def tell(self, receivers: ReceiverSet, payload: Any, call: Callable[[Any, Any], None]) -> None:
        """Have `call(receiver, payload)` called for the receivers that are in a set now, after everything
        handed over before."""
        receivers.open = None
        self.hand(receivers.members(), payload, call)

    def hand(self, receivers: Sequence[Any], payload: Any, call: Callable[[Any, Any], None]) -> None:
        """Have `call(receiver, payload)` called for these receivers, after everything handed over before."""
        self.waiting += 1
        self._add(_Call(receivers, payload, call))

    def clear(self) -> None:
        """Discard everything that waits."""
        for job in self._queue:
            if isinstance(job, Delivery):
                job.group.open = None
        self._queue.clear()
        self.waiting = self.size = 0

    def turn(self, end: float | None = None) -> None:
        """Call receivers now instead of in the next turn of the loop, until `end` (by `time.perf_counter`) or
        for what is left of this turn's time.
        """
        self.expected = False
        queue = self._queue
        if not queue or self._running:
            return
        self._running = True
        own = end is None
        if end is None:
            end = time.perf_counter() + self.slice.left
        try:
            while queue:
                job = queue[0]
                done = self._batch(job, end) if isinstance(job, Delivery) else self._call(job, end)
                if not done:
                    return
                if queue and queue[0] is job:  # unless a receiver closed the bus
                    queue.popleft()
                    if isinstance(job, Delivery):
                        self.waiting -= len(job.items)
                        self.size -= job.size
                        if self.probe is not None:
                            self.probe(job)
                    else:
                        self.waiting -= 1
                if queue and time.perf_counter() > end:
                    return
        finally:
            self._running = False
            if own:
                self.slice.spend(end)
            if self._queue and not self._scheduled:
                self._scheduled = True
                self._soon(self._scheduled_turn)

    def _add(self, job: Delivery | _Call) -> None:
        self._queue.append(job)
        if not self._running and not self._scheduled and not self.expected:
            self._scheduled = True
            self._soon(self._scheduled_turn)

    def _scheduled_turn(self) -> None:
        self._scheduled = False
        self.turn()

    def _batch(self, batch: Delivery, end: float) -> bool:
        """Call a batch's receivers; False if time is up before all are called."""
        receivers, count = batch.receivers, len(batch.items)
        if not batch.called:
            if batch.group.open is batch:
                batch.group.open = None  # the batch accepts no more items
            batch.prompt = len(self._queue) == 1 or count >= WORTH_A_WRITE
            if batch.takers and batch.group.current is not receivers:
                batch.takers = [it.receive for it in receivers]  # who left since the push accepts nothing
        batch.at = self.now()
        if count == 1 and batch.prompt:
            self.lone = batch
            batch.first = []
        if len(receivers) == 1:
            batch.called = 1
            self.delivered += count
            try:
                receivers[0].receive(batch)
            except Exception as error:
                receivers[0].fail(error)
            finally:
                self.lone = None
                if batch.first:
                    batch.write()
            return True
        batch.writing = []
        step = max(1, CHECK_EVERY // count)
        try:
            while batch.called < len(receivers):
                begin = batch.called
                batch.called = min(begin + step, len(receivers))
                try:
                    self._call_block(batch, begin, batch.called)
                finally:
                    batch.write()
                if time.perf_counter() > end:
                    break
        finally:
            self.lone = None
        return batch.called >= len(receivers)

    def _call_block(self, batch: Delivery, at: int, end: int) -> None:
        self.delivered += (end - at) * len(batch.items)
        while at < end:
            try:
                # The loop is inside the `try`: entering a `try` for each receiver would cost as much as the
                # call.
                for receive in batch.takers[at:end]:
                    at += 1
                    receive(batch)
            except Exception as error:
                batch.receivers[at - 1].fail(error)

    def _call(self, job: _Call, end: float) -> bool:
        while job.called < len(job.receivers):
            receiver = job.receivers[job.called]
            job.called += 1
            self.delivered += 1
            try:
                job.call(receiver, job.payload)
            except Exception as error:
                receiver.fail(error)
            if job.called % CHECK_EVERY == 0 and time.perf_counter() > end:
                return job.called >= len(job.receivers)
        return True
