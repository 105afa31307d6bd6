"""How late an event leaves: from the moment at which the log had it, to its bytes in the sockets.

Measured is a sample, four times a second: the first batch of a bus that has been delivered then. A clock that
is read for each push and each write would cost every event what it measures; a sample that is a matter of
time, not of the number of events, costs a second the same whatever is published. It shows a loop that is
late, because the events of that time are late, and a receiver that holds up the others.

The sample waits behind the connections of its batch in the flusher. So its time is that of the last client
that keeps up; a client whose socket is full has a queue, whose age is measured beside this.

Never: an event is delayed, or a call made for one that is not in the sample.
"""

from __future__ import annotations

from collections.abc import Callable

from rx_sse.delivery import Flusher
from rx_sse.delivery.batch import EventBatch
from rx_sse.delivery.fanout import FanOut


class Lag:
    """Samples of one bus.

    Args:
        fanout: the bus's.
        flusher: of the connections.
        clock: by which the entries of the bus are dated, in seconds.
        observe: called with the seconds of a sample.
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
        """Measure none."""
        if self._fanout.probe == self._delivered:  # otherwise it is that of another application's
            self._fanout.probe = None

    def _delivered(self, batch: EventBatch) -> None:
        if batch.source is None:  # values without a position: nothing says when they were published
            return
        self._fanout.probe = None
        self._at = batch.items[0].at
        self._flusher.mark(self)

    def flush(self, now: float) -> bool:
        """Called by the flusher, behind the connections of the batch."""
        self._observe(max(0.0, self._clock() - self._at))
        return False
