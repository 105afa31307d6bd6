"""aiohttp-sse-client: an EventSource on top of aiohttp, with reconnection."""

# pyright: reportMissingImports=false, reportMissingModuleSource=false
# (of the dependency group `clients`, which nothing else needs)

from __future__ import annotations

from datetime import timedelta

from aiohttp import ClientTimeout
from aiohttp_sse_client.client import EventSource

from ..service import Order, Report

name = "aiohttp-sse-client"
capabilities = frozenset(
    {"bom", "headers", "last-event-id", "post", "report", "restart", "server-directed-shutdown-request"}
)


async def run(order: Order, report: Report) -> None:
    headers = dict(order.headers)
    if order.last_event_id:
        headers["Last-Event-Id"] = order.last_event_id
    delay = 5.0 if order.initial_delay is None else order.initial_delay
    async with EventSource(
        order.url,
        option={"method": order.method},
        reconnection_time=timedelta(seconds=delay),
        headers=headers,
        data=order.body,
        timeout=ClientTimeout(total=None),
    ) as source:
        async for event in source:
            report.event(event.type or "message", event.data, event.last_event_id)
