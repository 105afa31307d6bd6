"""The log in Redis: the four verbs of the port, over queues of appends, queries and subscriptions.

`append` goes through a queue, `read` through a short queue of queries, `watch` to the subscribing connection
of the topic's server. Lost announcements are recovered from the log: the last position of each topic is
compared when a subscription becomes active, and periodically (`subscriptions`).

Standard: the port of `bus.log`; docs/resume.md §1, §4, §5.
Never: an answer of Redis makes a callback raise. An unreadable answer is reported, and the query repeated.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from rx_sse.bus.log.entry import Draft
from rx_sse.bus.log.port import Listener, Page, Query
from rx_sse.bus.log.position import Position
from rx_sse.bus.log.retention import Retention
from rx_sse.bus.log.withdrawn import withdrawn
from rx_sse.bus.redis.append_queue import AppendQueue
from rx_sse.bus.redis.leases import Leases
from rx_sse.bus.redis.ledger import Ledger
from rx_sse.bus.redis.net.address import Address
from rx_sse.bus.redis.net.server import Server
from rx_sse.bus.redis.protocol.call import QUIET, code_of
from rx_sse.bus.redis.protocol.keys import Keys
from rx_sse.bus.redis.queries import Queries
from rx_sse.bus.redis.replicas import Replicas
from rx_sse.bus.redis.server_clock import ServerClock
from rx_sse.bus.redis.subscriptions import Subscriptions
from rx_sse.bus.redis.topology import Topology
from rx_sse.errors import RxSseError, UsageError

OPEN = 2.0
"""Seconds that a start waits for Redis."""
SECOND = 1.0
REPORT = 10.0
"""Seconds for which the same refusal of a query is not reported again."""


class RedisLog:
    """A log in Redis.

    Args:
        address: the address of Redis.
        keys: names of keys.
        retention: how much of a topic is kept; its age is also the life of a topic's metadata.
        timeout: seconds after which a waiting publisher gets an error.
        replicas: how many replicas must have acknowledged an entry before it counts as accepted.
        probe_interval: seconds between two probes.
        clock: monotonic seconds.

    Attributes:
        topology: finds the server of a topic.
        subscriptions: the topics that are listened to.
        retention_of: returns the retention of a topic; that of the bus, if it has rules.
        on_trouble: called with an error, and the topic if it belongs to one.
        ledger: the appends waiting for Redis, and those acknowledged by it.
    """

    def __init__(
        self,
        address: Address,
        keys: Keys,
        retention: Retention,
        *,
        timeout: float = 5.0,
        replicas: int = 0,
        probe_interval: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.keys = keys
        self.topology = Topology(self, address, keys, probe_interval)
        self.leases = Leases(self.topology)
        self.on_trouble: Callable[[Exception, str | None], None] = _ignore
        self.retention_of: Callable[[str], Retention] = lambda topic: retention
        self._timeout = timeout
        self._replicas = Replicas(replicas, timeout)
        self._life = max(int(retention.age * 1000), 1) + 60_000  # a topic's meta outlives its entries
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queues: dict[int, AppendQueue] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._mismatch: UsageError | None = None
        self._met: asyncio.Event | None = None
        self._reported = ("", 0.0)
        self._renew()

    # -- the port --------------------------------------------------------------------------------------------

    def append(self, draft: Draft) -> None:
        """Store `draft` after everything of its topic that was appended before."""
        self.ledger.entered(draft)
        partition = self.topology.partition(draft.topic)
        queue = self._queues.get(partition)
        if queue is None:
            queue = AppendQueue(self.ledger, self.topology, partition, self._timeout, self._replicas)
            self._queues[partition] = queue
        queue.append(draft)

    def read(self, query: Query, done: Callable[[Page | None], None]) -> None:
        """Query a page; a few queries at a time."""
        self._queries.read(query, done)

    def wall(self, at: float) -> float:
        """The time of an append, by the clock of Redis."""
        return self._server_clock.wall(at)

    def watch(self, topic: str, listener: Listener) -> Callable[[], None]:
        """Subscribe to a topic's channel."""
        subscription = self.subscriptions.add(topic, self.keys.channel(topic), listener)
        self.topology.join(topic)

        def stop() -> None:
            if self.subscriptions.remove(subscription):
                self.topology.leave(topic)

        return stop

    async def open(self) -> None:
        """Connect; if Redis cannot be reached, retry in the background.

        Raises:
            UsageError: another process uses the same prefix with other options.
        """
        self._loop = asyncio.get_running_loop()
        self._met = asyncio.Event()
        self._mismatch = None
        self.topology.start()
        self._timer = self._loop.call_later(SECOND, self._ticked)
        try:
            async with asyncio.timeout(OPEN):
                await self._met.wait()
        except TimeoutError:
            return
        if self._mismatch is not None:
            mismatch = self._mismatch
            await self.close()
            raise mismatch

    async def close(self) -> None:
        """Release everything; waiting appends are settled with an error."""
        loop, self._loop = self._loop, None
        queues, self._queues = list(self._queues.values()), {}
        if loop is None or loop.is_closed():
            self.topology.drop()
            self._renew()
            return
        if self._timer is not None:
            self._timer.cancel()
        for queue in queues:
            queue.close()
        self._queries.close()
        self._renew()
        await self.topology.stop()

    def _renew(self) -> None:
        self.subscriptions = Subscriptions(self._clock)
        self.ledger = Ledger(
            self.subscriptions, lambda topic, error: self.on_trouble(error, topic), self._clock
        )
        self._server_clock = ServerClock(self._clock)
        self._queries = Queries(self, self.topology, self.subscriptions, self._server_clock, self._life)

    @property
    def ready(self) -> bool:
        """Whether entries appended now reach the watchers of this process."""
        return self._loop is not None and self.topology.ready

    @property
    def deaf(self) -> bool:
        """Whether Redis accepts the publishes of this process, and this process receives no announcement."""
        return self._loop is not None and self.topology.deaf

    def present(
        self,
        process: str,
        life: float,
        said: dict[str, tuple[str, bool]],
        told: Callable[[str, list[bytes]], None],
    ) -> None:
        """Report the listeners of this process, and query those of the others; see `Queries.present`."""
        self._queries.present(process, life, said, told)

    @property
    def questions(self) -> int:
        """Number of queries sent."""
        return self._queries.sent

    @property
    def unsettled(self) -> int:
        """Appends that are not settled."""
        return self.ledger.waiting

    @property
    def full(self) -> bool:
        """Whether no more may be appended now. From any thread."""
        return self.ledger.full

    async def flushed(self) -> None:
        """Wait until all earlier appends are settled and delivered to the watchers."""
        await self.ledger.settled()
        await self.topology.heard()

    # -- called by the topology ------------------------------------------------------------------------------

    def connected(self, server: Server) -> None:
        """Commands can be sent to a server."""
        if self._met is not None and self.topology.connected_to_all:
            self._met.set()
        if server.commands.connection is not None:
            self._server_clock.compare(server.commands.connection)
        if server.commands.made > 1:
            known = self.ledger.acknowledged.items()
            mine = {topic: it for topic, it in known if self.topology.server_of(topic) is server}
            self._queries.look_for(mine, self._taken_back)
        self._go_on(self._queues.values())

    def counts(self, channels: list[str]) -> None:
        """Subscriptions are active from now on: earlier entries are read from the log."""
        self._queries.compare(self.subscriptions.topics_of(channels))

    def message(self, channel: bytes, text: bytes) -> None:
        """An announcement."""
        try:
            self.subscriptions.message(channel, text, self._server_clock.at)
        except ValueError as error:
            self.trouble(error)

    def rehomed(self, partitions: set[int]) -> None:
        """Partitions have another server: subscribe there, then read missed entries from the log."""
        self.topology.rejoin(
            it for it in self.subscriptions.topics() if self.keys.partition(it) in partitions
        )
        self._go_on(queue for number, queue in self._queues.items() if number in partitions)

    def trouble(self, error: Exception) -> None:
        """A connection could not be made, or a command was refused."""
        if isinstance(error, UsageError):
            self._mismatch = error
            if self._met is not None:
                self._met.set()
        self.on_trouble(error, None)

    def _go_on(self, queues: Any) -> None:
        for queue in list(queues):
            queue.go()
        self._queries.go()

    def _taken_back(self, topic: str, upto: Position) -> None:
        """Entries acknowledged to this process are lost: report the gap to the readers."""
        self.ledger.acknowledged.pop(topic, None)
        self.append(withdrawn(topic, upto, self.retention_of(topic)))

    # -- called by queries -----------------------------------------------------------------------------------

    def failed(self, error: Exception) -> None:
        """A query was not answered. The same reason is reported at most once in `SAME_TROUBLE` seconds."""
        said, now = str(error), self._clock()
        if code_of(said) in QUIET or (said == self._reported[0] and now - self._reported[1] < REPORT):
            return
        self._reported = (said, now)
        self.on_trouble(RxSseError(f"Redis refused a question: {said}"), None)

    # -- time ------------------------------------------------------------------------------------------------

    def _ticked(self) -> None:
        if self._loop is None:
            return
        self._timer = self._loop.call_later(SECOND, self._ticked)
        if len(self.subscriptions):
            self._queries.compare(self.subscriptions.due())


def _ignore(error: Exception, topic: str | None) -> None:
    """The default `on_trouble`."""
