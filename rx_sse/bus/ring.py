"""A ring: the newest part of a remote log, which a process keeps ready for reconnects.

Never: it holds an entry that the log would not return. So it keeps no more, and for no longer.
"""

from __future__ import annotations

from rx_sse.bus.host import Host
from rx_sse.bus.log.history import History
from rx_sse.bus.log.position import UNKNOWN, ref_of
from rx_sse.bus.log.retention import Retention

RING_ENTRIES = 1000
RING_BYTES = 1_048_576


def ring_of(topic: str, host: Host) -> History:
    """An empty ring of a topic."""
    return History(ref_of(topic), UNKNOWN, ring_kept(host.retention_of(topic)), host.rings)


def ring_kept(kept: Retention) -> Retention:
    """How much of a topic its ring keeps, if the log keeps `kept` of it."""
    return Retention(min(RING_ENTRIES, kept.entries), min(RING_BYTES, kept.bytes), kept.age)
