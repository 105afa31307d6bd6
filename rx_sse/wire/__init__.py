"""Bytes ↔ events, in both directions, without I/O: one codec for server, client and bus.

Standard: WHATWG HTML §9.2. Never imports asyncio, reactivex or aiohttp.
"""

from __future__ import annotations

from .encode import encode
from .event import RawFrame, ServerSentEvent
from .parser import EventParser

__all__ = ["EventParser", "RawFrame", "ServerSentEvent", "encode"]
