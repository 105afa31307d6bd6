"""Where Rx meets an event loop: a scheduler, operators, and bridges to async iterables.

Knows reactivex and asyncio, never aiohttp or redis.
"""

from __future__ import annotations

from rx_sse.reactive.scheduler import LoopScheduler

__all__ = ["LoopScheduler"]
