"""Growing pauses between attempts.

Standard: exponential back-off with jitter ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
Never: it gives up; the caller decides that.
"""

from __future__ import annotations

import random


class Backoff:
    """The pauses of one retry loop.

    Args:
        first, longest: seconds.
        jitter: whether a pause is random, between half of it and the whole: many processes begin to retry at
            the same moment.
    """

    __slots__ = ("_first", "_jitter", "_longest", "_pause")

    def __init__(self, first: float, longest: float, *, jitter: bool = False) -> None:
        self._first = self._pause = first
        self._longest = longest
        self._jitter = jitter

    def next(self) -> float:
        """The next pause, in seconds."""
        pause = self._pause
        self._pause = min(pause * 2, self._longest)
        return random.uniform(pause / 2, pause) if self._jitter else pause

    def reset(self) -> None:
        """An attempt succeeded: begin with the shortest pause again."""
        self._pause = self._first
