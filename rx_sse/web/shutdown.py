"""Closes the streams of an application: in waves, each client with its own reconnection time.

Standard: HTML Living Standard §9.2.6 (`retry`).
Never: it waits beyond its window, or gives two clients the same reconnection time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from typing import TYPE_CHECKING

from rx_sse.web.end_reason import End

if TYPE_CHECKING:
    from rx_sse.web.registry import StreamRegistry

logger = logging.getLogger("rx_sse")

GRACE = 0.5
"""Seconds for stalled readers at a shutdown without a drain window. `SIGTERM` then ends the process within a
second."""
RECONNECT_FROM = 1000
"""The earliest reconnect after a shutdown, in milliseconds: a new process takes about as long to listen."""
RECONNECT_SPREAD = 4
"""Milliseconds between two clients that reconnect after a shutdown; together at least two seconds."""
BATCH = 64
"""Streams that are closed in one loop turn."""


async def drained(edge: StreamRegistry) -> None:
    """Close the streams of an application within its window, and wait until their sources have closed."""
    loop = asyncio.get_running_loop()
    begin = loop.time()
    streams = list(edge.streams)
    random.shuffle(streams)
    spread = max(2000, RECONNECT_SPREAD * len(streams))
    for index, stream in enumerate(streams):
        retry = RECONNECT_FROM + int(spread * (index + random.random()) / len(streams))
        stream.close_for_reconnect(End.SHUTDOWN, retry)
        if edge.drain:
            await asyncio.sleep(begin + edge.drain * (index + 1) / len(streams) - loop.time())
        elif index % BATCH == BATCH - 1:
            await asyncio.sleep(0)
    left = max(begin + edge.drain - loop.time(), GRACE)
    for stream in edge.streams:
        stream.hurry(left)
    until = loop.time() + left + GRACE
    if edge.streams:
        edge.emptied = loop.create_future()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(edge.emptied, left + GRACE)
    if edge.streams:
        logger.warning("streams that did not end within the shutdown window: %d", len(edge.streams))
        for stream in list(edge.streams):
            stream.connection.abort()  # if aiohttp has handed the socket over, only the stream can close it
    await _outlast(edge, until)


async def _outlast(edge: StreamRegistry, until: float) -> None:
    """Wait for the `finally` blocks of closed sources: resources that they need, such as a database, are
    closed after this."""
    loop = asyncio.get_running_loop()
    while (ending := edge.parts.scheduler.ending) and (left := until - loop.time()) > 0:
        await asyncio.wait(ending, timeout=left)
    if ending:
        logger.warning(
            "sources still closing at the end of the shutdown window: %d; drain= makes it longer",
            len(ending),
        )
