"""Maps a topic, a partition or the address in a redirection to a connection.

Standard: docs/resume.md §5.
Never: it knows the commands that are sent.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from rx_sse.bus.redis.net.address import Address, Endpoint
from rx_sse.bus.redis.net.cluster import Cluster
from rx_sse.bus.redis.net.connection import Connection
from rx_sse.bus.redis.net.sentinel import Master
from rx_sse.bus.redis.net.server import Server
from rx_sse.bus.redis.protocol.call import ELSEWHERE
from rx_sse.bus.redis.protocol.keys import Keys
from rx_sse.histogram import SHORT, Histogram


class TopologyOwner(Protocol):
    """The log, which a topology reports to."""

    def connected(self, server: Server) -> None:
        """Commands can be sent to a server."""
        ...

    def counts(self, channels: list[str]) -> None:
        """These subscriptions are active from now on."""
        ...

    def message(self, channel: bytes, text: bytes) -> None:
        """An announcement, or a message that another program published."""
        ...

    def rehomed(self, partitions: set[int]) -> None:
        """Partitions have another server now, or got their first."""
        ...

    def trouble(self, error: Exception) -> None:
        """A connection could not be made, or a command was refused."""
        ...


class Topology:
    """The servers behind an address, while the log is open.

    Args:
        owner: the log.
        address: the address of the servers.
        keys: names of keys.
        interval: seconds between two probes of a server.

    Attributes:
        sharded: whether topics, and their channels, are distributed over several servers.
        commits: seconds from sending a batch of appends to the answer, the wait for replicas included.
    """

    def __init__(self, owner: TopologyOwner, address: Address, keys: Keys, interval: float) -> None:
        self._owner = owner
        self._address = address
        self._interval = interval
        self._kind: Master | Cluster | None = None
        self.keys = keys
        self.sharded = address.kind == "cluster"
        self.commits = Histogram(SHORT)

    def start(self) -> None:
        """Connect, and reconnect when a connection is lost."""
        kind = Cluster if self.sharded else Master
        self._kind = kind(self, self._address, self._probe_topic(), self._interval)
        self._kind.start()

    async def stop(self) -> None:
        """Close the connections."""
        kind, self._kind = self._kind, None
        if kind is not None:
            await kind.stop()

    def drop(self) -> None:
        """Forget the servers; their loop is closed."""
        self._kind = None

    # -- the servers -----------------------------------------------------------------------------------------

    @property
    def servers(self) -> Sequence[Server]:
        """The servers in use."""
        return () if self._kind is None else self._kind.servers

    @property
    def connected_to_all(self) -> bool:
        """Whether commands can be sent to each of them."""
        servers = self.servers
        return bool(servers) and all(it.commands.connection is not None for it in servers)

    @property
    def ready(self) -> bool:
        """Whether messages published at each of them come back to this process."""
        servers = self.servers
        return bool(servers) and all(it.ready for it in servers)

    @property
    def deaf(self) -> bool:
        """Whether a server accepts publishes and does not send them back to this process."""
        return any(it.deaf for it in self.servers)

    @property
    def last_error(self) -> str:
        """The last reason why a connection could not be made, or a command was refused."""
        if self._kind is None:
            return ""
        return next((it.last_error for it in self._kind.servers if it.last_error), "")

    async def heard(self) -> None:
        """Wait until everything announced before has been delivered."""
        await asyncio.gather(*(it.heard() for it in self.servers))

    # -- from a topic to a connection ------------------------------------------------------------------------

    def partition(self, topic: str) -> int:
        """The partition of a topic; without a cluster, always the same."""
        return self.keys.partition(topic) if self.sharded else 0

    def server_of(self, topic: str) -> Server | None:
        """The server that stores a topic now."""
        return None if self._kind is None else self._kind.server(self.keys.partition(topic))

    def connection(self, partition: int) -> Connection | None:
        """The connection to the server that stores a partition now."""
        server = None if self._kind is None else self._kind.server(partition)
        return None if server is None else server.commands.connection

    def connection_of(self, topic: str) -> Connection | None:
        """The connection to the server that stores a topic now."""
        server = self.server_of(topic)
        return None if server is None else server.commands.connection

    def connection_at(self, where: str) -> Connection | None:
        """The connection to the ``host:port`` that a redirection names."""
        host, _, port = where.rpartition(":")
        server = self._kind.at(Endpoint(host, int(port))) if self._kind is not None and host else None
        return None if server is None else server.commands.connection

    def wrong(self, code: str) -> None:
        """A server refused a command; if it no longer has the partition, find the server that has it."""
        if code in ELSEWHERE and self._kind is not None:
            self._kind.refresh()

    # -- channels --------------------------------------------------------------------------------------------

    def join(self, topic: str) -> None:
        """Subscribe to a topic's channel; the owner's `counts` is called when the subscription is active."""
        if (server := self.server_of(topic)) is not None:
            server.join(self.keys.channel(topic))

    def leave(self, topic: str) -> None:
        """Unsubscribe from a topic's channel."""
        if (server := self.server_of(topic)) is not None:
            server.leave(self.keys.channel(topic))

    def rejoin(self, topics: Iterable[str]) -> None:
        """Subscribe to topics at their present servers, and nowhere else."""
        for topic in topics:
            channel, home = self.keys.channel(topic), self.server_of(topic)
            for server in self.servers:
                if server is home:
                    server.join(channel)
                else:
                    server.forget(channel)

    # -- called by a server ----------------------------------------------------------------------------------

    def connected(self, server: Server) -> None:
        """Commands can be sent to it."""
        self._owner.connected(server)

    def counts(self, channels: list[str]) -> None:
        """Subscriptions are active from now on."""
        self._owner.counts(channels)

    def message(self, channel: bytes, text: bytes) -> None:
        """A message was published."""
        self._owner.message(channel, text)

    def moved(self, channel: str) -> None:
        """A server ended a subscription without an unsubscribe."""
        if self._kind is not None:
            self._kind.moved(channel)

    def rehomed(self, partitions: set[int]) -> None:
        """Partitions have another server now."""
        self._owner.rehomed(partitions)

    def trouble(self, error: Exception) -> None:
        """A connection could not be made, or a command was refused."""
        self._owner.trouble(error)

    def _probe_topic(self) -> Callable[[int | None], str]:
        token = os.urandom(6).hex()

        def topic(partition: int | None) -> str:
            """A topic of this process alone, in a partition if one is given."""
            number = 0
            while partition is not None and self.keys.partition(f"!probe:{token}:{number}") != partition:
                number += 1
            return f"!probe:{token}:{number}"

        return topic
