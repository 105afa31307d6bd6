"""A topic of the library's own, through which the processes of a bus notify each other.

One object in each process reads it. It takes the events, and of a reader's other calls those that concern it;
the rest have their answer here.

Never: such a topic ends, or waits for room.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from rx_sse.bus.gap import Gap
from rx_sse.bus.log.entry import Entry
from rx_sse.bus.log.retention import Retention
from rx_sse.bus.resume.reader import Reader
from rx_sse.bus.runtime import Runtime
from rx_sse.bus.topics import Topics
from rx_sse.wire.event import ServerSentEvent


class OwnTopic:
    """Reads it, from `start` to `stop`. Loop thread only.

    Args:
        runtime: the bus whose log stores the entries.
        topics: its topics.
        kept: which entries its log keeps.

    Attributes:
        reader: its reader, while there is one.
    """

    NAME: ClassVar[str]
    BACKLOG: ClassVar[int] = 0
    """Entries before the newest with which to begin."""
    FAILED: ClassVar[str]
    """What is reported of an event that `take` raised for; those behind it are taken."""

    def __init__(self, runtime: Runtime, topics: Topics, kept: Retention) -> None:
        self._runtime = runtime
        self._topics = topics
        self.reader: Reader | None = None
        runtime.retentions.put(self.NAME, kept)

    def start(self) -> None:
        """Read the topic, then follow it."""
        if self.reader is None:
            local = self._topics.local(self.NAME)
            self.reader = Reader(local, self._runtime, self, self._take, last=self.BACKLOG)
            self.reader.locate()

    def stop(self) -> None:
        """Read nothing more; what is known stays, for the next start."""
        if self.reader is not None:
            self.reader.close()
            self.reader = None

    def take(self, event: ServerSentEvent) -> None:
        """An event of the topic."""
        raise NotImplementedError

    def _take(self, event: ServerSentEvent) -> None:
        try:
            self.take(event)
        except Exception as error:
            self._runtime.raised(f"rx_sse: {self.FAILED}", error)

    # -- called by the reader --------------------------------------------------------------------------------

    def begins(self, reader: Reader) -> bool:
        """It may always read the log."""
        return True

    def located(self, reader: Reader) -> None:
        """The start position is known."""
        reader.go()

    def caught_up(self, reader: Reader) -> None:
        """The topic was read up to its newest entry."""

    def missed(self, reader: Reader, gap: Gap) -> None:
        """Entries may be missing."""

    def strayed(self, reader: Reader) -> None:
        """Never called: the reader starts without a cursor, so it cannot be ahead in another branch."""

    def passed(self, reader: Reader, entry: Entry) -> None:
        """An entry that is no event."""

    def ended(self, reader: Reader, entry: Entry | None) -> None:
        """Never called: no publisher can end this topic."""

    def room(self, again: Callable[[], None]) -> bool:
        """There is always room."""
        return True

    def replaying(self, begun: bool) -> None:
        """Nothing is queued here."""

    def failed(self, reader: Reader, error: Exception) -> None:
        """Never called: what `take` raises does not get as far as the reader."""
