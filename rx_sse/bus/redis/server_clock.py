"""When something was, by this process's clock, if it was by that of Redis.

Standard: TIME of Redis.
Never: a rule of positions depends on it. It dates entries: a ring is trimmed by age, and a reader may ask for
those since a time.
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
        """When that was; now, as long as it is not known."""
        return self._clock() if self._offset is None else milliseconds / 1000 + self._offset

    def wall(self, at: float) -> float:
        """The seconds of the epoch, by Redis's clock, at `at` of this process's; as long as that is not
        known, by this machine's."""
        return time.time() - self._clock() + at if self._offset is None else at - self._offset

    def compare(self, connection: Connection) -> None:
        """Ask a server for its time."""
        asked = self._clock()

        def answered(answer: Any) -> None:
            if isinstance(answer, list):
                said = cast("list[bytes]", answer)
                seconds = int(said[0]) + int(said[1]) / 1e6
                self._offset = (asked + self._clock()) / 2 - seconds

        connection.send(("TIME",), answered)
