"""The bodies of requests that the library itself reads: at the mount, on the admin page and in the demo.

aiohttp waits for a body as long as its connection lasts, so a client could hold what its handler holds for
ever, with a few bytes. Here a body has `Limits.body_timeout` to arrive, as a whole.

Standard: RFC 9110 §15.5.9 (408).
Never: a body is read before its sender is authorized; the callers see to that.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

from rx_sse.web.mount_problem import problem
from rx_sse.web.registry import registry_of


async def read_body(request: web.Request) -> bytes:
    """The body of a request. `request.text()` and `request.json()` then return it without waiting.

    Raises:
        web.HTTPException: 408, it did not arrive in time: the connection is closed behind the answer; 400,
            the connection ended before it.
    """
    most = registry_of(request).limits.body_timeout
    deadline = asyncio.timeout(most)
    try:
        async with deadline:
            return await request.read()
    except OSError:  # a TimeoutError, ours or the connection's, or what else ended the connection
        if deadline.expired():
            raise problem(408, f"the body did not arrive within {most:g} s", close=True) from None
        raise problem(400, "the connection ended before the body", close=True) from None
