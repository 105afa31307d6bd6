"""Limits the replays of a process and of a principal.

A replay from the ring copies memory. A replay that must read the log holds pages, and queries a server: their
number is limited, and so are the bytes of each principal, in a bucket that refills. A
client over its limit gets 503 with `Retry-After`; other clients are not affected.

Standard: the token bucket, as in RFC 2697.
Never: a stream that has begun is stopped by a limit.
"""

from __future__ import annotations

from collections.abc import Callable

from rx_sse.errors import Overloaded

MAX_REPLAYS = 512
"""Replays from the log at a time. Each holds at most a page and a block: half a gigabyte at worst."""
BUCKET = 64 * 1024 * 1024
"""Bytes that a principal may replay at once; eight times the history of a topic."""
REFILL = 1024 * 1024
"""Bytes a second by which the bucket of a principal refills."""


class ReplayLimiter:
    """The replays of one process.

    Args:
        now: monotonic seconds.
    """

    __slots__ = ("_now", "buckets", "running")

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.buckets: dict[str, tuple[float, float]] = {}
        self.running = 0

    def enter(self, user: str | None) -> None:
        """A replay from the log begins.

        Raises:
            Overloaded: too many are running, or the principal's bucket is empty.
        """
        if self.running >= MAX_REPLAYS:
            raise Overloaded(f"{self.running} replays are running", retry_after=2.0)
        if user is not None and (debt := -self._level(user)) > 0:
            raise Overloaded("this user has replayed too much", retry_after=1.0 + debt / REFILL)
        self.running += 1

    def leave(self, user: str | None, size: int) -> None:
        """A replay has ended; it has read `size` bytes."""
        self.running -= 1
        if user is not None:
            self.buckets[user] = (self._level(user) - size, self._now())

    def sweep(self) -> None:
        """Forget full buckets."""
        self.buckets = {user: bucket for user, bucket in self.buckets.items() if self._level(user) < BUCKET}

    def _level(self, user: str) -> float:
        level, at = self.buckets.get(user, (BUCKET, 0.0))
        return min(level + (self._now() - at) * REFILL, BUCKET)
