"""The reasons for which a stream ends, and the deadline that ends it.

Standard: RFC 7519 §4.1.4 (`exp`), HTML Living Standard §9.2.6 (`retry`).
Never: two streams that end together get the same reconnection time.
"""

from __future__ import annotations

import random
import time
from enum import Enum

from rx_sse.web.options import Options
from rx_sse.web.principal import Principal

DEFAULT_RETRY = 3000
"""Milliseconds that Chromium waits by default."""
FLOOR = 1000
"""Milliseconds; with 0, Chromium reconnects after 3 ms."""
EARLY = 5.0
"""Seconds, at most, that a stream ends before its token: a tenth of the token's life if that is less."""


class End(Enum):
    """The reason of a stream's end; the names under which ends are counted."""

    COMPLETED = "completed"
    FAILED = "failed"
    LEFT = "left"
    OVERFLOW = "overflow"
    STUCK = "stuck"
    EXPIRED = "expired"
    REVOKED = "revoked"
    DURATION = "duration"
    SHED = "shed"
    SHUTDOWN = "shutdown"
    OPERATOR = "operator"


def jittered(retry: int | None) -> int:
    """Milliseconds until a reconnect that must not coincide with others: 0.5 to 1.5 times the stream's
    own."""
    return int(max(FLOOR, DEFAULT_RETRY if retry is None else retry) * random.uniform(0.5, 1.5))


def first_deadline(now: float, principal: Principal | None, options: Options) -> tuple[float | None, End]:
    """The deadline of a stream that starts `now` (the loop's clock): its token's expiry, a little early, or
    `max_duration`.

    Returns:
        The time on the loop's clock, None for never; and the reason of that end.
    """
    if principal is None and options.max_duration is None:
        return None, End.DURATION
    token = duration = float("inf")
    if principal is not None and principal.expires_at is not None:
        life = max(0.0, principal.expires_at - time.time())
        token = now + life - random.uniform(0.0, min(EARLY, life / 10))
    if options.max_duration is not None:
        duration = now + options.max_duration * random.uniform(0.9, 1.0)
    when = min(token, duration)
    return (None if when == float("inf") else when), (End.EXPIRED if token <= duration else End.DURATION)
