"""How many replicas must have an entry before it counts as accepted.

Redis replicates behind its answers, so what a master has just accepted may die with it. `WAIT`, on the
connection that wrote, tells how many replicas have acknowledged all of that by now. One wait goes behind a
batch, in the same write. It holds its connection, so it is asked in slices: what else is asked there (pages,
probes) stands behind one slice at most.

Standard: WAIT of Redis. Valkey counts what the connection itself wrote; the script therefore writes something
also when it finds an entry that is there already.
Never: what fell short is told as refused. The master has it, and its readers may have got it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from rx_sse.bus.redis.net.connection import Connection
from rx_sse.errors import PublishUnknown, UsageError

MOST = 16
"""Replicas that may be asked for. A master with more of them feeds them through each other, and WAIT counts
its own alone.
"""
SHARE = 4
"""A wait takes a quarter of the publish timeout: a publish that stands in the queue behind one, and then
waits itself, is answered in half of its time.
"""
SLICE = 0.1
"""Seconds of one WAIT."""


class Replicas:
    """What is asked of the replicas.

    Args:
        count: how many must have acknowledged an entry; 0: none is asked.
        timeout: seconds of a publish in all.

    Attributes:
        patience: seconds for which they are waited for.

    Raises:
        UsageError: `count` is no such number.
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
        """A WAIT of so many seconds; without end is what Redis takes a 0 for."""
        return ("WAIT", self.count, max(int(seconds * 1000), 1))

    def confirm(
        self,
        connection: Connection,
        wanted: Callable[[], bool],
        done: Callable[[PublishUnknown | None], None],
    ) -> None:
        """Ask, behind what was sent on `connection`, until enough have it or the patience is over.

        Args:
            connection: the connection that wrote.
            wanted: whether there is still something to confirm, once an answer is there.
            done: told of the verdict.
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
        """What an answer to WAIT, or the lack of one, means: None if enough have it."""
        if isinstance(said, int) and said >= self.count:
            return None
        why = f"{said} of {self.count} acknowledged it" if isinstance(said, int) else f"WAIT: {said}"
        return PublishUnknown(
            f"the master has stored it and is not sure of its replicas ({why}): a failover may lose it. "
            "Repeat it with the same idempotency_key"
        )
