"""Notifies the owner of a run in another process that a stop was requested.

The request itself is part of the run's lease, which the owner reads at its next renewal. An entry of a topic
of the library's own makes it read the lease at once. A process reads that topic only while it owns runs.

Never: a stop depends on the entry: a missed entry costs a second.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from rx_sse.bus.gap import Gap
from rx_sse.bus.log.entry import JSON, Draft
from rx_sse.bus.log.retention import Retention
from rx_sse.bus.own_topic import OwnTopic
from rx_sse.bus.resume.reader import Reader
from rx_sse.bus.runtime import Runtime
from rx_sse.bus.topics import Topics
from rx_sse.wire.event import ServerSentEvent

KEPT = Retention(entries=100, bytes=100_000, age=60.0)


class StopRequests(OwnTopic):
    """Sends and receives requests to stop a run. Loop thread only.

    Args:
        runtime: the bus whose log carries them.
        topics: its topics.
        asked: called with the name of a run for which a stop was requested; None if requests may have been
            missed.
    """

    NAME = "!stops"
    FAILED = "a request to stop a run could not be read"

    def __init__(self, runtime: Runtime, topics: Topics, asked: Callable[[str | None], None]) -> None:
        super().__init__(runtime, topics, KEPT)
        self._asked = asked

    def send(self, name: str) -> None:
        """Notify the owner, in any process."""
        self._runtime.log.append(Draft(self.NAME, JSON, json.dumps(name), None, KEPT))

    def take(self, event: ServerSentEvent) -> None:
        """A request."""
        self._asked(str(event.json()))

    def caught_up(self, reader: Reader) -> None:
        """A request that was sent before is in the lease: read it once."""
        self._asked(None)

    def missed(self, reader: Reader, gap: Gap) -> None:
        """Some requests may be missing."""
        self._asked(None)
