"""The log of one process, in memory.

Everything is immediate: an append numbers, stores, trims and tells the watcher before it returns. Topics
stand in the order in which they were last touched, and all have nearly the same life, so letting the old ones
go looks at the old ones only: no timer and no task for a topic.

Standard: the port of `log`.
Never: history that went is forgotten in silence. A topic keeps its position while it lives, and a topic whose
life is over gets a new beginning with a new nonce, so a cursor into what is gone is never taken for valid.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable

from rx_sse.bus.cursor import Position, new_nonce
from rx_sse.bus.entry import END, Entry
from rx_sse.bus.log import Draft, Listener, Page, Query, Retention
from rx_sse.bus.names import CONTROL
from rx_sse.bus.run import Budget, Run, shrunk
from rx_sse.errors import Overloaded, PublishRefused

MAX_BYTES = 256 * 1024 * 1024
"""History of all topics together."""
MAX_TOPICS = 1_000_000
"""Topics that are remembered; one without entries takes about 0.4 KB."""
MAX_KEYS = 1_000_000
PASSES = 4
"""Topics looked at for one that may be forgotten when a new one finds no room: the oldest may be watched."""
SLICE = 0.004
"""Seconds of the loop that one sweep takes at most."""


class _Topic:
    """What is known of one topic."""

    __slots__ = ("budget", "ended", "lineage", "listener", "retention", "run", "touched")

    def __init__(self, retention: Retention, budget: Budget, now: float) -> None:
        self.budget = budget
        self.lineage = new_nonce()
        self.run = Run(Position(0, self.lineage))
        self.retention = retention
        self.listener: Listener | None = None
        self.touched = now
        self.ended = False


class MemoryLog:
    """A log in the memory of this process.

    Args:
        retention: how much of a topic is kept until a draft says otherwise.
        max_bytes: of all topics; beyond it the topics touched least recently lose their oldest entries.
        max_topics: beyond it the topics touched least recently are forgotten, unless they are watched.
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
        self._retention = retention or Retention()
        self._clock = clock
        self._max_topics = max_topics
        self._budget = Budget(max_bytes)
        self._own = Budget(
            max_bytes
        )  # the library's own topics: users' history never pushes a revocation out
        self._topics: OrderedDict[str, _Topic] = OrderedDict()
        self._peak = 0
        self._keys: OrderedDict[str, tuple[float, bytes, Position]] = OrderedDict()

    @property
    def topics(self) -> int:
        """Topics that are remembered."""
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
        """Store an entry, trim the topic, tell its watcher."""
        now = self._clock()
        print_of: bytes = b""
        if draft.key is not None:
            print_of = _fingerprint(draft)
            if (outcome := self._seen(draft.key, print_of, now)) is not None:
                if draft.settle is not None:
                    draft.settle(outcome)
                return
        topic = self._touch(draft.topic, now)
        run = topic.run
        prev = run.head
        entry = Entry(Position(prev.seq + 1, draft.nonce), prev, draft.kind, draft.data, draft.event, now)
        topic.retention = draft.retention
        topic.ended = draft.kind == END
        topic.budget.append(run, entry)
        self._trim(topic, now)
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
        self._trim(topic, now)
        run = topic.run
        if query.after is None:
            index = max(len(run) - query.last, 0)
        elif (found := run.find(query.after)) is not None:
            index = found
        else:
            index = run.after(query.after.seq)
        entries = run.slice(index, query.max_entries, query.max_bytes)
        done(Page(topic.lineage, run.base, run.head, run.position(index), entries, topic.ended))

    def watch(self, topic: str, listener: Listener) -> Callable[[], None]:
        """Tell `listener` of every append, inside it."""
        watched = self._touch(topic, self._clock())
        watched.listener = listener

        def stop() -> None:
            if watched.listener is listener:
                self._touch(
                    topic, self._clock()
                )  # while it is watched: its life begins again, it is not made anew
                watched.listener = None

        return stop

    async def close(self) -> None:
        """Forget everything."""
        self._topics.clear()
        self._keys.clear()
        self._budget = Budget(self._budget.max_bytes)
        self._own = Budget(self._own.max_bytes)

    def sweep(self) -> bool:
        """Let the topics go whose life is over, and idempotency keys that are; True if there is more to
        do.
        """
        now = self._clock()
        end = time.perf_counter() + SLICE
        self._shrink()  # notes how much there is
        while self._topics:
            name, topic = next(iter(self._topics.items()))
            if topic.touched + topic.retention.age > now:
                break
            self._pass_over(name, topic, now)
            if time.perf_counter() > end:
                return True
        while self._keys and next(iter(self._keys.values()))[0] <= now:
            self._keys.popitem(last=False)
        self._shrink()
        return False

    def _shrink(self) -> None:
        self._topics, self._peak = shrunk(self._topics, self._peak)
        self._budget.shrink()
        if not self._keys:
            self._keys = OrderedDict()

    def _pass_over(self, name: str, topic: _Topic, now: float) -> None:
        """Let the topic touched least recently go; one that is watched begins its life again."""
        if topic.listener is not None:
            self._trim(topic, now)
            self._touch(name, now)
        else:
            topic.budget.clear(topic.run, topic.run.head)
            del self._topics[name]

    def _touch(self, name: str, now: float) -> _Topic:
        topic = self._topics.get(name)
        if topic is not None and topic.listener is None and topic.touched + topic.retention.age <= now:
            topic.budget.clear(topic.run, topic.run.head)  # over, if not yet swept
            topic = None
        if topic is None:
            for _ in range(PASSES):
                if len(self._topics) < self._max_topics:
                    break
                self._pass_over(*next(iter(self._topics.items())), now)
            budget = self._own if name.startswith(CONTROL) else self._budget
            topic = self._topics[name] = _Topic(self._retention, budget, now)
        topic.touched = now
        self._topics.move_to_end(name)
        return topic

    def _trim(self, topic: _Topic, now: float) -> None:
        run, kept = topic.run, topic.retention
        while run and (len(run) > kept.entries or run.size > kept.bytes or run.first().at + kept.age <= now):
            topic.budget.drop_first(run)

    def _seen(self, key: str, print_of: bytes, now: float) -> Position | Exception | None:
        """What became of the append that had this key before, if one had."""
        known = self._keys.get(key)
        if known is None or known[0] <= now:
            # Each key is remembered for as long as was promised; what cannot be promised is not accepted.
            return Overloaded("too many idempotency keys in use") if len(self._keys) >= MAX_KEYS else None
        if known[1] != print_of:
            return PublishRefused("this idempotency key was used with another payload")
        return known[2]


def _fingerprint(draft: Draft) -> bytes:
    """What must be the same when an idempotency key is used again."""
    return hashlib.sha256(f"{draft.kind}\n{draft.event or ''}\n{draft.data}".encode()).digest()
