"""The log of one process, in memory.

Everything is immediate: an append numbers, stores, trims and notifies the watcher before it returns. Topics
are kept in the order of their last use (`lives`), so dropping old topics looks at these only: no timer and no
task for each topic.

A topic that was only read leaves nothing behind: the nonce of a beginning is computed from its name, so it is
the same whenever the topic is read again (`_Beginnings`), and the cursor of a client that has seen no event
yet stays valid.

Never: history is dropped silently. A topic keeps its position while it lives, and a topic whose life is over
gets a new beginning with a new nonce, so a cursor into the dropped history is never accepted as valid.
"""

from __future__ import annotations

import hashlib
import os
import time
from array import array
from collections import OrderedDict
from collections.abc import Callable

from rx_sse.bus.log.entry import END, Draft, Entry, TracedEntry
from rx_sse.bus.log.history import History, MemoryBudget
from rx_sse.bus.log.idempotency import fingerprint
from rx_sse.bus.log.lease import NO_LEASE, LocalLeases
from rx_sse.bus.log.lives import Lives
from rx_sse.bus.log.port import Listener, Page, Query, Watched
from rx_sse.bus.log.position import SHIFT, Nonces, Position, ref_of, seq_of
from rx_sse.bus.log.retention import Retention
from rx_sse.bus.names import CONTROL, run_of
from rx_sse.errors import Overloaded, PublishRefused

MAX_BYTES = 256 * 1024 * 1024
"""History of all topics together."""
MAX_TOPICS = 1_000_000
MAX_KEYS = 1_000_000
TOPIC_COST = 640
"""Bytes that a topic takes beside its entries: its name, the object, its list, its slots in two tables.
`tests/bus/log/test_memory.py` compares it with the memory of the process."""
PASSES = 4
"""Topics examined to make room for a new one: the oldest may be watched, and are then not forgotten."""
SLICE = 0.004
"""Seconds of the loop that one sweep takes at most."""
GENERATIONS = 65_536


class _Beginnings:
    """The nonces of beginnings: a keyed hash of the topic's name and of the number of forgotten topics with
    entries in its slot of a table of fixed size. So a topic that had entries never begins with the same nonce
    again, and a topic without entries always does.
    """

    __slots__ = ("_generations", "_key")

    def __init__(self) -> None:
        self._key = os.urandom(16)
        self._generations: array[int] | None = None

    def nonce(self, topic: str) -> int:
        """The nonce of a beginning of `topic` now."""
        digest = self._digest(topic, b"")
        if (generations := self._generations) is not None and (count := generations[_slot(digest)]):
            digest = self._digest(topic, count.to_bytes(8))
        return int.from_bytes(digest[2:8]) or 1

    def forget(self, topic: str) -> None:
        """A topic that had entries was forgotten."""
        if self._generations is None:
            self._generations = array("Q", bytes(8 * GENERATIONS))
        self._generations[_slot(self._digest(topic, b""))] += 1

    def _digest(self, topic: str, generation: bytes) -> bytes:
        return hashlib.blake2b(topic.encode(), digest_size=8, key=self._key, salt=generation).digest()


def _slot(digest: bytes) -> int:
    return int.from_bytes(digest[:2])


class _Topic(History):
    """The state of one topic."""

    __slots__ = ("ended", "lineage", "listener", "log", "name", "touched")

    def __init__(self, log: MemoryLog, name: str, nonce: int, budget: MemoryBudget, now: float) -> None:
        super().__init__(ref_of(name), Position(nonce), log.retention, budget)
        self.log = log
        self.name = name
        self.lineage = nonce
        self.listener: Listener | None = None
        self.touched = now
        self.ended = False

    @property
    def history(self) -> History:
        """It is its own history."""
        return self

    def __call__(self) -> None:
        """Stop notifying: `watch` returns the topic itself, which saves an object."""
        self.listener = None
        self.log.unwatched(self)


class MemoryLog:
    """A log in the memory of this process.

    Args:
        retention: how much of a topic is kept until a draft sets its own.
        max_bytes: bytes of all topics; beyond it the topics appended to least recently lose their oldest
            entries.
        max_topics: beyond it the least recently used topics are forgotten, unless they are watched.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        retention: Retention | None = None,
        *,
        max_bytes: int = MAX_BYTES,
        max_topics: int = MAX_TOPICS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.retention = retention or Retention()
        self._clock = clock
        self._max_topics = max_topics
        self._beginnings = _Beginnings()
        self._nonces = Nonces()
        self._budget = MemoryBudget(max_bytes)
        # The library's own topics: users' history never pushes a revocation out.
        self._own = MemoryBudget(max_bytes)
        self._topics: Lives[_Topic] = Lives(self.retention.age)
        self._keys: OrderedDict[str, tuple[float, str, Position]] = OrderedDict()
        self.leases = LocalLeases(clock, self._count)

    @property
    def topics(self) -> int:
        """Number of topics."""
        return len(self._topics)

    @property
    def size(self) -> int:
        """Bytes of history."""
        return self._budget.size

    @property
    def own_size(self) -> int:
        """Bytes of the library's own topics."""
        return self._own.size

    def append(self, draft: Draft) -> None:
        """Store an entry, trim the topic, notify its watcher."""
        now = self._clock()
        if draft.claim is not None and not self.leases.table.admits(run_of(draft.topic), draft.claim):
            if draft.settle is not None:
                draft.settle(PublishRefused(NO_LEASE))
            return
        print_of = ""
        if draft.key is not None:
            print_of = fingerprint(draft.kind, draft.event, draft.data)
            if (outcome := self._seen(draft.key, print_of, now)) is not None:
                if draft.settle is not None:
                    draft.settle(outcome)
                return
        topic = self._topics.common.get(draft.topic)
        if topic is None:
            topic = self._topics.get(draft.topic)
        if topic is None or topic.listener is None:  # a watched topic lives as long as it is watched
            topic = self._touch(draft.topic, now)
        nonces = self._nonces.ready
        prev = topic.head
        nonce = nonces.pop() if nonces else self._nonces.next()
        position = Position(((prev >> SHIFT) + 1) << SHIFT | nonce)
        if draft.trace is None:
            entry = Entry(position, prev, draft.kind, draft.data, draft.event, now)
        else:
            entry = TracedEntry(position, prev, draft.kind, draft.data, draft.event, now, draft.trace)
        if topic.kept is not draft.retention:
            self._topics.keep(topic, draft.retention)
        topic.ended = draft.kind == END
        topic.append(entry, now)
        if draft.key is not None:
            self._keys.pop(draft.key, None)
            self._keys[draft.key] = (now + draft.key_life, print_of, entry.position)
        if draft.settle is not None:
            draft.settle(entry.position)
        if topic.listener is not None:
            topic.listener.arrived(entry)

    def read(self, query: Query, done: Callable[[Page | None], None]) -> None:
        """Answer at once."""
        now = self._clock()
        topic = self._touch(query.topic, now)
        topic.trim(now)
        if query.after is None:
            index = max(len(topic) - query.last, 0)
        elif (found := topic.find(query.after)) is not None:
            index = found
        else:
            index = topic.after(seq_of(query.after))
        entries = topic.slice(index, query.max_entries, query.max_bytes)
        page = Page(topic.lineage, topic.base, topic.head, topic.position(index), entries, topic.ended)
        self.unwatched(topic)
        done(page)

    def watch(self, topic: str, listener: Listener) -> Callable[[], None]:
        """Notify `listener` of every append, inside it."""
        return self._watch(topic, listener)

    def watched(self, topic: str, listener: Listener) -> Watched:
        """`watch`, with the topic as it is."""
        return self._watch(topic, listener)

    def unwatched(self, topic: _Topic) -> None:
        """Restart the life of a topic that is no longer watched; a topic that never had an entry is
        removed."""
        if topic.listener is None and self._topics.get(topic.name) is topic:
            if seq_of(topic.head):
                self._touch(topic.name, self._clock())
            else:
                self._forget(topic)

    async def open(self) -> None:
        """A bus starts, perhaps in a child of a fork: draw nonces anew."""
        self._nonces = Nonces()

    async def close(self) -> None:
        """Discard everything."""
        self._topics.clear()
        self._keys.clear()
        self.leases.clear()
        self._beginnings = _Beginnings()
        self._budget = MemoryBudget(self._budget.max_bytes)
        self._own = MemoryBudget(self._own.max_bytes)

    def sweep(self) -> bool:
        """Drop expired topics and idempotency keys; True if there is more to do."""
        now = self._clock()
        end = time.perf_counter() + SLICE
        self._shrink()  # records the present sizes
        for name in self.leases.table.over():
            if (run := self._topics.get(name)) is None:
                continue
            if run.listener is None:
                self._forget(run)
            else:
                self.leases.table.postpone(name)
        while (topic := self._topics.over(now)) is not None:
            self._pass_over(topic, now)
            if time.perf_counter() > end:
                return True
        while self._keys and next(iter(self._keys.values()))[0] <= now:
            self._keys.popitem(last=False)
        self._shrink()
        return False

    def _watch(self, topic: str, listener: Listener) -> _Topic:
        watched = self._touch(topic, self._clock())
        watched.listener = listener
        return watched

    def _count(self, topic: str) -> int:
        found = self._topics.get(topic)
        return 0 if found is None else seq_of(found.head)

    def _shrink(self) -> None:
        self._topics.shrink()
        self._budget.shrink()
        if not self._keys:
            self._keys = OrderedDict()

    def _pass_over(self, topic: _Topic, now: float) -> None:
        """Forget the least recently used topic; if it is watched, restart its life instead."""
        if topic.listener is not None:
            topic.trim(now)
            self._touch(topic.name, now)
        else:
            self._forget(topic)

    def _forget(self, topic: _Topic) -> None:
        if seq_of(topic.head):
            self._beginnings.forget(topic.name)
        topic.clear(topic.head)
        topic.budget.size -= TOPIC_COST
        self._topics.remove(topic)

    def _touch(self, name: str, now: float) -> _Topic:
        topic = self._topics.get(name)
        if topic is not None:
            if topic.listener is not None or topic.touched + topic.kept.age > now:
                self._topics.touch(topic, now)
                return topic
            self._forget(topic)  # expired, but not yet swept
        return self._begin(name, now)

    def _begin(self, name: str, now: float) -> _Topic:
        budget = self._own if name.startswith(CONTROL) else self._budget
        for _ in range(PASSES):
            room = budget.size + TOPIC_COST <= budget.max_bytes or budget.used
            if room and len(self._topics) < self._max_topics:
                break
            oldest = self._topics.oldest()
            if oldest is None:
                break
            self._pass_over(oldest, now)
        budget.size += TOPIC_COST
        if budget.size > budget.max_bytes:
            budget.evict()
        topic = _Topic(self, name, self._beginnings.nonce(name), budget, now)
        self._topics.put(topic)
        return topic

    def _seen(self, key: str, print_of: str, now: float) -> Position | Exception | None:
        """The result of the earlier append with this key, if there was one."""
        known = self._keys.get(key)
        if known is None or known[0] <= now:
            # Each key is kept for as long as promised; a key that cannot be kept so long is refused.
            return Overloaded("too many idempotency keys in use") if len(self._keys) >= MAX_KEYS else None
        if known[1] != print_of:
            return PublishRefused("this idempotency key was used with another payload")
        return known[2]
