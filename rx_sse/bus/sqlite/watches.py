"""The topics watched in this process, and the last id whose entries their watchers have got.

Ids are in the order of the commits of all processes, without holes. Entries stored by this process are
delivered as they are, unless entries of other processes precede them; then both are read, in the order of
ids.

Never: an entry is delivered before one with a lower id.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from math import inf

from rx_sse.bus.log.entry import Entry, TracedEntry
from rx_sse.bus.log.port import Listener
from rx_sse.bus.sqlite.pages import News
from rx_sse.bus.sqlite.stored import Stored


class Watches:
    """All watched topics of a process. Loop thread only, unless stated otherwise.

    Args:
        clock: monotonic seconds.
        life: seconds that an unused topic is kept.

    Attributes:
        seen: the id up to which entries were delivered; None until the file is read. Read on any thread.
        restarts: how often all watchers had to read the log again.
    """

    __slots__ = ("_clock", "_life", "_touched", "_watched", "restarts", "seen")

    def __init__(self, clock: Callable[[], float], life: Callable[[str], float]) -> None:
        self._clock = clock
        self._life = life
        self._watched: dict[str, tuple[Listener, float]] = {}
        # By the seconds within which they are to be touched: when they were.
        self._touched: dict[float, OrderedDict[str, float]] = {}
        self.seen: int | None = None
        self.restarts = 0

    def __len__(self) -> int:
        return len(self._watched)

    def watch(self, topic: str, listener: Listener) -> Callable[[], None]:
        """Deliver new entries of a topic, until the returned function is called."""
        self._add(topic, listener, self._clock())

        def stop() -> None:
            if (found := self._watched.get(topic)) is not None and found[0] is listener:
                del self._watched[topic]
                self._touched[found[1]].pop(topic, None)

        return stop

    def retained(self) -> None:
        """The lives of topics may have changed; all are due."""
        watched = list(self._watched.items())
        self._touched.clear()
        for topic, (listener, _) in watched:
            self._add(topic, listener, -inf)

    def _add(self, topic: str, listener: Listener, touched: float) -> None:
        pace = max(self._life(topic) / 4, 0.5)
        self._watched[topic] = (listener, pace)
        self._touched.setdefault(pace, OrderedDict())[topic] = touched

    def clear(self) -> None:
        """Remove all watches."""
        self._watched.clear()
        self._touched.clear()
        self.seen = None

    def begin(self, last: int) -> None:
        """The file's last id is known; its content may be arbitrary: all watchers read."""
        self.seen = last
        if self._watched:
            self.restarts += 1
        for listener, _ in list(self._watched.values()):
            listener.dirty()

    def stored(self, stored: Stored, at: float) -> bool:
        """Deliver entries stored by this process; False if entries of other processes precede them."""
        seen, last = self.seen, stored.last
        if seen is None or last <= seen:
            return True
        if stored.first > seen + 1:
            return False
        drafts, positions, before = stored.drafts, stored.positions, stored.before
        if known := seen + 1 - stored.first:
            drafts, positions, before = drafts[known:], positions[known:], before[known:]
        watched = self._watched
        self.seen = last
        for draft, position, prev in zip(drafts, positions, before, strict=True):
            if (found := watched.get(draft.topic)) is not None:
                if draft.trace is None:
                    entry = Entry(position, prev, draft.kind, draft.data, draft.event, at)
                else:
                    entry = TracedEntry(position, prev, draft.kind, draft.data, draft.event, at, draft.trace)
                found[0].arrived(entry)
        return True

    def news(self, entries: Sequence[News]) -> None:
        """Deliver entries that were read."""
        if self.seen is None:
            return
        for id, topic, entry in entries:
            if id > self.seen:
                self.seen = id
                if (found := self._watched.get(topic)) is not None:
                    found[0].arrived(entry)

    def due(self, *, everything: bool = False) -> list[str]:
        """The topics that were not touched for a quarter of their life, or all; they count as touched now."""
        now = self._clock()
        topics: list[str] = []
        for pace, table in self._touched.items():
            for _ in range(len(table)):
                topic, touched = next(iter(table.items()))
                if touched + pace > now and not everything:
                    break
                table[topic] = now
                table.move_to_end(topic)
                topics.append(topic)
        return topics
