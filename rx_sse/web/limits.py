"""Limits on the streams of a process and of each user, and on what users may publish, and for how long.

Standard: RFC 6585 §4 (429) and RFC 9110 §10.2.3 (Retry-After) for clients that understand a status.
Never: it counts requests; a stream counts from its admission to its end.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from rx_sse.arguments import seconds
from rx_sse.bus.log.position import MAX_TOPICS
from rx_sse.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Upper bounds; None for no bound. Requests over a bound are refused.

    Args:
        connections: open streams of the process. The default leaves room under a file-descriptor limit of
            32,768.
        per_user: open streams of one principal; a browser opens six to an origin over HTTP/1.1.
        per_address: open streams of one client's address, or of its /64 network where that is IPv6. Off by
            default: behind a proxy that is not in `setup(trusted_proxies=)` all clients have its address.
        opens_per_second: streams that the process opens in a second. Off by default: it depends on what a
            handler does.
        topics: topics on one stream, 32 at most: an event's id holds a position in each.
        topics_per_user: topics that one principal may open through `bus_app`, or publish to with
            `bus.publish(user=)` and there, in a row; a 128th of them is there again each second, 32 with the
            default. A topic that is opened takes 2.6 KB for half a minute.
        keys_per_user: idempotency keys of one principal, of `bus_app` and `bus.publish(user=)`, that are
            remembered at a time, each for 5 minutes and in 450 bytes, in a table of 1,000,000 that all share.
        publishes_per_user: events that one principal may publish through `bus_app` in a second; ten times as
            many in a row.
        publish_bytes_per_user: the same for the bytes of their bodies.
        body_timeout: seconds in which the body of a request to `bus_app` or `admin_app` must arrive; then it
            is answered 408, and the connection is closed. Bodies that your own handlers read have no limit.
        cursor: bytes of a `Last-Event-ID` that are parsed; a longer id counts as unknown.

    Raises:
        UsageError: a bound that is not an integer of at least 1, or more topics than a stream can have.
    """

    connections: int | None = 20_000
    per_user: int | None = 100
    per_address: int | None = None
    opens_per_second: int | None = None
    topics: int = 32
    topics_per_user: int | None = 4_096
    keys_per_user: int | None = 50_000
    publishes_per_user: int | None = 1_000
    publish_bytes_per_user: int | None = 8 * 1024 * 1024
    body_timeout: float | None = 30.0
    cursor: int = 4096

    def __post_init__(self) -> None:
        timeout = seconds("limit body_timeout", self.body_timeout, zero="refuses every body", optional=True)
        object.__setattr__(self, "body_timeout", timeout)
        for field in fields(self):
            if field.name == "body_timeout":
                continue
            value = getattr(self, field.name)
            optional = field.default is None or "None" in str(field.type)
            if (value is None and optional) or (type(value) is int and value >= 1):
                continue
            raise UsageError(
                f"limit {field.name}={value!r} must be an integer of at least 1" + " or None" * optional
            )
        if self.topics > MAX_TOPICS:
            raise UsageError(
                f"limit topics={self.topics} is more than the {MAX_TOPICS} that a stream can have"
            )
