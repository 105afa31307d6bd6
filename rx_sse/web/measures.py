"""Measurements of the streams of one application, once a second, outside the path of an event.

Nothing is added to a push, a delivery or a write: the age of a queue is a sample, taken by checking which
connections have a queue.

Standard: histograms and counters are those of Prometheus (`rx_sse.metrics`).
Never: a value by user, topic or address.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from rx_sse.bus.core import Core
from rx_sse.histogram import LONG, SHORT, Histogram
from rx_sse.web.lag import Lag

if TYPE_CHECKING:
    from rx_sse.web.registry import StreamRegistry
    from rx_sse.web.stream import Stream

PERIOD = 1.0
"""Seconds between two samples."""


class Measures:
    """The histograms of an application.

    Attributes:
        duration: seconds for which streams that have ended were open.
        queue_age: seconds for which a queue had not been empty, once a second for each stream with a queue.
        stalls: seconds that the event loop took to answer the watchdog, four times a second.
        lag: seconds from the moment at which a log had an event to the write of its bytes, four times a
            second for each bus.
    """

    def __init__(self, edge: StreamRegistry) -> None:
        self._edge = edge
        self.duration = Histogram(LONG)
        self.queue_age = Histogram(SHORT)
        self.stalls = Histogram(SHORT)
        self.lag = Histogram(SHORT)
        self._lags: list[Lag] = []
        self.behind: dict[Stream, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Sample from now on."""
        self._timer = loop.call_later(PERIOD, self._tick, loop)

    def watch(self, core: Core) -> None:
        """Measure the lag of a bus that has been started."""
        runtime, parts = core.runtime, self._edge.parts
        self._lags.append(Lag(runtime.fanout, parts.flusher, runtime.clock, self.lag.observe))

    def answered(self, seconds: float) -> None:
        """The loop has answered the watchdog, after so long."""
        self.stalls.observe(seconds)
        for lag in self._lags:
            lag.arm()

    def close(self) -> None:
        """Leave no timer behind."""
        while self._lags:
            self._lags.pop().close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.behind = {}

    def ended(self, stream: Stream, lasted: float) -> None:
        """A stream has ended after `lasted` seconds."""
        self.duration.observe(lasted)
        self.behind.pop(stream, None)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(PERIOD, self._tick, loop)
        now = loop.time()
        streams = self._edge.streams
        behind = self.behind
        self.behind = {
            stream: behind.get(stream, now)
            for stream in streams
            if stream.connection.open and not stream.connection.drained
        }
        for since in self.behind.values():
            self.queue_age.observe(now - since)
