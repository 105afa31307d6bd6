"""A model of a broker, and of a process's connections to it: a `Log` that delays, repeats, loses and forgets.

The broker has a master and a replica that lags. A process has one connection to it, over which appends and
questions go in order and take their time, and a subscription whose messages lag, are lost with the connection
or without a word (then a comparison of positions finds out), come twice, or out of order.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from rx_sse.bus.log.entry import END, GAP, TEXT, Draft, Entry, gap_data
from rx_sse.bus.log.port import Listener, Page, Query
from rx_sse.bus.log.position import Position, new_nonce, new_position, nonce_of, seq_of
from rx_sse.bus.log.retention import Retention
from rx_sse.errors import PublishUnknown

from .chain import Chain, name_of
from .loop import Loop
from .trace import Trace

RECONCILE = 2.0
"""Seconds between two comparisons of every topic's position."""
DEADLINE = 3.0
"""Seconds after which a publisher that waits is told that the outcome is unknown."""


FLUSH = 2.0
"""Seconds that a log which is closed waits for the broker."""


@dataclass
class Store:
    """One topic, as the broker holds it."""

    lineage: int = field(default_factory=new_nonce)
    base: Position = field(default_factory=lambda: new_position(0, 0))
    entries: list[Entry] = field(default_factory=list)
    nonces: dict[int, Position] = field(default_factory=dict)
    """Every append that was executed: a repeated one is recognised."""

    def __post_init__(self) -> None:
        if nonce_of(self.base) == 0:
            self.base = new_position(0, self.lineage)

    def copy(self) -> Store:
        """The same at this moment; entries never change."""
        return Store(self.lineage, self.base, list(self.entries), dict(self.nonces))

    @property
    def head(self) -> Position:
        return self.entries[-1].position if self.entries else self.base

    def has(self, position: Position) -> bool:
        return position == self.base or any(entry.position == position for entry in self.entries)

    def page(self, query: Query, most: int) -> Page:
        entries = self.entries
        if query.after is None:
            index = max(len(entries) - query.last, 0)
        elif query.after == self.base:
            index = 0
        else:
            index = next((i + 1 for i, entry in enumerate(entries) if entry.position == query.after), -1)
            if index < 0:
                later = [i for i, entry in enumerate(entries) if seq_of(entry.position) > seq_of(query.after)]
                index = later[0] if later else len(entries)
        start = self.base if index == 0 else entries[index - 1].position
        taken = entries[index : index + min(most, query.max_entries)]
        ended = bool(entries) and entries[-1].kind == END
        return Page(self.lineage, self.base, self.head, start, taken, ended)


@dataclass
class Server:
    """A server of the broker: its topics, and the idempotency keys that it remembers."""

    stores: dict[str, Store] = field(default_factory=dict)
    keys: dict[str, Position] = field(default_factory=dict)

    def copy(self) -> Server:
        """The same at this moment."""
        return Server({topic: store.copy() for topic, store in self.stores.items()}, dict(self.keys))


class Broker:
    """Master, replica, and who is connected.

    Args:
        loop: where it lives.
        chance: what it draws from.
        chains: the truth, by topic.
        page: entries of a page at most.
    """

    def __init__(
        self,
        loop: Loop,
        chance: random.Random,
        chains: Callable[[str], Chain],
        trace: Trace,
        *,
        page: int,
    ) -> None:
        self.loop = loop
        self.chance = chance
        self.chains = chains
        self.trace = trace
        self.page = page
        self.master = Server()
        self.replica = Server()
        self.up = True
        self.links: list[Link] = []
        self.outside: list[tuple[str, int]] = []
        """Entries of publishers who will not come back: topic and nonce."""
        self.faulty = True
        """Whether messages get lost, late and repeated."""

    def topic(self, server: Server, topic: str) -> Store:
        """A topic of a server. Its birth reaches all of them at once: a topic of which a new master has never
        heard, or that was born in two halves of a split brain, is one that was deleted for its readers, and
        that is another fault."""
        store = server.stores.get(topic)
        if store is None:
            store = server.stores[topic] = Store()
            for other in (self.master, self.replica, *(link.server for link in self.links)):
                if topic not in other.stores:
                    other.stores[topic] = store.copy()
        return store

    def chain(self, topic: str) -> Chain | None:
        return None if topic.startswith("!") else self.chains(topic)

    def store(self, server: Server, draft: Draft) -> tuple[Position, bool]:
        """Execute an append; the position, and whether it is new."""
        store = self.topic(server, draft.topic)
        if draft.key is not None and draft.key in server.keys:
            return server.keys[draft.key], False
        if (known := store.nonces.get(draft.nonce)) is not None:
            return known, False
        prev = store.head
        now = self.loop.time()
        entry = Entry(
            new_position(seq_of(prev) + 1, draft.nonce), prev, draft.kind, draft.data, draft.event, now
        )
        chain = self.chain(draft.topic)
        if chain is not None:
            item = chain.stored(draft.kind, draft.data, entry.position, nonce_of(prev), now)
            self.trace.note(
                "broker",
                "stored {} {}-{:x}",
                item.payload or draft.kind,
                seq_of(entry.position),
                nonce_of(entry.position),
            )
        store.entries.append(entry)
        store.nonces[draft.nonce] = entry.position
        if draft.key is not None:
            server.keys[draft.key] = entry.position
        self._trim(server, draft.topic, draft.retention.entries)
        for link in self.links:
            if link.server is server:
                link.announce(draft.topic, entry)
        return entry.position, True

    # -- what happens to it ----------------------------------------------------------------------------------

    def _trim(self, server: Server, topic: str, keep: int) -> None:
        store = self.topic(server, topic)
        chain = self.chain(topic)
        over = len(store.entries) - keep
        for entry in store.entries[: max(over, 0)]:
            store.base = entry.position
            if chain is not None and (item := chain.by_nonce.get(nonce_of(entry.position))) is not None:
                item.leave(self.loop.time())
        if over > 0:
            del store.entries[:over]

    def trim(self, topic: str, keep: int) -> None:
        """Keep so many entries of a topic."""
        self.trace.note("broker", "trim {} to {}", topic, keep)
        self._trim(self.master, topic, keep)

    def evict_meta(self, topic: str) -> None:
        """What is known of a topic was evicted, its log is there: it gets another birth nonce."""
        store = self.topic(self.master, topic)
        # Not while somebody is on another branch: the birth nonce is what tells a fork from a flush.
        if store.entries and all(link.server is self.master for link in self.links):
            self.trace.note("broker", "evict the metadata of {}", topic)
            store.lineage = new_nonce()
            if (copied := self.replica.stores.get(topic)) is not None:
                copied.lineage = store.lineage

    def forget(self, topic: str) -> None:
        """A topic was deleted, everywhere."""
        self.trace.note("broker", "forget {}", topic)
        for server in (self.master, self.replica):
            server.stores.pop(topic, None)
        if (chain := self.chain(topic)) is not None:
            chain.forget(self.loop.time())

    def flush(self) -> None:
        """Everything was deleted, everywhere."""
        for topic in list(self.master.stores):
            self.forget(topic)
        self.master.keys.clear()
        self.replica.keys.clear()
        for link in self.links:
            if link.server is not self.master:  # with two pasts and no present nobody could tell them apart
                link.lose()

    def replicate(self) -> None:
        """The replica is as new as the master."""
        self.trace.note("broker", "replicate")
        self.replica = self.master.copy()

    def promote(self) -> None:
        """The replica is the master now, however old; who is connected to the old one stays there until its
        connection is made anew."""
        self.trace.note("broker", "promote the replica")
        self.master = self.replica.copy()
        for topic, nonce in self.outside:
            if nonce not in self.topic(self.master, topic).nonces:
                chain = self.chains(topic)
                if nonce in chain.by_nonce and not any(nonce in link.known for link in self.links):
                    chain.by_nonce[nonce].unsayable = True

    def publish_from_outside(self, topic: str, data: str, retention: Retention) -> None:
        """A process that only publishes, and dies right after: if a process has seen the entry, that one
        answers for it."""
        draft = Draft(topic, TEXT, data, None, retention)
        self.outside.append((topic, draft.nonce))
        self.store(self.master, draft)

    def delete(self, topic: str, index: int) -> None:
        """One entry in the middle of a topic was deleted by hand (`XDEL`)."""
        store = self.topic(self.master, topic)
        if 0 < index < len(store.entries) - 1:
            entry = store.entries.pop(index)
            self.trace.note("broker", "delete {} of {}", seq_of(entry.position), topic)
            if (item := self.chains(topic).by_nonce.get(nonce_of(entry.position))) is not None:
                item.gone = self.loop.time()

    def stop(self, seconds: float) -> None:
        """The broker is away for so long."""
        self.trace.note("broker", "down for {:.2f} s", seconds)
        self.up = False
        for link in self.links:
            link.lose()
        self.loop.call_later(seconds, self._start)

    def _start(self) -> None:
        self.trace.note("broker", "up")
        self.up = True

    def excuse(self) -> None:
        """Note what went with a branch behind what the present one still has."""
        for topic, store in self.master.stores.items():
            if (chain := self.chain(topic)) is not None:
                chain.took_back(store.nonces, seq_of(store.base) + 1)

    def died_with(self, server: Server) -> None:
        """A process ended that was still on an old master: nobody is left who knows what that one
        accepted."""
        for topic, store in server.stores.items():
            if (chain := self.chain(topic)) is not None:
                present = self.topic(self.master, topic).nonces
                for nonce in store.nonces:
                    if nonce not in present and nonce in chain.by_nonce:
                        chain.by_nonce[nonce].unsayable = True

    def heal(self) -> None:
        """From now on nothing goes wrong."""
        self.faulty = False
        self.up = True
        for link in self.links:
            if link.server is not self.master:
                link.lose()


@dataclass(slots=True)
class _Watch:
    listener: Listener
    counts: bool = False
    heard: Position | None = None
    """The last position that was announced: what a comparison compares."""


class Link:
    """A process's connections to the broker: its `Log`."""

    def __init__(self, broker: Broker, name: str) -> None:
        self.broker = broker
        self.name = name
        self.loop = broker.loop
        self.chance = broker.chance
        self.server = broker.master
        self.connected = broker.up
        self.closed = False
        self.crowded = False
        self.abandoned: list[str] = []
        """What the process had not got rid of when it ended."""
        self.mute = 0.0
        """Until then messages are held back: a subscription that lags."""
        self._generation = 0
        self._unsettled: deque[Draft] = deque()
        self._in_flight: Draft | None = None
        self._reading: dict[int, tuple[Query, Callable[[Page | None], None]]] = {}
        self._number = 0
        self._watches: dict[str, _Watch] = {}
        self._left: Server | None = None
        """The master before the present one."""
        self._acknowledged: dict[str, tuple[int, Position]] = {}
        self.known: set[int] = set()
        """Nonces of the entries that this process has seen: of these it can tell whether they are still
        there."""
        self._command_at = 0.0
        self._answer_at = 0.0
        self._message_at = 0.0
        broker.links.append(self)
        self.loop.call_later(RECONCILE, self._reconcile)
        if not self.connected:
            self._connect()

    # -- the port --------------------------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        """Whether no more may be appended now (`Bounded`)."""
        return self.crowded

    @property
    def ready(self) -> bool:
        """Whether what is appended now is heard here (`Probing`)."""
        return self.connected

    @property
    def deaf(self) -> bool:
        """Never: the model has no way to know it."""
        return False

    def append(self, draft: Draft) -> None:
        if self.closed:
            return
        self._unsettled.append(draft)
        if draft.settle is not None:
            self.loop.call_later(DEADLINE, self._overdue, draft)
        self._send_next()

    def read(self, query: Query, done: Callable[[Page | None], None]) -> None:
        if self.closed:
            return
        if not self.connected:
            self.loop.call_soon(done, None)
            return
        self._number += 1
        self._reading[self._number] = (query, done)
        self._command(self._execute_read, self._number)

    def watch(self, topic: str, listener: Listener) -> Callable[[], None]:
        self._watches[topic] = watch = _Watch(listener)
        if self.connected:
            self._command(self._execute_watch, topic, watch)

        def stop() -> None:
            if self._watches.get(topic) is watch:
                del self._watches[topic]

        return stop

    async def close(self) -> None:
        """What was appended is settled first, if the broker lets it."""
        deadline = self.loop.time() + FLUSH
        while self._unsettled and self.loop.time() < deadline:
            await asyncio.sleep(0.01)
        self.kill()

    # -- what the connection does ----------------------------------------------------------------------------

    @property
    def unsettled(self) -> int:
        """Appends of which it is not known what became of them."""
        return len(self._unsettled)

    def kill(self) -> None:
        """The process is gone."""
        self.closed = True
        self.connected = False
        self._generation += 1
        self._watches.clear()
        self._reading.clear()
        self.abandoned += [name_of(draft.data) for draft in self._unsettled]
        for draft in self._unsettled:
            if draft.settle is not None:
                draft.settle(PublishUnknown("the log was closed"))
        untold = self._left if any(draft.kind == GAP for draft in self._unsettled) else None
        self._unsettled.clear()
        if self in self.broker.links:
            self.broker.links.remove(self)
            if self.server is not self.broker.master:
                self.broker.died_with(self.server)
            if untold is not None:  # it came to the new master, and ended before its gaps were stored there
                self.broker.died_with(untold)

    def lose(self) -> None:
        """The connection broke: what is under way may still reach the broker, its answers are gone."""
        if self.closed or not self.connected:
            return
        self.broker.trace.note(self.name, "connection lost")
        self.connected = False
        self._generation += 1
        self._in_flight = None
        for watch in self._watches.values():
            watch.counts = False
        reading, self._reading = self._reading, {}
        for _, done in reading.values():
            self.loop.call_soon(done, None)
        self.loop.call_later(self.chance.uniform(0.01, 0.5), self._connect)

    def _connect(self) -> None:
        if self.closed or self.connected:
            return
        if not self.broker.up:
            self.loop.call_later(self.chance.uniform(0.1, 0.5), self._connect)
            return
        self.broker.trace.note(self.name, "connected")
        moved = self.server is not self.broker.master
        if moved:
            self._left = self.server
        self.server = self.broker.master
        self.connected = True
        if moved:
            for topic, (lineage, position) in list(self._acknowledged.items()):
                self._look_for(topic, lineage, position)
        for topic, watch in self._watches.items():
            self._command(self._execute_watch, topic, watch)
        self._send_next()

    def _look_for(self, topic: str, lineage: int, position: Position) -> None:
        """A publisher whose acknowledged entry is missing has lost it: it says so to the readers."""
        del self._acknowledged[topic]
        store = self.broker.topic(self.server, topic)
        trimmed = lineage == store.lineage and seq_of(position) < seq_of(store.base)
        if not trimmed and not store.has(position):
            key = f"{topic} withdrawn {position}"
            self.append(Draft(topic, GAP, gap_data("withdrawn", position), None, Retention(), key=key))

    def _delay(self) -> float:
        chance = self.chance
        return chance.uniform(0.0005, 0.003) if chance.random() < 0.9 else chance.uniform(0.01, 0.2)

    def _command(self, action: Callable[..., None], *args: object) -> None:
        """Over the connection, in order."""
        self._command_at = max(self._command_at, self.loop.time() + self._delay())
        self.loop.call_at(self._command_at, self._if_connected, self._generation, action, *args)

    def _answer(self, action: Callable[..., None], *args: object) -> None:
        self._answer_at = max(self._answer_at, self.loop.time() + self._delay())
        self.loop.call_at(self._answer_at, self._if_connected, self._generation, action, *args)

    def _if_connected(self, generation: int, action: Callable[..., None], *args: object) -> None:
        if generation == self._generation:
            action(*args)

    # -- appends: one at a time, and none leaves before the one before it is settled -----------------------

    def _send_next(self) -> None:
        if self._in_flight is None and self._unsettled and self.connected:
            self._in_flight = draft = self._unsettled[0]
            # Not `_command`: what left reaches the broker even if the connection breaks behind it.
            self._command_at = max(self._command_at, self.loop.time() + self._delay())
            self.loop.call_at(self._command_at, self._execute_append, self._generation, self.server, draft)

    def _execute_append(self, generation: int, server: Server, draft: Draft) -> None:
        if generation != self._generation and self.chance.random() < 0.5:
            return  # it never arrived
        if generation != self._generation and server is not self.broker.master:
            return  # the old master is not there any more
        position, new = self.broker.store(server, draft)
        store = self.broker.topic(server, draft.topic)
        if generation == self._generation:
            self._answer(self._settled, draft, store.lineage, position, store.entries[-1] if new else None)

    def _settled(self, draft: Draft, lineage: int, position: Position, entry: Entry | None) -> None:
        self._in_flight = None
        if self._unsettled and self._unsettled[0] is draft:
            self._unsettled.popleft()
        self._acknowledged[draft.topic] = (lineage, position)
        if draft.settle is not None:
            draft.settle(position)
        watch = self._watches.get(draft.topic)
        if entry is not None and watch is not None and watch.counts:
            watch.listener.arrived(entry)  # one's own entry, as its publisher knows it
        self._send_next()

    def _overdue(self, draft: Draft) -> None:
        if draft.settle is not None:
            draft.settle(PublishUnknown("no answer in time"))

    # -- questions -------------------------------------------------------------------------------------------

    def _execute_read(self, number: int) -> None:
        asked = self._reading.get(number)
        if asked is not None:
            query = asked[0]
            store = self.broker.topic(self.server, query.topic)
            chain = self.broker.chain(query.topic)
            if chain is not None and seq_of(store.head) == 0:
                chain.zero(nonce_of(store.head), self.loop.time())
            self._answer(self._answered, number, store.page(query, self.broker.page))

    def _answered(self, number: int, page: Page) -> None:
        asked = self._reading.pop(number, None)
        if asked is not None:
            self.known.update(nonce_of(entry.position) for entry in page.entries)
            asked[1](page)

    # -- the subscription ------------------------------------------------------------------------------------

    def _execute_watch(self, topic: str, watch: _Watch) -> None:
        if self._watches.get(topic) is watch:
            watch.counts = True
            self._answer(self._dirty, topic, watch)

    def _dirty(self, topic: str, watch: _Watch) -> None:
        if self._watches.get(topic) is watch and watch.counts:
            watch.listener.dirty()

    def announce(self, topic: str, entry: Entry) -> None:
        """The broker tells of a new entry."""
        watch = self._watches.get(topic)
        if watch is None or not watch.counts:
            return
        faulty, chance = self.broker.faulty, self.chance
        if faulty and chance.random() < 0.03:
            return  # lost; the next comparison finds out
        times = 2 if faulty and chance.random() < 0.05 else 1
        for _ in range(times):
            due = max(self.loop.time(), self.mute) + self._delay()
            if not (faulty and chance.random() < 0.05):  # else it overtakes, or is overtaken
                due = self._message_at = max(self._message_at, due)
            self.loop.call_at(due, self._if_connected, self._generation, self._hear, topic, watch, entry)

    def _hear(self, topic: str, watch: _Watch, entry: Entry) -> None:
        if self._watches.get(topic) is watch:
            watch.heard = entry.position
            self.known.add(nonce_of(entry.position))
            watch.listener.arrived(entry)

    def _reconcile(self) -> None:
        """Compare the positions of all topics with what was heard."""
        if self.closed:
            return
        self.loop.call_later(RECONCILE, self._reconcile)
        if self.connected:
            for topic, watch in self._watches.items():
                if watch.counts and self.broker.topic(self.server, topic).head != watch.heard:
                    watch.heard = self.broker.topic(self.server, topic).head
                    self._answer(self._dirty, topic, watch)
