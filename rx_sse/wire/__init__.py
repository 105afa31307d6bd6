"""Bytes ↔ events, in both directions, without I/O: one codec for server, client and bus.

Standard: WHATWG HTML §9.2. Never imports asyncio, reactivex or aiohttp.
"""

from __future__ import annotations

from rx_sse.wire.encode import encode
from rx_sse.wire.event import ServerSentEvent
from rx_sse.wire.parser import EventParser
from rx_sse.wire.raw_frame import RawFrame

__all__ = ["EventParser", "RawFrame", "ServerSentEvent", "encode"]
