"""httpx-sse: a parser on top of httpx. One connection; it leaves reconnecting to its user."""

# pyright: reportMissingImports=false, reportMissingModuleSource=false
# (of the dependency group `clients`, which nothing else needs)

from __future__ import annotations

import httpx
from httpx_sse import aconnect_sse

from ..service import Order, Report

name = "httpx-sse"
capabilities = frozenset({"bom", "headers", "last-event-id", "post", "report"})


async def run(order: Order, report: Report) -> None:
    headers = dict(order.headers)
    if order.last_event_id:
        headers["Last-Event-ID"] = order.last_event_id
    async with (
        httpx.AsyncClient(timeout=None, follow_redirects=True, trust_env=False) as client,
        aconnect_sse(client, order.method, order.url, headers=headers, content=order.body) as source,
    ):
        async for event in source.aiter_sse():
            report.event(event.event, event.data, event.id)
