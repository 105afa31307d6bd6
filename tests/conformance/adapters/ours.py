"""rx_sse's own client."""

from __future__ import annotations

from rx_sse.client import ConnectionState, EventSource

from ..service import Order, Report

name = "rx_sse"
capabilities = frozenset(
    {
        "bom",
        "comments",
        "headers",
        "last-event-id",
        "post",
        "read-timeout",
        "report",
        "restart",
        "server-directed-shutdown-request",
    }
)


async def run(order: Order, report: Report) -> None:
    def told(state: ConnectionState) -> None:
        if state.state == "connecting" and state.error is not None:
            report.error(state.error)

    source = EventSource(
        order.url,
        method=order.method,
        headers=order.headers,
        body=order.body,
        last_event_id=order.last_event_id,
        retry=round(1000 * (3.0 if order.initial_delay is None else order.initial_delay)),
        read_timeout=order.read_timeout,
        reconnect=True,
        on_state=told,
        on_comment=report.comment,
    )
    async for event in source:
        report.event(event.type, event.data, event.last_event_id)
