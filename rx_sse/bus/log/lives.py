"""The topics of a log in memory, by name and by their last use.

Topics with the same life are in one table, in the order of their last use: expired topics are at the front,
and finding them looks at no others. There are as many tables as there are different lives, which is a handful
(`retentions`); a topic is looked up in one after the other.

Never: a timer for each topic; a topic with a short life waits behind one with a long life.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from rx_sse.bus.log.history import shrunk
from rx_sse.bus.log.retention import Retention


class Living(Protocol):
    """A topic."""

    name: str
    kept: Retention
    touched: float

    def keep(self, kept: Retention) -> None:
        """It has another retention from now on."""
        ...


T = TypeVar("T", bound=Living)


class Lives(Generic[T]):
    """Topics.

    Args:
        common: seconds of the life that most topics have.

    Attributes:
        common: the table of that life, by name: each append looks it up first.
    """

    __slots__ = ("_common", "_peaks", "_tables", "common")

    def __init__(self, common: float) -> None:
        self._common = common
        self._tables: dict[float, OrderedDict[str, T]] = {}
        self._peaks: dict[float, int] = {}
        self.clear()

    def __len__(self) -> int:
        tables = self._tables
        return len(self.common) if len(tables) == 1 else sum(map(len, tables.values()))

    def get(self, name: str) -> T | None:
        """The topic of that name."""
        for table in self._tables.values():
            if (topic := table.get(name)) is not None:
                return topic
        return None

    def put(self, topic: T) -> None:
        """Add a topic, as the most recently used."""
        age = topic.kept.age
        table = self._tables.get(age)
        if table is None:
            table = self._tables[age] = OrderedDict()
        table[topic.name] = topic

    def remove(self, topic: T) -> None:
        """Remove a topic."""
        del self._tables[topic.kept.age][topic.name]

    def touch(self, topic: T, now: float) -> None:
        """Restart a topic's life."""
        topic.touched = now
        self._tables[topic.kept.age].move_to_end(topic.name)

    def keep(self, topic: T, kept: Retention) -> None:
        """A topic has another retention from now on."""
        if kept.age == topic.kept.age:
            topic.keep(kept)
        else:
            self.remove(topic)
            topic.keep(kept)
            self.put(topic)

    def over(self, now: float) -> T | None:
        """A topic whose life is over, or None."""
        for topic in self._fronts():
            if topic.touched + topic.kept.age <= now:
                return topic
        return None

    def oldest(self) -> T | None:
        """The least recently used topic, or None."""
        return min(self._fronts(), key=lambda topic: topic.touched, default=None)

    def clear(self) -> None:
        """Remove all topics."""
        self.common: OrderedDict[str, T] = OrderedDict()
        self._tables = {self._common: self.common}
        self._peaks = {}

    def shrink(self) -> None:
        """Release memory that was needed for many more topics. Called now and then."""
        for age, table in list(self._tables.items()):
            if table or age == self._common:
                self._tables[age], self._peaks[age] = shrunk(table, self._peaks.get(age, 0))
            else:
                del self._tables[age]
                self._peaks.pop(age, None)
        self.common = self._tables[self._common]

    def _fronts(self) -> Iterator[T]:
        """The least recently used topic of each life."""
        for table in self._tables.values():
            for topic in table.values():
                yield topic
                break
