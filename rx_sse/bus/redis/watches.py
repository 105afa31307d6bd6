"""The topics that somebody here listens to, and how far each of them has been handed over.

Announcements are hints: what counts is the log. So after a subscription has been acknowledged, and again
and again, the last position of a topic is compared with the last one that was handed over or reported;
where they differ, its listener is told to read the log. What differs, costs a read; what does not, a share
of one command.

Standard: resume rules §5.
Never: a question for every topic at once. A thousand a second, those with traffic first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from rx_sse.bus.cursor import Position
from rx_sse.bus.entry import Entry
from rx_sse.bus.log import Listener
from rx_sse.bus.redis.codec import At, announced, last_of

PER_SECOND = 1000
"""Topics compared in a second: two commands."""


class Watch:
    """A topic with a listener.

    Attributes:
        listener: who is told.
        head: the last position that was handed over, or that the listener was told to read up to.
    """

    __slots__ = ("channel", "head", "listener", "topic")

    def __init__(self, topic: str, channel: str, listener: Listener) -> None:
        self.topic = topic
        self.channel = channel
        self.listener = listener
        self.head: Position | None = None

    def dirty(self, head: Position | None) -> None:
        """Something is in the log that was not handed over, up to `head` as far as is known."""
        self.head = head
        self.listener.dirty()


class Watches:
    """All of a process."""

    __slots__ = ("_active", "_by_channel", "_by_topic", "_order", "_placed", "repaired")

    def __init__(self) -> None:
        self._by_topic: dict[str, Watch] = {}
        self._by_channel: dict[bytes, Watch] = {}
        self._active: dict[str, None] = {}
        self._order: deque[str] = deque()
        self._placed: set[str] = set()
        self.repaired = 0

    def __len__(self) -> int:
        return len(self._by_topic)

    def add(self, topic: str, channel: str, listener: Listener) -> Watch:
        """Watch a topic."""
        watch = self._by_topic[topic] = self._by_channel[channel.encode()] = Watch(topic, channel, listener)
        if topic not in self._placed:
            self._placed.add(topic)
            self._order.append(topic)
        return watch

    def remove(self, watch: Watch) -> bool:
        """Watch it no more; False if somebody else does by now."""
        if self._by_topic.get(watch.topic) is not watch:
            return False
        del self._by_topic[watch.topic]
        del self._by_channel[watch.channel.encode()]
        self._active.pop(watch.topic, None)
        return True

    def get(self, topic: str) -> Watch | None:
        """The watch of a topic."""
        return self._by_topic.get(topic)

    def topics_of(self, channels: Iterable[str]) -> list[str]:
        """The topics of channels, as far as they are watched."""
        watches = (self._by_channel.get(channel.encode()) for channel in channels)
        return [watch.topic for watch in watches if watch is not None]

    def topics(self) -> list[str]:
        """All of them."""
        return list(self._by_topic)

    def message(self, channel: bytes, text: bytes, at: At) -> None:
        """An announcement: hand its entries over, unless they were."""
        watch = self._by_channel.get(channel)
        if watch is None:
            return
        last = last_of(text)
        if last is None:
            watch.dirty(watch.head)
        elif last != watch.head:
            self._active[watch.topic] = None
            self.hand(watch, announced(text, at))

    def hand(self, watch: Watch, entries: Sequence[Entry]) -> None:
        """Entries in a row, which the listener may have by now."""
        watch.head = entries[-1].position
        for entry in entries:
            watch.listener.arrived(entry)

    def own(self, topic: str, entries: Sequence[Entry]) -> None:
        """Entries that this process stored. Their announcement follows; it is not waited for, unless others'
        entries are before them.
        """
        watch = self._by_topic.get(topic)
        if watch is not None and (watch.head is None or watch.head == entries[0].prev):
            self.hand(watch, entries)

    def compare(self, topic: str, head: Position | None) -> None:
        """What the log says the last position is; None: it does not know the topic."""
        watch = self._by_topic.get(topic)
        if watch is not None and (head is None or watch.head != head):
            self.repaired += 1
            watch.dirty(head)

    def asked(self, topic: str, head: Position) -> None:
        """A page was read for somebody: what it says about the last position is news to the listener too."""
        watch = self._by_topic.get(topic)
        if watch is None or watch.head == head:
            return
        if watch.head is None:
            watch.head = head

    def due(self) -> list[str]:
        """The topics to compare in this second."""
        chosen = dict.fromkeys(list(self._active)[: PER_SECOND // 2])
        for topic in chosen:
            del self._active[topic]
        for _ in range(min(PER_SECOND - len(chosen), len(self._order))):
            topic = self._order.popleft()
            if topic in self._by_topic:
                self._order.append(topic)
                chosen[topic] = None
            else:
                self._placed.discard(topic)
        return [topic for topic in chosen if topic in self._by_topic]

    @property
    def worst(self) -> float:
        """Seconds after which an announcement that was lost is made good at the latest."""
        return max(1.0, len(self._order) * 2 / PER_SECOND)
