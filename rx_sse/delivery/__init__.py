"""From an emission to a socket: bounded queues, one flush per loop turn, coarse deadlines.

Standard: docs/architecture.md, rules 3, 5 and 8. Each limit names its precedent.
Never: this room imports no Observable, no request and no Redis. Its outbox moves opaque bytes.
"""

from __future__ import annotations

from rx_sse.delivery.flusher import Flusher
from rx_sse.delivery.inbox import Inbox
from rx_sse.delivery.latest import make_outbox
from rx_sse.delivery.outbox import Outbox, Outcome
from rx_sse.delivery.overflow import Overflow
from rx_sse.delivery.wheel import Wheel

__all__ = ["Flusher", "Inbox", "Outbox", "Outcome", "Overflow", "Wheel", "make_outbox"]
