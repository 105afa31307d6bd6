"""Notifies the owner of a run in another process that a stop was requested.

The request itself is part of the run's lease, which the owner reads at its next renewal. An entry of a topic
of the library's own makes it read the lease at once. A process reads that topic only while it owns runs.

Never: a stop depends on the entry: a missed entry costs a second.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from rx_sse.bus.gap import Gap
from rx_sse.bus.log.draft import Draft, Retention
from rx_sse.bus.log.entry import JSON, Entry
from rx_sse.bus.resume.reader import Reader
from rx_sse.bus.runtime import Runtime
from rx_sse.bus.topics import Topics
from rx_sse.wire.event import ServerSentEvent

TOPIC = "!stops"
KEPT = Retention(entries=100, bytes=100_000, age=60.0)


class StopRequests:
    """Sends and receives requests to stop a run. Loop thread only.

    Args:
        runtime: the bus whose log carries them.
        topics: its topics.
        asked: called with the name of a run for which a stop was requested; None if requests may have been
            missed.
    """

    def __init__(self, runtime: Runtime, topics: Topics, asked: Callable[[str | None], None]) -> None:
        self._runtime = runtime
        self._topics = topics
        self._asked = asked
        self._reader: Reader | None = None
        runtime.retentions.put(TOPIC, KEPT)

    def send(self, name: str) -> None:
        """Notify the owner, in any process."""
        self._runtime.log.append(Draft(TOPIC, JSON, json.dumps(name), None, KEPT))

    def listen(self) -> None:
        """Receive requests from now on."""
        if self._reader is None:
            self._reader = Reader(self._topics.local(TOPIC), self._runtime, self, self._take)
            self._reader.locate()

    def rest(self) -> None:
        """Receive no more requests."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _take(self, event: ServerSentEvent) -> None:
        self._asked(str(event.json()))

    # -- called by the reader --------------------------------------------------------------------------------

    def located(self, reader: Reader) -> None:
        """The start position is known."""
        reader.go()

    def caught_up(self, reader: Reader) -> None:
        """A request that was sent before is in the lease: read it once."""
        self._asked(None)

    def missed(self, reader: Reader, gap: Gap) -> None:
        """Some requests may be missing."""
        self._asked(None)

    def strayed(self, reader: Reader) -> None:
        """It had no cursor, so it is not ahead of another branch."""

    def passed(self, reader: Reader, entry: Entry) -> None:
        """Nothing to do."""

    def ended(self, reader: Reader, entry: Entry | None) -> None:
        """This topic has no end."""

    def room(self, again: Callable[[], None]) -> bool:
        """There is always room."""
        return True

    def replaying(self, begun: bool) -> None:
        """Nothing is queued here."""

    def failed(self, reader: Reader, error: Exception) -> None:
        """An entry that is not a request."""
        self._runtime.raised("rx_sse: a request to stop a run could not be read", error)
