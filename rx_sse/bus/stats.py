"""Statistics of a bus.

Precedent: trio's statistics records.
Never: the name of a user, or a payload.
"""

from __future__ import annotations

from dataclasses import dataclass

from rx_sse.bus.core import Core
from rx_sse.bus.log.memory import MemoryLog


@dataclass(frozen=True, slots=True)
class BusStats:
    """The state of a bus at one moment.

    Attributes:
        running: whether it was started and not yet closed.
        ready: whether an event published now reaches this process's listeners.
        published: entries accepted from this process.
        refused: pushes on a loop that found no room.
        delivered: calls of subscribers.
        waiting: entries that are still being delivered.
        topics: topics in use in this process, or lingering.
        subscriptions: subscriptions to events and to values.
        ring_bytes: bytes of recent entries kept ready.
        repairs: queries to the log on behalf of a whole topic.
        reads: queries to the log on behalf of one reader.
        replays: running replays from the log.
        gaps: topics that lost their position in the log.
        gaps_told: gaps reported to readers.
        troubles: errors that `errors` emitted.
        stored_topics, stored_bytes: topics and bytes in a memory log; 0 for others.
    """

    running: bool
    ready: bool
    published: int
    refused: int
    delivered: int
    waiting: int
    topics: int
    subscriptions: int
    ring_bytes: int
    repairs: int
    reads: int
    replays: int
    gaps: int
    gaps_told: int
    troubles: int
    stored_topics: int
    stored_bytes: int

    @staticmethod
    def of(core: Core) -> BusStats:
        """The state of a bus now."""
        runtime, publisher = core.runtime, core.publisher
        counts = runtime.counts
        memory = core.log if isinstance(core.log, MemoryLog) else None
        return BusStats(
            running=runtime.running,
            ready=core.ready(),
            published=0 if publisher is None else publisher.accepted,
            refused=0 if publisher is None else publisher.refused,
            delivered=runtime.fanout.delivered,
            waiting=runtime.fanout.waiting,
            topics=len(core.topics),
            subscriptions=len(runtime.subscribers),
            ring_bytes=runtime.rings.size,
            repairs=counts.get("repairs", 0),
            reads=counts.get("reads", 0),
            replays=core.limiter.running,
            gaps=counts.get("gaps", 0),
            gaps_told=counts.get("gaps_told", 0),
            troubles=counts.get("troubles", 0),
            stored_topics=0 if memory is None else memory.topics,
            stored_bytes=0 if memory is None else memory.size,
        )
