"""A broker, two processes and their clients, as a model: what `LocalTopic` and `Reader` must survive.

One topic. The broker has a master and a replica that may lag; each process has a connection over which
questions and answers take their time, and a subscription whose messages lag, get lost with the connection, or
come twice. The clients are real `Reader`s over real `LocalTopic`s; nothing else here is of the library but
the records of its port.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from rx_sse.bus.gap import Gap
from rx_sse.bus.local_topic import LocalTopic
from rx_sse.bus.log.entry import GAP, OVERHEAD, TEXT, Draft, Entry, gap_data
from rx_sse.bus.log.history import MemoryBudget
from rx_sse.bus.log.memory import MemoryLog
from rx_sse.bus.log.port import Listener, Page, Query
from rx_sse.bus.log.position import Mark, Position, new_nonce, new_position, nonce_of, seq_of
from rx_sse.bus.log.retention import Retention
from rx_sse.bus.resume.reader import Reader
from rx_sse.delivery.fanout import FanOut
from rx_sse.wire.event import ServerSentEvent

TOPIC = "t"


@dataclass
class Store:
    """A topic in a broker: what Redis would hold."""

    lineage: int = field(default_factory=new_nonce)
    base: Position = field(init=False)
    entries: list[Entry] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.base = new_position(0, self.lineage)

    @property
    def head(self) -> Position:
        return self.entries[-1].position if self.entries else self.base

    def append(self, draft: Draft) -> Entry | None:
        if draft.key is not None:
            if draft.key in self.keys:
                return None
            self.keys.add(draft.key)
        for entry in self.entries:
            if nonce_of(entry.position) == draft.nonce:  # a repeated append
                return None
        prev = self.head
        entry = Entry(new_position(seq_of(prev) + 1, draft.nonce), prev, draft.kind, draft.data)
        self.entries.append(entry)
        return entry

    def has(self, position: Position) -> bool:
        return position == self.base or any(entry.position == position for entry in self.entries)

    def trim(self, count: int) -> None:
        for entry in self.entries[:count]:
            self.base = entry.position
        del self.entries[:count]

    def delete(self, index: int) -> bool:
        """One entry is removed by hand; the oldest and the newest stay."""
        if not 0 < index < len(self.entries) - 1:
            return False
        del self.entries[index]
        return True

    def page(self, query: Query) -> Page:
        valid = query.after is None or self.has(query.after)
        if query.after is None:
            index = max(len(self.entries) - query.last, 0)
        elif query.after == self.base:
            index = 0
        else:
            index = next((i + 1 for i, e in enumerate(self.entries) if e.position == query.after), -1)
            if index < 0:
                later = [i for i, e in enumerate(self.entries) if seq_of(e.position) > seq_of(query.after)]
                index = later[0] if later else len(self.entries)
        start = self.entries[index].prev if index < len(self.entries) else self.head
        entries: list[Entry] = []
        for entry in self.entries[index : index + 2]:  # pages of two, so that paging is part of every run
            if entries and entry.prev != entries[-1].position:
                break
            entries.append(entry)
        broken = valid and query.after is not None and start != query.after
        return Page(self.lineage, self.base, self.head, start, entries, False, broken)


class Broker:
    """Master and replica."""

    def __init__(self) -> None:
        self.master = Store()
        self.replica = copy.deepcopy(self.master)
        self.accepted: dict[str, int] = {}
        self.outside: dict[Position, str] = {}
        """Entries of publishers who will not come back, and that no process has delivered yet."""
        self.links: list[Link] = []
        self.clock = 0

    def replicate(self) -> None:
        self.replica = copy.deepcopy(self.master)

    def publish_from_outside(self, data: str) -> None:
        """A process that only publishes, and dies right after: if a process has delivered it, that one
        answers for it.
        """
        entry = self.master.append(Draft(TOPIC, TEXT, data, None, Retention()))
        assert entry is not None
        self.outside[entry.position] = data
        self.clock += 1
        self.accepted[data] = self.clock
        for link in self.links:
            if link.store is self.master and link.subscribed:
                link.messages.append(entry)

    def promote(self) -> None:
        """The replica is master now, however stale; who is connected stays with the old one until he
        reconnects.
        """
        self.master = copy.deepcopy(self.replica)
        for position, data in list(self.outside.items()):
            if not self.master.has(position):  # its publisher died, nobody has seen it: nobody can miss it
                del self.outside[position]
                self.accepted.pop(data)


class Link:
    """One process's connection to the broker: a `Log`."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.store = broker.master
        self.listener: Listener | None = None
        self.subscribed = False
        self.requests: deque[Callable[[], None]] = deque()
        self.unsent: deque[Draft] = deque()
        self.replies: deque[Callable[[], None]] = deque()
        self.reading: list[Callable[[Page | None], None]] = []
        self.messages: deque[Entry] = deque()
        self.acknowledged: tuple[int, Position] | None = None
        broker.links.append(self)

    # -- the port --------------------------------------------------------------------------------------------

    def append(self, draft: Draft) -> None:
        self.unsent.append(draft)

    def read(self, query: Query, done: Callable[[Page | None], None]) -> None:
        self.reading.append(done)

        def execute() -> None:
            page = self.store.page(query)

            def reply() -> None:
                if done in self.reading:
                    self.reading.remove(done)
                    done(page)

            self.replies.append(reply)

        self.requests.append(execute)

    def watch(self, topic: str, listener: Listener) -> Callable[[], None]:
        self.listener = listener
        self.subscribed = False
        self.requests.append(self.acknowledge)
        return lambda: None

    async def close(self) -> None:
        pass

    # -- what happens ----------------------------------------------------------------------------------------

    def acknowledge(self) -> None:
        self.subscribed = True
        listener = self.listener
        assert listener is not None
        self.replies.append(listener.dirty)

    def execute_append(self) -> None:
        if not self.unsent:
            return
        draft = self.unsent.popleft()
        entry = self.store.append(draft)
        if entry is None:
            return
        self.acknowledged = (self.store.lineage, entry.position)
        self.broker.clock += 1
        if draft.kind == TEXT:
            self.broker.accepted[draft.data] = self.broker.clock
        for link in self.broker.links:
            if link.store is self.store and link.subscribed:
                link.messages.append(entry)

    def execute(self) -> None:
        if self.requests:
            self.requests.popleft()()

    def reply(self) -> None:
        if self.replies:
            self.replies.popleft()()

    def deliver(self, *, twice: bool = False) -> None:
        if self.messages and self.listener is not None:
            entry = self.messages.popleft()
            self.listener.arrived(entry)
            if twice:
                self.listener.arrived(entry)

    def lose(self) -> None:
        """Redis dropped messages for a reader that lagged, and closed its connection."""
        self.messages.clear()
        self.reconnect()

    def reconnect(self) -> None:
        """The connection broke: what was under way is gone; the new one leads to the present master."""
        self.requests.clear()
        self.replies.clear()
        self.messages.clear()
        reading, self.reading = self.reading, []
        moved = self.store is not self.broker.master
        self.store = self.broker.master
        self.subscribed = False
        if moved and self.acknowledged is not None:
            (lineage, lost), self.acknowledged = self.acknowledged, None
            trimmed = lineage == self.store.lineage and seq_of(lost) < seq_of(self.store.base)
            if not trimmed and not self.store.has(lost):
                # A publisher whose acknowledged id is missing has lost a publish.
                self.append(
                    Draft(TOPIC, GAP, gap_data("withdrawn", lost), None, Retention(), key=f"lost {lost}")
                )
        if self.listener is not None:
            self.requests.append(self.acknowledge)
        for done in reading:
            done(None)

    def idle(self) -> bool:
        return not (self.requests or self.replies or self.messages or self.unsent)


class Process:
    """A process: a `Host` with one topic."""

    def __init__(self, broker: Broker) -> None:
        self.link = Link(broker)
        self.broker = broker
        self.turns: deque[Callable[[], None]] = deque()
        self.waiting: list[Callable[[], None]] = []
        self.begin()

    def begin(self) -> None:
        self.rings = MemoryBudget(int(3.5 * OVERHEAD))  # three entries or so
        self.fanout = FanOut(self.turns.append)
        self.local = LocalTopic(TOPIC, self, self)

    @property
    def resident(self) -> MemoryLog | None:
        return None

    @property
    def log(self) -> Link:
        return self.link

    def retention_of(self, topic: str) -> Retention:
        return Retention(age=float("inf"))

    def clock(self) -> float:
        return 0.0

    def soon(self, action: Callable[[], None]) -> object:
        self.turns.append(action)
        return None

    def later(self, action: Callable[[], None]) -> object:
        self.waiting.append(action)
        return None

    def lost(self, gap: Gap) -> None:
        pass

    def unused(self, topic: LocalTopic) -> None:
        pass

    def counted(self, what: str) -> None:
        pass

    # -- what happens ----------------------------------------------------------------------------------------

    def publish(self, data: str) -> None:
        self.link.append(Draft(TOPIC, TEXT, data, None, Retention()))

    def turn(self) -> None:
        if self.turns:
            self.turns.popleft()()

    def retry(self) -> None:
        waiting, self.waiting = self.waiting, []
        for action in waiting:
            action()

    def idle(self) -> bool:
        return self.link.idle() and not self.turns and not self.waiting


class Client:
    """A client with a cursor that connects and disconnects."""

    def __init__(self, name: str, broker: Broker) -> None:
        self.name = name
        self.broker = broker
        self.cursor: Position | None = None
        self.past: Position | None = None
        self.reader: Reader | None = None
        self.again: Callable[[], None] | None = None
        self.got: list[str | Gap] = []
        self.times: list[int] = []
        self.since: int | None = None

    def connect(self, process: Process) -> None:
        assert self.reader is None
        self.process = process
        self.reader = Reader(process.local, process, self, self.receive, after=self.cursor, past=self.past)
        self.reader.locate()

    def cut(self) -> None:
        if self.reader is not None:
            reader, self.reader, self.again = self.reader, None, None
            reader.close()

    def drain(self) -> None:
        if self.again is not None:
            again, self.again = self.again, None
            again()

    def receive(self, event: ServerSentEvent) -> None:
        mark = event.position
        assert isinstance(mark, Mark)
        self.move(mark.position)
        self.got.append(event.data)
        self.times.append(self.broker.clock)

    def move(self, position: Position) -> None:
        self.cursor = position
        if self.past is not None and seq_of(position) >= seq_of(self.past):
            self.past = None

    # -- the sink --------------------------------------------------------------------------------------------

    def located(self, reader: Reader) -> None:
        assert reader.replay is not None
        if self.since is None:
            self.since = self.broker.clock
            # The position of this process may be behind the broker's: what it has not seen yet is still to
            # come.
            behind = [
                e
                for e in self.broker.master.entries
                if seq_of(e.position) > seq_of(reader.replay.position) and e.kind == TEXT
            ]
            if behind:
                self.since = min(self.broker.accepted.get(e.data, self.since) for e in behind) - 1
        if reader.replay.gap is None:
            self.cursor = reader.replay.position
        reader.go()

    def begins(self, reader: Reader) -> bool:
        return True

    def caught_up(self, reader: Reader) -> None:
        pass

    def missed(self, reader: Reader, gap: Gap) -> None:
        assert gap.next is not None
        had = max(self.past or gap.next, self.cursor or gap.next)
        self.cursor = gap.next
        self.past = had if seq_of(had) > seq_of(gap.next) and gap.reason != "reset" else None
        reader.mind(self.past)
        self.got.append(gap)
        self.times.append(self.broker.clock)

    def strayed(self, reader: Reader) -> None:
        self.cut()
        self.process.soon(self.return_)

    def return_(self) -> None:
        if self.reader is None:
            self.connect(self.process)

    def passed(self, reader: Reader, entry: Entry) -> None:
        self.move(entry.position)

    def ended(self, reader: Reader, entry: Entry | None) -> None:
        raise AssertionError("no source ends it")

    def room(self, again: Callable[[], None]) -> bool:
        self.again = again
        return False

    def live_only(self) -> None:
        pass

    def replaying(self, begun: bool) -> None:
        pass

    def failed(self, reader: Reader, error: Exception) -> None:
        raise AssertionError from error
