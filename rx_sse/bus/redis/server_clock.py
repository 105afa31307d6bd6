"""When something was, by this process's clock, if it was by that of Redis.

Standard: TIME of Redis.
Never: a rule depends on it. It dates entries in a ring, which is trimmed by age.
"""

from __future__ import annotations

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

    def compare(self, connection: Connection) -> None:
        """Ask a server for its time."""
        asked = self._clock()

        def answered(answer: Any) -> None:
            if isinstance(answer, list):
                said = cast("list[bytes]", answer)
                seconds = int(said[0]) + int(said[1]) / 1e6
                self._offset = (asked + self._clock()) / 2 - seconds

        connection.send(("TIME",), answered)
