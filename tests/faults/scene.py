"""Processes over a server or a file of their own, a crowd at them, and one fault."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from rx_sse.bus.redis.protocol.keys import Keys, slot_of

from ..redis_server import RedisCluster, RedisServer, Replicas
from ..relay import Relay
from .crowd import Crowd
from .oracle import Log, Verdict, judge
from .process import Process

if TYPE_CHECKING:
    from .files import DatabaseFile

Servers: TypeAlias = "RedisServer | Replicas | RedisCluster | DatabaseFile"
CALM = 2.0
"""Seconds of publishing before a fault, and after it."""


@dataclass(frozen=True)
class Size:
    """How large: clients, topics, events a second, and a factor for how long a fault lasts."""

    clients: int = 200
    topics: int = 10
    rate: float = 100.0
    length: float = 1.0


class Scene:
    """What a fault may touch.

    Attributes:
        processes: the applications.
        crowd: the clients, and who publishes.
        relays: each application's way to Redis, if the row has them.
        store: the server that counts in the end, where there are several.
        length: of a fault, as a factor.
        healed: when the servers were well again.
    """

    def __init__(self, servers: Servers, size: Size) -> None:
        self.servers = servers
        self.length = size.length
        self.relays: list[Relay] = []
        self.processes: list[Process] = []
        self.keys = Keys()
        self.healed = 0.0
        self.store: RedisServer | None = servers if isinstance(servers, RedisServer) else None
        self.crowd: Crowd

    @property
    def server(self) -> RedisServer:
        """The one there is."""
        assert isinstance(self.servers, RedisServer)
        return self.servers

    @property
    def pair(self) -> Replicas:
        assert isinstance(self.servers, Replicas)
        return self.servers

    @property
    def cluster(self) -> RedisCluster:
        assert isinstance(self.servers, RedisCluster)
        return self.servers

    @property
    def file(self) -> DatabaseFile:
        """The file of a `SQLiteBus`."""
        assert not isinstance(self.servers, RedisServer | Replicas | RedisCluster)
        return self.servers

    def slot(self, topic: str) -> int:
        """The slot of a topic."""
        return slot_of(self.keys.log(topic))

    def at(self, topic: str) -> RedisServer:
        """Who has a topic now."""
        if isinstance(self.servers, RedisCluster):
            return self.servers.owner(self.slot(topic))
        assert self.store is not None
        return self.store

    def log(self, topic: str) -> Log:
        """What a topic's log holds."""
        if not isinstance(self.servers, RedisServer | Replicas | RedisCluster):
            return self.servers.log(topic)
        found: dict[tuple[int, int], int | None] = {}
        for name, (_, _, _, packed) in self.at(topic).command("XRANGE", self.keys.log(topic), "-", "+"):
            head, _, body = packed.partition("\n")
            seq, nonce = map(int, name.split("-"))
            found[seq, nonce] = int(body.split(" ", 1)[0]) if head[1] == "t" else None
        return found

    async def sleep(self, seconds: float) -> None:
        """For so long, or what is left of it in a short run."""
        await asyncio.sleep(seconds * self.length)

    def heal(self) -> None:
        """The servers are well: from now on it is the applications' time that counts."""
        self.healed = asyncio.get_running_loop().time()

    async def ready(self) -> None:
        """Wait until all applications are."""
        for process in self.processes:
            if process.address:
                await process.until(True)


@dataclass(frozen=True)
class Row:
    """A fault.

    Attributes:
        name: as it stands in the table.
        servers: makes them.
        fault: does it, and heals it; returns what is worth noting.
        sees: what a client sees of it, in the README's words.
        relayed: whether the applications reach Redis through relays.
        lossless: whether nothing is lost by it, so that no gap may be announced; False if something must be,
            None if that is chance.
        bus, stream: more options of both.
        pad: bytes added to an event.
        processes: how many applications.
        command: what starts them, in front of Python.
    """

    name: str
    servers: Callable[[], Servers]
    fault: Callable[[Scene], Awaitable[str]]
    relayed: bool = False
    lossless: bool | None = True
    bus: dict[str, Any] = field(default_factory=dict[str, Any])
    stream: dict[str, Any] = field(default_factory=dict[str, Any])
    pad: int = 0
    processes: int = 2
    command: tuple[str, ...] = ()


@dataclass
class Outcome:
    """The result of a row."""

    row: Row
    verdict: Verdict
    whole: float
    note: str

    @property
    def wrong(self) -> list[str]:
        """What falls short."""
        verdict = self.verdict
        found: list[str] = []
        if verdict.missing:
            found.append(f"{verdict.missing} missing in silence")
        if verdict.repeated:
            found.append(f"{verdict.repeated} repeated")
        if verdict.ghosts:
            found.append(f"{verdict.ghosts} refused and stored")
        if self.row.lossless and verdict.gaps:
            found.append(f"{verdict.gaps} gaps announced though nothing was lost")
        if self.row.lossless is False and not verdict.gaps:
            found.append("no gap was announced")
        if "!" in self.note:
            found.append(self.note)
        return found


async def play(row: Row, size: Size) -> Outcome:
    """A row: calm, the fault, calm, and what the clients hold at the end."""
    servers = await asyncio.to_thread(row.servers)
    async with AsyncExitStack() as stack:
        stack.callback(servers.close)
        scene = Scene(servers, size)
        if isinstance(servers, Replicas):
            scene.store = servers.first
        urls = [servers.url] * row.processes if not row.relayed else []
        if row.relayed:
            target = servers.first if isinstance(servers, Replicas) else scene.server
            scene.relays = [await stack.enter_async_context(Relay(target)) for _ in range(row.processes)]
            urls = [relay.url for relay in scene.relays]
        for url in urls:
            process = Process(url, row.bus, row.stream, lambda *words: scene.crowd.told(*words), row.command)
            scene.processes.append(process)
            await stack.enter_async_context(process)
        await scene.ready()
        crowd = Crowd(scene.processes, size.clients, size.topics, size.rate, row.pad)
        scene.crowd = await stack.enter_async_context(crowd)
        await crowd.open()
        crowd.publish()
        await scene.sleep(CALM)
        note = await row.fault(scene)
        try:
            whole = await crowd.whole_since(scene.healed or asyncio.get_running_loop().time())
            await scene.sleep(CALM)
            await crowd.rest()
            await crowd.settled()
        except TimeoutError:
            note, whole = f"not whole within a minute! {note}", math.inf
        logs = await asyncio.to_thread(lambda: {topic: scene.log(topic) for topic in crowd.topics})
        return Outcome(row, judge(crowd, logs), whole, note)
