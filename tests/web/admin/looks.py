"""The admin page's data, read as the page reads it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from rx_sse.testing import open_stream


async def look(url: str, headers: dict[str, str] | None = None, **query: str) -> dict[str, Any]:
    """The first look for a query."""
    async with open_stream(url, f"/admin/streams?{urlencode(query)}", headers=headers or {}) as stream:
        return (await stream.next_event()).json()


async def look_until(url: str, fits: Callable[[dict[str, Any]], object], **query: str) -> dict[str, Any]:
    """The first look that fits."""
    async with open_stream(url, f"/admin/streams?{urlencode(query)}") as stream:
        while not fits(found := (await stream.next_event()).json()):
            pass
        return found
