"""Delivery lag: from the moment at which the log had an event, to its bytes in the sockets.

It is sampled four times a second: the first batch of a bus that is delivered then. Reading a clock for each
push and each write would add to the very cost that is measured; a sample per time costs the same whatever is
published. It shows a loop that is late, because the events of that time are late, and a receiver that delays
others.

The sample is queued behind the connections of its batch in the flusher. So its time is that of the last
client that keeps up; a client whose socket is full has a queue, whose age is measured separately.

Never: an event is delayed, or a call made for an event outside of the sample.
"""

from __future__ import annotations

from collections.abc import Callable

from rx_sse.delivery import Flusher
from rx_sse.delivery.batch import EventBatch
from rx_sse.delivery.fanout import FanOut


class Lag:
    """Samples of one bus.

    Args:
        fanout: the fan-out of the bus.
        flusher: the flusher of the connections.
        clock: the clock that dates the bus's entries, in seconds.
        observe: called with a sample, in seconds.
    """

    __slots__ = ("_at", "_clock", "_fanout", "_flusher", "_observe")

    def __init__(
        self,
        fanout: FanOut,
        flusher: Flusher,
        clock: Callable[[], float],
        observe: Callable[[float], None],
    ) -> None:
        self._fanout = fanout
        self._flusher = flusher
        self._clock = clock
        self._observe = observe
        self._at = 0.0

    def arm(self) -> None:
        """Measure the next batch that is delivered."""
        self._fanout.probe = self._delivered

    def close(self) -> None:
        """Stop measuring."""
        if self._fanout.probe == self._delivered:  # otherwise the probe is another application's
            self._fanout.probe = None

    def _delivered(self, batch: EventBatch) -> None:
        if batch.source is None:  # values without a position have no time of publishing
            return
        self._fanout.probe = None
        self._at = batch.items[0].at
        self._flusher.mark(self)

    def flush(self, now: float) -> bool:
        """Called by the flusher, behind the connections of the batch."""
        self._observe(max(0.0, self._clock() - self._at))
        return False
