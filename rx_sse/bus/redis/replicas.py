"""How many replicas must have an entry before it counts as accepted.

Redis replicates asynchronously, so an entry that a master has just accepted may be lost with it. `WAIT`, on
the connection that wrote, returns how many replicas have acknowledged everything written so far. One WAIT is
sent after a batch, in the same write. It blocks its connection, so it is sent in slices: other queries on the
connection (pages, probes) wait for one slice at most.

Standard: WAIT of Redis. Valkey counts only writes of the connection itself; the script therefore also writes
when it finds that the entry is already stored.
Never: an unconfirmed entry is reported as refused. The master has it, and readers may have got it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from rx_sse.bus.redis.net.connection import Connection
from rx_sse.errors import PublishUnknown, UsageError

MOST = 16
"""The largest number of replicas. A master with more of them feeds them through each other, and WAIT counts
direct replicas only.
"""
SHARE = 4
"""A wait takes a quarter of the publish timeout: a publish that waits in the queue behind another, and then
for its own replicas, is answered in half of its time.
"""
SLICE = 0.1
"""Seconds of one WAIT."""


class Replicas:
    """The confirmation of entries by replicas.

    Args:
        count: how many replicas must have acknowledged an entry; 0: no WAIT is sent.
        timeout: seconds of a publish, all retries included.

    Attributes:
        patience: seconds for which replicas are waited for.

    Raises:
        UsageError: `count` is out of range.
    """

    __slots__ = ("count", "patience")

    def __init__(self, count: int, timeout: float) -> None:
        if type(count) is not int or not 0 <= count <= MOST:
            raise UsageError(
                f"replicas={count!r}: give how many replicas must acknowledge a publish, 0 to {MOST}"
            )
        self.count = count
        self.patience = timeout / SHARE

    def command(self, seconds: float) -> tuple[Any, ...]:
        """A WAIT of this duration; never 0, which means "without limit" to Redis."""
        return ("WAIT", self.count, max(int(seconds * 1000), 1))

    def confirm(
        self,
        connection: Connection,
        wanted: Callable[[], bool],
        done: Callable[[PublishUnknown | None], None],
    ) -> None:
        """Send WAITs, after the commands sent on `connection`, until enough replicas have it or the time is
        over.

        Args:
            connection: the connection that wrote.
            wanted: returns whether there is still something to confirm, once an answer is there.
            done: called with the verdict.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self.patience

        def answered(said: Any) -> None:
            left = end - loop.time()
            if isinstance(said, int) and said < self.count and left > 0 and wanted():
                connection.send(self.command(min(left, SLICE)), answered)
            else:
                done(self.verdict(said))

        connection.send(self.command(min(self.patience, SLICE)), answered)

    def verdict(self, said: object) -> PublishUnknown | None:
        """The meaning of an answer to WAIT, or of its absence: None if enough replicas have it."""
        if isinstance(said, int) and said >= self.count:
            return None
        why = f"{said} of {self.count} acknowledged it" if isinstance(said, int) else f"WAIT: {said}"
        return PublishUnknown(
            f"the master has stored it and is not sure of its replicas ({why}): a failover may lose it. "
            "Repeat it with the same idempotency_key"
        )
