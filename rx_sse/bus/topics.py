"""The topics of this process that are in use, and those that recently were."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from rx_sse.bus.local_topic import LocalTopic
from rx_sse.bus.log.history import shrunk
from rx_sse.bus.runtime import Runtime

LINGER = 30.0
"""Seconds that a topic keeps its ring after its last listener, for page loads and reconnects."""


class Topics:
    """Local topics by name.

    Args:
        runtime: the bus.
    """

    __slots__ = ("_idle", "_peaks", "_runtime", "_topics")

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._topics: dict[str, LocalTopic] = {}
        self._idle: OrderedDict[LocalTopic, float] = OrderedDict()
        self._peaks = (0, 0)

    def __len__(self) -> int:
        return len(self._topics)

    def __iter__(self) -> Iterator[LocalTopic]:
        return iter(self._topics.values())

    def __contains__(self, name: str) -> bool:
        return name in self._topics

    def local(self, name: str) -> LocalTopic:
        """The topic in this process; it lingers until a user holds it."""
        topic = self.of(name)
        if topic.users == 0:
            self.unused(topic)
        return topic

    def of(self, name: str) -> LocalTopic:
        """The topic in this process, for a caller that holds it, or calls `local`, at once."""
        topic = self._topics.get(name)
        if topic is None:
            topic = self._topics[name] = LocalTopic(name, self._runtime, self)
        return topic

    def retain(self) -> None:
        """The retention of topics has changed."""
        for topic in self._topics.values():
            topic.retain()

    def sweep(self, now: float) -> None:
        """Close the topics whose time is over, by the loop's clock."""
        while self._idle and (topic := next(iter(self._idle))) and self._idle[topic] <= now:
            del self._idle[topic]
            if topic.users == 0:  # otherwise it is in use again
                del self._topics[topic.topic]
                topic.close()
        topics, idle = self._peaks
        self._topics, topics = shrunk(self._topics, topics)
        self._idle, idle = shrunk(self._idle, idle)
        self._peaks = (topics, idle)

    def close(self) -> None:
        """Close all."""
        for topic in list(self._topics.values()):
            topic.close()
        self._topics.clear()
        self._idle.clear()

    def unused(self, topic: LocalTopic) -> None:
        """Its last user has released a topic: it lingers."""
        self._idle.pop(topic, None)
        self._idle[topic] = self._runtime.now() + LINGER
