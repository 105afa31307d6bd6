"""The rate of a stream, and its lag.

Standard: RFC 3339 for times as text. Without a clock of its own: times are arguments.
"""

from __future__ import annotations

from datetime import UTC, datetime
from math import exp
from typing import Any, Final

from rx_sse.wire.counted import counted

__all__ = ["Meter", "moment"]

# Seconds that the rate averages over, about.
_MEMORY: Final = 3.0

# Epoch numbers above this are milliseconds: as seconds they would be after the year 5000.
_MILLISECONDS: Final = 1e11


class Meter:
    """Counts events.

    Args:
        now: seconds of a monotonic clock.
    """

    def __init__(self, now: float) -> None:
        self.start = now
        self.count = 0
        self.lag: float | None = None
        self._rate = 0.0
        self._new = 0
        self._last = now

    def event(self, lag: float | None) -> None:
        """An event was received, `lag` seconds after it was made."""
        self.count += 1
        self._new += 1
        if lag is not None:
            self.lag = lag

    def rate(self, now: float) -> float:
        """Events per second, weighted towards the last few seconds."""
        passed = now - self._last
        if passed > 0:
            share = 1 - exp(-passed / _MEMORY)
            self._rate += (self._new / passed - self._rate) * share
            self._new, self._last = 0, now
        # Before the first call nothing has faded.
        seen = 1 - exp(-(self._last - self.start) / _MEMORY)
        return self._rate / seen if seen else 0.0

    def summary(self, now: float) -> str:
        """Count, duration and rate of the whole stream."""
        passed = now - self.start
        events = counted(self.count, "event")
        return f"{events} in {passed:.1f} s" + (f", {self.count / passed:,.1f}/s" if passed else "")


def moment(value: Any) -> float | None:
    """A value as epoch seconds: a number of seconds or milliseconds, or a time as text."""
    if isinstance(value, bool):
        return None
    try:
        if isinstance(value, int | float):
            return value / 1000 if abs(value) > _MILLISECONDS else float(value)
        parsed = datetime.fromisoformat(value)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
