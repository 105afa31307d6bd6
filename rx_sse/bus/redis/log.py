"""The log in Redis: the four verbs of the port, over lanes, watches and servers.

`append` goes through a lane, `read` through a short queue of questions, `watch` to the listening connection
of the server that has the topic. What is lost on the way is made good from the log: a subscription that
begins to count, and every topic now and then, has its last position compared (`watches`).

Standard: the port of `bus.log`; resume rules §1, §4, §5.
Never: an answer of Redis raises out of a callback. What cannot be read is told as trouble, and asked again.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, cast

from rx_sse.bus.cursor import Position
from rx_sse.bus.entry import GAP, gap_data
from rx_sse.bus.keys import hashed_key
from rx_sse.bus.log import Draft, Listener, Page, Query, Retention
from rx_sse.bus.redis.address import Address, Endpoint
from rx_sse.bus.redis.batch import Stored, entries_of
from rx_sse.bus.redis.cluster import Cluster
from rx_sse.bus.redis.fleet import Fleet
from rx_sse.bus.redis.lane import Lane
from rx_sse.bus.redis.layout import Layout
from rx_sse.bus.redis.link import Link, Lost
from rx_sse.bus.redis.node import Node
from rx_sse.bus.redis.questions import Questions
from rx_sse.bus.redis.replicas import Replicas
from rx_sse.bus.redis.watches import Watches
from rx_sse.errors import RxSseError, UsageError

OPEN = 2.0
"""Seconds that a start waits for Redis."""
SECOND = 1.0
MAX_WAITING = 131_072
MAX_WAITING_BYTES = 64 * 1024 * 1024
"""What may wait for Redis; beyond it pushes are refused."""
REMEMBERED = 10_000
"""Topics whose last acknowledged position is remembered, to see whether a failover took it back."""


class RedisLog:
    """A log in Redis.

    Args:
        address: where it is.
        layout: names of keys.
        retention: how much of a topic is kept; its age is also the life of what is known of a topic.
        timeout: seconds after which a publisher that waits is told.
        replicas: how many must have acknowledged an entry before it counts as accepted.
        probe_interval: seconds between two probes.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        address: Address,
        layout: Layout,
        retention: Retention,
        *,
        timeout: float = 5.0,
        replicas: int = 0,
        probe_interval: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.layout = layout
        self.timeout = timeout
        self.replicas = Replicas(replicas, timeout)
        self.on_trouble: Callable[[Exception, str | None], None] = _ignore
        self._address = address
        self._retention = retention
        self.life = max(int(retention.age * 1000), 1) + 60_000  # a topic's meta outlives its entries
        self._interval = probe_interval
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._fleet: Fleet | Cluster | None = None
        self._lanes: dict[int, Lane] = {}
        self.watches = Watches()
        self._questions = Questions(self)
        self._timer: asyncio.TimerHandle | None = None
        self._offset: float | None = None
        self._mismatch: UsageError | None = None
        self._met: asyncio.Event | None = None
        self._settled: asyncio.Event | None = None
        """What those wait for who wait until nothing is unsettled."""
        self._acknowledged: OrderedDict[str, tuple[Position, int]] = OrderedDict()
        self._waiting = 0
        self._waiting_bytes = 0
        self.sharded = address.kind == "cluster"
        self.batches = 0
        self.short = 0

    # -- the port --------------------------------------------------------------------------------------------

    def append(self, draft: Draft) -> None:
        """Store `draft` behind everything of its topic that was appended before."""
        self._waiting += 1
        self._waiting_bytes += draft.size
        partition = self.layout.partition(draft.topic) if self.sharded else 0
        lane = self._lanes.get(partition)
        if lane is None:
            lane = self._lanes.setdefault(partition, Lane(self, partition))
        lane.append(draft)

    def read(self, query: Query, done: Callable[[Page | None], None]) -> None:
        """Ask for a page; a few questions at a time."""
        self._questions.read(query, done)

    def watch(self, topic: str, listener: Listener) -> Callable[[], None]:
        """Listen to a topic's channel."""
        channel = self.layout.channel(topic)
        watch = self.watches.add(topic, channel, listener)
        if (node := self._node_of(topic)) is not None:
            node.join(channel)

        def stop() -> None:
            if self.watches.remove(watch) and (node := self._node_of(topic)) is not None:
                node.leave(channel)

        return stop

    async def open(self) -> None:
        """Connect; a Redis that is not there is waited for in the background.

        Raises:
            UsageError: another process uses the same prefix with other options.
        """
        self._loop = asyncio.get_running_loop()
        self._met = asyncio.Event()
        self._mismatch = None
        kind = Cluster if self.sharded else Fleet
        self._fleet = kind(self, self._address, self._probe_topic(), self._interval)
        self._fleet.start()
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
        """Let everything go; who waits for an append is told."""
        fleet, loop = self._fleet, self._loop
        self._fleet = self._loop = None
        lanes, self._lanes = list(self._lanes.values()), {}
        if loop is None or loop.is_closed():
            self._forget()
            return
        if self._timer is not None:
            self._timer.cancel()
        for lane in lanes:
            lane.close()
        self._questions.close()
        self._forget()
        if fleet is not None:
            await fleet.stop()

    def _forget(self) -> None:
        self.watches = Watches()
        self._questions = Questions(self)
        self._waiting = self._waiting_bytes = 0
        self._settled = None
        self._offset = None
        self._acknowledged.clear()

    @property
    def ready(self) -> bool:
        """Whether entries appended now reach the watchers of this process."""
        return (
            self._fleet is not None and bool(self._fleet.nodes) and all(it.ready for it in self._fleet.nodes)
        )

    @property
    def deaf(self) -> bool:
        """Whether Redis takes what this process publishes, and this process does not hear it."""
        return self._fleet is not None and any(node.deaf for node in self._fleet.nodes)

    @property
    def nodes(self) -> Sequence[Node]:
        """The servers."""
        return () if self._fleet is None else self._fleet.nodes

    def present(
        self,
        process: str,
        life: float,
        said: dict[str, tuple[str, bool]],
        told: Callable[[str, list[bytes]], None],
    ) -> None:
        """Say who listens here, and ask who listens elsewhere; see `Questions.present`."""
        self._questions.present(process, life, said, told)

    @property
    def questions(self) -> int:
        """Questions that were asked."""
        return self._questions.asked

    @property
    def unsettled(self) -> int:
        """Appends that are not settled."""
        return self._waiting

    @property
    def full(self) -> bool:
        """Whether no more may be appended now. From any thread."""
        return self._waiting >= MAX_WAITING or self._waiting_bytes >= MAX_WAITING_BYTES

    async def flushed(self) -> None:
        """Wait until what was appended before is settled, and was handed to the watchers."""
        if self._waiting:
            if self._settled is None:
                self._settled = asyncio.Event()
            await self._settled.wait()
        if self._fleet is not None:
            await asyncio.gather(*(node.heard() for node in self._fleet.nodes))

    # -- what a lane asks ------------------------------------------------------------------------------------

    def link(self, partition: int) -> Link | None:
        """The connection to who stores a partition now."""
        node = None if self._fleet is None else self._fleet.node(partition)
        return None if node is None else node.commands.link

    def sending(self) -> None:
        """A batch leaves."""
        self.batches += 1

    def link_at(self, where: str) -> Link | None:
        """The connection to a node that a refusal names."""
        host, _, port = where.rpartition(":")
        if not isinstance(self._fleet, Cluster) or not host:
            return None
        return self._fleet.at(Endpoint(host, int(port))).commands.link

    def refused(self, code: str) -> None:
        """A server refused for a while; perhaps another one does not."""
        if code in ("READONLY", "MOVED", "ASK", "CLUSTERDOWN", "MASTERDOWN") and self._fleet is not None:
            self._fleet.refresh()

    def stored(self, topic: str, lineage: int, before: int, row: Sequence[Stored]) -> None:
        """Drafts of this process are in the log, in a row behind the entry with the nonce `before`."""
        self._acknowledged[topic] = (row[-1][1], lineage)
        self._acknowledged.move_to_end(topic)
        if len(self._acknowledged) > REMEMBERED:
            self._acknowledged.popitem(last=False)
        if self.watches.get(topic) is not None:
            self.watches.own(topic, entries_of(row, before, self._clock()))

    def left(self, draft: Draft) -> None:
        """A draft no longer waits."""
        self._waiting -= 1
        self._waiting_bytes -= draft.size
        if self._waiting == 0 and self._settled is not None:
            self._settled.set()
            self._settled = None

    def unconfirmed(self, count: int) -> None:
        """So many entries are stored, and not enough replicas have acknowledged them."""
        self.short += count

    def dropped(self, topic: str, error: Exception) -> None:
        """What nobody waits for was refused, or is unconfirmed."""
        self.on_trouble(error, topic)

    # -- what a node tells -----------------------------------------------------------------------------------

    def connected(self, node: Node) -> None:
        """Commands can be sent to a server."""
        if self._met is not None and self._fleet is not None:
            nodes = self._fleet.nodes
            if nodes and all(it.commands.link is not None for it in nodes):
                self._met.set()
        link = node.commands.link
        if link is not None:
            self._set_clock(link)
        if node.commands.made > 1:
            mine = {it: known for it, known in self._acknowledged.items() if self._node_of(it) is node}
            self._questions.look_for(mine, self._taken_back)
        for lane in list(self._lanes.values()):
            lane.go()
        self._questions.go()

    def _taken_back(self, topic: str, upto: Position) -> None:
        """What this process was told is stored is not there any more: tell the readers."""
        self._acknowledged.pop(topic, None)
        key = hashed_key(None, topic, f"withdrawn {upto.seq}-{upto.nonce}")
        self.append(Draft(topic, GAP, gap_data("withdrawn", upto), None, self._retention, key=key))

    def counts(self, node: Node, channels: list[str]) -> None:
        """Subscriptions count from now on: what came before, the log knows."""
        self._questions.compare(self.watches.topics_of(channels))

    def message(self, channel: bytes, text: bytes) -> None:
        """An announcement."""
        try:
            self.watches.message(channel, text, self.at)
        except ValueError as error:
            self.trouble(error)

    def moved(self, node: Node, channel: str) -> None:
        """A server ended a subscription that nobody gave up."""
        if self._fleet is not None:
            self._fleet.moved(node, channel)

    def rehomed(self, partitions: set[int]) -> None:
        """Partitions have another node: listen there. When that counts, what was missed is made good."""
        for topic in self.watches.topics():
            if self.layout.partition(topic) in partitions:
                channel = self.layout.channel(topic)
                home = self._node_of(topic)
                for node in () if self._fleet is None else self._fleet.nodes:
                    if node is home:
                        node.join(channel)
                    else:
                        node.forget(channel)
        for partition in partitions:
            if (lane := self._lanes.get(partition)) is not None:
                lane.go()
        self._questions.go()

    def trouble(self, error: Exception) -> None:
        """A connection could not be made, or was refused something."""
        if isinstance(error, UsageError):
            self._mismatch = error
            if self._met is not None:
                self._met.set()
        self.on_trouble(error, None)

    # -- what a question asks for ----------------------------------------------------------------------------

    def link_of(self, topic: str) -> Link | None:
        """The connection to who stores a topic now."""
        node = self._node_of(topic)
        return None if node is None else node.commands.link

    def complain(self, error: Exception) -> None:
        """A question was not answered."""
        if isinstance(error, Lost):
            return
        code = str(error).split(" ", 1)[0]
        self.refused(code)
        if code not in ("MOVED", "ASK", "TRYAGAIN", "LOADING", "CLUSTERDOWN", "READONLY", "MASTERDOWN"):
            self.on_trouble(RxSseError(f"Redis refused a question: {error}"), None)

    def at(self, milliseconds: int) -> float:
        """When that was, by this process's clock."""
        return self._clock() if self._offset is None else milliseconds / 1000 + self._offset

    # -- time ------------------------------------------------------------------------------------------------

    def _set_clock(self, link: Link) -> None:
        asked = self._clock()

        def answered(answer: Any) -> None:
            if isinstance(answer, list):
                said = cast("list[bytes]", answer)
                seconds = int(said[0]) + int(said[1]) / 1e6
                self._offset = (asked + self._clock()) / 2 - seconds

        link.send(("TIME",), answered)

    def _ticked(self) -> None:
        if self._loop is None:
            return
        self._timer = self._loop.call_later(SECOND, self._ticked)
        if len(self.watches):
            self._questions.compare(self.watches.due())

    # -- where -----------------------------------------------------------------------------------------------

    def _node_of(self, topic: str) -> Node | None:
        return None if self._fleet is None else self._fleet.node(self.layout.partition(topic))

    def _probe_topic(self) -> Callable[[int | None], str]:
        token = os.urandom(6).hex()

        def topic(partition: int | None) -> str:
            """A topic of this process alone, in a partition if one is asked for."""
            number = 0
            while partition is not None and self.layout.partition(f"!probe:{token}:{number}") != partition:
                number += 1
            return f"!probe:{token}:{number}"

        return topic


def _ignore(error: Exception, topic: str | None) -> None:
    """What nobody wants to hear."""
