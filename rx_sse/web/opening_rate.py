"""Limits how many streams an application opens in a second.

Opening a stream costs more than keeping it: a token is checked, a handler runs, history is read. After a
restart of a proxy all clients reconnect at once, and without a limit they would hold the loop until all are
served. With a limit, each refused client gets a delay that covers the clients refused before it, so clients
return at about the rate at which they are accepted.

Standard: the token bucket, as in RFC 2697.
Never: it keeps state for each client.
"""

from __future__ import annotations

import time
from collections.abc import Callable

SOONEST = 2.0
"""Seconds after which a refused client may return, at least."""
LATEST = 60.0
"""Seconds after which a refused client may return, before the jitter, at most."""


class OpeningRate:
    """A bucket of streams, which refills within a second.

    Args:
        per_second: streams in a second, and in a row; None for no bound.
        clock: monotonic seconds.
    """

    __slots__ = ("_at", "_clock", "_free", "_refused", "per_second")

    def __init__(self, per_second: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_second = per_second
        self._clock = clock
        self._free = float(per_second or 0)
        self._refused = 0.0  # refused clients that have not returned yet
        self._at = clock()

    def take(self) -> float:
        """Open one more.

        Returns:
            0 if it may be opened; else the seconds after which the client should try again.
        """
        rate = self.per_second
        if rate is None:
            return 0.0
        now = self._clock()
        passed = (now - self._at) * rate
        self._at = now
        self._free = min(rate, self._free + passed)
        self._refused = max(0.0, self._refused - passed)
        if self._free >= 1.0:
            self._free -= 1.0
            return 0.0
        self._refused += 1.0
        return min(max(SOONEST, self._refused / rate), LATEST)
