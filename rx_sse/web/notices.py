"""Log lines that every request would cause: logged once, or at most once in a number of seconds.

Never: it keeps more than a bounded number of keys.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Hashable

from aiohttp import web

logger = logging.getLogger("rx_sse")

EVERY = 10.0
"""Seconds between two lines about the same outage."""
MOST = 1_000
"""Keys that are kept; beyond it the least recently logged is forgotten."""


class Notices:
    """The logged keys, and their times."""

    __slots__ = ("_told",)

    def __init__(self) -> None:
        self._told: OrderedDict[Hashable, float] = OrderedDict()

    def once(self, key: Hashable, message: str, *args: object) -> None:
        """Warn of a mistake in the code: once for each key."""
        if self._due(key, float("inf")):
            logger.warning(message, *args)

    def seldom(self, key: Hashable, message: str, *args: object, error: BaseException | None = None) -> None:
        """Warn of a lasting condition: every `EVERY` seconds."""
        if self._due(key, EVERY):
            logger.warning(message, *args, exc_info=error)

    def _due(self, key: Hashable, every: float) -> bool:
        now = time.monotonic()
        if (last := self._told.get(key)) is not None and now - last < every:
            return False
        self._told[key] = now
        self._told.move_to_end(key)
        if len(self._told) > MOST:
            self._told.popitem(last=False)
        return True


def handler_name(request: web.Request) -> str:
    """The name of the function that serves a request, with that of its class."""
    handler = request.match_info.handler
    name = getattr(handler, "__qualname__", None) or repr(handler)
    return f"{name}.{request.method.lower()}" if isinstance(handler, type) else name
