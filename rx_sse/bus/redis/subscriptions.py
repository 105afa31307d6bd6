"""The channels that this process is subscribed to, and the last delivered position of each topic.

Announcements are hints; the log decides. So after a subscription has been acknowledged, and periodically, the
last position of a topic is compared with the last position that was delivered or reported; where they differ,
its listener is notified to read the log. A difference costs a read; equality costs a share of one command.

Standard: docs/resume.md §5.
Never: all topics are queried at once. A thousand a second, those with traffic first.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from rx_sse.bus.log.entry import Entry
from rx_sse.bus.log.port import Listener
from rx_sse.bus.log.position import Position
from rx_sse.bus.redis.protocol.codec import At, announced, last_of

PER_SECOND = 1000
"""Topics compared in a second: two commands."""
STAYS = 60.0
"""Seconds after which a topic counts as listened to permanently. Where a reader subscribed and left at once,
the topic lingers for 30 s (`topics`).
"""


class Subscription:
    """A topic with a listener.

    Args:
        topic: its name.
        channel: the channel that announces its entries.
        listener: gets them.
        since: the time of the subscription, in monotonic seconds.

    Attributes:
        head: the last position that was delivered, or up to which the listener was notified to read.
    """

    __slots__ = ("channel", "head", "listener", "since", "topic")

    def __init__(self, topic: str, channel: str, listener: Listener, since: float) -> None:
        self.topic = topic
        self.since = since
        self.channel = channel
        self.listener = listener
        self.head: Position | None = None

    def dirty(self, head: Position | None) -> None:
        """The log has entries that were not delivered, up to `head` as far as known."""
        self.head = head
        self.listener.dirty()


class Subscriptions:
    """All subscriptions of a process.

    Args:
        clock: monotonic seconds.

    Attributes:
        repaired: topics whose last position in the log was not the last announced.
    """

    __slots__ = ("_active", "_by_channel", "_by_topic", "_clock", "_order", "_placed", "repaired")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._by_topic: dict[str, Subscription] = {}
        self._by_channel: dict[bytes, Subscription] = {}
        self._active: dict[str, None] = {}
        self._order: deque[str] = deque()
        self._placed: set[str] = set()
        self.repaired = 0

    def __len__(self) -> int:
        return len(self._by_topic)

    def add(self, topic: str, channel: str, listener: Listener) -> Subscription:
        """Subscribe to a topic."""
        subscription = Subscription(topic, channel, listener, self._clock())
        self._by_topic[topic] = self._by_channel[channel.encode()] = subscription
        if topic not in self._placed:
            self._placed.add(topic)
            self._order.append(topic)
        return subscription

    def remove(self, subscription: Subscription) -> bool:
        """End it; False if another subscription has its topic by now."""
        if self._by_topic.get(subscription.topic) is not subscription:
            return False
        del self._by_topic[subscription.topic]
        del self._by_channel[subscription.channel.encode()]
        self._active.pop(subscription.topic, None)
        return True

    def get(self, topic: str) -> Subscription | None:
        """The subscription of a topic."""
        return self._by_topic.get(topic)

    def topics_of(self, channels: Iterable[str]) -> list[str]:
        """The topics of these channels, as far as they are subscribed to."""
        found = (self._by_channel.get(channel.encode()) for channel in channels)
        return [it.topic for it in found if it is not None]

    def stays(self, topic: str) -> bool:
        """Whether a topic has been listened to for long enough to be kept as long as any other."""
        subscription = self._by_topic.get(topic)
        return subscription is not None and self._clock() - subscription.since > STAYS

    def topics(self) -> list[str]:
        """All of them."""
        return list(self._by_topic)

    def message(self, channel: bytes, text: bytes, at: At) -> None:
        """An announcement: deliver its entries, unless they already were."""
        subscription = self._by_channel.get(channel)
        if subscription is None:
            return
        last = last_of(text)
        if last is None:
            subscription.dirty(subscription.head)
        elif last != subscription.head:
            self._active[subscription.topic] = None
            self.hand(subscription, announced(text, at))

    def hand(self, subscription: Subscription, entries: Sequence[Entry]) -> None:
        """Deliver entries in a row, which the listener may already have."""
        subscription.head = entries[-1].position
        for entry in entries:
            subscription.listener.arrived(entry)

    def own(self, topic: str, entries: Sequence[Entry]) -> None:
        """Deliver entries that this process stored, without waiting for their announcement, unless entries of
        other processes precede them.
        """
        subscription = self._by_topic.get(topic)
        if subscription is not None and (subscription.head is None or subscription.head == entries[0].prev):
            self.hand(subscription, entries)

    def compare(self, topic: str, head: Position | None) -> None:
        """Compare with the last position in the log; None: the log does not know the topic."""
        subscription = self._by_topic.get(topic)
        if subscription is not None and (head is None or subscription.head != head):
            self.repaired += 1
            subscription.dirty(head)

    def asked(self, topic: str, head: Position) -> None:
        """A page was read for a reader: its last position may be new to the listener too."""
        subscription = self._by_topic.get(topic)
        if subscription is None or subscription.head == head:
            return
        if subscription.head is None:
            subscription.head = head

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
        """Seconds after which a lost announcement is recovered at the latest."""
        return max(1.0, len(self._order) * 2 / PER_SECOND)
