"""What the parts of a loop share: which loop runs here, and how long they may hold it.

Several parts work in one turn of a loop (the inbox, the fan-out, the flusher, the deadlines). Each stops when
its time is over and continues in the next turn; they share one budget a turn, so that their times do not add
up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

SLICE = 0.004
"""Seconds of one turn of a loop, for all parts together: other callbacks wait 5 ms at most."""
LEAST = 0.0002
"""Seconds that a part gets in any turn, so that none starves."""
SMALL = 0.0005
"""Seconds used below which resetting the budget in the next turn is not worth a callback: a part that took
less need not `spend` it."""


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The loop that runs on this thread, None if none does."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class Slice:
    """The time that all parts together may take of one turn of a loop.

    Args:
        soon: has a function called in the loop's next turn.

    Attributes:
        left: seconds that are left of this turn. A part that begins to work adds them to `time.perf_counter`,
            and stops at that time.
    """

    __slots__ = ("_renewing", "_soon", "left")

    def __init__(self, soon: Callable[[Callable[[], None]], object]) -> None:
        self._soon = soon
        self.left = SLICE
        self._renewing = False

    def spend(self, end: float) -> None:
        """A part has stopped, which had to by `end`. Call it before scheduling anything for the next turn."""
        left = end - time.perf_counter()
        if left < self.left - SMALL:
            self.left = left if left > LEAST else LEAST
            if not self._renewing:
                self._renewing = True
                self._soon(self._renew)

    def _renew(self) -> None:
        self.left = SLICE
        self._renewing = False
