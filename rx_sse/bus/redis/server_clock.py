"""Converts times of Redis's clock to this process's clock.

Standard: TIME of Redis.
Never: a rule of positions depends on it. It dates entries: a ring is trimmed by age, and a reader may request
the entries since a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, cast

from rx_sse.bus.redis.net.connection import Connection


class ServerClock:
    """The difference of two clocks.

    Args:
        clock: this process's monotonic seconds.
    """

    __slots__ = ("_clock", "_offset")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._offset: float | None = None

    def at(self, milliseconds: int) -> float:
        """The time by this process's clock; now, while the difference is not known."""
        return self._clock() if self._offset is None else milliseconds / 1000 + self._offset

    def wall(self, at: float) -> float:
        """The seconds of the epoch, by Redis's clock, at `at` of this process's; by this machine's wall clock
        while the difference is not known."""
        return time.time() - self._clock() + at if self._offset is None else at - self._offset

    def compare(self, connection: Connection) -> None:
        """Query the time of a server."""
        asked = self._clock()

        def answered(answer: Any) -> None:
            if isinstance(answer, list):
                said = cast("list[bytes]", answer)
                seconds = int(said[0]) + int(said[1]) / 1e6
                self._offset = (asked + self._clock()) / 2 - seconds

        connection.send(("TIME",), answered)
