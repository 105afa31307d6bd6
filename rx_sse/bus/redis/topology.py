"""Which server has what: the way from a topic, a partition or the address in a refusal to a connection.

Standard: docs/resume.md §5.
Never: it knows what is sent.
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


class TopologyOwner(Protocol):
    """What a topology reports to: the log."""

    def connected(self, server: Server) -> None:
        """Commands can be sent to a server."""
        ...

    def counts(self, channels: list[str]) -> None:
        """These subscriptions count from now on."""
        ...

    def message(self, channel: bytes, text: bytes) -> None:
        """An announcement, or something that another program published."""
        ...

    def rehomed(self, partitions: set[int]) -> None:
        """Partitions have another server now, or one at last."""
        ...

    def trouble(self, error: Exception) -> None:
        """A connection could not be made, or was refused something."""
        ...


class Topology:
    """The servers behind an address, while the log is open.

    Args:
        owner: what it reports to.
        address: where they are.
        keys: names of keys.
        interval: seconds between two probes of a server.

    Attributes:
        sharded: whether topics, and their channels, are spread over several servers.
    """

    def __init__(self, owner: TopologyOwner, address: Address, keys: Keys, interval: float) -> None:
        self._owner = owner
        self._address = address
        self._interval = interval
        self._kind: Master | Cluster | None = None
        self.keys = keys
        self.sharded = address.kind == "cluster"

    def start(self) -> None:
        """Connect, and keep at it."""
        kind = Cluster if self.sharded else Master
        self._kind = kind(self, self._address, self._probe_topic(), self._interval)
        self._kind.start()

    async def stop(self) -> None:
        """Let go."""
        kind, self._kind = self._kind, None
        if kind is not None:
            await kind.stop()

    def drop(self) -> None:
        """Forget the servers; the loop that they belonged to is closed."""
        self._kind = None

    # -- the servers -----------------------------------------------------------------------------------------

    @property
    def servers(self) -> Sequence[Server]:
        """Those that are used."""
        return () if self._kind is None else self._kind.servers

    @property
    def connected_to_all(self) -> bool:
        """Whether commands can be sent to each of them."""
        servers = self.servers
        return bool(servers) and all(it.commands.connection is not None for it in servers)

    @property
    def ready(self) -> bool:
        """Whether what is published at each of them comes back."""
        servers = self.servers
        return bool(servers) and all(it.ready for it in servers)

    @property
    def deaf(self) -> bool:
        """Whether one of them takes what is published, and it does not come back."""
        return any(it.deaf for it in self.servers)

    @property
    def last_error(self) -> str:
        """Why a connection could not be made, or what was refused."""
        if self._kind is None:
            return ""
        return next((it.last_error for it in self._kind.servers if it.last_error), "")

    async def heard(self) -> None:
        """Wait until everything that was announced before has been handed over."""
        await asyncio.gather(*(it.heard() for it in self.servers))

    # -- from a topic to a connection ------------------------------------------------------------------------

    def partition(self, topic: str) -> int:
        """The partition of a topic; without a cluster all are one."""
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
        """The connection to the ``host:port`` that a refusal names."""
        host, _, port = where.rpartition(":")
        server = self._kind.at(Endpoint(host, int(port))) if self._kind is not None and host else None
        return None if server is None else server.commands.connection

    def wrong(self, code: str) -> None:
        """A server refused; if it is not the right one any more, look which one is."""
        if code in ELSEWHERE and self._kind is not None:
            self._kind.refresh()

    # -- channels --------------------------------------------------------------------------------------------

    def join(self, topic: str) -> None:
        """Listen to a topic's channel; the owner's `counts` is called when it does."""
        if (server := self.server_of(topic)) is not None:
            server.join(self.keys.channel(topic))

    def leave(self, topic: str) -> None:
        """Listen no more."""
        if (server := self.server_of(topic)) is not None:
            server.leave(self.keys.channel(topic))

    def rejoin(self, topics: Iterable[str]) -> None:
        """Listen to topics where they are now, and nowhere else."""
        for topic in topics:
            channel, home = self.keys.channel(topic), self.server_of(topic)
            for server in self.servers:
                if server is home:
                    server.join(channel)
                else:
                    server.forget(channel)

    # -- what a server reports -------------------------------------------------------------------------------

    def connected(self, server: Server) -> None:
        """Commands can be sent to it."""
        self._owner.connected(server)

    def counts(self, channels: list[str]) -> None:
        """Subscriptions count from now on."""
        self._owner.counts(channels)

    def message(self, channel: bytes, text: bytes) -> None:
        """Something was published."""
        self._owner.message(channel, text)

    def moved(self, channel: str) -> None:
        """A server ended a subscription that was not given up."""
        if self._kind is not None:
            self._kind.moved(channel)

    def rehomed(self, partitions: set[int]) -> None:
        """Partitions have another server now."""
        self._owner.rehomed(partitions)

    def trouble(self, error: Exception) -> None:
        """A connection could not be made, or was refused something."""
        self._owner.trouble(error)

    def _probe_topic(self) -> Callable[[int | None], str]:
        token = os.urandom(6).hex()

        def topic(partition: int | None) -> str:
            """A topic of this process alone, in a partition if one is asked for."""
            number = 0
            while partition is not None and self.keys.partition(f"!probe:{token}:{number}") != partition:
                number += 1
            return f"!probe:{token}:{number}"

        return topic
