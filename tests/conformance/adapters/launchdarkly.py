"""launchdarkly-eventsource: LaunchDarkly's client, in its asyncio form, which only does GET.

It leaves to its user what is worth another attempt: here all but a refused status and content type.
"""

# pyright: reportMissingImports=false, reportMissingModuleSource=false
# (of the dependency group `clients`, which nothing else needs)

from __future__ import annotations

import aiohttp
from ld_eventsource.actions import Comment, Event, Fault
from ld_eventsource.async_client import AsyncSSEClient
from ld_eventsource.config import ErrorStrategy
from ld_eventsource.config.async_connect_strategy import AsyncConnectStrategy
from ld_eventsource.errors import HTTPContentTypeError, HTTPStatusError

from ..service import Order, Report

name = "launchdarkly-eventsource"
capabilities = frozenset(
    {
        "bom",
        "comments",
        "headers",
        "last-event-id",
        "read-timeout",
        "restart",
        "server-directed-shutdown-request",
    }
)


def again(error: Exception | None) -> tuple[bool, ErrorStrategy | None]:
    final = isinstance(error, HTTPStatusError | HTTPContentTypeError)
    return (ErrorStrategy.FAIL if final else ErrorStrategy.CONTINUE), None


async def run(order: Order, report: Report) -> None:
    timeout = aiohttp.ClientTimeout(total=None, sock_read=order.read_timeout)
    connect = AsyncConnectStrategy.http(
        order.url, headers=dict(order.headers), aiohttp_request_options={"timeout": timeout}
    )
    async with AsyncSSEClient(
        connect,
        initial_retry_delay=1 if order.initial_delay is None else order.initial_delay,
        error_strategy=ErrorStrategy.from_lambda(again),
        last_event_id=order.last_event_id or None,
    ) as client:
        async for action in client.all:
            if isinstance(action, Event):
                report.event(action.event, action.data, action.last_event_id or "")
            elif isinstance(action, Comment):
                report.comment(action.comment)
            elif isinstance(action, Fault) and action.error is not None:
                report.error(action.error)
