"""sseclient-py: a parser over an iterable of bytes, here a response of requests, in a thread.

One connection; it leaves reconnecting to its user.
"""

# pyright: reportMissingImports=false, reportMissingModuleSource=false
# (of the dependency group `clients`, which nothing else needs)

from __future__ import annotations

import asyncio
import threading

import requests
from sseclient import SSEClient

from ..service import Order, Report

name = "sseclient-py"
capabilities = frozenset({"bom", "headers", "last-event-id", "post", "report"})


async def run(order: Order, report: Report) -> None:
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()

    def tell(error: Exception | None) -> None:
        if over.done():
            return
        if error is None:
            over.set_result(None)
        else:
            over.set_exception(error)

    def read() -> None:
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-cache", **order.headers}
        if order.last_event_id:
            headers["Last-Event-ID"] = order.last_event_id
        failure = None
        try:
            with requests.Session() as session:
                session.trust_env = False
                response = session.request(
                    order.method, order.url, headers=headers, data=order.body, stream=True
                )
                for event in SSEClient(iter(response)).events():
                    loop.call_soon_threadsafe(report.event, event.event, event.data, event.id or "")
        except Exception as error:
            failure = error
        loop.call_soon_threadsafe(tell, failure)

    # It cannot be interrupted: it ends when the server ends its stream, as the driver does after each test.
    threading.Thread(target=read, daemon=True).start()
    await over
