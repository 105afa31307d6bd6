"""A server's answer: whether it is an event stream, how it is read, how it is closed.

Standard: WHATWG HTML §9.2.2 for what may be read, RFC 9110 §10.2.3 for ``Retry-After``.

Never reads an answer that is refused further than its first packet.
"""

from __future__ import annotations

import asyncio
import re
from email.utils import parsedate_to_datetime
from time import time
from typing import Any, Final, cast

import aiohttp
from aiohttp import hdrs

from rx_sse.wire.fields import MAX_RETRY
from rx_sse.wire.harmless import harmless

__all__ = ["abort", "read", "refusal", "retry_after"]

# Bytes of a refused answer that its error quotes, and the seconds to wait for them.
_EXCERPT: Final = 1024
_PATIENCE: Final = 1.0


async def refusal(response: aiohttp.ClientResponse) -> tuple[str, str] | None:
    """The reason why an answer is not an event stream, and its beginning; None if it is one."""
    if response.status != 200:
        reason = harmless(f"{response.status} {response.reason or ''}".strip())
    else:
        # [spec] The type is compared without its parameters, and ASCII case-insensitively.
        kind = response.headers.get(hdrs.CONTENT_TYPE, "")
        if kind.partition(";")[0].strip().lower() == "text/event-stream":
            return None
        reason = f"the answer is {kind[:100]!r}, not 'text/event-stream'" if kind else "no Content-Type"
    try:
        async with asyncio.timeout(_PATIENCE):
            excerpt = await response.content.read(_EXCERPT)
    except (aiohttp.ClientError, OSError):
        excerpt = b""
    words = " ".join(excerpt.decode("utf-8", "replace").split())
    return reason, harmless(words)


def retry_after(response: aiohttp.ClientResponse) -> float:
    """The seconds of a ``Retry-After`` header; 0 without one."""
    value = response.headers.get(hdrs.RETRY_AFTER, "").strip()
    if re.fullmatch(r"[0-9]+", value, re.ASCII):
        seconds = float(int(value[:11]))
    else:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time()
        except (ValueError, OverflowError):
            seconds = 0.0
    return min(max(seconds, 0.0), MAX_RETRY / 1000)


async def read(content: aiohttp.StreamReader) -> bytes:
    """The bytes received; ``b""`` at the end. A lost connection raises after the bytes before it were read.

    aiohttp keeps the received bytes, but raises first. The standard dispatches them: they were received.
    """
    try:
        return await content.readany()
    except (aiohttp.ClientError, OSError) as error:
        content.set_exception(cast(Any, None))
        rest = content.read_nowait()
        content.set_exception(error)
        if not rest:
            raise
        return rest


def abort(response: aiohttp.ClientResponse) -> None:
    """Close an answer at once. A plain close would make TLS wait for the peer's close notification."""
    connection = response.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()
    response.close()
