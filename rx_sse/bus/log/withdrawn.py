"""The gap that tells the readers of a log that it has lost entries it had accepted.

Standard: docs/resume.md §1, "Fork".
"""

from __future__ import annotations

from rx_sse.bus.log.entry import GAP, Draft, gap_data
from rx_sse.bus.log.idempotency import hashed_key
from rx_sse.bus.log.position import Position, text_of
from rx_sse.bus.log.retention import Retention


def withdrawn(topic: str, upto: Position, retention: Retention) -> Draft:
    """A gap that reports the loss of an entry. Several processes may append it: it is stored once."""
    key = hashed_key(None, topic, f"withdrawn {text_of(upto)}")
    return Draft(topic, GAP, gap_data("withdrawn", upto), None, retention, key=key)
