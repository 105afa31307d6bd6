"""The nodes of a cluster, and the node of each partition.

The slot map is read at the start, every few seconds, and whenever there is a sign that it is outdated: a
refusal that names another node, a subscription that a server ended by itself, a lost connection. When a
partition has a new owner, its channels are subscribed there; once the subscription is active, the topics are
compared with the log, so entries announced meanwhile are recovered.

Standard: CLUSTER SLOTS, sharded pub/sub (SSUBSCRIBE, SPUBLISH) of Redis 7.0.
Never: a node without partitions is subscribed to; a replica is read from.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import hiredis

from rx_sse.bus.redis.net.address import Address, Endpoint, Unreachable
from rx_sse.bus.redis.net.configuration import agree
from rx_sse.bus.redis.net.connection import Connection, Refused, connect
from rx_sse.bus.redis.net.server import Owner, Server
from rx_sse.bus.redis.protocol.call import Lost
from rx_sse.bus.redis.protocol.keys import slot_of
from rx_sse.errors import UsageError
from rx_sse.tasks import start

CHECK = 5.0
SOON = 0.1
"""Seconds between two reads of the slot map: normally, and while it is known to be outdated."""
LOOK = 1.0
"""Seconds that one node has for the login, or for an answer."""
DOUBTS = 3
"""How many unchanged slot maps to read before resubscribing after a server dropped a subscription. (A server
also drops it when it is assigned a slot that it already owns.) If the map is outdated, the server replies
MOVED.
"""


class ClusterOwner(Owner, Protocol):
    """The owner of a cluster, which its nodes report to."""

    def rehomed(self, partitions: set[int]) -> None:
        """Partitions have another server now, or got their first."""
        ...


class Cluster:
    """The nodes of a cluster.

    Args:
        owner: receives the nodes' reports.
        address: the addresses of some nodes.
        probe_topic: makes a probe's topic for a partition.
        interval: seconds between two probes.
    """

    def __init__(
        self,
        owner: ClusterOwner,
        address: Address,
        probe_topic: Callable[[int | None], str],
        interval: float,
    ) -> None:
        self._owner = owner
        self._address = address
        self._probe_topic = probe_topic
        self._interval = interval
        self._slots = [slot_of(str(number)) for number in range(owner.keys.partitions)]
        self._nodes: dict[Endpoint, Server] = {}
        self._places: dict[int, Endpoint] = {}
        self._stale = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        self._agreed = False
        self._doubted: dict[int, int] = {}

    @property
    def servers(self) -> Sequence[Server]:
        """The nodes that have partitions."""
        return tuple(node for node in self._nodes.values() if node.probing)

    def server(self, partition: int) -> Server | None:
        """The node that stores a partition, as far as known."""
        endpoint = self._places.get(partition)
        return None if endpoint is None else self._nodes.get(endpoint)

    def at(self, endpoint: Endpoint) -> Server:
        """The node at an address."""
        node = self._nodes.get(endpoint)
        if node is None:
            node = self._nodes[endpoint] = Server(
                self._owner, lambda pushed: self._dial(endpoint, pushed), None, self._interval
            )
            node.start()
        return node

    def start(self) -> None:
        """Find the nodes, connect, and reconnect when a connection is lost."""
        self._stale.set()
        self._task = start(self._following)

    async def stop(self) -> None:
        """Close the connections."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await asyncio.gather(*(node.stop() for node in self._nodes.values()), *self._leaving)

    def refresh(self) -> None:
        """The slot map may be outdated."""
        self._stale.set()

    def moved(self, channel: str) -> None:
        """A server ended a subscription: the slot has moved, though not every node may know it yet."""
        partition = int(channel[channel.index("{") + 1 : channel.index("}")])
        self._doubted.setdefault(partition, 0)
        self._stale.set()

    async def _dial(self, endpoint: Endpoint, pushed: Callable[[Any], None] | None) -> Connection:
        try:
            return await connect(endpoint, self._address.access, pushed)
        except (OSError, TimeoutError):
            self._stale.set()
            raise

    async def _following(self) -> None:
        said = ""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CHECK):
                    await self._stale.wait()
            self._stale.clear()
            try:
                async with asyncio.timeout(CHECK):
                    await self._look()
            except UsageError as error:
                self._owner.trouble(error)
            except (OSError, TimeoutError, Lost, Refused, hiredis.ReplyError, ValueError) as error:
                if str(error) != said:  # the map is read ten times a second
                    said = str(error)
                    self._owner.trouble(error)
                self._stale.set()
            else:
                said = ""
            await asyncio.sleep(SOON)

    async def _look(self) -> None:
        """Read the slot map and apply it."""
        last: Exception = Refused("the cluster has no nodes")
        for endpoint in dict.fromkeys((*self._nodes, *self._address.endpoints)):
            try:
                async with asyncio.timeout(LOOK):
                    connection = await connect(endpoint, self._address.access)
            except (OSError, TimeoutError) as error:
                last = Unreachable.because(endpoint, error, LOOK)
                continue
            except Refused as error:
                last = error
                continue
            try:
                async with asyncio.timeout(LOOK):
                    answer: list[Any] = await connection.ask("CLUSTER", "SLOTS")
            except (OSError, TimeoutError, Lost, hiredis.ReplyError) as error:
                last = error
                continue
            finally:
                connection.abort()
            places = self._read(answer, endpoint)
            if len(places) == len(self._slots):
                await self._agree(answer, endpoint)
                self._follow(places)
                return
            last = Refused(f"{endpoint}: the cluster does not cover all slots")
        raise last

    def _read(self, answer: list[Any], asked: Endpoint) -> dict[int, Endpoint]:
        places: dict[int, Endpoint] = {}
        for first, last, master, *_ in answer:
            host = master[0].decode() if master[0] else ""
            endpoint = Endpoint(asked.host if host in ("", "?") else host, int(master[1]))
            for partition, slot in enumerate(self._slots):
                if first <= slot <= last:
                    places[partition] = endpoint
        return places

    async def _agree(self, answer: list[Any], asked: Endpoint) -> None:
        """Compare the options with the other processes', once."""
        if self._agreed:
            return
        slot = slot_of(self._owner.keys.config)
        for first, last, master, *_ in answer:
            if first <= slot <= last:
                host = master[0].decode() if master[0] else ""
                endpoint = Endpoint(asked.host if host in ("", "?") else host, int(master[1]))
                connection = await connect(endpoint, self._address.access)
                try:
                    self._agreed = await agree(connection, self._owner.keys)
                finally:
                    connection.abort()

    def _follow(self, places: dict[int, Endpoint]) -> None:
        changed = {number for number, endpoint in places.items() if self._places.get(number) != endpoint}
        self._places = places
        for partition in list(self._doubted):
            self._doubted[partition] += 1
            if partition in changed or self._doubted[partition] > DOUBTS:
                changed.add(partition)  # the node has left, or has returned
                del self._doubted[partition]
        if self._doubted:
            self._stale.set()
        if not changed:
            return
        homes: dict[Endpoint, int] = {}
        for partition, endpoint in places.items():
            homes.setdefault(endpoint, partition)
        for endpoint, partition in homes.items():
            node = self.at(endpoint)
            if node.probe.partition is None or places.get(node.probe.partition) != endpoint:
                node.probe_on(self._probe_topic(partition), partition)
        for endpoint in [it for it in self._nodes if it not in homes]:
            leaving = start(self._nodes.pop(endpoint).stop)
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)
        self._owner.rehomed(changed)
