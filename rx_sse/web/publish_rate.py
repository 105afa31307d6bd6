"""Limits how much one principal may publish over HTTP: events and bytes a second.

A body counts before it is read if its length is known; otherwise after it was read, up to aiohttp's
`client_max_size`.

Standard: RFC 6585 §4 (429), RFC 9110 §15.5.14 (413), the token bucket of `bus.allowance`.
Never: it counts what an application publishes by itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from aiohttp import web

from rx_sse.bus.allowance import Allowance
from rx_sse.web.limits import Limits
from rx_sse.web.mount_problem import problem, retry_after
from rx_sse.web.request_body import read_body
from rx_sse.wire.counted import counted

BURST = 10.0
"""Seconds' worth of events and bytes that may be published at once."""


class PublishRate:
    """The buckets of each principal, for events and for bytes.

    Args:
        clock: monotonic seconds.
    """

    __slots__ = ("_bytes", "_events")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._events = Allowance(BURST, clock)
        self._bytes = Allowance(BURST, clock)

    def event(self, user: str, limits: Limits) -> None:
        """Count one more event of a principal.

        Raises:
            web.HTTPException: 429, the principal has recently published too many events.
        """
        if (most := limits.publishes_per_user) is None:
            return
        if (wait := self._events.take(user, 1, _burst(most))) > 0:
            rate = counted(most, "event")
            detail = f"this principal has published more than {rate} a second, which is the most"
            raise problem(429, detail, retry_after(wait))

    async def body(self, user: str, request: web.Request, limits: Limits) -> None:
        """Count the body of a request, of a principal that may publish it.

        Raises:
            web.HTTPException: 429, the principal has recently published too many bytes; 413, its body is
                larger than its burst; 408, it did not arrive in time.
        """
        if (most := limits.publish_bytes_per_user) is None:
            return
        size, held = request.content_length, _burst(most)
        if size is None:
            size = len(await read_body(request))
        assert held is not None
        if size > held:
            raise problem(413, f"a body of {size:,} bytes, and {held:,} is the most for one principal")
        if (wait := self._bytes.take(user, size, held)) > 0:
            detail = f"this principal has published more than {most:,} bytes a second, which is the most"
            raise problem(429, detail, retry_after(wait))


def _burst(per_second: int | None) -> int | None:
    """The capacity of a bucket; None for no limit."""
    return None if per_second is None else int(per_second * BURST)
